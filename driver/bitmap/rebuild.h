/*
 * rebuild.h: dirty bitmaps that a pause in postcopy has cut off on their way, made of two halves
 *
 * Pure: it says what QEMU is to be told, and in what order; driver/run tells it.
 *
 * How it works. QEMU sends bitmaps after the guest's memory, and gives those up that were still on
 * their way when the channel broke, for good (qemu_loadvm_state_main(), migration/savevm.c, QEMU
 * 10.0): the recovered migration completes without them. Then the source's QEMU has what was
 * written before the switch, and nobody what was written since, unless it was recorded:
 *
 *   tracker  at the destination, before the guest runs there: a bitmap of ours on each node that
 *            bitmaps are coming to. Whichever did arrive need it no more.
 *   read     at the source, before its QEMU is let go: what a bitmap marks can be read over NBD
 *            alone, and not of an inactive image. It is merged into a bitmap of a scratch node
 *            (null-co), which is exported.
 *   mark     at the destination: the extents are written as zeroes to a scratch node, whose bitmap
 *            so marks them; nothing of it goes to the disk.
 *   make     one transaction: add the bitmap, merge the scratch node's and the tracker into it.
 *            Atomic towards the guest's writes, and nothing has happened if it fails.
 *   end      scratch nodes and trackers are removed, and QEMU forgets that bitmaps were on their
 *            way, so that it knows itself whether there is anything left to do.
 *
 * What is ours in QEMU tells so by its name, for a daemon that was restarted in between.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "bitmap/half.h"
#include "bitmap/view.h"

/** What a tracker is to be. */
typedef struct {
    const char *node; /* borrowed of the mapping */
    guint64 granularity_bytes;
} Tracker;

/**
 * rebuild_plan_trackers: at the destination, before the guest runs there
 *
 * A node gets one for all of its bitmaps that have not arrived, as fine as the finest; none where
 * there is one already.
 *
 * Returns: (element-type Tracker) (transfer full).
 */
GArray *rebuild_plan_trackers(const GPtrArray *mapping, const GPtrArray *view);
char *rebuild_tracker_command(const Tracker *tracker);

/** Of the bitmaps in the mapping, whether this one is there with all that was sent. */
gboolean rebuild_has_arrived(const MappedBitmap *mapped, const GPtrArray *view);
/** Whether what was written at the destination to the node was recorded. */
gboolean rebuild_is_tracked(const char *node, const GPtrArray *view);
gboolean rebuild_has_trackers(const GPtrArray *view);

/** Whether a bitmap, or a node, is one of ours. */
gboolean rebuild_is_tracker(const Bitmap *bitmap);
gboolean rebuild_is_scratch(const char *node);

/**
 * rebuild_plan_half: a bitmap at the source as it is to be sent, without its extents yet
 *
 * Returns: NULL when it is not there, or not right, or of a size that QEMU does not tell.
 */
BitmapHalf *
rebuild_plan_half(const MappedBitmap *mapped, const GPtrArray *view, const GPtrArray *nodes);

/* The commands. A scratch node is told by a number. Free each with g_free(). */

/** The node's name, which is also that of its export. */
char *rebuild_get_scratch(guint number);
/** NBD's name for the bitmap of the export that reads it, and what QEMU calls it. */
#define REBUILD_SCRATCH_BITMAP "holdfast-scratch"
#define REBUILD_NBD_CONTEXT    "qemu:dirty-bitmap:" REBUILD_SCRATCH_BITMAP

char *rebuild_scratch_command(guint number, guint64 size_bytes);
/** At the source: a bitmap of the scratch node with the content of this one. */
char *rebuild_fill_command(guint number, const MappedBitmap *mapped, const BitmapHalf *half);
/** At the destination: an empty one. */
char *rebuild_record_command(guint number, const BitmapHalf *half);
/** The name under which QEMU is passed the listening socket, see qmp_job_pass_fd(). */
#define REBUILD_FD "holdfast-nbd"
const char *rebuild_listen_command(void);
/** @writable: at the destination, to be marked */
char *rebuild_export_command(guint number, gboolean writable);
const char *rebuild_unlisten_command(void);
/** The bitmap itself, at the destination. */
char *rebuild_make_command(guint number, const MappedBitmap *mapped, const BitmapHalf *half);
char *rebuild_remove_command(const char *node);
char *rebuild_drop_scratch_command(const char *node);
