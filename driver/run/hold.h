/*
 * hold.h: keeps a source that has dirty bitmaps to send from its end
 *
 * How it works: QEMU sends dirty bitmaps when it has sent the memory, and a channel that breaks
 * then is still a pause. Only when nothing remains does it send the end, and from then on it is a
 * failed migration, whose guest QEMU runs again (migration_iteration_run() and
 * migration_completion(), migration/migration.c, QEMU 10.0). How much of the bitmaps remains it
 * does not say. But a bitmap is busy until the end is sent, which is done with the main loop locked
 * (dirty_bitmap_save_complete(), migration/block-dirty-bitmap.c): an answer by which one is busy
 * came before the end.
 *
 * The end may come right after that answer, though, and before the break. So QEMU is slowed down
 * first, to a byte in a tenth of a second. In each tenth it still sends an empty section of memory,
 * which is longer than that, so that the bitmaps, whose turn is after it, have none any more
 * (qemu_savevm_state_iterate(), migration/savevm.c). A QEMU that goes on with such sections has
 * bitmaps left, which are as many until it is let go, and so it does not come to its end.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "run/migration.h"

/** All zero: holds nothing. */
typedef struct {
    virDomainPtr dom;  /* NULL: QEMU is not held */
    guint64 bandwidth; /* of postcopy, in bytes a second: what it was, and will be; 0: no limit */
} Hold;

/**
 * hold_begin:
 * @dom: its domain, here at the source, in postcopy-active; nothing of its memory remains
 * @silent: nothing is heard from the destination. Then a QEMU that sends nothing at all is taken as
 *   held, too: it waits until the network takes more.
 *
 * TRUE when a break of the channel is a pause, until hold_end(). Otherwise, and when in doubt,
 * FALSE with @error set, and QEMU goes on as before. Blocks, for about a second; not on the engine
 * thread.
 */
gboolean
hold_begin(Hold *hold, Migration *migration, virDomainPtr dom, gboolean silent, GError **error);

/** Lets QEMU go on, if there is one that is held. Blocks. */
void hold_end(Hold *hold);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Hold, hold_end)

/** The same after a restart of the daemon, for what was held when it was killed: there is no limit
 * then, whatever there was. Blocks. */
void hold_end_left(virDomainPtr dom);
