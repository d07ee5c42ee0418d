/*
 * parcel.c: what the source hands over to the destination when the guest has arrived there
 *
 * How it works: the thread that sends waits; the attempts are the engine thread's, one after the
 * other, each over all addresses of the destination. Whichever of the two leaves last frees what
 * they share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/parcel.h"

#include <glib/gi18n-lib.h>

#include "run/host.h"
#include "run/migration-priv.h"
#include "run/peer-priv.h"

G_DEFINE_QUARK(holdfast - parcel - error - quark, parcel_error)

/* For a connection: enough for a path around the world. While nobody answers it is tried anew all
 * the time (run/peer-call.c). */
#define CONNECT_MS       3000
#define CONNECT_AGAIN_MS 100
/* From one attempt to the next. */
#define AGAIN_MS 1000
/* A destination that closes the connection so often in a row will do so again: a build from before
 * there were parcels, or one that dies of them. One whose daemon stops does not come to that, as
 * nobody takes the next connection. */
#define CLOSED_MAX 3
/* A person is told that it takes its time, and how long it has been. */
#define TELL_FIRST_S 2
#define TELL_AGAIN_S 15

typedef struct {
    gatomicrefcount refs; /* the sender's and the engine thread's */
    Migration *migration;
    GBytes *body;
    MessageType type;

    /* the engine thread's */
    gint64 deadline_us;
    PeerCall *call;
    GSource *again;
    guint closed; /* in a row */

    /* under the lock */
    gboolean done;
    GBytes *reply;
    GError *error;
} Sending;

static struct {
    GMutex lock;
    GCond changed;
    gboolean released;
} senders;

static void
sending_unref(Sending *sending)
{
    if (!g_atomic_ref_count_dec(&sending->refs))
        return;
    migration_unref(sending->migration);
    g_bytes_unref(sending->body);
    g_clear_pointer(&sending->reply, g_bytes_unref);
    g_clear_error(&sending->error);
    g_free(sending);
}

/* --- the engine thread --- */

/* @error: (transfer full): NULL when it was taken. */
static void
finish(Sending *sending, GError *error)
{
    peer_deadline_stop(&sending->again);
    g_mutex_lock(&senders.lock);
    sending->error = error;
    sending->done = TRUE;
    g_cond_broadcast(&senders.changed);
    g_mutex_unlock(&senders.lock);
    sending_unref(sending);
}

static gboolean attempt_cb(gpointer opaque);

/* @why: (transfer full): that of the last attempt */
static void
try_again(Sending *sending, GError *why)
{
    if (sending->closed >= CLOSED_MAX) {
        finish(sending,
               g_error_new(PARCEL_ERROR, PARCEL_ERROR_UNKNOWN,
                           _("host '%1$s' closes the connection when it is sent: update Holdfast "
                             "there, or see the log of that host's daemon"),
                           sending->migration->peer));
    } else if (g_get_monotonic_time() >= sending->deadline_us) {
        finish(sending, g_error_new(PARCEL_ERROR, PARCEL_ERROR_UNREACHABLE,
                                    _("host '%1$s' could not be asked: %2$s"),
                                    sending->migration->peer, why->message));
    } else {
        sending->again = peer_deadline_start(AGAIN_MS, attempt_cb, sending);
    }
    g_error_free(why);
}

static void
answered_cb(
    const Message *answer, const char *host, gboolean reached, const GError *error, gpointer opaque)
{
    Sending *sending = opaque;
    gboolean refused = answer && answer->type != MESSAGE_TAKEN;
    gboolean later = refused && answer->type == MESSAGE_REFUSED && answer->number == MESSAGE_LATER;

    sending->call = NULL;
    sending->closed = host && g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED)
                          ? sending->closed + 1
                          : 0;
    if (error)
        try_again(sending, g_error_copy(error));
    else if (later)
        try_again(sending, g_error_new_literal(G_IO_ERROR, G_IO_ERROR_BUSY, answer->text));
    else if (refused)
        finish(sending, g_error_new_literal(PARCEL_ERROR, PARCEL_ERROR_REFUSED, answer->text));
    else
        finish(sending, NULL);
}

