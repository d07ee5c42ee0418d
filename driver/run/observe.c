/*
 * observe.c: what happened, told to the engine
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/observe.h"

#include <string.h>

#include <libvirt/virterror.h>

#include "run/guard.h"
#include "run/host.h"
#include "run/migration-priv.h"
#include "run/outcome.h"
#include "run/restore.h"
#include "run/parcel.h"
#include "stock/domain.h"
#include "stock/hooks.h"
#include "stock/qmp.h"
#include "util/boot.h"
#include "util/uuid.h"

/* On the thread of the domain's monitor, which is locked: look up and post, no more. */
static void
on_migration_event(const unsigned char *uuid, const char *status, gpointer opaque)
{
    g_autoptr(Migration) migration = migration_find(uuid);
    g_autoptr(Status) before = migration ? migration_get_status(migration) : NULL;
    EventType type;

    if (!migration || !event_type_from_qemu(status, &type))
        return;
    if (migration->role == ROLE_SOURCE &&
        (type == EVENT_QEMU_DEVICE || type == EVENT_QEMU_POSTCOPY_ACTIVE ||
         type == EVENT_QEMU_COMPLETED))
        migration_give_up(migration);
    migration_post(migration, type, 0,
                   migration->role == ROLE_SOURCE && migration_state_is_postcopy(before->state)
                       ? "the channel ended when the source had sent everything and had no word of "
                         "its arrival; the guest belongs to the destination"
                       : "QEMU reported that the migration failed");
}

/* As above. QEMU tells it before a vCPU runs (vm_prepare_start(), system/cpus.c, 10.0), and libvirt
 * reads all that a QEMU has said before it takes that for gone (qemuMonitorIO(),
 * src/qemu/qemu_monitor.c, 11.3.0): of a destination that has ended it is known whether the guest
 * has run. */
static void
on_resume(const unsigned char *uuid)
{
    g_autoptr(Migration) migration = migration_find(uuid);

    if (migration && migration->role == ROLE_DESTINATION)
        migration_post(migration, EVENT_QEMU_RESUME, 0, NULL);
}

void
observe_migration_events(void)
{
    hooks_set_migration_listener(on_migration_event, NULL);
    hooks_set_resume_listener(on_resume);
}

static void
on_pass(virConnectPtr connection, virDomainPtr domain, int pass, void *opaque)
{
    unsigned char uuid[VIR_UUID_BUFLEN];
    g_autoptr(Migration) migration = NULL;

    if (virDomainGetUUID(domain, uuid) == 0 && (migration = migration_find(uuid)) &&
        migration->role == ROLE_SOURCE && pass > 0)
        migration_post(migration, EVENT_QEMU_PASS, (guint)pass, NULL);
}

/* --- the end of domains --- */

static gboolean
check_left_cb(gpointer opaque)
{
    Migration *migration = opaque;
    gboolean undefine = migration_take_undefine(migration);

    if (!migration_is_confirmed(migration))
        host_run(undefine ? outcome_forget_job : outcome_leave_job, migration);
    else
        migration_unref(migration);
    return G_SOURCE_REMOVE;
}

static int
on_lifecycle(virConnectPtr connection, virDomainPtr domain, int event, int detail, void *opaque)
{
    unsigned char uuid[VIR_UUID_BUFLEN];
    g_autoptr(Migration) migration = NULL;

    if (virDomainGetUUID(domain, uuid) < 0 || !(migration = migration_find(uuid)))
        return 0;
    /* libvirt draws its line under what it was made to keep, too. */
    if (event == VIR_DOMAIN_EVENT_RESUMED && restore_is_unjudged(migration))
        return 0;
    /* Whatever becomes of Finish: from now on the guest is this host's. At the end of postcopy,
     * whether it runs or not, which is the end for one that is to stay stopped
     * (qemuMigrationDstComplete(), src/qemu/qemu_migration.c, 11.3.0). */
    if (migration->role == ROLE_DESTINATION && event == VIR_DOMAIN_EVENT_RESUMED &&
        detail == VIR_DOMAIN_EVENT_RESUMED_MIGRATED)
        migration_post(migration,
                       migration->flags & VIR_MIGRATE_PAUSED ? EVENT_CALL_COMPLETED
                                                             : EVENT_GUEST_STARTED,
                       0, NULL);
    else if (event == VIR_DOMAIN_EVENT_RESUMED &&
             detail != VIR_DOMAIN_EVENT_RESUMED_POSTCOPY_FAILED)
        migration_post(migration, EVENT_QEMU_RESUME, 0, NULL);
    if (migration->role == ROLE_DESTINATION && event == VIR_DOMAIN_EVENT_RESUMED &&
        (migration->flags & VIR_MIGRATE_PAUSED))
        guard_arrived(migration);
    if (event != VIR_DOMAIN_EVENT_STOPPED)
        return 0;
    if (migration->role == ROLE_SOURCE)
        migration_hand_back(migration);
    /* The late word of how it left when it was here before; it comes back just now. */
    if (migration->role == ROLE_DESTINATION && detail == VIR_DOMAIN_EVENT_STOPPED_MIGRATED)
        return 0;
    if (migration->role == ROLE_SOURCE && detail == VIR_DOMAIN_EVENT_STOPPED_MIGRATED) {
        migration_post(migration, EVENT_CALL_COMPLETED, 0, NULL);
        migration_post(migration, EVENT_SETTLED, 0, NULL);
        host_post(check_left_cb, migration_ref(migration));
    } else {
        migration_post(migration, EVENT_QEMU_GONE, 0, "the domain stopped on this host");
    }
    return 0;
}

