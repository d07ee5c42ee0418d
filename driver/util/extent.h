/*
 * extent.h: a stretch of a disk
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

typedef struct {
    guint64 offset_bytes;
    guint64 length_bytes;
} Extent;
