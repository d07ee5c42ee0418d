/*
 * snapshot.c: what others see of a migration
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/host.h"
#include "run/listeners.h"
#include "run/migration-priv.h"

void
migration_take_snapshot(Migration *migration, Status *status)
{
    const Session *session = migration->session;
    SessionMemory memory;

    session_remember(session, &memory);
    migration->status = status;
    migration->may_have_run = session_may_have_run(session);
    migration->taken_back = memory.taken_back;
    migration->holds = session_holds_callers(session) ||
                       (migration->taken_back && migration->takeback == TAKEBACK_UNDER_WAY);
    migration->may_break = session_may_break(session);
    migration->pausing = session_is_pausing(session);
    migration->wants_return = session_wants_return(session);
    migration->has_peer = migration->peer_port != 0;
    migration->can_ask = migration_count_ways(migration) > 0;
}

static void
log_change(const Migration *migration, const Status *before, const Status *now, EventType event)
{
    if (before->state == now->state && before->reason == now->reason)
        return;
    g_message("migration %s of domain %s (%s%s%s): %s -> %s%s%s (%s)", migration->id,
              migration->name, migration_role_to_string(migration->role),
              *now->peer ? ", peer " : "", now->peer, migration_state_to_string(before->state),
              migration_state_to_string(now->state),
              *pause_reason_to_string(now->reason) ? ", " : "", pause_reason_to_string(now->reason),
              event_type_to_string(event));
}

/* A person's pause that is asked for, or taken back, changes no state yet. */
static void
log_pausing(const Migration *migration, EventType event)
{
    g_message("migration %s of domain %s (%s): %s (%s)", migration->id, migration->name,
              migration_role_to_string(migration->role),
              migration->pausing ? "about to be paused" : "not about to be paused any more",
              event_type_to_string(event));
}

void
migration_put_snapshot(Migration *migration, EventType event)
{
    Status *now = session_get_status(migration->session);
    g_autoptr(Status) before = NULL;
    gboolean held, pausing;

    g_mutex_lock(&registry.lock);
    before = migration->status;
    held = migration->holds;
    pausing = migration->pausing;
    migration_take_snapshot(migration, status_ref(now));
    g_cond_broadcast(&registry.changed);
    g_mutex_unlock(&registry.lock);

    log_change(migration, before, now, event);
    if (pausing != migration->pausing && before->state == now->state)
        log_pausing(migration, event);
    host_get_show()->publish(now);
    if (held && !migration->holds)
        listeners_settle(now);
    status_unref(now);
    migration_call_waits(migration);
}