void
observe_domains(virConnectPtr connection)
{
    if (virConnectDomainEventRegisterAny(connection, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                         VIR_DOMAIN_EVENT_CALLBACK(G_CALLBACK(on_lifecycle)), NULL,
                                         NULL) < 0)
        g_warning("cannot listen for the end of domains: %s; a QEMU that dies in a migration is "
                  "noticed late",
                  virGetLastErrorMessage());
    if (virConnectDomainEventRegisterAny(connection, NULL, VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION,
                                         VIR_DOMAIN_EVENT_CALLBACK(on_pass), NULL, NULL) < 0)
        g_warning("cannot listen for the passes of migrations: %s; none switches to postcopy after "
                  "the first by its policy",
                  virGetLastErrorMessage());
}

/* --- the source asks --- */

typedef struct {
    PeerQuestion *question;
    gboolean wants_return;
    guint8 uuid[UUID_BYTES]; /* of the domain */
    Secret secret;           /* of the migration */
    MessageType answer;
    const char *text;
} Judgement;

static gboolean
judged_cb(gpointer opaque)
{
    Judgement *judgement = opaque;

    peer_question_answer(judgement->question, judgement->answer, 0, judgement->text);
    g_free(judgement);
    return G_SOURCE_REMOVE;
}

/* A domain that is not here: the guest of precopy may go on at its source. In postcopy it may have
 * run here, and nobody has it any more. */
static MessageType
judge_absence(const Judgement *judgement)
{
    return judgement->wants_return ? MESSAGE_RETURNED : MESSAGE_OVER;
}

static MessageType
judge_domain(const Judgement *judgement, virDomainPtr domain)
{
    StockJob job = {0};
    g_autofree char *reply = NULL;

    /* Still coming in, without a journal that says how: QEMU may be waiting for a page, and is not
     * asked. */
    if (stock_domain_job(domain, &job) && job.async == STOCK_ASYNC_IN)
        return MESSAGE_REFUSED;
    /* Waits until libvirt has reconnected to its QEMU, or killed it. */
    reply = qmp_execute(domain, "{\"execute\":\"query-status\"}", NULL);
    if (!stock_domain_job(domain, &job) || !job.active)
        return judge_absence(judgement);
    return reply && job.async == STOCK_ASYNC_NONE ? MESSAGE_COMPLETED : MESSAGE_REFUSED;
}

/* What became of the guest here later, which libvirt tells, may be its end: the source must not go
 * on with what was before. */
static gboolean
judge_arrival(Judgement *judgement)
{
    g_autofree char *uuid = uuid_format(judgement->uuid);
    Arrival arrival = host_get_journal()
                          ? journal_get_arrival(host_get_journal(), uuid, &judgement->secret)
                          : ARRIVAL_NONE;

    if (arrival == ARRIVAL_LOST) {
        judgement->answer = MESSAGE_RETURNED;
        judgement->text = boot_get_id();
        return TRUE;
    }
    if (arrival == ARRIVAL_DOUBTFUL)
        judgement->text = "the guest may have run on the destination";
    judgement->answer = arrival == ARRIVAL_STARTED ? MESSAGE_COMPLETED : MESSAGE_REFUSED;
    return judgement->wants_return && arrival != ARRIVAL_NONE;
}

