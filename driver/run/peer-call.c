/*
 * peer-call.c: asking the other host's Holdfast
 *
 * How it works: the first connection that is made carries the question. What ends most outages is
 * that the network is back, and that is to be noticed soon; a SYN that was lost is sent again after
 * a second, then after two more (Linux before 6.5). So one attempt lasts, long enough for a path
 * around the world, and beside it brief ones are started all the time: every @again_ms one over the
 * first address and one over another, so that an address that swallows everything keeps no other
 * one waiting. All calls of the process share that pace, and what one finds out the others use: a
 * host that answers one of hundreds is asked by all of them at once.
 *
 * Networks that fail together come back together, and memory is to go over the first: a connection
 * over another waits for it a little.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/peer-priv.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

/* How long a brief attempt has: more than the round trip of nearly every path. */
#define BRIEF_MS 400
/* How many a call has at a time: as many sockets. */
#define BRIEF_MAX 64
/* How long a connection over another address than the first waits for one over that. */
#define FIRST_MS 50

/* Of a connection that carries a parcel, and on which nothing is heard while the other host is at
 * work: a probe a second; and what it has not acknowledged for so long it will not. */
#define PARCEL_IDLE_S    2
#define PARCEL_PROBE_S   1
#define PARCEL_PROBES    5
#define PARCEL_SILENT_MS 7000

/* A connection that is being made. */
typedef struct {
    PeerCall *call; /* NULL: nobody wants it any more */
    GCancellable *cancellable;
    gint64 started_us;
    guint way;
} Attempt;

typedef struct {
    GSocketAddress *address; /* NULL: none that we understand */
    char *host;
    guint32 number;
    gboolean failed; /* the host, or our own, said no; no need to ask again now */
} Way;

struct PeerCall {
    Message question;
    Way *ways;
    guint n_ways;
    guint turn;    /* the way of the newest attempt but those over the first */
    guint way;     /* that of the connection */
    guint refused; /* ways over which the host itself said no */
    Attempt *lasting;
    GQueue brief; /* of Attempt, the oldest first */
    guint again_ms;
    GSource *deadline;
    GSource *again;
    GSocketConnection *second; /* over @way, which is not the first; NULL: none */
    GSource *use_second;
    PeerCallFn done; /* NULL: cancelled */
    gpointer opaque;

    /* once a connection is made */
    GSocketConnection *connection;
    GCancellable *cancellable;
    GBytes *bytes;
    PeerParcel parcel; /* body: NULL for a question without one */
    GOutputVector vectors[2];
    Message answer;
    guint8 buffer[MESSAGE_HEADER_SIZE + MESSAGE_TEXT_MAX];
    gsize text_length;
};

/* The calls that have no connection yet. The engine thread's, as everything here. */
static GQueue connecting = G_QUEUE_INIT;

static void
drop_attempt(Attempt *attempt)
{
    if (!attempt)
        return;
    attempt->call = NULL;
    g_cancellable_cancel(attempt->cancellable);
}

static void
stop_connecting(PeerCall *call)
{
    g_queue_remove(&connecting, call);
    drop_attempt(g_steal_pointer(&call->lasting));
    while (!g_queue_is_empty(&call->brief))
        drop_attempt(g_queue_pop_head(&call->brief));
    g_clear_object(&call->second);
    peer_deadline_stop(&call->use_second);
    peer_deadline_stop(&call->again);
    peer_deadline_stop(&call->deadline);
}

static void
call_finish(PeerCall *call, const Message *answer, const GError *error)
{
    gboolean connected = call->connection != NULL;

    stop_connecting(call);
    if (call->done)
        call->done(answer, connected ? call->ways[call->way].host : NULL,
                   connected || (call->n_ways > 0 && call->refused == call->n_ways), error,
                   call->opaque);
    for (guint i = 0; i < call->n_ways; i++) {
        g_clear_object(&call->ways[i].address);
        g_free(call->ways[i].host);
    }
    g_free(call->ways);
    g_clear_object(&call->connection);
    g_clear_object(&call->cancellable);
    g_clear_pointer(&call->bytes, g_bytes_unref);
    g_clear_pointer(&call->parcel.body, g_bytes_unref);
    g_free(call);
}

