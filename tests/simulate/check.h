/*
 * check.h: what must hold, at every step and at the end
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "world.h"

/** A guest whose vCPUs have started or stopped at @host. */
void check_owners(World *world, MigrationRole host);
/** A session has changed. */
void check_step(World *world, MigrationRole host, MigrationState from);
/** The destination's QEMU ends since its channel has. */
void check_broken_switch(World *world);
/** Something was met that loses the guest and that nobody but QEMU or libvirt could prevent. */
void check_limit(World *world, Limit limit);
/** The caller has been told. */
void check_answer(World *world);
/** Whether nothing more is to come of the schedule. */
gboolean check_is_over(const World *world);
void check_end(World *world);
Ending check_get_ending(const World *world);
