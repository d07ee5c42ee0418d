/*
 * half.c: what the source's QEMU knows of a dirty bitmap that a pause has cut off, as bytes
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bitmap/half.h"

#include <glib/gi18n-lib.h>
#include <string.h>

G_DEFINE_QUARK(holdfast - half - error - quark, half_error)

#define VERSION     1
#define OLDEST      1
#define HEAD_BYTES  8
#define ENTRY_BYTES 32
#define PAIR_BYTES  16
/* QEMU's: BDRV_BITMAP_MAX_NAME_SIZE of include/block/dirty-bitmap.h, and UINT8_MAX for an alias on
 * the stream (migration/block-dirty-bitmap.c), QEMU 10.0. */
#define NAME_MAX_BYTES 1023
/* block-dirty-bitmap-add takes these (block/dirty-bitmap.c, QEMU 10.0). */
#define GRANULARITY_MIN 512
#define GRANULARITY_MAX (1u << 31)

enum { FLAG_RECORDING = 1, FLAG_PERSISTENT = 2 };

BitmapHalf *
half_new(const char *node_alias, const char *alias)
{
    BitmapHalf *half = g_new0(BitmapHalf, 1);

    half->node_alias = g_strdup(node_alias);
    half->alias = g_strdup(alias);
    half->extents = g_array_new(FALSE, FALSE, sizeof(Extent));
    return half;
}

void
half_free(BitmapHalf *half)
{
    if (!half)
        return;
    g_free(half->node_alias);
    g_free(half->alias);
    g_array_unref(half->extents);
    g_free(half);
}

const BitmapHalf *
half_find(const GPtrArray *halves, const char *node_alias, const char *alias)
{
    for (guint i = 0; i < halves->len; i++) {
        const BitmapHalf *half = halves->pdata[i];

        if (g_str_equal(half->node_alias, node_alias) && g_str_equal(half->alias, alias))
            return half;
    }
    return NULL;
}

/* --- to bytes --- */

static void
put(GByteArray *to, guint64 value, guint n_bytes)
{
    guint64 big = GUINT64_TO_BE(value);

    g_byte_array_append(to, (const guint8 *)&big + sizeof(big) - n_bytes, n_bytes);
}

gsize
half_get_size(const BitmapHalf *half)
{
    return ENTRY_BYTES + strlen(half->node_alias) + strlen(half->alias) +
           (gsize)half->extents->len * PAIR_BYTES;
}

static void
put_half(GByteArray *to, const BitmapHalf *half)
{
    put(to, strlen(half->node_alias), 2);
    put(to, strlen(half->alias), 2);
    put(to, (half->recording ? FLAG_RECORDING : 0) | (half->persistent ? FLAG_PERSISTENT : 0), 2);
    put(to, 0, 2);
    put(to, half->granularity_bytes, 8);
    put(to, half->size_bytes, 8);
    put(to, half->extents->len, 8);
    g_byte_array_append(to, (const guint8 *)half->node_alias, (guint)strlen(half->node_alias));
    g_byte_array_append(to, (const guint8 *)half->alias, (guint)strlen(half->alias));
    for (guint i = 0; i < half->extents->len; i++) {
        const Extent *extent = &g_array_index(half->extents, Extent, i);

        put(to, extent->offset_bytes, 8);
        put(to, extent->length_bytes, 8);
    }
}

GBytes *
half_encode(const GPtrArray *halves)
{
    GByteArray *bytes = g_byte_array_new();

    put(bytes, VERSION, 2);
    put(bytes, OLDEST, 2);
    put(bytes, halves->len, 4);
    for (guint i = 0; i < halves->len; i++)
        put_half(bytes, halves->pdata[i]);
    return g_byte_array_free_to_bytes(bytes);
}

/* --- and back --- */

typedef struct {
    const guint8 *at;
    gsize left;
} Reader;

