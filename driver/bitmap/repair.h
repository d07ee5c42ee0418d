/*
 * repair.h: a bitmap that QEMU would never store, made anew while the guest runs
 *
 * Pure: it says what QEMU is to be told, and in what order; driver/run tells it.
 *
 * How it works. QEMU stores no bitmap that it has begun to send (`skip_store`), and nothing but a
 * bitmap of the same name in its place mends that (migration/block-dirty-bitmap.c, QEMU 10.0). The
 * content is kept meanwhile in a copy, which marks what is written just as the bitmap does:
 *
 *   copy    transaction: add the copy, merge the bitmap into it      nothing has happened if it
 * fails remove  remove the bitmap                                        ... then the copy is
 * removed renew   transaction: add the bitmap, merge the copy into it      it is lost if this fails
 *   clean   remove the copy
 *
 * A transaction is atomic towards the guest's writes. One for all four is refused: a name cannot be
 * given anew in the transaction that removes it. A copy is never persistent, and its name tells
 * whose it is, so that whoever finds one of a daemon that was killed can go on (repair_plan()).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "bitmap/view.h"

typedef enum { REPAIR_COPY, REPAIR_REMOVE, REPAIR_RENEW, REPAIR_CLEAN, REPAIR_DONE } RepairStep;

/** What there is to do for one bitmap. */
typedef struct {
    Bitmap *bitmap;   /* what it was and is to be again */
    RepairStep first; /* REPAIR_COPY, or where somebody left off */
} Repair;

/**
 * repair_plan:
 * @view: of view_parse()
 *
 * The bitmaps on the stream that can be repaired, and those of which only a copy is left; neither
 * those that are inconsistent, nor those that were never persistent.
 *
 * Returns: (element-type Repair) (transfer full).
 */
GArray *repair_plan(const GPtrArray *view);

/** Whether QEMU is still busy with a bitmap of the plan: then it is too early. */
gboolean repair_is_busy(const GArray *plan);

/** The QMP command of a step; free with g_free(). */
char *repair_command(const Bitmap *bitmap, RepairStep step);

/** The QMP command that ends it: QEMU forgets that the bitmaps were on a stream. A static string.
 */
const char *repair_end_command(void);