static void
judge_by_libvirt(Judgement *judgement)
{
    virConnectPtr connection = host_connect();
    virDomainPtr domain = connection ? virDomainLookupByUUID(connection, judgement->uuid) : NULL;

    judgement->answer = MESSAGE_REFUSED;
    judgement->text = "it is not known there yet what has become of it";
    if (domain)
        judgement->answer = judge_domain(judgement, domain);
    else if (connection && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
        judgement->answer = judge_absence(judgement);
    if (judgement->answer == MESSAGE_RETURNED)
        judgement->text = boot_get_id();
    if (judgement->answer == MESSAGE_OVER)
        judgement->text = "the domain is not on the destination any more";
    if (domain)
        virDomainFree(domain);
    if (connection)
        virConnectClose(connection);
}

/* A migration that has ended here before the daemon was restarted, or was killed with it: the
 * journal has none of those but a note that it arrived. */
static void
judge_job(gpointer opaque, gpointer unused)
{
    Judgement *judgement = opaque;

    if (!judge_arrival(judgement))
        judge_by_libvirt(judgement);
    host_post(judged_cb, judgement);
}

/* An older build does not say which domain. */
static gboolean
is_none(const guint8 *uuid)
{
    static const guint8 none[UUID_BYTES];

    return memcmp(uuid, none, sizeof(none)) == 0;
}

static void
answer_unknown(PeerQuestion *question)
{
    const Message *message = peer_question_get(question);
    Judgement *judgement;
    guint8 uuid[UUID_BYTES];
    guint32 sequence;

    if (message->type >= MESSAGE_ARMED || !message_get_subject(message, uuid, &sequence) ||
        is_none(uuid)) {
        peer_question_answer(question, MESSAGE_REFUSED, 0,
                             "this migration is not known on the destination");
        return;
    }
    judgement = g_new0(Judgement, 1);
    judgement->question = question;
    judgement->wants_return = message->type == MESSAGE_RETURN;
    judgement->secret = message->secret;
    memcpy(judgement->uuid, uuid, sizeof(uuid));
    host_run(judge_job, judgement);
}

/* The source asks anew when it has lost the connection of an earlier question. */
static void
take_question(Migration *migration, PeerQuestion *question)
{
    if (migration->question)
        peer_question_answer(migration->question, MESSAGE_REFUSED, 0, "asked again");
    migration->question = question;
}

/* A daemon that was killed may have noted a port that QEMU was never told. */
static gboolean
may_listen(const Migration *migration)
{
    SessionMemory memory;

    session_remember(migration->session, &memory);
    return !memory.armed_port ||
           channel_may_listen(&migration->channel, (guint16)memory.armed_port);
}

/* QEMU is to listen where the question came in: that way it can be reached. */
static void
ask_recover(Migration *migration, PeerQuestion *question)
{
    const char *local = peer_question_get_local(question);

    if (migration->listen_host && g_strcmp0(migration->listen_host, local) != 0) {
        g_autofree char *text =
            g_strdup_printf("the destination may only listen on %s", migration->listen_host);

        peer_question_answer(question, MESSAGE_REFUSED, 0, text);
        return;
    }
    take_question(migration, question);
    if ((migration->armed_host && g_strcmp0(migration->armed_host, local) != 0) ||
        !may_listen(migration))
        migration_step(migration, EVENT_ARMED_ELSEWHERE, 0, NULL);
    migration_step(migration, EVENT_PEER_RECOVER, peer_question_get(question)->number, NULL);
}

/* A question that a later one has overtaken, on another way: the source does not mean it any more,
 * and waits for no answer. A pause of a person's that was withdrawn meanwhile would break the
 * channel that has just recovered. */
static gboolean
is_overtaken(Migration *migration, const Message *message)
{
    guint8 uuid[UUID_BYTES];
    guint32 sequence;

    message_get_subject(message, uuid, &sequence);
    if (message_is_overtaken(sequence, migration->sequence))
        return TRUE;
    if (sequence)
        migration->sequence = sequence;
    return FALSE;
}

void
observe_question(PeerQuestion *question, gpointer opaque)
{
    const Message *message = peer_question_get(question);
    g_autoptr(Migration) migration = NULL;

    if (message_is_parcel(message->type)) {
        parcel_take(question);
        return;
    }
    migration = migration_find_by_secret(&message->secret);
    if (!migration) {
        answer_unknown(question);
        return;
    }
    if (is_overtaken(migration, message)) {
        peer_question_answer(question, MESSAGE_REFUSED, 0, "it was asked before another question");
        return;
    }
    restore_hear(migration, message);
    switch (message->type) {
    case MESSAGE_RECOVER:
        ask_recover(migration, question);
        break;
    case MESSAGE_ASK_RUNNING:
        take_question(migration, question);
        migration_step(migration, EVENT_PEER_ASKS_RUNNING, 0, NULL);
        break;
    case MESSAGE_ENDED:
        take_question(migration, question);
        migration_step(migration, EVENT_PEER_ENDED, 0, NULL);
        break;
    case MESSAGE_RETURN:
        if (restore_is_unjudged(migration)) {
            peer_question_answer(question, MESSAGE_REFUSED, 0, "it is not known there yet");
            break;
        }
        take_question(migration, question);
        migration_step(migration, EVENT_PEER_RETURN, 0, NULL);
        break;
    case MESSAGE_ENDING:
        peer_question_answer(question, MESSAGE_NOTED, 0, NULL);
        migration_step(migration, EVENT_PEER_ENDING, 0, NULL);
        break;
    case MESSAGE_PAUSED:
        peer_question_answer(question, MESSAGE_NOTED, 0, NULL);
        migration_step(migration, EVENT_PEER_PAUSED, 0, NULL);
        break;
    default:
        peer_question_answer(question, MESSAGE_REFUSED, 0, "not a question");
        break;
    }
}
