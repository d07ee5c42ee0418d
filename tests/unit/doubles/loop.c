/*
 * loop.c: waiting for a condition on the thread's main context, with a deadline
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "loop.h"

/* Long enough for valgrind on a busy machine; nothing that passes comes near it. */
#define DEADLINE_S 60
/* A condition that no source of the context announces is looked at this often. */
#define LOOK_MS 5

static gboolean
tick_cb(gpointer unused)
{
    return G_SOURCE_CONTINUE;
}

void
loop_until(LoopCondition condition, gpointer opaque, const char *what)
{
    gint64 end = g_get_monotonic_time() + DEADLINE_S * G_USEC_PER_SEC;
    GMainContext *context = g_main_context_get_thread_default();
    g_autoptr(GSource) tick = g_timeout_source_new(LOOK_MS);

    g_source_set_callback(tick, tick_cb, NULL, NULL);
    g_source_attach(tick, context);
    while (!condition(opaque)) {
        if (g_get_monotonic_time() > end) {
            g_test_message("waited %d s in vain: %s", DEADLINE_S, what);
            g_assert_cmpstr(what, ==, "reached");
        }
        g_main_context_iteration(context, TRUE);
    }
    g_source_destroy(tick);
}

static gboolean
is_set(gpointer flag)
{
    return *(const gboolean *)flag;
}

void
loop_until_set(const gboolean *flag, const char *what)
{
    loop_until(is_set, (gpointer)flag, what);
}

void
loop_drain(void)
{
    while (g_main_context_iteration(g_main_context_get_thread_default(), FALSE))
        ;
}

guint
loop_count_fds(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    guint count = 0;

    while (g_dir_read_name(dir))
        count++;
    return count;
}

static gboolean
are_fds_closed(gpointer before)
{
    return loop_count_fds() <= GPOINTER_TO_UINT(before);
}

void
loop_until_fds(guint before)
{
    loop_until(are_fds_closed, GUINT_TO_POINTER(before), "all descriptors are closed again");
}
