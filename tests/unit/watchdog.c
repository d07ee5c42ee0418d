/*
 * watchdog.c: when a channel counts as silent, over made-up looks and over real connections
 *
 * The real ones are this process's own: a "QEMU" with both ends on the loopback. An end is made
 * deaf with a socket filter, which is what a network that drops everything looks like to TCP.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/watchdog.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "doubles/ends.h"
#include "doubles/loop.h"

#define DETECT_MS 500

/* --- the decision --- */

/* What is seen of up to two connections at one moment. */
typedef struct {
    gint64 now_ms;
    ChannelSample seen[2]; /* .connection 0: there is none */
    gboolean silent;
} Look;

/* clang-format off */
static const struct {
    const char *name;
    Look looks[8]; /* up to one with now_ms 0 that is not the first */
} sequences[] = {
    { "idle for an hour", {
        { 0,    {{ 1, FALSE, FALSE, 3600000 }}, FALSE },
        { 5000, {{ 1, FALSE, FALSE, 3605000 }}, FALSE },
    } },
    { "idle for an hour, then begins to wait", {
        { 0,    {{ 1, FALSE, FALSE, 3600000 }}, FALSE },
        { 60,   {{ 1, TRUE,  FALSE, 3600060 }}, FALSE },
        { 559,  {{ 1, TRUE,  FALSE, 3600559 }}, FALSE },
        { 560,  {{ 1, TRUE,  FALSE, 3600560 }}, TRUE },
    } },
    { "waits when first seen", {
        { 7000, {{ 1, TRUE,  FALSE, 9000 }},    FALSE },
        { 7499, {{ 1, TRUE,  FALSE, 9499 }},    FALSE },
        { 7500, {{ 1, TRUE,  FALSE, 9500 }},    TRUE },
    } },
    { "always waits, always hears", {
        { 0,    {{ 1, TRUE,  FALSE, 0 }},       FALSE },
        { 500,  {{ 1, TRUE,  FALSE, 10 }},      FALSE },
        { 1000, {{ 1, TRUE,  FALSE, 499 }},     FALSE },
        { 9000, {{ 1, TRUE,  FALSE, 1 }},       FALSE },
    } },
    { "always waits, hears no more", {
        { 0,    {{ 1, TRUE,  FALSE, 0 }},       FALSE },
        { 1000, {{ 1, TRUE,  FALSE, 20 }},      FALSE },
        { 1479, {{ 1, TRUE,  FALSE, 499 }},     FALSE },
        { 1480, {{ 1, TRUE,  FALSE, 500 }},     TRUE },
    } },
    { "a peer that is stopped: most probes are answered", {
        { 0,    {{ 1, TRUE,  FALSE, 4 }},       FALSE },
        { 200,  {{ 1, FALSE, FALSE, 160 }},     FALSE },
        { 960,  {{ 1, TRUE,  TRUE,  500 }},     FALSE },
        { 1760, {{ 1, TRUE,  TRUE,  1300 }},    FALSE },
        { 1800, {{ 1, FALSE, FALSE, 48 }},      FALSE },
        { 3600, {{ 1, TRUE,  TRUE,  1800 }},    FALSE },
        { 3660, {{ 1, FALSE, FALSE, 60 }},      FALSE },
    } },
    { "probes that nobody answers", {
        { 0,    {{ 1, TRUE,  TRUE,  1000 }},    FALSE },
        { 1199, {{ 1, TRUE,  TRUE,  2199 }},    FALSE },
        { 1200, {{ 1, TRUE,  TRUE,  2200 }},    TRUE },
    } },
    { "data after probes", {
        { 0,    {{ 1, TRUE,  TRUE,  1000 }},    FALSE },
        { 499,  {{ 1, TRUE,  FALSE, 1499 }},    FALSE },
        { 500,  {{ 1, TRUE,  FALSE, 1500 }},    TRUE },
    } },
    { "waits, is answered, waits again", {
        { 0,    {{ 1, TRUE,  FALSE, 2000 }},    FALSE },
        { 400,  {{ 1, FALSE, FALSE, 2400 }},    FALSE },
        { 450,  {{ 1, TRUE,  FALSE, 2450 }},    FALSE },
        { 900,  {{ 1, TRUE,  FALSE, 2900 }},    FALSE },
        { 950,  {{ 1, TRUE,  FALSE, 2950 }},    TRUE },
    } },
    { "one is busy, an idle one begins to wait", {
        { 0,    {{ 1, TRUE,  FALSE, 5 }, { 2, FALSE, FALSE, 800 }}, FALSE },
        { 900,  {{ 1, TRUE,  FALSE, 5 }, { 2, TRUE,  FALSE, 900 }}, FALSE },
        { 1399, {{ 1, TRUE,  FALSE, 5 }, { 2, FALSE, FALSE, 10 }},  FALSE },
    } },
    { "one is busy, the other falls silent", {
        { 0,    {{ 1, TRUE,  FALSE, 5 }, { 2, FALSE, FALSE, 800 }},  FALSE },
        { 900,  {{ 1, TRUE,  FALSE, 5 }, { 2, TRUE,  FALSE, 900 }},  FALSE },
        { 1399, {{ 1, TRUE,  FALSE, 5 }, { 2, TRUE,  FALSE, 1399 }}, FALSE },
        { 1400, {{ 2, TRUE,  FALSE, 1400 }, { 1, TRUE, FALSE, 5 }},  TRUE },
    } },
    { "a new connection in place of one that waited", {
        { 0,    {{ 1, TRUE,  FALSE, 100 }},     FALSE },
        { 490,  {{ 2, TRUE,  FALSE, 490 }},     FALSE },
        { 520,  {{ 2, TRUE,  FALSE, 520 }},     FALSE },
    } },
    { "no connection at all", {
        { 0,    {{ 0 }},                 FALSE },
        { 9000, {{ 0 }},                 FALSE },
    } },
};
/* clang-format on */

