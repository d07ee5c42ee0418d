/*
 * peer.c: the other host's Holdfast, reached over the migration network
 *
 * How it works: one TCP connection a question. The asker connects, writes one message and reads
 * one; the server reads one and keeps the connection as a PeerQuestion until the engine has the
 * answer. Every connection has a deadline, their number is bounded, and no length is believed
 * before it is checked (model/message.c).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/peer.h"

/* A host recovers at most some hundred domains at once, each with one question. A stranger who
 * opens connections and says nothing is let go after the deadline. */
#define QUESTIONS_MAX  512
#define QUESTION_MS    1000
#define SERVER_BACKLOG 128

struct PeerServer {
    GSocketService *service;
    guint16 port;
    PeerServerFn answer;
    gpointer opaque;
    GHashTable *questions; /* PeerQuestion set: all that are open */
};

struct PeerQuestion {
    PeerServer *server; /* NULL once the server is gone */
    GSocketConnection *connection;
    GCancellable *cancellable;
    GSource *deadline;
    Message message;
    GBytes *reply;
    guint8 buffer[MESSAGE_HEADER_SIZE + MESSAGE_TEXT_MAX];
    gsize text_length;
};

struct PeerCall {
    GCancellable *cancellable;
    GSource *deadline;
    GSocketConnection *connection;
    GBytes *question;
    PeerCallFn done; /* NULL: cancelled */
    gpointer opaque;
    gboolean reached;
    Message answer;
    guint8 buffer[MESSAGE_HEADER_SIZE + MESSAGE_TEXT_MAX];
    gsize text_length;
};

static GSource *
start_deadline(guint milliseconds, GSourceFunc fn, gpointer opaque)
{
    GSource *source = g_timeout_source_new(milliseconds);

    g_source_set_callback(source, fn, opaque, NULL);
    g_source_attach(source, g_main_context_get_thread_default());
    return source;
}

static void
stop_deadline(GSource **source)
{
    if (*source) {
        g_source_destroy(*source);
        g_source_unref(*source);
        *source = NULL;
    }
}

static gboolean
cancel_cb(gpointer opaque)
{
    g_cancellable_cancel(opaque);
    return G_SOURCE_REMOVE;
}

/* --- answering --- */

static void
question_free(PeerQuestion *question)
{
    if (question->server)
        g_hash_table_remove(question->server->questions, question);
    stop_deadline(&question->deadline);
    g_clear_object(&question->connection);
    g_clear_object(&question->cancellable);
    g_clear_pointer(&question->reply, g_bytes_unref);
    g_free(question);
}

static void
question_ready(PeerQuestion *question)
{
    PeerServer *server = question->server;

    stop_deadline(&question->deadline);
    if (server)
        server->answer(question, server->opaque);
    else
        question_free(question);
}

static void
question_text_cb(GObject *stream, GAsyncResult *result, gpointer opaque)
{
    PeerQuestion *question = opaque;
    g_autoptr(GError) error = NULL;
    gsize n = 0;

    if (!g_input_stream_read_all_finish(G_INPUT_STREAM(stream), result, &n, &error) ||
        n != question->text_length ||
        !message_decode_text(&question->message, question->buffer + MESSAGE_HEADER_SIZE, n,
                             &error)) {
        question_free(question);
        return;
    }
    question_ready(question);
}

static void
question_header_cb(GObject *stream, GAsyncResult *result, gpointer opaque)
{
    PeerQuestion *question = opaque;
    g_autoptr(GError) error = NULL;
    gsize n = 0;

    if (!g_input_stream_read_all_finish(G_INPUT_STREAM(stream), result, &n, &error) ||
        n != MESSAGE_HEADER_SIZE) {
        question_free(question);
        return;
    }
    if (!message_decode_header(question->buffer, &question->message, &question->text_length,
                               &error)) {
        g_debug("a connection to the recovery port was closed: %s", error->message);
        question_free(question);
        return;
    }
    g_input_stream_read_all_async(G_INPUT_STREAM(stream), question->buffer + MESSAGE_HEADER_SIZE,
                                  question->text_length, G_PRIORITY_DEFAULT, question->cancellable,
                                  question_text_cb, question);
}

static gboolean
incoming_cb(GSocketService *service,
            GSocketConnection *connection,
            GObject *source_object,
            gpointer opaque)
{
    PeerServer *server = opaque;
    PeerQuestion *question;

    if (g_hash_table_size(server->questions) >= QUESTIONS_MAX)
        return TRUE;
    question = g_new0(PeerQuestion, 1);
    question->server = server;
    question->connection = g_object_ref(connection);
    question->cancellable = g_cancellable_new();
    question->deadline = start_deadline(QUESTION_MS, cancel_cb, question->cancellable);
    g_hash_table_add(server->questions, question);
    g_input_stream_read_all_async(g_io_stream_get_input_stream(G_IO_STREAM(connection)),
                                  question->buffer, MESSAGE_HEADER_SIZE, G_PRIORITY_DEFAULT,
                                  question->cancellable, question_header_cb, question);
    return TRUE;
}

