/*
 * watchdog.c: tells when a migration's channel has fallen silent
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/watchdog.h"

/* Eight looks in the shortest useful time to detect; a look reads some hundred links in /proc. */
#define LOOKS_PER_DETECTION 8
#define LOOK_MIN_MS         50
/* Linux answers at most one probe in half a second (net.ipv4.tcp_invalid_ratelimit), and the next
 * one to a closed window follows after twice the time. So long may a probe be unanswered by a QEMU
 * that is merely stopped. */
#define PROBE_MS 1200

struct Watchdog {
    Channel channel;
    guint detect_ms;
    WatchdogFn silent;
    gpointer opaque;
    GSource *source;
    GArray *waits; /* of WatchdogWait */
};

static gint64
find_since(const GArray *waits, guint n_waits, guint64 connection, gint64 otherwise_ms)
{
    for (guint i = 0; i < n_waits; i++) {
        const WatchdogWait *wait = &g_array_index(waits, WatchdogWait, i);

        if (wait->connection == connection)
            return wait->since_ms;
    }
    return otherwise_ms;
}

gboolean
watchdog_judge(const GArray *samples, GArray *waits, gint64 now_ms, guint detect_ms)
{
    guint n_before = waits->len;
    gboolean silent = FALSE;

    for (guint i = 0; i < samples->len; i++) {
        const ChannelSample *sample = &g_array_index(samples, ChannelSample, i);
        WatchdogWait wait = {.connection = sample->connection};
        guint limit_ms = sample->probing ? MAX(detect_ms, PROBE_MS) : detect_ms;

        if (!sample->waiting)
            continue;
        wait.since_ms = find_since(waits, n_before, sample->connection, now_ms);
        g_array_append_val(waits, wait);
        if (now_ms - MAX(now_ms - sample->silent_ms, wait.since_ms) >= limit_ms)
            silent = TRUE;
    }
    if (n_before > 0)
        g_array_remove_range(waits, 0, n_before);
    return silent;
}

static gboolean
look_cb(gpointer opaque)
{
    Watchdog *watchdog = opaque;
    g_autoptr(GArray) samples = g_array_new(FALSE, FALSE, sizeof(ChannelSample));

    /* A QEMU that is gone is told by libvirt. */
    if (!channel_sample(&watchdog->channel, samples, NULL))
        return G_SOURCE_CONTINUE;
    if (!watchdog_judge(samples, watchdog->waits, g_get_monotonic_time() / 1000,
                        watchdog->detect_ms))
        return G_SOURCE_CONTINUE;
    /* If that did not help, it is told again. */
    g_array_set_size(watchdog->waits, 0);
    watchdog->silent(watchdog->opaque);
    return G_SOURCE_CONTINUE;
}

Watchdog *
watchdog_new(const Channel *channel, guint detect_ms, WatchdogFn silent, gpointer opaque)
{
    Watchdog *watchdog = g_new0(Watchdog, 1);

    watchdog->channel = *channel;
    watchdog->detect_ms = detect_ms;
    watchdog->silent = silent;
    watchdog->opaque = opaque;
    watchdog->waits = g_array_new(FALSE, FALSE, sizeof(WatchdogWait));
    watchdog->source = g_timeout_source_new(MAX(detect_ms / LOOKS_PER_DETECTION, LOOK_MIN_MS));
    g_source_set_callback(watchdog->source, look_cb, watchdog, NULL);
    g_source_attach(watchdog->source, g_main_context_get_thread_default());
    return watchdog;
}

void
watchdog_free(Watchdog *watchdog)
{
    if (!watchdog)
        return;
    g_source_destroy(watchdog->source);
    g_source_unref(watchdog->source);
    g_array_unref(watchdog->waits);
    g_free(watchdog);
}
