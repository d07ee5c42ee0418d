/*
 * watchdog.c: tells when a migration's channel has fallen silent
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/watchdog.h"

/* Eight looks in the shortest useful time to detect; a look reads some hundred links in /proc. */
#define LOOKS_PER_DETECTION 8
#define LOOK_MIN_MS         50

struct Watchdog {
    Channel channel;
    guint detect_ms;
    WatchdogFn silent;
    gpointer opaque;
    GSource *source;
    gint64 waiting_since_ms;
};

gboolean
watchdog_judge(const ChannelSample *sample,
               gint64 *waiting_since_ms,
               gint64 now_ms,
               guint detect_ms)
{
    gint64 heard_ms = now_ms - sample->silent_ms;

    if (!sample->waiting) {
        *waiting_since_ms = -1;
        return FALSE;
    }
    if (*waiting_since_ms < 0)
        *waiting_since_ms = now_ms;
    return now_ms - MAX(heard_ms, *waiting_since_ms) >= detect_ms;
}

static gboolean
look_cb(gpointer opaque)
{
    Watchdog *watchdog = opaque;
    ChannelSample sample;

    /* A QEMU that is gone is told by libvirt. */
    if (!channel_sample(&watchdog->channel, &sample, NULL))
        return G_SOURCE_CONTINUE;
    if (!watchdog_judge(&sample, &watchdog->waiting_since_ms, g_get_monotonic_time() / 1000,
                        watchdog->detect_ms))
        return G_SOURCE_CONTINUE;
    /* If that did not help, it is told again. */
    watchdog->waiting_since_ms = -1;
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
    watchdog->waiting_since_ms = -1;
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
    g_free(watchdog);
}