static void
test_sequences(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(sequences); i++) {
        g_autoptr(GArray) waits = g_array_new(FALSE, FALSE, sizeof(WatchdogWait));

        for (gsize j = 0; j < G_N_ELEMENTS(sequences[i].looks); j++) {
            const Look *look = &sequences[i].looks[j];
            g_autoptr(GArray) samples = g_array_new(FALSE, FALSE, sizeof(ChannelSample));

            if (j > 0 && look->now_ms == 0)
                break;
            for (gsize k = 0; k < G_N_ELEMENTS(look->seen); k++) {
                if (look->seen[k].connection)
                    g_array_append_val(samples, look->seen[k]);
            }
            g_test_message("%s, at %d", sequences[i].name, (int)look->now_ms);
            g_assert_cmpint(watchdog_judge(samples, waits, look->now_ms, DETECT_MS), ==,
                            look->silent);
            /* Nothing is remembered of what is gone. */
            g_assert_cmpuint(waits->len, <=, samples->len);
        }
    }
}

/* --- real connections --- */

typedef struct {
    int source;
    int destination;
    Watchdog *watchdog;
    guint barks;
    gboolean frees_itself;
} Guarded;

static void
on_silent(gpointer opaque)
{
    Guarded *guarded = opaque;

    guarded->barks++;
    if (guarded->frees_itself)
        g_clear_pointer(&guarded->watchdog, watchdog_free);
}

static void
guarded_init(Guarded *guarded, MigrationRole role)
{
    Channel channel = {.pid = getpid(), .role = role};

    *guarded = (Guarded){0};
    ends_pair(AF_INET, &guarded->source, &guarded->destination, &channel.port);
    guarded->watchdog = watchdog_new(&channel, DETECT_MS, on_silent, guarded);
}

static void
guarded_clear(Guarded *guarded)
{
    watchdog_free(guarded->watchdog);
    close(guarded->source);
    close(guarded->destination);
}

