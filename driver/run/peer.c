/*
 * peer.c: answering the other host's Holdfast
 *
 * How it works: one TCP connection a question. The server reads one message and keeps the
 * connection as a PeerQuestion until the engine has the answer. Every connection has a deadline,
 * their number is bounded, and no length is believed before it is checked (model/message.c).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/peer-priv.h"

#include "run/addresses.h"

/* A host recovers at most some hundred domains at once, each with one question. A stranger who
 * opens connections and says nothing is let go after the deadline. */
#define QUESTIONS_MAX  512
#define QUESTION_MS    1000
#define SERVER_BACKLOG 128
/* A body has as long as it keeps on coming (run/peer-body.c), and no longer than this. */
#define BODY_MS (2 * 60 * 1000)
/* Of bodies that are held until they are answered, all together. */
#define BODIES_MAX ((gsize)4 * MESSAGE_BODY_MAX)
/* For an answer with a body. */
#define REPLY_MS 10000
/* When a connection cannot be taken, as the daemon has no file descriptor left, it goes on waiting
 * in the kernel; looking at it at once again would keep a processor busy with nothing else. */
#define ACCEPT_AGAIN_MS 100

struct PeerServer {
    GSocketListener *listener;
    GCancellable *cancellable;
    GSource *rest; /* until the next connection is taken; NULL: one is being waited for */
    gboolean closed;
    guint16 port;
    PeerServerFn answer;
    gpointer opaque;
    GHashTable *questions; /* PeerQuestion set: all that are open */
    gsize bodies;          /* the bytes of theirs */
};

struct PeerQuestion {
    PeerServer *server; /* NULL once the server is gone */
    GSocketConnection *connection;
    char *local;
    GCancellable *cancellable;
    GSource *deadline;
    Message message;
    GBytes *reply;
    GBytes *reply_body; /* NULL: none */
    GOutputVector vectors[2];
    gsize body; /* the bytes of the body that it was given room for */
    PeerReceivedFn received;
    guint8 buffer[MESSAGE_HEADER_SIZE + MESSAGE_TEXT_MAX];
    gsize text_length;
};

GSource *
peer_deadline_start(guint milliseconds, GSourceFunc fn, gpointer opaque)
{
    GSource *source = g_timeout_source_new(milliseconds);

    g_source_set_callback(source, fn, opaque, NULL);
    g_source_attach(source, g_main_context_get_thread_default());
    return source;
}

void
peer_deadline_stop(GSource **source)
{
    if (*source) {
        g_source_destroy(*source);
        g_source_unref(*source);
        *source = NULL;
    }
}

gboolean
peer_cancel_cb(gpointer opaque)
{
    g_cancellable_cancel(opaque);
    return G_SOURCE_REMOVE;
}

/* --- answering --- */

static void
question_free(PeerQuestion *question)
{
    if (question->server) {
        g_hash_table_remove(question->server->questions, question);
        question->server->bodies -= question->body;
    }
    peer_deadline_stop(&question->deadline);
    g_clear_object(&question->connection);
    g_free(question->local);
    g_clear_object(&question->cancellable);
    g_clear_pointer(&question->reply, g_bytes_unref);
    g_clear_pointer(&question->reply_body, g_bytes_unref);
    g_free(question);
}

static void
question_ready(PeerQuestion *question)
{
    PeerServer *server = question->server;

    peer_deadline_stop(&question->deadline);
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
refuse_version(PeerQuestion *question)
{
    g_autofree char *text = g_strdup_printf(
        "the destination's Holdfast speaks version %u of the protocol and needs at least %u",
        MESSAGE_VERSION, MESSAGE_OLDEST);

    peer_deadline_stop(&question->deadline);
    peer_question_answer(question, MESSAGE_REFUSED, 0, text);
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
        /* It may understand us, and then its person is told. */
        if (g_error_matches(error, MESSAGE_ERROR, MESSAGE_ERROR_VERSION))
            refuse_version(question);
        else
            question_free(question);
        return;
    }
    g_input_stream_read_all_async(G_INPUT_STREAM(stream), question->buffer + MESSAGE_HEADER_SIZE,
                                  question->text_length, G_PRIORITY_DEFAULT, question->cancellable,
                                  question_text_cb, question);
}

