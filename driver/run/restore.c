/*
 * restore.c: migrations that were running when the daemon was restarted
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/restore.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include <libvirt/virterror.h>

#include "run/hold.h"
#include "run/host.h"
#include "run/journal.h"
#include "run/migration-priv.h"
#include "run/outcome.h"
#include "stock/domain.h"
#include "stock/qmp.h"
#include "stock/statusfile.h"
#include "util/uuid.h"

/* What is left of a source whose migration had not come to postcopy. */
static EventType
judge_source(MigrationState state, const RestoreSight *sight)
{
    if (sight->state == VIR_DOMAIN_RUNNING)
        return EVENT_CALL_FAILED; /* libvirt has cancelled it */
    if (sight->reason == VIR_DOMAIN_PAUSED_POSTCOPY ||
        sight->reason == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED)
        return EVENT_RESTORED; /* further than the journal: QEMU tells */
    /* All memory was sent, and Confirm was not called: libvirt leaves it as it is
     * (qemuProcessRecoverMigrationOut(), src/qemu/qemu_process.c, 11.3.0). */
    return sight->reason == VIR_DOMAIN_PAUSED_MIGRATION || state == STATE_SWITCHOVER
               ? EVENT_RETURN_REQUESTED
               : EVENT_CALL_FAILED;
}

/* libvirt kills a destination whose Finish had not started it (qemuProcessRecoverMigrationIn()):
 * one that is still there was started, or left stopped as was asked. */
static EventType
judge_destination(const RestoreSight *sight)
{
    gboolean postcopy =
        sight->state == VIR_DOMAIN_RUNNING && (sight->reason == VIR_DOMAIN_RUNNING_POSTCOPY ||
                                               sight->reason == VIR_DOMAIN_RUNNING_POSTCOPY_FAILED);

    /* Further than the journal: jobs are kept in postcopy alone. */
    return postcopy || sight->has_job ? EVENT_QEMU_POSTCOPY_ACTIVE : EVENT_CALL_COMPLETED;
}

/* libvirt writes state and reason to its status file at each change and has them back before it has
 * talked to QEMU; its migration jobs only later (qemuProcessReconnect(), src/qemu/qemu_process.c,
 * 11.3.0), so a job that is missing says nothing. */
EventType
restore_judge(MigrationRole role, MigrationState state, const RestoreSight *sight)
{
    gboolean postcopy = migration_state_is_postcopy(state);

    if (!sight->exists)
        return role == ROLE_SOURCE && postcopy ? EVENT_CALL_COMPLETED : EVENT_QEMU_GONE;
    if (sight->state == VIR_DOMAIN_SHUTOFF)
        return role == ROLE_SOURCE && sight->reason == VIR_DOMAIN_SHUTOFF_MIGRATED
                   ? EVENT_CALL_COMPLETED
                   : EVENT_QEMU_GONE;
    if (!postcopy)
        return role == ROLE_SOURCE ? judge_source(state, sight) : judge_destination(sight);
    if (sight->state != VIR_DOMAIN_RUNNING)
        return EVENT_RESTORED;
    /* QEMU lets the guest of a source run that has failed, in postcopy too
     * (migration_iteration_finish(), migration/migration.c, QEMU 10.0). */
    if (role == ROLE_SOURCE)
        return EVENT_QEMU_FAILED;
    /* libvirt's line under it; its job ends a moment later. */
    return sight->reason == VIR_DOMAIN_RUNNING_MIGRATED ? EVENT_CALL_COMPLETED : EVENT_RESTORED;
}

