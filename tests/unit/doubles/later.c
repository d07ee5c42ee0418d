/*
 * later.c: what is to run later, or for long
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "later.h"

#include "world.h"
#include "run/host.h"

typedef struct {
    GFunc fn;
    gpointer opaque;
    GDestroyNotify notify;
} Later;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Later, g_free)

static GMutex lock;
static GQueue all; /* of Later; under the lock */

void
host_run_later(guint delay_ms, GFunc fn, gpointer opaque, GDestroyNotify notify)
{
    Later *later = g_new(Later, 1);

    *later = (Later){fn, opaque, notify};
    g_mutex_lock(&lock);
    g_queue_push_tail(&all, later);
    g_mutex_unlock(&lock);
}

gboolean
host_run_long(GFunc fn, gpointer opaque, GError **error)
{
    host_run(fn, opaque);
    return TRUE;
}

/* All that there are by now. */
static GList *
take_all(void)
{
    GList *taken;

    g_mutex_lock(&lock);
    taken = all.head;
    g_queue_init(&all);
    g_mutex_unlock(&lock);
    return taken;
}

void
world_pass_time(void)
{
    g_autolist(Later) due = take_all();

    for (GList *link = due; link; link = link->next) {
        const Later *later = link->data;

        host_run(later->fn, later->opaque);
    }
    world_settle();
}

void
later_clear(void)
{
    g_autolist(Later) left = take_all();

    for (GList *link = left; link; link = link->next) {
        const Later *later = link->data;

        if (later->notify)
            later->notify(later->opaque);
    }
}
