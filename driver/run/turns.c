/*
 * turns.c: how many recover at once on a host, and who is next
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/turns.h"

typedef struct {
    gpointer who;
    gint64 since;
} Waiting;

struct Turns {
    guint max;
    GPtrArray *having; /* at most max */
    GArray *waiting;   /* of Waiting, in order; empty unless all turns are taken */
};

Turns *
turns_new(guint max)
{
    Turns *turns = g_new0(Turns, 1);

    turns->max = max;
    turns->having = g_ptr_array_new();
    turns->waiting = g_array_new(FALSE, FALSE, sizeof(Waiting));
    return turns;
}

void
turns_free(Turns *turns)
{
    if (!turns)
        return;
    g_ptr_array_unref(turns->having);
    g_array_unref(turns->waiting);
    g_free(turns);
}

static void
stop_waiting(Turns *turns, gpointer who)
{
    for (guint i = 0; i < turns->waiting->len; i++) {
        if (g_array_index(turns->waiting, Waiting, i).who == who) {
            g_array_remove_index(turns->waiting, i);
            return;
        }
    }
}

gboolean
turns_ask(Turns *turns, gpointer who, gint64 since)
{
    Waiting new = {.who = who, .since = since};
    guint at = 0;

    if (g_ptr_array_find(turns->having, who, NULL))
        return TRUE;
    if (turns->having->len < turns->max) {
        g_ptr_array_add(turns->having, who);
        return TRUE;
    }
    stop_waiting(turns, who);
    while (at < turns->waiting->len && g_array_index(turns->waiting, Waiting, at).since <= since)
        at++;
    g_array_insert_val(turns->waiting, at, new);
    return FALSE;
}

gpointer
turns_leave(Turns *turns, gpointer who)
{
    gpointer next;

    if (!g_ptr_array_remove_fast(turns->having, who)) {
        stop_waiting(turns, who);
        return NULL;
    }
    if (turns->waiting->len == 0)
        return NULL;
    next = g_array_index(turns->waiting, Waiting, 0).who;
    g_array_remove_index(turns->waiting, 0);
    g_ptr_array_add(turns->having, next);
    return next;
}

gboolean
turns_is_waiting(const Turns *turns, gconstpointer who)
{
    for (guint i = 0; i < turns->waiting->len; i++) {
        if (g_array_index(turns->waiting, Waiting, i).who == who)
            return TRUE;
    }
    return FALSE;
}

guint
turns_count_waiting(const Turns *turns)
{
    return turns->waiting->len;
}