static gboolean
look(virDomainPtr domain, RestoreSight *sight, pid_t *pid)
{
    StockJob job = {0};

    if (!domain || virDomainGetState(domain, &sight->state, &sight->reason, 0) < 0 ||
        !stock_domain_job(domain, &job))
        return FALSE;
    sight->exists = TRUE;
    sight->has_job = job.async == STOCK_ASYNC_IN || job.async == STOCK_ASYNC_OUT;
    *pid = job.pid;
    /* libvirt finds that out later, and tells nobody (qemuProcessReconnect(),
     * src/qemu/qemu_process.c, 11.3.0). */
    if (job.active && job.pid > 0 && kill(job.pid, 0) < 0 && errno == ESRCH) {
        sight->state = VIR_DOMAIN_SHUTOFF;
        sight->reason = VIR_DOMAIN_SHUTOFF_CRASHED;
    }
    return TRUE;
}

static EventType
judge(Migration *migration, virDomainPtr domain, RestoreSight *sight, pid_t *pid)
{
    g_autoptr(Status) status = migration_get_status(migration);
    EventType type;

    *sight = (RestoreSight){0};
    look(domain, sight, pid);
    type = restore_judge(migration->role, status->state, sight);
    g_message("migration %s of domain %s (%s): found %s after a restart of the daemon: %s",
              migration->id, migration->name, migration_role_to_string(migration->role),
              migration_state_to_string(status->state), event_type_to_string(type));
    return type;
}

/* On the source, whose main loop never waits for a page, QEMU itself can be asked. This waits until
 * libvirt has reconnected. FALSE: it is gone. */
static gboolean
tell_qemu_status(Migration *migration, virDomainPtr domain)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *reply = qmp_execute(domain, "{\"execute\":\"query-migrate\"}", &error);
    g_autofree char *status = reply ? qmp_reply_string(reply, "status") : NULL;
    EventType type;

    if (!reply && qmp_error_is_gone(error))
        return FALSE;
    if (!reply)
        g_warning("migration %s: QEMU does not say how far it is: %s", migration->id,
                  error->message);
    else if (status && event_type_from_qemu(status, &type))
        migration_post(migration, type, 0, NULL);
    return TRUE;
}

/* Before postcopy, where QEMU's main loop never waits for a page, a command waits until libvirt has
 * reconnected, and with that has cancelled, killed or kept the domain. */
static void
wait_reconnected(virDomainPtr domain)
{
    g_autofree char *reply = qmp_execute(domain, "{\"execute\":\"query-status\"}", NULL);
}

