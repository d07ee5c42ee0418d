/*
 * parcel-take.c: the destination takes what the source hands over
 *
 * How it works: a stranger's body is not read. Whoever knows the secret of a migration to this
 * host, of now or, by the journal's note, of before a restart, is its source. The bodies wait
 * in one line for a thread, a few at a time, and never two of a migration and kind.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <glib/gi18n-lib.h>
#include <string.h>

#include "run/host.h"
#include "run/journal.h"
#include "run/parcel.h"
#include "util/uuid.h"

/* The pool's threads are also those that tell QEMU to recover: an evacuated host's parcels leave
 * most of them alone. */
#define AT_WORK_MAX 8

typedef struct {
    PeerQuestion *question;
    GBytes *body; /* NULL: the journal is asked who sends it */
    guint8 uuid[UUID_BYTES];
    gboolean known;
    ParcelFn fn;
    GBytes *reply;
    GError *error;
} Parcel;

static struct {
    ParcelFn takers[MESSAGE_PARCEL_LAST - MESSAGE_PARCEL + 1];
    /* the engine thread's, of Parcel */
    GQueue waiting;
    GQueue at_work;
} parcels = {.waiting = G_QUEUE_INIT, .at_work = G_QUEUE_INIT};

void
parcel_set_taker(MessageType type, ParcelFn fn)
{
    parcels.takers[type - MESSAGE_PARCEL] = fn;
}

static void
parcel_free(Parcel *parcel)
{
    g_clear_pointer(&parcel->body, g_bytes_unref);
    g_clear_pointer(&parcel->reply, g_bytes_unref);
    g_clear_error(&parcel->error);
    g_free(parcel);
}

static Parcel *
parcel_new(PeerQuestion *question)
{
    const Message *message = peer_question_get(question);
    Parcel *parcel = g_new0(Parcel, 1);
    guint32 sequence;

    parcel->question = question;
    parcel->fn = parcels.takers[message->type - MESSAGE_PARCEL];
    message_get_subject(message, parcel->uuid, &sequence);
    return parcel;
}

/* --- at work --- */

static gboolean
is_same(const Parcel *a, const Parcel *b)
{
    const Message *one = peer_question_get(a->question);
    const Message *other = peer_question_get(b->question);

    return one->type == other->type && secret_equal(&one->secret, &other->secret);
}

static gboolean
may_begin(const Parcel *parcel)
{
    if (parcels.at_work.length >= AT_WORK_MAX)
        return FALSE;
    for (const GList *link = parcels.at_work.head; link; link = link->next) {
        if (is_same(link->data, parcel))
            return FALSE;
    }
    return TRUE;
}

static gboolean taken_cb(gpointer opaque);

static void
take_job(gpointer opaque, gpointer unused)
{
    Parcel *parcel = opaque;

    if (!parcel->fn(parcel->uuid, parcel->body, &parcel->reply, &parcel->error) && !parcel->error)
        g_set_error_literal(&parcel->error, PARCEL_ERROR, PARCEL_ERROR_REFUSED,
                            _("the destination did not take it"));
    host_post(taken_cb, parcel);
}

static void
begin_next(void)
{
    for (GList *link = parcels.waiting.head, *next; link; link = next) {
        Parcel *parcel = link->data;

        next = link->next;
        if (!may_begin(parcel))
            continue;
        g_queue_delete_link(&parcels.waiting, link);
        g_queue_push_tail(&parcels.at_work, parcel);
        host_run(take_job, parcel);
    }
}

static gboolean
taken_cb(gpointer opaque)
{
    Parcel *parcel = opaque;

    g_queue_remove(&parcels.at_work, parcel);
    if (parcel->error)
        peer_question_answer(parcel->question, MESSAGE_REFUSED, 0, parcel->error->message);
    else
        peer_question_take(parcel->question, parcel->reply);
    parcel_free(parcel);
    begin_next();
    return G_SOURCE_REMOVE;
}

/* --- on its way --- */

static void
received(PeerQuestion *question, GBytes *body)
{
    Parcel *parcel = parcel_new(question);

    parcel->body = body;
    g_queue_push_tail(&parcels.waiting, parcel);
    begin_next();
}

static void
receive(PeerQuestion *question)
{
    if (!peer_question_receive(question, received))
        peer_question_answer(question, MESSAGE_REFUSED, MESSAGE_LATER,
                             "the destination takes as much at a time as it can");
}

static gboolean
judged_cb(gpointer opaque)
{
    Parcel *parcel = opaque;

    if (parcel->known)
        receive(parcel->question);
    else
        peer_question_answer(parcel->question, MESSAGE_REFUSED, 0,
                             "this migration is not known on the destination");
    parcel_free(parcel);
    return G_SOURCE_REMOVE;
}

static void
judge_job(gpointer opaque, gpointer unused)
{
    Parcel *parcel = opaque;
    g_autofree char *uuid = uuid_format(parcel->uuid);

    parcel->known =
        host_get_journal() &&
        journal_get_arrival(host_get_journal(), uuid,
                            &peer_question_get(parcel->question)->secret) != ARRIVAL_NONE;
    host_post(judged_cb, parcel);
}

void
parcel_take(PeerQuestion *question)
{
    const Message *message = peer_question_get(question);
    g_autoptr(Migration) migration = migration_find_by_secret(&message->secret);
    guint8 uuid[UUID_BYTES];
    guint32 sequence;

    if (!parcels.takers[message->type - MESSAGE_PARCEL])
        peer_question_answer(question, MESSAGE_REFUSED, 0,
                             "the destination's Holdfast does not know what this is: update it");
    else if (!message_get_subject(message, uuid, &sequence) ||
             (migration && memcmp(uuid, migration_get_uuid(migration), sizeof(uuid)) != 0))
        peer_question_answer(question, MESSAGE_REFUSED, 0, "this migration is of another domain");
    else if (migration)
        receive(question);
    else
        host_run(judge_job, parcel_new(question));
}