/* --- connected --- */

static void
call_closed(PeerCall *call)
{
    g_autoptr(GError) error = g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED,
                                                  "the other host closed the connection");

    call_finish(call, NULL, error);
}

static void
call_body_cb(GBytes *body, const GError *error, gpointer opaque)
{
    PeerCall *call = opaque;

    if (body && call->done)
        *call->parcel.replied = g_bytes_ref(body);
    call_finish(call, body ? &call->answer : NULL, error);
    if (body)
        g_bytes_unref(body);
}

static void
call_text_cb(GObject *stream, GAsyncResult *result, gpointer opaque)
{
    PeerCall *call = opaque;
    g_autoptr(GError) error = NULL;
    gsize n = 0;

    if (!g_input_stream_read_all_finish(G_INPUT_STREAM(stream), result, &n, &error))
        call_finish(call, NULL, error);
    else if (n != call->text_length)
        call_closed(call);
    else if (!message_decode_text(&call->answer, call->buffer + MESSAGE_HEADER_SIZE, n, &error))
        call_finish(call, NULL, error);
    else if (call->parcel.body && message_get_body_length(&call->answer) > 0)
        peer_body_read(G_INPUT_STREAM(stream), message_get_body_length(&call->answer),
                       call->cancellable, call_body_cb, call);
    else
        call_finish(call, &call->answer, NULL);
}

static void
call_header_cb(GObject *stream, GAsyncResult *result, gpointer opaque)
{
    PeerCall *call = opaque;
    g_autoptr(GError) error = NULL;
    gsize n = 0;

    if (!g_input_stream_read_all_finish(G_INPUT_STREAM(stream), result, &n, &error)) {
        call_finish(call, NULL, error);
    } else if (n != MESSAGE_HEADER_SIZE) {
        call_closed(call);
    } else if (!message_decode_header(call->buffer, &call->answer, &call->text_length, &error)) {
        call_finish(call, NULL, error);
    } else {
        g_input_stream_read_all_async(G_INPUT_STREAM(stream), call->buffer + MESSAGE_HEADER_SIZE,
                                      call->text_length, G_PRIORITY_DEFAULT, call->cancellable,
                                      call_text_cb, call);
    }
}

static void
call_written_cb(GObject *stream, GAsyncResult *result, gpointer opaque)
{
    PeerCall *call = opaque;
    g_autoptr(GError) error = NULL;

    /* One who refuses a parcel does not read it; what it has said is there all the same. */
    if (!g_output_stream_writev_all_finish(G_OUTPUT_STREAM(stream), result, NULL, &error) &&
        !(call->parcel.body && g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED))) {
        call_finish(call, NULL, error);
        return;
    }
    g_input_stream_read_all_async(g_io_stream_get_input_stream(G_IO_STREAM(call->connection)),
                                  call->buffer, MESSAGE_HEADER_SIZE, G_PRIORITY_DEFAULT,
                                  call->cancellable, call_header_cb, call);
}

static void tell_others(const PeerCall *call);

static void
bear_silence(GSocketConnection *connection)
{
    GSocket *socket = g_socket_connection_get_socket(connection);

    g_socket_set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, PARCEL_IDLE_S, NULL);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, PARCEL_PROBE_S, NULL);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, PARCEL_PROBES, NULL);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, PARCEL_SILENT_MS, NULL);
    g_socket_set_keepalive(socket, TRUE);
}