static gboolean
take(Reader *reader, guint64 *value, guint n_bytes)
{
    if (reader->left < n_bytes)
        return FALSE;
    *value = 0;
    for (guint i = 0; i < n_bytes; i++)
        *value = *value << 8 | reader->at[i];
    reader->at += n_bytes;
    reader->left -= n_bytes;
    return TRUE;
}

/* NULL for what is no name. */
static char *
take_name(Reader *reader, guint64 length)
{
    const char *name = (const char *)reader->at;

    if (length == 0 || length > NAME_MAX_BYTES || length > reader->left ||
        memchr(name, '\0', length) || !g_utf8_validate(name, (gssize)length, NULL))
        return NULL;
    reader->at += length;
    reader->left -= length;
    return g_strndup(name, length);
}

static gboolean
take_extents(Reader *reader, guint64 count, BitmapHalf *half)
{
    guint64 end = 0;

    if (count > reader->left / PAIR_BYTES)
        return FALSE;
    g_array_set_size(half->extents, (guint)count);
    for (guint i = 0; i < count; i++) {
        Extent *extent = &g_array_index(half->extents, Extent, i);

        if (!take(reader, &extent->offset_bytes, 8) || !take(reader, &extent->length_bytes, 8) ||
            extent->length_bytes == 0 || extent->offset_bytes > half->size_bytes ||
            extent->length_bytes > half->size_bytes - extent->offset_bytes ||
            (i > 0 && extent->offset_bytes <= end))
            return FALSE;
        end = extent->offset_bytes + extent->length_bytes;
    }
    return TRUE;
}

static BitmapHalf *
take_half(Reader *reader)
{
    guint64 node_length, length, flags, zero, granularity, size, count;
    g_autofree char *node = NULL, *name = NULL;
    g_autoptr(BitmapHalf) half = NULL;

    if (!take(reader, &node_length, 2) || !take(reader, &length, 2) || !take(reader, &flags, 2) ||
        !take(reader, &zero, 2) || !take(reader, &granularity, 8) || !take(reader, &size, 8) ||
        !take(reader, &count, 8))
        return NULL;
    if ((flags & ~(guint64)(FLAG_RECORDING | FLAG_PERSISTENT)) || zero ||
        granularity < GRANULARITY_MIN || granularity > GRANULARITY_MAX ||
        (granularity & (granularity - 1)) || size > G_MAXINT64)
        return NULL;
    node = take_name(reader, node_length);
    name = node ? take_name(reader, length) : NULL;
    if (!name)
        return NULL;
    half = half_new(node, name);
    half->granularity_bytes = granularity;
    half->size_bytes = size;
    half->recording = (flags & FLAG_RECORDING) != 0;
    half->persistent = (flags & FLAG_PERSISTENT) != 0;
    return take_extents(reader, count, half) ? g_steal_pointer(&half) : NULL;
}

GPtrArray *
half_decode(GBytes *bytes, GError **error)
{
    g_autoptr(GPtrArray) halves = g_ptr_array_new_with_free_func((GDestroyNotify)half_free);
    Reader reader = {0};
    guint64 version, oldest, count;
    gboolean good;

    reader.at = g_bytes_get_data(bytes, &reader.left);
    good = take(&reader, &version, 2) && take(&reader, &oldest, 2) && take(&reader, &count, 4);
    if (good && oldest > VERSION) {
        g_set_error(error, HALF_ERROR, HALF_ERROR_VERSION,
                    _("the dirty bitmaps come in version %1$u of their form, which is too new: "
                      "update Holdfast on this host"),
                    (guint)oldest);
        return NULL;
    }
    for (guint64 i = 0; good && i < count; i++) {
        BitmapHalf *half = take_half(&reader);

        good = half != NULL;
        if (half)
            g_ptr_array_add(halves, half);
    }
    if (!good || reader.left) {
        g_set_error_literal(error, HALF_ERROR, HALF_ERROR_INVALID,
                            _("the dirty bitmaps that were sent make no sense"));
        return NULL;
    }
    return g_steal_pointer(&halves);
}
