/*
 * decision-priv.h: the table itself, for the documentation that is made of it and for its tests
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "bitmap/decision.h"

/* What a row asks of a fact: one bit for each of its values. */
#define BITMAP_IS(value) (1u << (value))
#define BITMAP_ANY       (~0u)
#define BITMAP_YES       BITMAP_IS(TRUE)
#define BITMAP_NO        BITMAP_IS(FALSE)

typedef struct {
    guint phase;
    guint storage;
    guint on_stream;
    guint never_active;
    guint image;
    guint guard;
    guint halves;
    BitmapDecision decision;
    const char *reason; /* to be translated */
} BitmapRow;

/** The first row that fits decides; there is one for all that may be. */
extern const BitmapRow bitmap_rows[];
extern const guint n_bitmap_rows;

/** The row for the facts, before the policy has its say. */
const BitmapRow *bitmap_find_row(const BitmapCase *facts);
