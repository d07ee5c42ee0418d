/*
 * clock.h: virtual time, and the dice of a schedule
 *
 * What is to happen stands in one heap, ordered by time and then by when it was asked for, so the
 * same seed gives the same run. Nothing is taken out again: whoever is called looks first whether
 * the call is still meant (see the generations of those who ask).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

typedef struct World World;

/** What comes with a call; each caller has its own use for them. */
typedef struct {
    guint host; /* MigrationRole */
    guint generation;
    guint number;
    guint other;
} ClockArgs;

typedef void (*ClockFn)(World *world, const ClockArgs *args);

typedef struct {
    gint64 at_usec;
    guint64 order;
    ClockFn fn;
    ClockArgs args;
} ClockEntry;

typedef struct {
    gint64 now_usec;
    guint64 order;
    GArray *heap; /* of ClockEntry, the next first */
} Clock;

typedef struct {
    guint64 state;
} Dice;

#define MSEC G_GINT64_CONSTANT(1000)
#define SEC  G_GINT64_CONSTANT(1000000)

void clock_init(Clock *clock);
void clock_clear(Clock *clock);
/** Back to time zero with nothing to do. */
void clock_reset(Clock *clock);
void clock_after(Clock *clock, gint64 usec, ClockFn fn, ClockArgs args);
/** Moves on to what is next and calls it; FALSE when that is nothing, or beyond @until_usec. */
gboolean clock_advance(Clock *clock, World *world, gint64 until_usec);

void dice_seed(Dice *dice, guint64 seed);
/** 0 to @n - 1. */
guint64 dice_below(Dice *dice, guint64 n);
gint64 dice_between(Dice *dice, gint64 min, gint64 max);
gboolean dice_chance(Dice *dice, guint percent);
/** Small numbers as often as great ones: from @min, at least 1, to @max. */
gint64 dice_scale(Dice *dice, gint64 min, gint64 max);
