/*
 * record.c: what the journal is to know of a migration
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/migration-priv.h"

#include "run/host.h"
#include "run/restore.h"

void
migration_record(Migration *migration, JournalRecord *record)
{
    g_autoptr(GStrvBuilder) hosts = g_strv_builder_new();
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    guint n_ways = migration_count_ways(migration);
    const char *armed_host;

    for (guint i = 0; i < migration->paths->len; i++)
        g_strv_builder_add(i < n_ways ? hosts : names,
                           ((MigrationPath *)g_ptr_array_index(migration->paths, i))->host);
    *record = (JournalRecord){
        .role = migration->role,
        .id = g_strdup(migration->id),
        .uuid = g_strdup(migration->status->uuid),
        .name = g_strdup(migration->name),
        .peer = g_strdup(migration->peer),
        .names = g_strv_builder_end(names),
        .hosts = g_strv_builder_end(hosts),
        .listen_host = g_strdup(migration->listen_host ? migration->listen_host : ""),
        .peer_boot = g_strdup(migration->peer_boot ? migration->peer_boot : ""),
        .peer_port = migration->peer_port,
        .channel_port = migration->channel.port,
        .flags = migration_get_flags(migration),
        .undefine = migration_is_to_undefine(migration),
        .kept = restore_is_unjudged(migration),
        .given_up = migration_has_given_up(migration),
        .guarded = migration_is_guarded(migration),
        .policy = policy_to_xml(migration->policy),
        .verdicts = g_ptr_array_ref((GPtrArray *)session_get_verdicts(migration->session)),
    };
    migration_get_secret(migration, &record->secret);
    session_remember(migration->session, &record->memory);
    armed_host = record->memory.arming ? migration->arming_host : migration->armed_host;
    record->armed_host = g_strdup(armed_host ? armed_host : "");
}

static Arrival
get_arrival(const Migration *migration)
{
    const Session *session = migration->session;

    if (session_get_state(session) == STATE_COMPLETED)
        return ARRIVAL_STARTED;
    if (session_may_have_run(session))
        return ARRIVAL_DOUBTFUL;
    return session_never_runs(session) && migration->flags & VIR_MIGRATE_POSTCOPY &&
                   !channel_has_process(&migration->channel)
               ? ARRIVAL_LOST
               : ARRIVAL_NONE;
}

/* For a source that asks when the session is forgotten. It keeps the guest that may have run here,
 * whatever has become of it since, and must not wait for one that never can. */
static void
note_arrival(Migration *migration)
{
    Arrival arrival = get_arrival(migration);
    Secret secret;

    if (migration->foreign || migration->role != ROLE_DESTINATION || arrival == ARRIVAL_NONE ||
        !migration_state_is_terminal(session_get_state(migration->session)))
        return;
    migration_get_secret(migration, &secret);
    journal_note_arrival(host_get_journal(), migration->status->uuid, &secret, arrival);
}

void
migration_write_journal(Migration *migration)
{
    g_autoptr(Migration) current = migration_find(migration->uuid);
    g_auto(JournalRecord) record = {0};

    if (!host_get_journal())
        return;
    note_arrival(migration);
    /* The file is the domain's: one that was replaced leaves it to its successor. */
    if (current != migration)
        return;
    if (!migration_inhibit(migration)) {
        journal_remove(host_get_journal(), migration->status->uuid);
        return;
    }
    migration_record(migration, &record);
    journal_write(host_get_journal(), &record);
}
