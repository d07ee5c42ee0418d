/*
 * decision.h: what becomes of a dirty bitmap after a migration
 *
 * A dirty bitmap is what an incremental backup stands on: it has to mark all that was written since
 * the backup before. After a migration that failed, was cancelled, or was paused in postcopy it may
 * be lost, stale, or right but about to be forgotten. Which of these, and what can be done, follows
 * from a few facts; the table is in decision.c, and docs/bitmaps.md is made of it.
 *
 * What always holds, tested over all that may happen to the two hosts: no decision leaves a bitmap
 * that misses a write, and a stricter policy never changes a decision into anything but a drop.
 *
 * Pure: no QEMU, no clock. Any thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

#include "model/policy.h"

typedef enum {
    BITMAP_STORAGE_SHARED, /* both hosts use the one image */
    BITMAP_STORAGE_COPIED, /* the destination has an image of its own */
} BitmapStorage;

/** How far the migration came, and where the guest is or is to be now. */
typedef enum {
    /* It stays at the source, which never gave its images up: setup, active, pre-switchover. */
    BITMAP_PHASE_PRECOPY,
    /* The source gave them up, and QEMU took them again by itself: `device`, then `failed`. */
    BITMAP_PHASE_DEVICE,
    /* The source had completed, its images are inactive, and the guest is to come back to it. */
    BITMAP_PHASE_COMPLETED,
    /* Postcopy was given up; the guest can only be started anew from its images. */
    BITMAP_PHASE_LOST,
    /* It runs at the destination, which all of the migration's stream has reached. */
    BITMAP_PHASE_ARRIVED,
    /* It runs at the destination, after a pause in postcopy. */
    BITMAP_PHASE_RECOVERED,
} BitmapPhase;
#define BITMAP_PHASE_LAST (BITMAP_PHASE_RECOVERED + 1)

/** What the image says of the bitmap, seen without activating it; at BITMAP_PHASE_DEVICE, what it
 * said when QEMU took it up again. */
typedef enum {
    BITMAP_IMAGE_UNREAD,     /* it could not be looked at */
    BITMAP_IMAGE_ABSENT,     /* it has no such bitmap */
    BITMAP_IMAGE_IN_USE,     /* whoever had it last has not stored it: inconsistent */
    BITMAP_IMAGE_CONSISTENT, /* stored when the image was last given up */
} BitmapImage;
#define BITMAP_IMAGE_LAST (BITMAP_IMAGE_CONSISTENT + 1)

/** The guard: a bitmap of the image that was empty when the source gave it up. */
typedef enum {
    BITMAP_GUARD_NONE,    /* there never was one */
    BITMAP_GUARD_MISSING, /* somebody has taken it away */
    BITMAP_GUARD_IN_USE,  /* whoever had the image last has not stored it */
    BITMAP_GUARD_EMPTY,   /* nothing was written */
    BITMAP_GUARD_WRITTEN, /* it holds what was written */
} BitmapGuard;
#define BITMAP_GUARD_LAST (BITMAP_GUARD_WRITTEN + 1)

/** The facts of one bitmap. */
typedef struct {
    BitmapStorage storage;
    gboolean on_stream; /* QEMU's dirty-bitmaps capability, with the bitmap in its mapping */
    BitmapPhase phase;
    gboolean never_active; /* it is proven that the destination never had the image active */
    BitmapImage image;
    BitmapGuard guard;
    gboolean halves; /* the source's bitmap, and a record of the destination's writes, are there */
    PolicyOnReturn on_return;
} BitmapCase;

typedef enum {
    BITMAP_NOTHING, /* it is right, and stays so */
    BITMAP_REPAIR,  /* it is right, but QEMU would not store it: made anew with the same content */
    BITMAP_RESTORE, /* what the source's QEMU has in memory is right */
    BITMAP_ADOPT,   /* what the image holds is right; a copy in memory goes before activation */
    BITMAP_MERGE,   /* the copy in memory and the guard together mark all that was written */
    BITMAP_REBUILD, /* the source's bitmap and the record of the destination's writes, merged */
    BITMAP_DROP,    /* it is removed: the next backup is a full one */
    BITMAP_LEAVE,   /* it cannot travel, and the migration goes on without it (obstacle.h) */
    BITMAP_REFUSE,  /* it cannot travel, and the migration is refused */
} BitmapDecision;
#define BITMAP_DECISION_LAST (BITMAP_REFUSE + 1)

/**
 * bitmap_decide:
 * @reason: (out) (optional): why, for a person; a static, translated text without a full stop
 */
BitmapDecision bitmap_decide(const BitmapCase *facts, const char **reason);

/**
 * bitmap_guard_tells: whether a guard can save a bitmap that is dropped without one
 * @on_return: the policy's
 *
 * Computed from the table, over all that may become known of a guest that comes back.
 */
gboolean bitmap_guard_tells(BitmapStorage storage, gboolean on_stream, PolicyOnReturn on_return);

/** A static string such as "repair". */
const char *bitmap_decision_to_string(BitmapDecision decision);