PeerServer *
peer_server_new(
    guint16 port_min, guint16 port_max, PeerServerFn answer, gpointer opaque, GError **error)
{
    g_autoptr(GSocketService) service = g_socket_service_new();
    g_autoptr(GError) last = NULL;
    PeerServer *server;

    g_socket_listener_set_backlog(G_SOCKET_LISTENER(service), SERVER_BACKLOG);
    for (guint port = port_max; port >= port_min; port--) {
        g_clear_error(&last);
        if (!g_socket_listener_add_inet_port(G_SOCKET_LISTENER(service), (guint16)port, NULL,
                                             &last))
            continue;
        server = g_new0(PeerServer, 1);
        server->port = (guint16)port;
        server->answer = answer;
        server->opaque = opaque;
        server->questions = g_hash_table_new(NULL, NULL);
        server->service = g_steal_pointer(&service);
        g_signal_connect(server->service, "incoming", G_CALLBACK(incoming_cb), server);
        g_socket_service_start(server->service);
        return server;
    }
    g_propagate_prefixed_error(error, g_steal_pointer(&last), "ports %u to %u: ", port_min,
                               port_max);
    return NULL;
}

guint16
peer_server_get_port(const PeerServer *server)
{
    return server->port;
}

void
peer_server_free(PeerServer *server)
{
    GHashTableIter iter;
    gpointer question;

    if (!server)
        return;
    g_socket_service_stop(server->service);
    g_socket_listener_close(G_SOCKET_LISTENER(server->service));
    g_object_unref(server->service);
    g_hash_table_iter_init(&iter, server->questions);
    while (g_hash_table_iter_next(&iter, &question, NULL)) {
        ((PeerQuestion *)question)->server = NULL;
        g_cancellable_cancel(((PeerQuestion *)question)->cancellable);
    }
    g_hash_table_unref(server->questions);
    g_free(server);
}

const Message *
peer_question_get(const PeerQuestion *question)
{
    return &question->message;
}

static void
answered_cb(GObject *stream, GAsyncResult *result, gpointer opaque)
{
    PeerQuestion *question = opaque;

    /* Whether it arrives is the asker's to find out: it asks again. */
    g_output_stream_write_all_finish(G_OUTPUT_STREAM(stream), result, NULL, NULL);
    question_free(question);
}

void
peer_question_answer(PeerQuestion *question, MessageType type, guint32 number, const char *text)
{
    Message reply = question->message;
    gsize size;
    gconstpointer data;

    reply.type = type;
    reply.number = number;
    message_set_text(&reply, text ? text : "");
    question->reply = message_encode(&reply);
    question->deadline = start_deadline(QUESTION_MS, cancel_cb, question->cancellable);
    data = g_bytes_get_data(question->reply, &size);
    g_output_stream_write_all_async(
        g_io_stream_get_output_stream(G_IO_STREAM(question->connection)), data, size,
        G_PRIORITY_DEFAULT, question->cancellable, answered_cb, question);
}

/* --- asking --- */

static void
call_finish(PeerCall *call, const Message *answer, const GError *error)
{
    stop_deadline(&call->deadline);
    if (call->done)
        call->done(answer, call->reached, error, call->opaque);
    g_clear_object(&call->connection);
    g_clear_object(&call->cancellable);
    g_bytes_unref(call->question);
    g_free(call);
}

static void
call_closed(PeerCall *call)
{
    g_autoptr(GError) error = g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED,
                                                  "the other host closed the connection");

    call_finish(call, NULL, error);
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

    if (!g_output_stream_write_all_finish(G_OUTPUT_STREAM(stream), result, NULL, &error)) {
        call_finish(call, NULL, error);
        return;
    }
    g_input_stream_read_all_async(g_io_stream_get_input_stream(G_IO_STREAM(call->connection)),
                                  call->buffer, MESSAGE_HEADER_SIZE, G_PRIORITY_DEFAULT,
                                  call->cancellable, call_header_cb, call);
}

static void
call_connected_cb(GObject *client, GAsyncResult *result, gpointer opaque)
{
    PeerCall *call = opaque;
    g_autoptr(GError) error = NULL;
    gsize size;
    gconstpointer data;

    call->connection =
        g_socket_client_connect_to_host_finish(G_SOCKET_CLIENT(client), result, &error);
    if (!call->connection) {
        /* Refused by the host itself: the network is there, its Holdfast is not. */
        call->reached = g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
        call_finish(call, NULL, error);
        return;
    }
    call->reached = TRUE;
    stop_deadline(&call->deadline);
    call->deadline = start_deadline(PEER_ANSWER_MS, cancel_cb, call->cancellable);
    data = g_bytes_get_data(call->question, &size);
    g_output_stream_write_all_async(g_io_stream_get_output_stream(G_IO_STREAM(call->connection)),
                                    data, size, G_PRIORITY_DEFAULT, call->cancellable,
                                    call_written_cb, call);
}

PeerCall *
peer_call_new(const char *host,
              guint16 port,
              const Message *question,
              guint connect_ms,
              PeerCallFn done,
              gpointer opaque)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    PeerCall *call = g_new0(PeerCall, 1);

    call->cancellable = g_cancellable_new();
    call->deadline = start_deadline(connect_ms, cancel_cb, call->cancellable);
    call->question = message_encode(question);
    call->done = done;
    call->opaque = opaque;
    g_socket_client_set_enable_proxy(client, FALSE);
    g_socket_client_connect_to_host_async(client, host, port, call->cancellable, call_connected_cb,
                                          call);
    return call;
}

void
peer_call_cancel(PeerCall *call)
{
    if (!call)
        return;
    call->done = NULL;
    g_cancellable_cancel(call->cancellable);
}
