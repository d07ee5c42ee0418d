/*
 * guard.h: guards in shared images, made when the guest leaves and removed where it stays
 *
 * The rules and the QMP are driver/bitmap's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

#include "bitmap/view.h"
#include "run/migration.h"
#include "stock/qmp.h"

/**
 * guard_make: at the source, in pre-switchover: guards where the policy wants them
 * @monitor: for hooks_ask()
 */
void guard_make(Migration *migration, gpointer monitor);

/** Removes the guards of a view, while QEMU has their images; what cannot be is logged. */
void guard_remove(QmpJob *job, virDomainPtr dom, const GPtrArray *view);

/** guard_clean: a domain that runs has none any more, nor nodes to look through. May block. */
void guard_clean(virDomainPtr dom);

/** guard_arrived: at the destination: what came with the images is removed, if QEMU has them. Any
 * thread; posted. */
void guard_arrived(Migration *migration);
