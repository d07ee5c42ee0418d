/*
 * bitmaps.h: the dirty bitmaps of this host's guests, put right after migrations that failed
 *
 * The decisions and the QMP are driver/bitmap's; here QEMU is asked and told. All of it may block,
 * and leaves the thread's libvirt error as it was; not on the engine thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

#include "bitmap/decision.h"
#include "run/migration.h"

/** Whether a migration copies the guest's storage; one that is not known (NULL) does not. Any
 * thread, at once. */
BitmapStorage bitmaps_get_storage(const Migration *migration);

/** The migration that the domain left by, or was to leave by, a reference; NULL if none is known.
 */
Migration *bitmaps_find_migration(virDomainPtr dom);

/**
 * bitmaps_repair: at the source, when a migration has failed and the guest runs on there
 *
 * Makes those bitmaps anew that QEMU had begun to send, and drops those that may miss writes, since
 * the source had given its images up already; the guest runs on. Does nothing where there are none:
 * QEMU itself says so, so that it may be called again, also after a restart. What cannot be
 * repaired is logged.
 */
void bitmaps_repair(virDomainPtr dom);

/** bitmaps_repair_all: those of all domains that run; the daemon was restarted. What else is
 * Holdfast's in their images goes as well. */
void bitmaps_repair_all(virConnectPtr connection);
