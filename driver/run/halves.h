/*
 * halves.h: a source gives up what its QEMU knows of bitmaps that a pause has cut off on their way
 *
 * The rules and the QMP are driver/bitmap/rebuild.h's; the destination's part is run/rebuild.h's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

#include "run/migration.h"

/** Whether there may be such bitmaps; quick. Any thread. */
gboolean halves_may_be(Migration *migration);

/**
 * halves_send: at the source, when QEMU has completed a migration that was paused, and before
 * libvirt lets go of it
 *
 * Reads what the bitmaps mark and hands it over to the destination, which makes them anew. What
 * cannot be handed over is told as dropped. Does nothing where there are none, and may be called
 * again. Blocks, for some minutes at most; leaves the thread's libvirt error as it was.
 *
 * Returns: FALSE when the daemon stops before it is done: libvirt is not to end the source's QEMU,
 * which the next daemon finds (halves_observe()).
 */
gboolean halves_send(Migration *migration, virDomainPtr dom);

/** halves_observe: from now on libvirt ends no source by itself before that; before libvirt has
 * looked for its domains. */
void halves_observe(void);
