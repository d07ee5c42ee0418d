/*
 * command.h: commands to QEMU, which may take long
 *
 * Each returns at once, runs on a thread that may block, and comes back as an event. A migration
 * has one command at work at a time, and one more of those that pass by QEMU's main loop (OOB): a
 * QEMU that answers nobody keeps two threads at most. A command that waits for its turn is replaced
 * by a newer one of its kind. Engine thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "run/hold.h"
#include "run/migration.h"

/** migrate-pause. Comes back only when there was nothing to pause. */
void command_pause(Migration *migration);

/** Source: how much memory has yet to be sent. Comes back as EVENT_REMAINS, or not at all. */
void command_look(Migration *migration);

/**
 * command_break: breaks the source's channel, where that is a pause
 *
 * Not where QEMU has sent everything, or does not say that it has not: then a broken channel is a
 * failed migration, and QEMU runs the guest again, a second time (migration_completion() and
 * migration_iteration_finish(), migration/migration.c, QEMU 10.0); TCP is left to bring the rest.
 * One that has dirty bitmaps left when all memory has been sent is held meanwhile (hold.h).
 */
void command_break(Migration *migration);

/**
 * command_may_pause: source: whether a pause now would be one, see command_break()
 * @hold: all zero; what QEMU is to be let go of when it has been told to pause
 *
 * Blocks; not on the engine thread.
 */
gboolean command_may_pause(Migration *migration, Hold *hold, GError **error);

/** Those that wait for their turn are not carried out: the migration has ended. */
void command_drop_waiting(Migration *migration);

/** Source: migrate with resume. Comes back as QEMU's events or EVENT_RESUME_FAILED. */
void command_resume(Migration *migration, const char *host, guint16 port);

/**
 * command_arm: migrate-recover, at the destination
 * @host: the address to listen on; NULL: all
 * @port: 0: any
 *
 * Comes back as EVENT_ARMED, EVENT_ARMED_ELSEWHERE or EVENT_ARM_FAILED.
 */
void command_arm(Migration *migration, const char *host, guint16 port);
