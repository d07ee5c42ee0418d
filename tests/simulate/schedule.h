/*
 * schedule.h: one schedule, from the beginning of a migration to its end
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "world.h"

typedef struct Runner Runner;

Runner *runner_new(Coverage *coverage);
void runner_free(Runner *runner);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Runner, runner_free)

typedef struct {
    char *violation; /* NULL: none */
    Ending ending;
    guint limits; /* bits of Limit */
} Outcome;

/** A schedule by the dice. */
void schedule_roll(Schedule *schedule, guint64 seed);

/**
 * runner_run:
 * @trace: on standard output, what happens as it happens
 * @outcome: (out caller-allocates): its violation is the caller's to free
 *
 * The same schedule always comes to the same.
 */
void runner_run(
    Runner *runner, const Schedule *schedule, Mutant mutant, gboolean trace, Outcome *outcome);

/** A plain word; NULL beyond the last. */
const char *mutant_to_string(guint mutant);
