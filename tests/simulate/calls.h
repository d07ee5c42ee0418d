/*
 * calls.h: the caller of a migration, and libvirt's phases that it goes through
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "world.h"

/** Begin and Prepare have been done; Perform begins. */
void calls_begin(World *world);
/** After each step of a session: whoever waits looks again. */
void calls_progress(World *world);
void calls_hear_qemu(World *world, MigrationRole host);
void calls_daemon_died(World *world, MigrationRole host);
/** libvirt has its monitor back after a restart, and settles what it finds. */
void calls_libvirt_reconnected(World *world, MigrationRole host);
/** The session is over: the client's connection is not kept for it any more. */
void calls_connection_dropped(World *world, MigrationRole host);
/** outcome_settle_source(): a source that nobody confirms goes by what the destination says. */
void calls_settle_source(World *world);
/** EFFECT_LOOK */
void calls_look(World *world);
/** EFFECT_CANCEL_FINISH */
void calls_cancel_finish(World *world);
/** libvirt is done with the destination's domain, whether the guest runs or not. */
void calls_draw_line(World *world);
/** EFFECT_FINISH */
void calls_finish_ourselves(World *world);
/** libvirt stops its QEMU. */
void calls_destroy_destination(World *world, const char *why);

/* faults and persons */
void calls_kill_caller(World *world);
/** The network between the caller and the destination is silent until then. */
void calls_cut(World *world, gint64 lasts_usec);
void calls_cancel(World *world);
/** virsh domjobabort --postcopy */
void calls_abort_postcopy(World *world);

/* finish.c */
void finish_begin(World *world, gboolean is_callers, gboolean cancelled);
void finish_progress(World *world);

/** The caller's Finish has returned. */
void calls_finish_returned(World *world, gboolean moved);