/* Until the other end's buffer takes no more: its QEMU is stopped, its kernel is not. */
static void
fill(int fd)
{
    static const char block[65536];

    while (send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
    g_assert_cmpint(errno, ==, EAGAIN);
}

static gboolean
has_barked_often(gpointer opaque)
{
    return ((Guarded *)opaque)->barks >= 4;
}

static gboolean
has_barked(gpointer opaque)
{
    return ((Guarded *)opaque)->barks >= 1;
}

/* Side by side, so that the silent one is the measure of how long the others keep quiet. */
static void
test_only_the_silent(void)
{
    Guarded silent, stopped, idle, busy;

    guarded_init(&silent, ROLE_SOURCE);
    guarded_init(&stopped, ROLE_SOURCE);
    guarded_init(&idle, ROLE_DESTINATION);
    guarded_init(&busy, ROLE_SOURCE);

    ends_deafen(silent.destination);
    ends_write(silent.source, "x", 1);
    fill(stopped.source);
    while (!has_barked_often(&silent)) {
        ends_write(busy.source, "x", 1);
        g_assert_false(ends_is_closed(busy.destination));
        g_main_context_iteration(NULL, TRUE);
    }
    g_assert_cmpuint(stopped.barks, ==, 0);
    g_assert_cmpuint(idle.barks, ==, 0);
    g_assert_cmpuint(busy.barks, ==, 0);

    guarded_clear(&silent);
    guarded_clear(&stopped);
    guarded_clear(&idle);
    guarded_clear(&busy);
}

/* Nothing is on its way: keepalive finds out. Both ends see it. */
static void
test_idle_and_cut(void)
{
    Guarded source, destination;

    guarded_init(&source, ROLE_SOURCE);
    guarded_init(&destination, ROLE_DESTINATION);
    ends_deafen(source.destination);
    ends_deafen(destination.source);
    loop_until(has_barked, &source, "the source notices a cut that nothing else would");
    loop_until(has_barked, &destination, "so does the destination");
    guarded_clear(&source);
    guarded_clear(&destination);
}

/* The network was back in time. */
static void
test_healed(void)
{
    Guarded healed, silent;

    guarded_init(&silent, ROLE_SOURCE);
    guarded_init(&healed, ROLE_SOURCE);
    ends_deafen(healed.destination);
    ends_write(healed.source, "x", 1);
    ends_heal(healed.destination);
    ends_deafen(silent.destination);
    ends_write(silent.source, "x", 1);
    loop_until(has_barked, &silent, "the silent one is noticed");
    g_assert_cmpuint(healed.barks, ==, 0);
    guarded_clear(&healed);
    guarded_clear(&silent);
}

static void
test_freed_inside(void)
{
    Guarded cut;

    guarded_init(&cut, ROLE_SOURCE);
    cut.frees_itself = TRUE;
    ends_deafen(cut.destination);
    ends_write(cut.source, "x", 1);
    loop_until(has_barked, &cut, "it tells");
    loop_drain();
    g_assert_cmpuint(cut.barks, ==, 1);
    g_assert_null(cut.watchdog);
    guarded_clear(&cut);
}

/* Whoever hears of a silence breaks the channel: both ends are told by TCP itself. */
static void
on_silent_break(gpointer channel)
{
    g_assert_cmpuint(channel_break(channel), ==, 1);
}

static gboolean
is_closed(gpointer fd)
{
    return ends_is_closed(GPOINTER_TO_INT(fd));
}

static void
test_broken_by_it(void)
{
    Channel channel = {.pid = getpid(), .role = ROLE_SOURCE};
    Watchdog *watchdog;
    int source, destination;

    ends_pair(AF_INET, &source, &destination, &channel.port);
    watchdog = watchdog_new(&channel, DETECT_MS, on_silent_break, &channel);
    ends_deafen(destination);
    ends_write(source, "x", 1);
    loop_until(is_closed, GINT_TO_POINTER(source), "its QEMU sees the end of the connection");
    watchdog_free(watchdog);
    close(source);
    close(destination);
}

/* A QEMU that is gone is not silent. */
static void
test_no_process(void)
{
    Channel gone = {.pid = 0x7fffffff, .role = ROLE_SOURCE, .port = 49152};
    Guarded silent;
    Guarded nobody = {0};

    nobody.watchdog = watchdog_new(&gone, DETECT_MS, on_silent, &nobody);
    guarded_init(&silent, ROLE_SOURCE);
    ends_deafen(silent.destination);
    ends_write(silent.source, "x", 1);
    loop_until(has_barked, &silent, "the silent one is noticed");
    g_assert_cmpuint(nobody.barks, ==, 0);
    watchdog_free(nobody.watchdog);
    watchdog_free(NULL);
    guarded_clear(&silent);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/watchdog/sequences", test_sequences);
    if (!ends_has_pidfd())
        return g_test_run();
    g_test_add_func("/watchdog/only-the-silent", test_only_the_silent);
    g_test_add_func("/watchdog/idle-and-cut", test_idle_and_cut);
    g_test_add_func("/watchdog/healed", test_healed);
    g_test_add_func("/watchdog/freed-inside", test_freed_inside);
    g_test_add_func("/watchdog/broken-by-it", test_broken_by_it);
    g_test_add_func("/watchdog/no-process", test_no_process);
    return g_test_run();
}
