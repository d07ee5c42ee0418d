/*
 * handback.h: a source's images and bitmaps when the guest comes back to it
 *
 * How it works. A source that has completed a migration has given its images up. To take them again
 * is refused while the destination has a shared one; but what the refusal leaves behind is worse
 * than the refusal: the node of the file stays active, with the length that the file had, and a
 * `cont` that succeeds later would read zeroes where the destination has made the file longer
 * (bdrv_activate(), block.c, QEMU 10.0). Such a *stray* node is to be inactivated again before
 * anything else is tried. In order:
 *
 *   strays     what an earlier attempt has left is inactivated
 *   look       at the images (peek.h); one that somebody has ends it here
 *   forget     what is in memory and whole in the image too: QEMU would eject the image
 *   activate   the images
 *   settle     by what QEMU has now: restore, adopt, merge or drop; the guard is removed
 *
 * and only then may the guest run. What is in memory after the look is what the image does not hold
 * whole. All of it can be repeated: a bitmap that was forgotten is in the image.
 *
 * Pure: it says what QEMU is to be told; driver/run tells it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "bitmap/decision.h"
#include "bitmap/view.h"

/**
 * handback_find_strays:
 * @nodes: (element-type BlockNode): of view_parse_nodes()
 *
 * Returns: (transfer container) (element-type BlockNode): the nodes that are active although others
 * are not; none when all are alike. A node of Holdfast's own (peek.h, rebuild.h) is neither.
 */
GPtrArray *handback_find_strays(const GPtrArray *nodes);

/** Whether there are nodes and all are active; of a QEMU before 10.0 always so. */
gboolean handback_is_active(const GPtrArray *nodes);

/** The QMP commands; free with g_free(). */
char *handback_inactivate_command(const BlockNode *stray);
char *handback_remove_command(const char *node, const char *name);
char *handback_merge_command(const char *node, const char *name);

/** ... and the one that takes all images; a static string. */
const char *handback_activate_command(void);

/** What is known of the migration. */
typedef struct {
    BitmapStorage storage;
    gboolean guarded; /* its images have a guard */
    PolicyOnReturn on_return;
} HandbackFacts;

/** A bitmap that was on the migration's stream, which QEMU keeps in memory. */
typedef struct {
    char *node;
    char *name;
    BitmapImage image;  /* BITMAP_IMAGE_IN_USE also for one that it does not have */
    gboolean forgotten; /* it was in memory, and is not any more; who tells QEMU says so */
} Handback;

/**
 * handback_list:
 * @parameters: of view_parse_mapping()
 *
 * Returns: (element-type Handback) (transfer full): none of them looked at.
 */
GArray *handback_list(const char *parameters);

/** Whether the bitmap in memory has to go before the images are activated. */
gboolean handback_goes_first(const Handback *handback);

/**
 * handback_judge: what becomes of a bitmap, once the images are active
 * @view: of view_parse(), since then
 * @list: (element-type Handback) (nullable): those that were looked at; NULL: QEMU took the images
 *   by itself, so that the image does not hold what was on the stream, or it would be ejected
 */
BitmapDecision handback_judge(const GPtrArray *view,
                              const Bitmap *bitmap,
                              const GArray *list,
                              const HandbackFacts *facts,
                              const char **reason);

/** handback_judge_gone: ... of one that was in memory, and is not to be seen any more */
BitmapDecision
handback_judge_gone(const Handback *handback, const HandbackFacts *facts, const char **reason);
