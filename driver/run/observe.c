/*
 * observe.c: what happened, told to the engine
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/observe.h"

#include <libvirt/virterror.h>

#include "run/host.h"
#include "run/migration-priv.h"
#include "run/outcome.h"
#include "stock/hooks.h"

/* On the thread of the domain's monitor, which is locked: look up and post, no more. */
static void
on_migration_event(const unsigned char *uuid, const char *status, gpointer opaque)
{
    g_autoptr(Migration) migration = migration_find(uuid);
    EventType type;

    if (migration && event_type_from_qemu(status, &type))
        migration_post(migration, type, 0, "QEMU reported that the migration failed");
}

void
observe_migration_events(void)
{
    hooks_set_migration_listener(on_migration_event, NULL);
}

/* --- the end of domains --- */

static void
undefine_job(gpointer opaque, gpointer unused)
{
    g_autoptr(Migration) migration = opaque;

    outcome_undefine_source(migration);
}

static gboolean
check_undefine_cb(gpointer opaque)
{
    Migration *migration = opaque;

    if (migration_take_undefine(migration) && !migration_is_confirmed(migration))
        host_run(undefine_job, migration);
    else
        migration_unref(migration);
    return G_SOURCE_REMOVE;
}

static int
on_lifecycle(virConnectPtr connection, virDomainPtr domain, int event, int detail, void *opaque)
{
    unsigned char uuid[VIR_UUID_BUFLEN];
    g_autoptr(Migration) migration = NULL;

    if (virDomainGetUUID(domain, uuid) < 0)
        return 0;
    migration = migration_find(uuid);
    if (!migration)
        return 0;
    if (event == VIR_DOMAIN_EVENT_RESUMED && detail != VIR_DOMAIN_EVENT_RESUMED_POSTCOPY_FAILED)
        migration_post(migration, EVENT_QEMU_RESUME, 0, NULL);
    if (event != VIR_DOMAIN_EVENT_STOPPED)
        return 0;
    /* The late word of how it left when it was here before; it comes back just now. */
    if (migration->role == ROLE_DESTINATION && detail == VIR_DOMAIN_EVENT_STOPPED_MIGRATED)
        return 0;
    if (migration->role == ROLE_SOURCE && detail == VIR_DOMAIN_EVENT_STOPPED_MIGRATED) {
        migration_post(migration, EVENT_CALL_COMPLETED, 0, NULL);
        host_post(check_undefine_cb, migration_ref(migration));
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
}

/* --- the source asks --- */

/* The source asks anew when it has lost the connection of an earlier question. */
static void
take_question(Migration *migration, PeerQuestion *question)
{
    if (migration->question)
        peer_question_answer(migration->question, MESSAGE_REFUSED, 0, "asked again");
    migration->question = question;
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
    if (migration->armed_host && g_strcmp0(migration->armed_host, local) != 0)
        migration_step(migration, EVENT_ARMED_ELSEWHERE, 0, NULL);
    migration_step(migration, EVENT_PEER_RECOVER, peer_question_get(question)->number, NULL);
}

void
observe_question(PeerQuestion *question, gpointer opaque)
{
    const Message *message = peer_question_get(question);
    g_autoptr(Migration) migration = migration_find_by_secret(&message->secret);

    if (!migration) {
        peer_question_answer(question, MESSAGE_REFUSED, 0,
                             "this migration is not known on the destination");
        return;
    }
    switch (message->type) {
    case MESSAGE_RECOVER:
        ask_recover(migration, question);
        break;
    case MESSAGE_ASK_RUNNING:
        take_question(migration, question);
        migration_step(migration, EVENT_PEER_ASKS_RUNNING, message->number, NULL);
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
