/*
 * handback.h: a source's images and bitmaps when the guest comes back to it
 *
 * How it works. A source that has completed a migration has given its images up, and takes them
 * again when it is told to `cont`. That is refused while the destination has a shared image; but
 * what the refusal leaves behind is worse than the refusal: the node of the file stays active, with
 * the length that the file had, and a `cont` that succeeds later would read zeroes where the
 * destination has made the file longer (bdrv_activate(), block.c, QEMU 10.0). Such a *stray* node
 * is to be inactivated again before anything else is tried.
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
 * are not; none when all are alike.
 */
GPtrArray *handback_find_strays(const GPtrArray *nodes);

/** The QMP command that inactivates a stray; free with g_free(). */
char *handback_inactivate_command(const BlockNode *stray);

/**
 * handback_decide: what becomes of a bitmap once the source has its images again
 *
 * libvirt has QEMU send bitmaps only where it copies storage, and else leave them in the image, so
 * that those that QEMU has now are those that are to be restored or adopted already.
 */
BitmapDecision handback_decide(const Bitmap *bitmap, PolicyOnReturn on_return, const char **reason);

/** The QMP command that drops a bitmap; free with g_free(). */
char *handback_drop_command(const Bitmap *bitmap);
