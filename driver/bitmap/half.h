/*
 * half.h: what the source's QEMU knows of a dirty bitmap that a pause has cut off on its way, as
 * bytes
 *
 * Big endian, and proportional to what is dirty:
 *
 *      0       2       4               8
 *      +-------+-------+---------------+
 *      |version|oldest | count         |  and then for each bitmap, without gaps:
 *      +-------+-------+---------------+
 *
 *      0       2       4       6       8              16              24              32
 *      +-------+-------+-------+-------+--------------+---------------+---------------+-----------
 *      |length | length| flags |   0   | granularity  | size of disk  | extents       | names,
 *      |of node| of it |       |       | in bytes     | in bytes      |               | extents
 *      +-------+-------+-------+-------+--------------+---------------+---------------+-----------
 *
 * The names are the aliases on the migration's stream, without an end of their own; an extent is
 * its offset and its length in bytes, 8 each, ascending, apart from each other and within the disk.
 *
 * Pure. What is read comes from another host: nothing of it is believed before it is checked.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "util/extent.h"

typedef struct {
    char *node_alias;
    char *alias;
    guint64 granularity_bytes;
    guint64 size_bytes; /* of the disk */
    gboolean recording;
    gboolean persistent;
    GArray *extents; /* of Extent; what is dirty */
} BitmapHalf;

/** half_new: with no extents; the names are copied */
BitmapHalf *half_new(const char *node_alias, const char *alias);
void half_free(BitmapHalf *half);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BitmapHalf, half_free)

#define HALF_ERROR (half_error_quark())
GQuark half_error_quark(void);
typedef enum {
    HALF_ERROR_VERSION, /* of a version that we cannot read */
    HALF_ERROR_INVALID, /* lengths, numbers or text that make no sense */
} HalfError;

/** half_encode: @halves: (element-type BitmapHalf) */
GBytes *half_encode(const GPtrArray *halves);

/** Returns: (element-type BitmapHalf) (transfer full): NULL with HALF_ERROR. Takes no more memory
 * than a small multiple of the bytes. */
GPtrArray *half_decode(GBytes *bytes, GError **error);

/** How many bytes half_encode() makes of this one, less the header. */
gsize half_get_size(const BitmapHalf *half);

/** Borrowed; NULL if there is none. */
const BitmapHalf *half_find(const GPtrArray *halves, const char *node_alias, const char *alias);
