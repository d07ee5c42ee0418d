/*
 * peer-body.c: the body of a message between hosts, read as it arrives
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/peer-priv.h"

/* What is read at a time. */
#define PART_BYTES (64 * 1024)
/* TCP sends again what was lost within a few seconds; whoever sends nothing for so long is gone, or
 * does it on purpose. */
#define PART_MS 5000

typedef struct {
    GInputStream *stream;
    GCancellable *cancellable;
    GSource *deadline;
    GByteArray *bytes;
    gsize length;
    PeerBodyFn done;
    gpointer opaque;
    guint8 part[PART_BYTES];
} Body;

static void
body_finish(Body *body, const GError *error)
{
    GBytes *bytes = error ? NULL : g_byte_array_free_to_bytes(g_steal_pointer(&body->bytes));

    peer_deadline_stop(&body->deadline);
    body->done(bytes, error, body->opaque);
    g_clear_pointer(&body->bytes, g_byte_array_unref);
    g_object_unref(body->stream);
    g_object_unref(body->cancellable);
    g_free(body);
}

static void part_cb(GObject *stream, GAsyncResult *result, gpointer opaque);

static void
read_part(Body *body)
{
    gsize rest = body->length - body->bytes->len;

    peer_deadline_stop(&body->deadline);
    body->deadline = peer_deadline_start(PART_MS, peer_cancel_cb, body->cancellable);
    g_input_stream_read_async(body->stream, body->part, MIN(rest, PART_BYTES), G_PRIORITY_DEFAULT,
                              body->cancellable, part_cb, body);
}

static void
part_cb(GObject *stream, GAsyncResult *result, gpointer opaque)
{
    Body *body = opaque;
    g_autoptr(GError) error = NULL;
    gssize n = g_input_stream_read_finish(G_INPUT_STREAM(stream), result, &error);

    if (n == 0 && body->bytes->len < body->length)
        g_set_error_literal(&error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED,
                            "the other host closed the connection");
    if (n > 0)
        g_byte_array_append(body->bytes, body->part, (guint)n);
    if (error || body->bytes->len == body->length)
        body_finish(body, error);
    else
        read_part(body);
}

void
peer_body_read(
    GInputStream *stream, gsize length, GCancellable *cancellable, PeerBodyFn done, gpointer opaque)
{
    Body *body = g_new0(Body, 1);

    body->stream = g_object_ref(stream);
    body->cancellable = g_object_ref(cancellable);
    body->bytes = g_byte_array_new();
    body->length = length;
    body->done = done;
    body->opaque = opaque;
    read_part(body);
}
