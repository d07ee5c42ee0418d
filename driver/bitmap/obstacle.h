/*
 * obstacle.h: what keeps a dirty bitmap from travelling with its guest, known before it leaves
 *
 * Pure: no QEMU. Any thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

#include "model/policy.h"

typedef enum {
    OBSTACLE_NONE,
    OBSTACLE_INCONSISTENT,      /* a QEMU that had it was killed; it is worth nothing */
    OBSTACLE_INCONSISTENT_SENT, /* ... and QEMU refuses to send the others of its image with it */
    OBSTACLE_DISABLED,          /* libvirt sends none that is not recording */
    OBSTACLE_UNSUPPORTED,       /* the destination's image cannot hold it */
    OBSTACLE_TAKEN,             /* the destination's image has one of that name */
    OBSTACLE_TAKEN_LEFT,        /* ... and libvirt has seen it, and does not send ours */
} Obstacle;
#define OBSTACLE_LAST (OBSTACLE_TAKEN_LEFT + 1)

/** What is known at the source; of Bitmap (view.h) what is named alike. */
typedef struct {
    gboolean copied; /* the destination gets an image of its own, and bitmaps over the stream */
    gboolean inconsistent;
    gboolean persistent;
    gboolean recording;
    gboolean mapped;   /* QEMU is to send bitmaps of this image */
    gboolean accepted; /* the destination's libvirt takes this one; TRUE before it was asked */
    gboolean taken;    /* its Holdfast has found one of that name */
} ObstacleFacts;

Obstacle obstacle_find(const ObstacleFacts *facts);

typedef enum {
    OBSTACLE_PASS,   /* nothing is in the way, or the bitmap stays behind */
    OBSTACLE_REMOVE, /* what is in the way is to be removed by the host that has it */
    OBSTACLE_REFUSE, /* the migration is not to begin */
} ObstacleAnswer;

/**
 * obstacle_answer:
 *
 * Where QEMU would refuse the migration later it is refused now, whatever the policy.
 *
 * @at_source: whether it is the source that asks: each host removes what is its own
 * @reason: (out) (optional): what is in the way, for a person; a static, translated text without a
 *   full stop; NULL for OBSTACLE_NONE
 */
ObstacleAnswer obstacle_answer(Obstacle obstacle,
                               PolicyOnDeparture policy,
                               gboolean at_source,
                               const char **reason);
