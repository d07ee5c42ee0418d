/*
 * bitmaps.h: the dirty bitmaps of this host's guests, put right after migrations
 *
 * The decisions and the QMP are driver/bitmap's; here QEMU is asked and told. All of it may block,
 * and leaves the thread's libvirt error as it was; not on the engine thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

/**
 * bitmaps_repair: at the source, when a migration has ended in precopy and the guest has stayed
 *
 * Makes those bitmaps anew that QEMU had begun to send; the guest runs on. Does nothing where there
 * are none: QEMU itself says so, so that it may be called again, also after a restart. What cannot
 * be repaired is logged.
 */
void bitmaps_repair(virDomainPtr dom);

/** bitmaps_repair_all: those of all domains that run; the daemon was restarted. */
void bitmaps_repair_all(virConnectPtr connection);
