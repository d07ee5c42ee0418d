/*
 * execute.h: what the engine asks for, done
 *
 * The counterpart of observe.h: one effect, one call into the world. On the engine thread; what
 * may block goes to the pool and comes back as an event.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "run/migration.h"

void execute(Migration *migration, const Effect *effect);

/**
 * execute_settle: after a step, and before its effects
 * @before: the state before it
 *
 * Ends the migration's turn to recover when the step ended the recovery, or the wait for one.
 */
void execute_settle(Migration *migration, MigrationState before, EventType type);

/** Lets go of everything a migration holds in the world: timers, watchdog, connections. */
void execute_end(Migration *migration);
