/*
 * nbdio.c: an export of QEMU's NBD server, read and written by extents
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/nbdio.h"

#include <glib/gi18n-lib.h>
#include <libnbd.h>

G_DEFINE_QUARK(holdfast - nbdio - error - quark, nbdio_error)

/* How soon a stop of the daemon is noticed. */
#define SLICE_MS 200
/* A length on the wire has 32 bits; a multiple of every granularity. */
#define REQUEST_MAX_BYTES (1ull << 31)
/* Written without waiting for the answers before: QEMU serves 16 of a connection at a time
 * (MAX_NBD_REQUESTS, nbd/server.c, QEMU 10.0). */
#define WINDOW 16
/* The first bit of what QEMU says of a stretch (docs/interop/nbd.txt, QEMU 10.0). */
#define DIRTY 1

static int released;

void
nbdio_release_all(void)
{
    g_atomic_int_set(&released, 1);
}

typedef struct nbd_handle Handle;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Handle, nbd_close)

static gboolean
fail(GError **error)
{
    const char *why = nbd_get_error();

    g_set_error(error, NBDIO_ERROR, NBDIO_ERROR_FAILED, _("QEMU's NBD server fails: %1$s"),
                why ? why : "-");
    return FALSE;
}

/* One turn of the state machine. */
static gboolean
turn(Handle *handle, const Nbdio *nbd, GError **error)
{
    gint64 left_ms = (nbd->deadline_us - g_get_monotonic_time()) / G_TIME_SPAN_MILLISECOND;

    if (g_atomic_int_get(&released)) {
        g_set_error_literal(error, NBDIO_ERROR, NBDIO_ERROR_STOPPED, _("the daemon stops"));
        return FALSE;
    }
    if (left_ms <= 0) {
        g_set_error_literal(error, NBDIO_ERROR, NBDIO_ERROR_DEADLINE,
                            _("QEMU's NBD server did not answer in time"));
        return FALSE;
    }
    return nbd_poll(handle, (int)MIN(left_ms, SLICE_MS)) >= 0 || fail(error);
}

/* NULL with @error set. */
static Handle *
open_export(const Nbdio *nbd, const char *context, GError **error)
{
    g_autoptr(Handle) handle = nbd_create();

    if (!handle || nbd_set_export_name(handle, nbd->name) < 0 ||
        (context && nbd_add_meta_context(handle, context) < 0) ||
        nbd_aio_connect_unix(handle, nbd->socket) < 0) {
        fail(error);
        return NULL;
    }
    while (nbd_aio_is_connecting(handle)) {
        if (!turn(handle, nbd, error))
            return NULL;
    }
    if (!nbd_aio_is_ready(handle) || (context && nbd_can_meta_context(handle, context) != 1)) {
        fail(error);
        return NULL;
    }
    return g_steal_pointer(&handle);
}

/* Waits for a command that has been sent. */
static gboolean
complete(Handle *handle, const Nbdio *nbd, gint64 cookie, GError **error)
{
    int done;

    if (cookie < 0)
        return fail(error);
    while ((done = nbd_aio_command_completed(handle, (guint64)cookie)) == 0) {
        if (!turn(handle, nbd, error))
            return FALSE;
    }
    return done == 1 || fail(error);
}

/* --- reading --- */

typedef struct {
    GArray *extents;
    guint max;
    guint64 end; /* of what has been told of so far */
    guint64 size;
    gboolean many;
} Reading;

static void
add_dirty(Reading *reading, guint64 length)
{
    Extent *last = reading->extents->len
                       ? &g_array_index(reading->extents, Extent, reading->extents->len - 1)
                       : NULL;

    if (last && last->offset_bytes + last->length_bytes == reading->end)
        last->length_bytes += length;
    else if (reading->extents->len < reading->max)
        g_array_append_val(reading->extents, ((Extent){reading->end, length}));
    else
        reading->many = TRUE;
}

/* A server may tell of less than was asked for, and of more. */
static int
extent_cb(void *opaque,
          const char *context,
          uint64_t offset,
          uint32_t *entries,
          size_t n_entries,
          int *error)
{
    Reading *reading = opaque;

    for (size_t i = 0; i + 1 < n_entries && offset == reading->end; i += 2) {
        guint64 length = MIN(entries[i], reading->size - reading->end);

        if (length > 0 && (entries[i + 1] & DIRTY))
            add_dirty(reading, length);
        reading->end += length;
        offset = reading->end;
    }
    return 0;
}

static gboolean
read_all(Handle *handle, const Nbdio *nbd, Reading *reading, GError **error)
{
    while (reading->end < reading->size && !reading->many) {
        guint64 begin = reading->end;
        gint64 cookie =
            nbd_aio_block_status(handle, MIN(reading->size - begin, REQUEST_MAX_BYTES), begin,
                                 (nbd_extent_callback){.callback = extent_cb, .user_data = reading},
                                 NBD_NULL_COMPLETION, 0);

        if (!complete(handle, nbd, cookie, error))
            return FALSE;
        if (reading->end == begin) {
            g_set_error_literal(error, NBDIO_ERROR, NBDIO_ERROR_FAILED,
                                _("QEMU's NBD server does not tell what is dirty"));
            return FALSE;
        }
    }
    if (reading->many)
        g_set_error(error, NBDIO_ERROR, NBDIO_ERROR_MANY,
                    _("what is dirty is in more than %1$u places"), reading->max);
    return !reading->many;
}

gboolean
nbdio_fetch_dirty(const Nbdio *nbd, const char *context, guint max, GArray *extents, GError **error)
{
    g_autoptr(Handle) handle = open_export(nbd, context, error);
    Reading reading = {.extents = extents, .max = max};
    gint64 size;

    if (!handle)
        return FALSE;
    size = nbd_get_size(handle);
    if (size < 0)
        return fail(error);
    reading.size = (guint64)size;
    return read_all(handle, nbd, &reading, error);
}

/* --- writing --- */

static gboolean
write_extent(Handle *handle, const Nbdio *nbd, const Extent *extent, GQueue *sent, GError **error)
{
    for (guint64 done = 0, length; done < extent->length_bytes; done += length) {
        gint64 *cookie;

        length = MIN(extent->length_bytes - done, REQUEST_MAX_BYTES);
        if (sent->length >= WINDOW) {
            g_autofree gint64 *oldest = g_queue_pop_head(sent);

            if (!complete(handle, nbd, *oldest, error))
                return FALSE;
        }
        cookie = g_new(gint64, 1);
        *cookie = nbd_aio_zero(handle, length, extent->offset_bytes + done, NBD_NULL_COMPLETION, 0);
        g_queue_push_tail(sent, cookie);
    }
    return TRUE;
}

gboolean
nbdio_write_zeroes(const Nbdio *nbd, const GArray *extents, GError **error)
{
    g_autoptr(Handle) handle = open_export(nbd, NULL, error);
    GQueue sent = G_QUEUE_INIT;
    gboolean good = handle != NULL;

    for (guint i = 0; good && i < extents->len; i++)
        good = write_extent(handle, nbd, &g_array_index(extents, Extent, i), &sent, error);
    while (good && sent.length > 0) {
        g_autofree gint64 *cookie = g_queue_pop_head(&sent);

        good = complete(handle, nbd, *cookie, error);
    }
    g_queue_clear_full(&sent, g_free);
    return good;
}