static void
call_connected(PeerCall *call, guint way, GSocketConnection *connection)
{
    gsize n = 1;

    call->connection = g_object_ref(connection);
    stop_connecting(call);
    call->way = way;
    tell_others(call);
    call->question.number = call->ways[way].number;
    call->cancellable = g_cancellable_new();
    call->deadline =
        peer_deadline_start(call->parcel.body ? call->parcel.answer_ms : PEER_ANSWER_MS,
                            peer_cancel_cb, call->cancellable);
    call->bytes = message_encode(&call->question);
    call->vectors[0].buffer = g_bytes_get_data(call->bytes, &call->vectors[0].size);
    if (call->parcel.body) {
        bear_silence(connection);
        call->vectors[1].buffer = g_bytes_get_data(call->parcel.body, &call->vectors[1].size);
        n += call->vectors[1].size > 0;
    }
    g_output_stream_writev_all_async(g_io_stream_get_output_stream(G_IO_STREAM(connection)),
                                     call->vectors, n, G_PRIORITY_DEFAULT, call->cancellable,
                                     call_written_cb, call);
}

/* --- connecting --- */

static Attempt *start_attempt(PeerCall *call, guint way);

/* The next way after the newest attempt's that has not failed; n_ways if all have. */
static guint
next_way(const PeerCall *call)
{
    for (guint i = 1; i <= call->n_ways; i++) {
        guint way = (call->turn + i) % call->n_ways;

        if (!call->ways[way].failed)
            return way;
    }
    return call->n_ways;
}

static void
start_brief(PeerCall *call, guint way)
{
    if (g_queue_get_length(&call->brief) == BRIEF_MAX)
        drop_attempt(g_queue_pop_head(&call->brief));
    g_queue_push_tail(&call->brief, start_attempt(call, way));
}

/* The host answers over an address: the others that would ask there need not wait their turn. */
static void
tell_others(const PeerCall *call)
{
    for (GList *l = connecting.head; l; l = l->next) {
        PeerCall *other = l->data;

        for (guint way = 0; way < other->n_ways; way++)
            if (!other->ways[way].failed &&
                g_str_equal(other->ways[way].host, call->ways[call->way].host))
                start_brief(other, way);
    }
}

static gboolean again_cb(gpointer opaque);

/* Hundreds of calls knock no more often than a few, as long as each does now and then. */
static void
set_again(PeerCall *call)
{
    guint shared_ms = MIN(call->again_ms * g_queue_get_length(&connecting), BRIEF_MS);

    peer_deadline_stop(&call->again);
    call->again = peer_deadline_start(MAX(shared_ms, call->again_ms), again_cb, call);
}

static gboolean
again_cb(gpointer opaque)
{
    PeerCall *call = opaque;
    gint64 too_old_us = g_get_monotonic_time() - BRIEF_MS * G_TIME_SPAN_MILLISECOND;
    Attempt *oldest;

    while ((oldest = g_queue_peek_head(&call->brief)) && oldest->started_us <= too_old_us)
        drop_attempt(g_queue_pop_head(&call->brief));
    call->turn = next_way(call);
    if (call->turn == 0 || !call->ways[0].failed)
        start_brief(call, 0);
    if (call->turn != 0)
        start_brief(call, call->turn);
    set_again(call);
    return G_SOURCE_REMOVE;
}

static gboolean
use_second_cb(gpointer opaque)
{
    PeerCall *call = opaque;
    g_autoptr(GSocketConnection) second = g_steal_pointer(&call->second);

    call_connected(call, call->way, second);
    return G_SOURCE_REMOVE;
}

static void
attempt_connected(PeerCall *call, guint way, GSocketConnection *connection)
{
    if (way == 0 || call->ways[0].failed) {
        call_connected(call, way, connection);
    } else if (!call->second) {
        call->second = g_object_ref(connection);
        call->way = way;
        call->use_second = peer_deadline_start(FIRST_MS, use_second_cb, call);
        start_brief(call, 0);
    }
}

