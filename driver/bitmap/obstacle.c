/*
 * obstacle.c: what keeps a dirty bitmap from travelling with its guest, known before it leaves
 *
 * How it works. Where storage is copied the source's libvirt offers the bitmaps of a disk that are
 * persistent, recording and consistent (qemuMigrationSrcBeginPhaseBlockDirtyBitmaps() and
 * qemuBlockBitmapChainIsValid()), and the destination's takes those that its image can hold and has
 * not already, as far as it can see (qemuMigrationDstPrepareAnyBlockDirtyBitmaps(), src/qemu,
 * 9.0.0 and 11.3.0): an image that is not active yet does not show its bitmaps to it, and then it
 * is QEMU that fails, when storage is copied and memory begins to be. QEMU at the source looks at
 * every bitmap of an image of which it is to send any, and refuses all for one that is inconsistent
 * (add_bitmaps_to_list() and dirty_bitmap_load_start(), migration/block-dirty-bitmap.c, QEMU 10.0).
 * On shared storage bitmaps stay in the image, as they are.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bitmap/obstacle.h"

#include <glib/gi18n-lib.h>

typedef enum { SIDE_NONE, SIDE_SOURCE, SIDE_DESTINATION } Side;

/* clang-format off */
static const struct {
    gboolean fatal; /* QEMU would refuse the migration */
    Side removable; /* who can remove it */
    const char *reason;
} obstacles[OBSTACLE_LAST] = {
    [OBSTACLE_INCONSISTENT]      = { FALSE, SIDE_SOURCE,      N_("it is inconsistent: a QEMU that was killed had not stored it") },
    [OBSTACLE_INCONSISTENT_SENT] = { TRUE,  SIDE_SOURCE,      N_("it is inconsistent, and QEMU refuses to send the others of its image beside it") },
    [OBSTACLE_DISABLED]          = { FALSE, SIDE_NONE,        N_("it is disabled, and libvirt does not send it") },
    [OBSTACLE_UNSUPPORTED]       = { FALSE, SIDE_NONE,        N_("the destination does not take it: only an image in qcow2 version 3 (compat=1.1) can hold it") },
    [OBSTACLE_TAKEN]             = { TRUE,  SIDE_DESTINATION, N_("the destination's image has one of that name already, and QEMU would fail when it arrives") },
    [OBSTACLE_TAKEN_LEFT]        = { FALSE, SIDE_DESTINATION, N_("the destination's image has one of that name already") },
};
/* clang-format on */

Obstacle
obstacle_find(const ObstacleFacts *facts)
{
    if (facts->inconsistent)
        return facts->copied && facts->mapped ? OBSTACLE_INCONSISTENT_SENT : OBSTACLE_INCONSISTENT;
    /* One that is not persistent is somebody's of the moment. */
    if (!facts->copied || !facts->persistent)
        return OBSTACLE_NONE;
    if (!facts->recording)
        return OBSTACLE_DISABLED;
    if (facts->taken)
        return facts->accepted ? OBSTACLE_TAKEN : OBSTACLE_TAKEN_LEFT;
    return facts->accepted ? OBSTACLE_NONE : OBSTACLE_UNSUPPORTED;
}

ObstacleAnswer
obstacle_answer(Obstacle obstacle,
                PolicyOnDeparture policy,
                gboolean at_source,
                const char **reason)
{
    gboolean removable =
        obstacles[obstacle].removable == (at_source ? SIDE_SOURCE : SIDE_DESTINATION);

    if (reason)
        *reason = obstacles[obstacle].reason ? _(obstacles[obstacle].reason) : NULL;
    if (obstacle == OBSTACLE_NONE)
        return OBSTACLE_PASS;
    if (policy == POLICY_ON_DEPARTURE_REFUSE)
        return OBSTACLE_REFUSE;
    if (policy == POLICY_ON_DEPARTURE_DROP && removable)
        return OBSTACLE_REMOVE;
    return obstacles[obstacle].fatal ? OBSTACLE_REFUSE : OBSTACLE_PASS;
}
