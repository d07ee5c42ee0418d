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
/** Something is in the way of what the source tells; what it has told is lost if it @forgets. */
void check_disturbed(World *world, gboolean forgets);
/** The source's QEMU has sent all: has the destination been told? */
void check_told(World *world);
/** The source's QEMU has sent all, and the channel breaks before the destination's last word. */
void check_broken_end(World *world);
/** Something was met that loses the guest and that nobody but QEMU or libvirt could prevent. */
void check_limit(World *world, Limit limit);
/** The caller has been told. */
void check_answer(World *world);
/** Whether nothing more is to come of the schedule. */
gboolean check_is_over(const World *world);
void check_end(World *world);
Ending check_get_ending(const World *world);
