/*
 * images.c: whose a guest's images are, for whoever hands it back or has received it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/guard.h"
#include "run/host.h"
#include "run/migration-priv.h"
#include "run/rebuild.h"
#include "run/restore.h"

static void
set(Migration *migration, gboolean given_up, gboolean guarded)
{
    g_mutex_lock(&registry.lock);
    migration->images_changed |= migration->given_up != given_up || migration->guarded != guarded;
    migration->given_up = given_up;
    migration->guarded = guarded;
    g_mutex_unlock(&registry.lock);
}

static gboolean
get(const gboolean *flag)
{
    gboolean value;

    g_mutex_lock(&registry.lock);
    value = *flag;
    g_mutex_unlock(&registry.lock);
    return value;
}

gboolean
migration_has_given_up(const Migration *migration)
{
    return get(&migration->given_up);
}

gboolean
migration_is_guarded(const Migration *migration)
{
    return get(&migration->guarded);
}

void
migration_give_up(Migration *migration)
{
    set(migration, TRUE, migration_is_guarded(migration));
    /* An event that means nothing: the journal is written with it. */
    migration_post(migration, EVENT_QEMU_SETUP, 0, NULL);
}

void
migration_set_guarded(Migration *migration, gboolean guarded)
{
    set(migration, migration_has_given_up(migration), guarded);
    migration_sync(migration);
}

void
migration_hand_back(Migration *migration)
{
    set(migration, FALSE, FALSE);
    migration_post(migration, EVENT_QEMU_SETUP, 0, NULL);
}

gboolean
migration_take_images_changed(Migration *migration)
{
    gboolean changed;

    g_mutex_lock(&registry.lock);
    changed = migration->images_changed;
    migration->images_changed = FALSE;
    g_mutex_unlock(&registry.lock);
    return changed;
}

void
migration_restore_images(Migration *migration, const JournalRecord *record)
{
    /* At the switchover QEMU may have been further than the journal. */
    migration->given_up = record->given_up || record->memory.state == STATE_SWITCHOVER;
    migration->guarded = record->guarded;
}

static gboolean
may_be_handed_back(Migration *migration)
{
    return migration->role == ROLE_SOURCE && migration_has_given_up(migration) &&
           session_get_state(migration->session) != STATE_COMPLETED;
}

gboolean
migration_needs_journal(Migration *migration)
{
    return !migration->foreign && (session_needs_journal(migration->session) ||
                                   restore_is_unjudged(migration) || may_be_handed_back(migration));
}

void
migration_settle_arrival(Migration *migration)
{
    if (migration->role != ROLE_DESTINATION)
        return;
    host_run(rebuild_settle_job, migration_ref(migration));
    guard_arrived(migration);
}
