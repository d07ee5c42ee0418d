/*
 * inhibit.c: a daemon stays as long as another host needs it
 *
 * How it works. A libvirt daemon with neither client nor running guest leaves after a while, and
 * the next client's connection has systemd start it again (`--timeout 120` in the services that
 * come with libvirt). A question of another host's Holdfast starts nothing: the port is ours. And a
 * source that has still to tell its destination something, when its own guest is gone, would
 * tell it with its next start, whenever that is.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/host.h"
#include "run/migration-priv.h"
#include "stock/daemon.h"

/* A source that did not hear how its migration ended asks until it does, however long that takes;
 * whether it has heard is not known at the destination. An outage of a day has come to a person's
 * notice, who has at the source what is to be done in the log; and an idle daemon costs little. */
#define ASKED_FOR_MS (24 * 60 * 60 * 1000)

static gboolean
is_needed(void)
{
    gint64 now = g_get_monotonic_time();
    gboolean needed = FALSE;

    g_mutex_lock(&registry.lock);
    for (GList *link = registry.all.head; link && !needed; link = link->next) {
        const Migration *migration = link->data;

        needed = migration->noted || now < migration->asked_until;
    }
    g_mutex_unlock(&registry.lock);
    return needed;
}

/* Of two at a time the last one is right, since each looks again. */
static void
inhibit_job(gpointer unused, gpointer unused_too)
{
    gboolean needed;

    do {
        needed = is_needed();
        daemon_inhibit(needed);
    } while (needed != is_needed());
}

gboolean
migration_inhibit(Migration *migration)
{
    gboolean noted = migration_needs_journal(migration);
    gboolean may_be_asked = migration->role == ROLE_DESTINATION && !migration->foreign;
    gboolean changed;

    g_mutex_lock(&registry.lock);
    changed = noted != migration->noted;
    migration->noted = noted;
    if (changed && !noted && may_be_asked)
        migration->asked_until = g_get_monotonic_time() + ASKED_FOR_MS * (gint64)1000;
    g_mutex_unlock(&registry.lock);
    if (!changed)
        return noted;
    host_run(inhibit_job, NULL);
    if (!noted && may_be_asked)
        host_run_later(ASKED_FOR_MS, inhibit_job, NULL, NULL);
    return noted;
}

static gboolean
restored_cb(gpointer opaque)
{
    migration_inhibit(opaque);
    migration_unref(opaque);
    return G_SOURCE_REMOVE;
}

void
migration_inhibit_restored(Migration *migration)
{
    host_post(restored_cb, migration_ref(migration));
}