static void
attempt_failed(PeerCall *call, guint failed, gboolean lasting, const GError *error)
{
    guint way;

    if (!call->ways[failed].failed) {
        call->ways[failed].failed = TRUE;
        call->refused += g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
    }
    if (call->second) {
        if (failed == 0)
            use_second_cb(call);
        return;
    }
    way = next_way(call);
    if (way == call->n_ways)
        call_finish(call, NULL, error);
    else if (lasting)
        call->lasting = start_attempt(call, call->turn = way);
    else if (g_queue_is_empty(&call->brief))
        start_brief(call, call->turn = way);
}

static void
attempt_cb(GObject *client, GAsyncResult *result, gpointer opaque)
{
    Attempt *attempt = opaque;
    PeerCall *call = attempt->call;
    g_autoptr(GError) error = NULL;
    g_autoptr(GSocketConnection) connection =
        g_socket_client_connect_finish(G_SOCKET_CLIENT(client), result, &error);

    if (call) {
        gboolean lasting = call->lasting == attempt;

        if (lasting)
            call->lasting = NULL;
        else
            g_queue_remove(&call->brief, attempt);
        if (connection)
            attempt_connected(call, attempt->way, connection);
        else
            attempt_failed(call, attempt->way, lasting, error);
    }
    g_object_unref(attempt->cancellable);
    g_free(attempt);
}

static Attempt *
start_attempt(PeerCall *call, guint way)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    Attempt *attempt = g_new0(Attempt, 1);

    attempt->call = call;
    attempt->way = way;
    attempt->started_us = g_get_monotonic_time();
    attempt->cancellable = g_cancellable_new();
    g_socket_client_set_enable_proxy(client, FALSE);
    g_socket_client_connect_async(client, G_SOCKET_CONNECTABLE(call->ways[way].address),
                                  attempt->cancellable, attempt_cb, attempt);
    return attempt;
}

static gboolean
deadline_cb(gpointer opaque)
{
    PeerCall *call = opaque;
    g_autoptr(GError) error =
        g_error_new_literal(G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "the other host cannot be reached");

    if (call->second)
        return use_second_cb(call);
    call_finish(call, NULL, error);
    return G_SOURCE_REMOVE;
}

PeerCall *
peer_call_new(const PeerWay *ways,
              guint n_ways,
              guint16 port,
              const Message *question,
              guint connect_ms,
              guint again_ms,
              PeerCallFn done,
              gpointer opaque)
{
    PeerCall *call = g_new0(PeerCall, 1);
    guint first;

    call->question = *question;
    call->done = done;
    call->opaque = opaque;
    call->ways = g_new0(Way, n_ways);
    call->n_ways = n_ways;
    for (guint i = 0; i < n_ways; i++) {
        call->ways[i].host = g_strdup(ways[i].host);
        call->ways[i].number = ways[i].number;
        call->ways[i].address = g_inet_socket_address_new_from_string(ways[i].host, port);
        call->ways[i].failed = !call->ways[i].address;
    }
    call->turn = n_ways - 1;
    first = n_ways > 0 ? next_way(call) : n_ways;
    if (first == n_ways) {
        /* Told later, as everything is. */
        call->deadline = peer_deadline_start(0, deadline_cb, call);
        return call;
    }
    g_queue_push_tail(&connecting, call);
    call->again_ms = again_ms;
    call->lasting = start_attempt(call, call->turn = first);
    call->deadline = peer_deadline_start(connect_ms, deadline_cb, call);
    set_again(call);
    return call;
}

void
peer_call_set_parcel(PeerCall *call, const PeerParcel *parcel)
{
    call->parcel = *parcel;
    g_bytes_ref(call->parcel.body);
}

void
peer_call_cancel(PeerCall *call)
{
    if (!call)
        return;
    call->done = NULL;
    if (call->connection)
        g_cancellable_cancel(call->cancellable);
    else
        call_finish(call, NULL, NULL);
}