static void
take_up(Migration *migration, virConnectPtr connection)
{
    virDomainPtr domain = virDomainLookupByUUID(connection, migration->uuid);
    g_autoptr(Status) status = migration_get_status(migration);
    RestoreSight sight;
    pid_t pid = 0;
    EventType type;

    /* It is over, and the destination is still to be told, or the guest here to be dealt with. */
    if (migration_state_is_terminal(status->state)) {
        migration_post(migration, EVENT_RESTORED, 0, NULL);
        if (status->state != STATE_FAILED && !takeback_is_under_way(migration))
            outcome_settle_restored(migration);
        if (domain)
            wait_reconnected(domain);
        /* Nobody is left to be handed back. */
        if (!domain || virDomainIsActive(domain) == 0)
            migration_hand_back(migration);
        if (domain)
            virDomainFree(domain);
        return;
    }
    if (domain && !migration_state_is_postcopy(status->state))
        wait_reconnected(domain);
    type = judge(migration, domain, &sight, &pid);
    migration_set_channel(migration, pid, 0);
    if (domain)
        migration_set_domain_id(migration, (int)virDomainGetID(domain));
    if (type == EVENT_RESTORED && migration->role == ROLE_SOURCE) {
        /* Whatever QEMU says now comes after the switch, which the journal may not know. */
        if (!migration_state_is_postcopy(status->state))
            migration_post(migration, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
        if (tell_qemu_status(migration, domain))
            hold_end_left(domain);
        else
            type = judge(migration, domain, &sight, &pid);
    }
    if (type == EVENT_RETURN_REQUESTED && migration_can_ask(migration)) {
        outcome_settle_source(migration);
    } else {
        if (type == EVENT_RETURN_REQUESTED)
            type = EVENT_CALL_FAILED; /* nobody to ask: as libvirt leaves it */
        migration_post(migration, type, 0, "the daemon was restarted");
    }
    /* Nobody is left to be handed back, nor to tell of it. */
    if (type == EVENT_QEMU_GONE)
        migration_hand_back(migration);
    if (migration->role == ROLE_DESTINATION && sight.state == VIR_DOMAIN_RUNNING)
        migration_post(migration, EVENT_QEMU_RESUME, 0, NULL);
    if (type == EVENT_CALL_COMPLETED && migration->role == ROLE_SOURCE)
        host_run(migration_is_to_undefine(migration) ? outcome_forget_job : outcome_leave_job,
                 migration_ref(migration));
    if (domain)
        virDomainFree(domain);
    virResetLastError();
}

/* --- a destination that may have the guest --- */

/* How soon QEMU is asked again. */
#define JUDGE_AGAIN_MS 500

/* For so long the kernel of a source that has gone sends what it has (engine/handover.c). */
#define KEPT_LONG_USEC (300 * G_USEC_PER_SEC)
/* In so many looks, one after the other, more has come in: what was sent at a switch before them
 * would have come first. */
#define KEPT_FLOWS 8
/* After that a person is told: the source has had time to be asked for its word. */
#define KEPT_TELL_USEC (20 * G_USEC_PER_SEC)

gboolean
restore_is_unjudged(const Migration *migration)
{
    return g_atomic_int_get(&migration->kept) & KEPT_UNJUDGED;
}

void
restore_hear(Migration *migration, const Message *question)
{
    guint word;

    switch (question->type) {
    case MESSAGE_RECOVER:
    case MESSAGE_ASK_RUNNING:
    case MESSAGE_PAUSED:
    case MESSAGE_ENDING:
        word = KEPT_SWITCHED;
        break;
    case MESSAGE_RETURN:
        word = KEPT_RETURNS;
        break;
    case MESSAGE_ENDED:
        word = question->number == OWNER_DESTINATION + 1 ? KEPT_SWITCHED
               : question->number == OWNER_SOURCE + 1    ? KEPT_RETURNS
                                                         : 0;
        break;
    default:
        word = 0;
        break;
    }
    if (!word || !restore_is_unjudged(migration))
        return;
    g_atomic_int_and((guint *)&migration->kept, ~(guint)(KEPT_SWITCHED | KEPT_RETURNS));
    g_atomic_int_or((guint *)&migration->kept, word);
}

KeptVerdict
restore_judge_kept(const char *status, gint known)
{
    gboolean precopy = g_strcmp0(status, "active") == 0 || g_strcmp0(status, "setup") == 0;
    gboolean switched = status && (g_str_has_prefix(status, "postcopy-") ||
                                   g_str_equal(status, "completed")); /* from precopy, perhaps */

    if ((!precopy && !switched) || known & KEPT_RETURNS)
        return KEPT_HAS_NOT;
    if (known & KEPT_SWITCHED)
        return switched ? KEPT_HAS_GUEST : KEPT_WAIT;
    return precopy && known & KEPT_LONG ? KEPT_HAS_NOT : KEPT_WAIT;
}

/* Whatever QEMU has said since went the ordinary way. */
static void
take_up_kept(Migration *migration, const char *status)
{
    EventType type;

    g_message("migration %s: domain %s has the guest (%s)", migration->id, migration->name, status);
    if (migration_state_is_postcopy(outcome_fetch_state(migration)))
        return;
    migration_tell(migration, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
    if (event_type_from_qemu(status, &type) && type != EVENT_QEMU_POSTCOPY_ACTIVE)
        migration_post(migration, type, 0, NULL);
}

/* FALSE: somebody is about to start it. */
static gboolean
destroy_kept(Migration *migration, virDomainPtr domain, const char *status)
{
    if (!migration_claim_finish(migration))
        return FALSE;
    g_message("migration %s: domain %s has not got the guest (%s), and is destroyed", migration->id,
              migration->name, status ? status : "none");
    if (virDomainDestroy(domain) < 0)
        g_warning("migration %s: cannot destroy domain %s, whose migration has failed: %s; do it "
                  "with virsh destroy",
                  migration->id, migration->name, virGetLastErrorMessage());
    migration_tell(migration, EVENT_QEMU_GONE, 0, "the daemon was restarted");
    return TRUE;
}

static void
count_time(Migration *migration, pid_t pid)
{
    gint64 kept_us = g_get_monotonic_time() - migration->kept_since_us;
    Channel channel = {.role = ROLE_DESTINATION, .port = migration->channel.port};
    guint64 received;

    channel_set_process(&channel, pid);
    received = channel_count_received(&channel);
    migration->kept_flows = received > migration->kept_received ? migration->kept_flows + 1 : 0;
    migration->kept_received = received;
    if (kept_us >= KEPT_LONG_USEC || migration->kept_flows >= KEPT_FLOWS)
        g_atomic_int_or((guint *)&migration->kept, KEPT_LONG);
    if (kept_us < KEPT_TELL_USEC || migration->told_kept)
        return;
    migration->told_kept = TRUE;
    g_warning("migration %s: whether domain %s is to run here is for the source to say, which has "
              "not asked yet: it stays stopped until then. If it is certain that it does not run "
              "there, 'virsh resume %s' lets it run here",
              migration->id, migration->name, migration->name);
}

/* FALSE: it is not known yet. */
static gboolean
judge_stopped(Migration *migration, virDomainPtr domain, pid_t pid)
{
    g_autofree char *reply = qmp_execute(domain, "{\"execute\":\"query-migrate\"}", NULL);
    g_autofree char *status = reply ? qmp_reply_string(reply, "status") : NULL;

    /* Its main loop waits for a page, or libvirt for that. */
    if (!reply)
        return FALSE;
    count_time(migration, pid);
    switch (restore_judge_kept(status, g_atomic_int_get(&migration->kept))) {
    case KEPT_HAS_GUEST:
        take_up_kept(migration, status);
        return TRUE;
    case KEPT_HAS_NOT:
        return destroy_kept(migration, domain, status);
    case KEPT_WAIT:
        return FALSE;
    }
    return FALSE;
}

static gboolean
judge_kept(Migration *migration)
{
    g_autoptr(Status) status = migration_get_status(migration);
    virConnectPtr connection = host_connect();
    virDomainPtr domain = connection ? virDomainLookupByUUID(connection, migration->uuid) : NULL;
    gboolean gone = connection && !domain && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN;
    RestoreSight sight = {0};
    gboolean judged = FALSE;
    pid_t pid = 0;

    if (domain)
        wait_reconnected(domain);
    if (look(domain, &sight, &pid) && sight.state == VIR_DOMAIN_PAUSED) {
        judged = judge_stopped(migration, domain, pid);
    } else if (sight.exists || gone) {
        judged = TRUE;
        migration_post(migration, restore_judge(migration->role, status->state, &sight), 0,
                       "the daemon was restarted");
        if (sight.state == VIR_DOMAIN_RUNNING)
            migration_post(migration, EVENT_QEMU_RESUME, 0, NULL);
    }
    if (domain)
        virDomainFree(domain);
    if (connection)
        virConnectClose(connection);
    /* Only now: a daemon that is killed before has to find out again. */
    if (judged) {
        migration_sync(migration);
        g_atomic_int_set(&migration->kept, 0);
        migration_note(migration);
    }
    return judged;
}

static void
judge_job(gpointer opaque, gpointer unused)
{
    g_autoptr(Migration) migration = opaque;

    if (!judge_kept(migration) && !migration_is_released())
        host_run_later(JUDGE_AGAIN_MS, judge_job, g_steal_pointer(&migration),
                       (GDestroyNotify)migration_unref);
}

/* --- what the journal knows --- */

/* A destination in postcopy that nobody has started yet: it has the guest, and libvirt would kill
 * it. Kept, it is started by us when Finish is overdue. One that may have come to postcopy since is
 * judged first. Before libvirt reads its files. */
static void
keep_unfinished(JournalRecord *record)
{
    g_autofree char *path = statusfile_get_path(geteuid() == 0, record->name);
    g_autofree char *text = NULL;
    g_autofree char *kept = NULL;
    g_autoptr(GError) error = NULL;

    if (g_file_get_contents(path, &text, NULL, NULL))
        kept = statusfile_keep_incoming(text);
    if (!kept)
        return;
    if (!migration_state_is_postcopy(record->memory.state)) {
        record->kept = TRUE;
        journal_write(host_get_journal(), record);
    }
    if (!g_file_set_contents_full(path, kept, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error)) {
        g_warning("migration %s: libvirt will kill domain %s, whose migration was not finished: %s",
                  record->id, record->name, error->message);
        return;
    }
    g_message("migration %s: domain %s, %s and not started yet, is kept", record->id, record->name,
              record->kept ? "which may be in postcopy by now" : "in postcopy");
    record->memory.may_have_run |= record->memory.finish_called;
    record->memory.finish_called = FALSE;
}

/* Known at once, since the source may ask before libvirt has its monitor back. */
static pid_t
find_process(const JournalRecord *record)
{
    g_autofree char *path = statusfile_get_path(geteuid() == 0, record->name);
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? statusfile_get_pid(text) : 0;
}

/* A guest whose Finish was called in precopy, and whose QEMU has ended while nobody looked, may
 * have run, and its source must not go on with what was before. One that libvirt kills has not. */
static void
doubt_unfinished(JournalRecord *record)
{
    pid_t pid = find_process(record);

    if (pid && kill(pid, 0) == 0)
        return;
    g_warning("migration %s: domain %s has ended while it was being started: it may have run here",
              record->id, record->name);
    record->memory.started = TRUE;
}

static void
restore_destination(JournalRecord *record)
{
    gboolean postcopy = migration_state_is_postcopy(record->memory.state);

    if (!postcopy && record->memory.finish_called)
        doubt_unfinished(record);
    if (postcopy)
        record->kept = FALSE;
    if (postcopy || (record->flags & VIR_MIGRATE_POSTCOPY))
        keep_unfinished(record);
}

static void
restore_one(JournalRecord *record, gpointer opaque)
{
    g_autoptr(Policy) defaults = host_get_policy();
    g_autoptr(Policy) policy =
        policy_from_element_xml(record->policy, POLICY_NAMESPACE, defaults, NULL);
    g_autoptr(Migration) migration = NULL;
    guint8 uuid[UUID_BYTES];

    if (!uuid_parse(record->uuid, uuid))
        return;
    if (record->role == ROLE_DESTINATION)
        restore_destination(record);
    migration = migration_restore(record, uuid, policy ? policy : defaults);
    if (!migration)
        return;
    migration_set_channel(migration, find_process(record), 0);
    migration_learn_disks(migration);
    migration_inhibit_restored(migration);
    g_ptr_array_add(opaque, g_steal_pointer(&migration));
}

/* Read by restore_read(), until they are taken up. */
static GPtrArray *restored;

void
restore_read(void)
{
    restored = g_ptr_array_new_with_free_func((GDestroyNotify)migration_unref);
    journal_read_all(host_get_journal(), restore_one, restored);
}

void
restore_take_up(virConnectPtr connection)
{
    for (guint i = 0; i < restored->len; i++) {
        Migration *migration = restored->pdata[i];

        if (restore_is_unjudged(migration))
            host_run(judge_job, migration_ref(migration));
        else
            take_up(migration, connection);
    }
    g_ptr_array_set_size(restored, 0);
}