static char *
get_local(GSocketConnection *connection)
{
    g_autoptr(GSocketAddress) address = g_socket_connection_get_local_address(connection, NULL);
    struct sockaddr_storage native;

    if (!address || !g_socket_address_to_native(address, &native, sizeof(native), NULL))
        return NULL;
    return addresses_format((struct sockaddr *)&native,
                            (socklen_t)g_socket_address_get_native_size(address));
}

static void
question_new(PeerServer *server, GSocketConnection *connection)
{
    PeerQuestion *question = g_new0(PeerQuestion, 1);

    question->server = server;
    question->connection = g_object_ref(connection);
    question->local = get_local(connection);
    question->cancellable = g_cancellable_new();
    question->deadline = peer_deadline_start(QUESTION_MS, peer_cancel_cb, question->cancellable);
    g_hash_table_add(server->questions, question);
    g_input_stream_read_all_async(g_io_stream_get_input_stream(G_IO_STREAM(connection)),
                                  question->buffer, MESSAGE_HEADER_SIZE, G_PRIORITY_DEFAULT,
                                  question->cancellable, question_header_cb, question);
}

/* Not GSocketService: that knows no rest when it cannot take a connection. */
static void accept_next(PeerServer *server);

static gboolean
accept_again_cb(gpointer opaque)
{
    PeerServer *server = opaque;

    peer_deadline_stop(&server->rest);
    accept_next(server);
    return G_SOURCE_REMOVE;
}

static void
server_free(PeerServer *server)
{
    peer_deadline_stop(&server->rest);
    g_object_unref(server->listener);
    g_object_unref(server->cancellable);
    g_hash_table_unref(server->questions);
    g_free(server);
}

static void
accepted_cb(GObject *listener, GAsyncResult *result, gpointer opaque)
{
    PeerServer *server = opaque;
    g_autoptr(GError) error = NULL;
    g_autoptr(GSocketConnection) connection =
        g_socket_listener_accept_finish(G_SOCKET_LISTENER(listener), result, NULL, &error);

    if (server->closed) {
        server_free(server);
        return;
    }
    if (connection) {
        if (g_hash_table_size(server->questions) < QUESTIONS_MAX)
            question_new(server, connection);
        accept_next(server);
    } else {
        g_debug("a connection to the recovery port cannot be taken: %s", error->message);
        server->rest = peer_deadline_start(ACCEPT_AGAIN_MS, accept_again_cb, server);
    }
}

static void
accept_next(PeerServer *server)
{
    g_socket_listener_accept_async(server->listener, server->cancellable, accepted_cb, server);
}

static gboolean
listen_on(GSocketListener *listener, const char *host, guint16 port, GError **error)
{
    g_autoptr(GSocketAddress) address = NULL;

    if (!host)
        return g_socket_listener_add_inet_port(listener, port, NULL, error);
    address = g_inet_socket_address_new_from_string(host, port);
    if (address)
        return g_socket_listener_add_address(listener, address, G_SOCKET_TYPE_STREAM,
                                             G_SOCKET_PROTOCOL_TCP, NULL, NULL, error);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "'%s' is no address", host);
    return FALSE;
}

