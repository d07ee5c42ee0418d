/*
 * daemon.h: the daemon on one host: a real Session, and what driver/run does for it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "world.h"

#define HOLDFAST_FIRST_PORT   49152 /* libvirt's, of the migration itself */
#define HOLDFAST_RECOVER_PORT 49215 /* the first that is tried for a recovery */

void daemon_init(World *world);
void daemon_clear(World *world);
/** Begin, Prepare: a migration is new on this host. */
void daemon_begin(World *world, MigrationRole host);

/** migration_post(): the session hears of it a moment later, in order. */
void daemon_post(World *world, MigrationRole host, EventType type, guint number);
/** migration_step() */
void daemon_step(World *world, MigrationRole host, EventType type, guint number);

void daemon_kill(World *world, MigrationRole host);
void daemon_start(World *world, MigrationRole host);
/** One step of its work is done; TRUE when a fault has it die of that. */
gboolean daemon_dies_here(World *world, MigrationRole host);

/** STATE_FAILED and no reason when the host has no session. */
MigrationState daemon_get_state(const World *world, MigrationRole host);
gboolean daemon_holds(const World *world, MigrationRole host);
gboolean daemon_is_settled(const World *world, MigrationRole host);
/** Whether the destination's QEMU listens there, or cannot be looked into. */
gboolean daemon_may_listen(const World *world, guint port);

/* what the world tells it */
void daemon_hear_qemu(World *world, MigrationRole host, EventType type);
void daemon_hear_end(World *world, MigrationRole host);
void daemon_network_fell_silent(World *world, guint path);

/* --- effects.c: driver/run/execute.c --- */

void effects_execute(World *world, MigrationRole host, const Effect *effect);
void effects_end(World *world, MigrationRole host);
/** The destination has not heard of a person's pause. */
void effects_tell_again(World *world);
/** QMP migrate-pause, after migration_let_run(). */
void effects_pause(World *world, MigrationRole host);
/** What migration_let_run() waits for. */
gboolean effects_may_pause(const World *world, MigrationRole host);
/** command_may_pause(): a source near its end is left alone. */
gboolean effects_is_ending(const World *world);
/** How long it waits, and how often it looks. */
#define LET_RUN_USEC (60 * SEC)
#define LET_RUN_LOOK (100 * MSEC)

/* --- peers.c: driver/run/peer.c, and the questions of observe.c --- */

typedef enum {
    QUESTION_RECOVER,
    QUESTION_RUNNING,
    QUESTION_PAUSED, /* tells rather than asks */
    QUESTION_ENDED,
    QUESTION_RETURN,
    QUESTION_ENDING, /* tells */
} Question;

void peers_ask(World *world, guint path, Question question);
void peers_cancel(World *world);
void peers_answer(World *world, EventType answer, guint number);
