/*
 * watchdog.c: when a channel counts as silent, over made-up looks
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/watchdog.h"

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
        { 0,    {{ 1, FALSE, 3600000 }}, FALSE },
        { 5000, {{ 1, FALSE, 3605000 }}, FALSE },
    } },
    { "idle for an hour, then begins to wait", {
        { 0,    {{ 1, FALSE, 3600000 }}, FALSE },
        { 60,   {{ 1, TRUE,  3600060 }}, FALSE },
        { 559,  {{ 1, TRUE,  3600559 }}, FALSE },
        { 560,  {{ 1, TRUE,  3600560 }}, TRUE },
    } },
    { "waits when first seen", {
        { 7000, {{ 1, TRUE,  9000 }},    FALSE },
        { 7499, {{ 1, TRUE,  9499 }},    FALSE },
        { 7500, {{ 1, TRUE,  9500 }},    TRUE },
    } },
    { "always waits, always hears", {
        { 0,    {{ 1, TRUE,  0 }},       FALSE },
        { 500,  {{ 1, TRUE,  10 }},      FALSE },
        { 1000, {{ 1, TRUE,  499 }},     FALSE },
        { 9000, {{ 1, TRUE,  1 }},       FALSE },
    } },
    { "always waits, hears no more", {
        { 0,    {{ 1, TRUE,  0 }},       FALSE },
        { 1000, {{ 1, TRUE,  20 }},      FALSE },
        { 1479, {{ 1, TRUE,  499 }},     FALSE },
        { 1480, {{ 1, TRUE,  500 }},     TRUE },
    } },
    { "a peer that is stopped: probes are answered", {
        { 0,    {{ 1, TRUE,  400 }},     FALSE },
        { 400,  {{ 1, FALSE, 20000 }},   FALSE },
        { 800,  {{ 1, TRUE,  20400 }},   FALSE },
        { 1200, {{ 1, FALSE, 100 }},     FALSE },
        { 1600, {{ 1, TRUE,  20000 }},   FALSE },
    } },
    { "waits, is answered, waits again", {
        { 0,    {{ 1, TRUE,  2000 }},    FALSE },
        { 400,  {{ 1, FALSE, 2400 }},    FALSE },
        { 450,  {{ 1, TRUE,  2450 }},    FALSE },
        { 900,  {{ 1, TRUE,  2900 }},    FALSE },
        { 950,  {{ 1, TRUE,  2950 }},    TRUE },
    } },
    { "one is busy, an idle one begins to wait", {
        { 0,    {{ 1, TRUE,  5 }, { 2, FALSE, 800 }}, FALSE },
        { 900,  {{ 1, TRUE,  5 }, { 2, TRUE,  900 }}, FALSE },
        { 1399, {{ 1, TRUE,  5 }, { 2, FALSE, 10 }},  FALSE },
    } },
    { "one is busy, the other falls silent", {
        { 0,    {{ 1, TRUE,  5 }, { 2, FALSE, 800 }},  FALSE },
        { 900,  {{ 1, TRUE,  5 }, { 2, TRUE,  900 }},  FALSE },
        { 1399, {{ 1, TRUE,  5 }, { 2, TRUE,  1399 }}, FALSE },
        { 1400, {{ 2, TRUE,  1400 }, { 1, TRUE, 5 }},  TRUE },
    } },
    { "a new connection in place of one that waited", {
        { 0,    {{ 1, TRUE,  100 }},     FALSE },
        { 490,  {{ 2, TRUE,  490 }},     FALSE },
        { 520,  {{ 2, TRUE,  520 }},     FALSE },
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

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/watchdog/sequences", test_sequences);
    return g_test_run();
}
