/*
 * waits.c: whoever waits for a migration to come to something
 *
 * Calls of clients wait on their own threads, for the snapshots; the engine thread, which alone
 * changes these, may not wait and is called back instead.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/migration-priv.h"

/* libvirt takes milliseconds to draw its line under a migration, and tells nobody when it has; a
 * host under load gets a minute. */
#define POLL_INTERVAL_MS 20
#define POLL_MAX         3000
#define WAIT_MAX_MS      (G_MAXINT64 / 2 / 1000)

static gboolean
is_reached(const Migration *migration, MigrationMilestone milestone, guint recoveries)
{
    const Status *status = migration->status;

    if (migration_state_is_terminal(status->state) || registry.released)
        return TRUE;
    if (milestone == MIGRATION_PAUSED)
        return !migration->pausing;
    if (!migration->holds)
        return TRUE;
    switch (milestone) {
    case MIGRATION_FLOWING:
        return status->state <= STATE_POSTCOPY_ACTIVE;
    case MIGRATION_RECOVERED:
        return status->recoveries > recoveries;
    case MIGRATION_PAUSED:
    case MIGRATION_SETTLED:
        break;
    }
    return FALSE;
}

void
migration_call_waits(Migration *migration)
{
    for (guint i = 0; i < migration->waits->len;) {
        MigrationWait wait = g_array_index(migration->waits, MigrationWait, i);

        if (is_reached(migration, wait.milestone, wait.recoveries)) {
            g_array_remove_index(migration->waits, i);
            wait.fn(migration->status, wait.opaque);
        } else {
            i++;
        }
    }
}

gboolean
migration_wait(Migration *migration,
               MigrationMilestone milestone,
               guint recoveries,
               guint64 timeout_ms,
               Status **status)
{
    /* Some client's number: what is as good as for ever must not overflow. */
    gint64 end = g_get_monotonic_time() + (gint64)MIN(timeout_ms, WAIT_MAX_MS) * 1000;
    gboolean reached;

    g_mutex_lock(&registry.lock);
    while (!(reached = is_reached(migration, milestone, recoveries))) {
        if (timeout_ms == 0)
            g_cond_wait(&registry.changed, &registry.lock);
        else if (!g_cond_wait_until(&registry.changed, &registry.lock, end))
            break;
    }
    if (status)
        *status = status_ref(migration->status);
    g_mutex_unlock(&registry.lock);
    return reached;
}

gboolean
migration_is_released(void)
{
    gboolean released;

    g_mutex_lock(&registry.lock);
    released = registry.released;
    g_mutex_unlock(&registry.lock);
    return released;
}

/* Sleeps for one interval; TRUE when the daemon stops. */
static gboolean
sleep_released(void)
{
    gint64 end = g_get_monotonic_time() + POLL_INTERVAL_MS * 1000;
    gboolean released;

    g_mutex_lock(&registry.lock);
    while (!registry.released && g_cond_wait_until(&registry.changed, &registry.lock, end))
        continue;
    released = registry.released;
    g_mutex_unlock(&registry.lock);
    return released;
}

gboolean
migration_poll(Migration *migration,
               gboolean (*reached)(Migration *migration, gpointer opaque),
               gpointer opaque)
{
    for (guint i = 0; i < POLL_MAX; i++) {
        if (reached(migration, opaque))
            return TRUE;
        if (sleep_released())
            return FALSE;
    }
    return FALSE;
}

/* The order to run follows the switch within some ten milliseconds; a destination that cannot be
 * asked whether it has got it is given this much. */
#define LET_RUN_USEC (G_USEC_PER_SEC / 2)

static gboolean
has_run(Migration *migration, gpointer opaque)
{
    g_autoptr(Status) status = migration_get_status(migration);
    const StatusStep *last = &g_array_index(status->history, StatusStep, status->history->len - 1);

    if (last->state != STATE_POSTCOPY_ACTIVE || migration_may_break(migration))
        return TRUE;
    return !migration_can_ask(migration) &&
           (g_get_real_time() - last->at_usec >= LET_RUN_USEC || g_get_real_time() < last->at_usec);
}

gboolean
migration_let_run(Migration *migration)
{
    return migration_poll(migration, has_run, NULL);
}

void
migration_release_all(void)
{
    g_mutex_lock(&registry.lock);
    registry.released = TRUE;
    g_cond_broadcast(&registry.changed);
    g_mutex_unlock(&registry.lock);
}

void
migration_when(Migration *migration,
               MigrationMilestone milestone,
               guint recoveries,
               MigrationWhenFn fn,
               gpointer opaque)
{
    MigrationWait wait = {milestone, recoveries, fn, opaque};

    if (is_reached(migration, milestone, recoveries))
        fn(migration->status, opaque);
    else
        g_array_append_val(migration->waits, wait);
}
