/*
 * clock.c: virtual time, and the dice of a schedule
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "clock.h"

void
clock_init(Clock *clock)
{
    clock->heap = g_array_sized_new(FALSE, FALSE, sizeof(ClockEntry), 256);
    clock_reset(clock);
}

void
clock_clear(Clock *clock)
{
    g_array_unref(clock->heap);
}

void
clock_reset(Clock *clock)
{
    clock->now_usec = 0;
    clock->order = 0;
    g_array_set_size(clock->heap, 0);
}

static gboolean
is_before(const ClockEntry *a, const ClockEntry *b)
{
    return a->at_usec < b->at_usec || (a->at_usec == b->at_usec && a->order < b->order);
}

void
clock_after(Clock *clock, gint64 usec, ClockFn fn, ClockArgs args)
{
    ClockEntry entry = {clock->now_usec + MAX(usec, 0), clock->order++, fn, args};
    ClockEntry *heap;
    guint i = clock->heap->len;

    g_array_append_val(clock->heap, entry);
    heap = (ClockEntry *)clock->heap->data;
    while (i > 0 && is_before(&entry, &heap[(i - 1) / 2])) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = entry;
}

static ClockEntry
take_first(Clock *clock)
{
    ClockEntry *heap = (ClockEntry *)clock->heap->data;
    guint n = clock->heap->len - 1;
    ClockEntry first = heap[0], last = heap[n];
    guint i = 0, child;

    while ((child = 2 * i + 1) < n) {
        if (child + 1 < n && is_before(&heap[child + 1], &heap[child]))
            child++;
        if (!is_before(&heap[child], &last))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    g_array_set_size(clock->heap, n);
    return first;
}

gboolean
clock_advance(Clock *clock, World *world, gint64 until_usec)
{
    ClockEntry entry;

    if (clock->heap->len == 0 || g_array_index(clock->heap, ClockEntry, 0).at_usec > until_usec)
        return FALSE;
    entry = take_first(clock);
    clock->now_usec = entry.at_usec;
    entry.fn(world, &entry.args);
    return TRUE;
}

/* SplitMix64 (Steele, Lea, Flood 2014): any seed will do, neighbours too. */
static guint64
roll(Dice *dice)
{
    guint64 z = (dice->state += G_GUINT64_CONSTANT(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void
dice_seed(Dice *dice, guint64 seed)
{
    dice->state = seed;
}

guint64
dice_below(Dice *dice, guint64 n)
{
    return roll(dice) % n;
}

gint64
dice_between(Dice *dice, gint64 min, gint64 max)
{
    return min + (gint64)dice_below(dice, (guint64)(max - min) + 1);
}

gboolean
dice_chance(Dice *dice, guint percent)
{
    return dice_below(dice, 100) < percent;
}

gint64
dice_scale(Dice *dice, gint64 min, gint64 max)
{
    guint doublings = 0;
    gint64 low, n;

    while ((MAX(min, 1) << (doublings + 1)) <= max)
        doublings++;
    low = MAX(min, 1) << dice_below(dice, doublings + 1);
    n = dice_between(dice, low, 2 * low - 1);
    return MIN(n, max);
}