PeerServer *
peer_server_new(const char *host,
                guint16 port_min,
                guint16 port_max,
                PeerServerFn answer,
                gpointer opaque,
                GError **error)
{
    g_autoptr(GSocketListener) listener = g_socket_listener_new();
    g_autoptr(GError) last = NULL;
    PeerServer *server;

    g_socket_listener_set_backlog(listener, SERVER_BACKLOG);
    for (guint port = port_max; port >= port_min; port--) {
        g_clear_error(&last);
        if (!listen_on(listener, host, (guint16)port, &last))
            continue;
        server = g_new0(PeerServer, 1);
        server->port = (guint16)port;
        server->answer = answer;
        server->opaque = opaque;
        server->questions = g_hash_table_new(NULL, NULL);
        server->listener = g_steal_pointer(&listener);
        server->cancellable = g_cancellable_new();
        accept_next(server);
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
    g_socket_listener_close(server->listener);
    g_hash_table_iter_init(&iter, server->questions);
    while (g_hash_table_iter_next(&iter, &question, NULL)) {
        ((PeerQuestion *)question)->server = NULL;
        g_cancellable_cancel(((PeerQuestion *)question)->cancellable);
    }
    /* Else whoever waits for a connection is told, and frees it. */
    server->closed = TRUE;
    g_cancellable_cancel(server->cancellable);
    if (server->rest)
        server_free(server);
}

const Message *
peer_question_get(const PeerQuestion *question)
{
    return &question->message;
}

const char *
peer_question_get_local(const PeerQuestion *question)
{
    return question->local;
}

static void
body_cb(GBytes *body, const GError *error, gpointer opaque)
{
    PeerQuestion *question = opaque;

    peer_deadline_stop(&question->deadline);
    if (!body)
        g_debug("a parcel did not arrive: %s", error->message);
    if (body && question->server) {
        question->received(question, body);
        return;
    }
    if (body)
        g_bytes_unref(body);
    question_free(question);
}

gboolean
peer_question_receive(PeerQuestion *question, PeerReceivedFn received)
{
    PeerServer *server = question->server;
    gsize length = message_get_body_length(&question->message);

    if (server && length > BODIES_MAX - server->bodies)
        return FALSE;
    if (server)
        server->bodies += length;
    question->body = length;
    question->received = received;
    question->deadline = peer_deadline_start(BODY_MS, peer_cancel_cb, question->cancellable);
    peer_body_read(g_io_stream_get_input_stream(G_IO_STREAM(question->connection)), length,
                   question->cancellable, body_cb, question);
    return TRUE;
}

/* --- the answer --- */

static void
answered_cb(GObject *stream, GAsyncResult *result, gpointer opaque)
{
    PeerQuestion *question = opaque;

    /* Whether it arrives is the asker's to find out: it asks again. */
    g_output_stream_writev_all_finish(G_OUTPUT_STREAM(stream), result, NULL, NULL);
    question_free(question);
}

static void
answer(PeerQuestion *question, MessageType type, guint32 number, const char *text, guint ms)
{
    Message reply = question->message;
    gsize n = 1;

    reply.type = type;
    reply.number = number;
    message_set_text(&reply, text ? text : "");
    question->reply = message_encode(&reply);
    question->vectors[0].buffer = g_bytes_get_data(question->reply, &question->vectors[0].size);
    if (question->reply_body && number > 0)
        question->vectors[n++].buffer =
            g_bytes_get_data(question->reply_body, &question->vectors[1].size);
    question->deadline = peer_deadline_start(ms, peer_cancel_cb, question->cancellable);
    g_output_stream_writev_all_async(
        g_io_stream_get_output_stream(G_IO_STREAM(question->connection)), question->vectors, n,
        G_PRIORITY_DEFAULT, question->cancellable, answered_cb, question);
}

void
peer_question_answer(PeerQuestion *question, MessageType type, guint32 number, const char *text)
{
    answer(question, type, number, text, QUESTION_MS);
}

void
peer_question_take(PeerQuestion *question, GBytes *body)
{
    gsize size = body ? g_bytes_get_size(body) : 0;

    if (size > MESSAGE_BODY_MAX) {
        peer_question_answer(question, MESSAGE_REFUSED, 0, "its answer is too long to be sent");
        return;
    }
    question->reply_body = body ? g_bytes_ref(body) : NULL;
    answer(question, MESSAGE_TAKEN, (guint32)size, NULL, REPLY_MS);
}