static gboolean
attempt_cb(gpointer opaque)
{
    Sending *sending = opaque;
    Migration *migration = sending->migration;
    guint32 size = (guint32)g_bytes_get_size(sending->body);
    g_autofree PeerWay *ways = g_new(PeerWay, migration->paths->len);
    const PeerParcel parcel = {
        .body = sending->body,
        .answer_ms = PARCEL_WORK_MS,
        .replied = &sending->reply,
    };
    Message message = {.type = sending->type};

    peer_deadline_stop(&sending->again);
    /* Without a number: it overtakes no other question, and none overtakes it. */
    message_set_subject(&message, migration->status->uuid, 0);
    migration_get_secret(migration, &message.secret);
    for (guint i = 0; i < migration->paths->len; i++) {
        const MigrationPath *path = g_ptr_array_index(migration->paths, i);

        ways[i] = (PeerWay){.host = path->host, .number = size};
    }
    sending->call = peer_call_new(ways, migration->paths->len, migration->peer_port, &message,
                                  CONNECT_MS, CONNECT_AGAIN_MS, answered_cb, sending);
    peer_call_set_parcel(sending->call, &parcel);
    return G_SOURCE_REMOVE;
}

static gboolean
leave_cb(gpointer opaque)
{
    Sending *sending = opaque;

    if (sending->call || sending->again) {
        peer_call_cancel(g_steal_pointer(&sending->call));
        finish(sending, NULL);
    }
    sending_unref(sending);
    return G_SOURCE_REMOVE;
}

/* --- the sender --- */

/* FALSE when the daemon stops before. */
static gboolean
wait_done(Sending *sending)
{
    const char *name = migration_get_name(sending->migration);
    gint64 begin = g_get_monotonic_time();
    gint64 tell = begin + TELL_FIRST_S * G_USEC_PER_SEC;
    gboolean done;

    g_mutex_lock(&senders.lock);
    while (!sending->done && !senders.released) {
        if (g_cond_wait_until(&senders.changed, &senders.lock, tell))
            continue;
        tell += TELL_AGAIN_S * G_USEC_PER_SEC;
        g_mutex_unlock(&senders.lock);
        g_message("migration %s of domain %s: the destination has not taken what it is to have for "
                  "%" G_GINT64_FORMAT " s; it is waited for",
                  migration_get_id(sending->migration), name,
                  (g_get_monotonic_time() - begin) / G_USEC_PER_SEC);
        g_mutex_lock(&senders.lock);
    }
    done = sending->done;
    g_mutex_unlock(&senders.lock);
    return done;
}

static gboolean
check(Migration *migration, GBytes *body, GError **error)
{
    if (g_bytes_get_size(body) > MESSAGE_BODY_MAX) {
        g_set_error(error, PARCEL_ERROR, PARCEL_ERROR_TOO_LARGE,
                    _("%1$zu bytes are more than are sent at once"), g_bytes_get_size(body));
        return FALSE;
    }
    if (migration_can_ask(migration) && host_is_running())
        return TRUE;
    g_set_error_literal(error, PARCEL_ERROR, PARCEL_ERROR_UNREACHABLE,
                        _("the destination has no Holdfast that could be asked"));
    return FALSE;
}

gboolean
parcel_send(Migration *migration,
            MessageType type,
            GBytes *body,
            guint deadline_ms,
            GBytes **reply,
            GError **error)
{
    Sending *sending;
    gboolean taken;

    if (!check(migration, body, error))
        return FALSE;
    sending = g_new0(Sending, 1);
    g_atomic_ref_count_init(&sending->refs);
    g_atomic_ref_count_inc(&sending->refs);
    sending->migration = migration_ref(migration);
    sending->body = g_bytes_ref(body);
    sending->type = type;
    sending->deadline_us = g_get_monotonic_time() + (gint64)deadline_ms * G_TIME_SPAN_MILLISECOND;
    host_post(attempt_cb, sending);
    if (!wait_done(sending)) {
        host_post(leave_cb, sending);
        g_set_error_literal(error, PARCEL_ERROR, PARCEL_ERROR_STOPPED,
                            _("the daemon stops before the destination has answered"));
        return FALSE;
    }
    taken = !sending->error;
    if (!taken)
        g_propagate_error(error, g_steal_pointer(&sending->error));
    else if (reply)
        *reply = sending->reply ? g_steal_pointer(&sending->reply) : g_bytes_new(NULL, 0);
    sending_unref(sending);
    return taken;
}

void
parcel_release_all(void)
{
    g_mutex_lock(&senders.lock);
    senders.released = TRUE;
    g_cond_broadcast(&senders.changed);
    g_mutex_unlock(&senders.lock);
}
