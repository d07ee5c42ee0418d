/*
 * test.c: the simulation as a test, and whether its checks can fail
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "named.h"
#include "schedule.h"

/* A second; some ten under a sanitizer. */
#define SCHEDULES 100000
/* A broken rule shows soon, or the checks do not look for it. */
#define MUTANT_SCHEDULES 30000

static void
test_named(void)
{
    Coverage coverage = {0};
    g_autoptr(Runner) runner = runner_new(&coverage);

    for (gsize i = 0; i < n_named_schedules; i++) {
        const NamedSchedule *named = &named_schedules[i];
        Outcome outcome = {0};

        runner_run(runner, &named->schedule, MUTANT_NONE, FALSE, &outcome);
        if (outcome.violation)
            g_error("%s: %s", named->schedule.name, outcome.violation);
        if (outcome.ending != named->ending || outcome.limits != named->limits)
            g_error("%s: ends %s, expected %s", named->schedule.name,
                    ending_to_string(outcome.ending), ending_to_string(named->ending));
    }
}

static void
test_schedules(void)
{
    Coverage coverage = {0};
    g_autoptr(Runner) runner = runner_new(&coverage);

    for (guint i = 0; i < SCHEDULES; i++) {
        Schedule schedule;
        Outcome outcome = {0};

        schedule_roll(&schedule, 1 + i);
        runner_run(runner, &schedule, MUTANT_NONE, FALSE, &outcome);
        if (outcome.violation)
            g_error("%s; again: ./run simulate --seed %u --schedules 1 --trace", outcome.violation,
                    1 + i);
    }
    g_assert_cmpuint(coverage.schedules, ==, SCHEDULES);
    /* Most of them are about something, and most guests arrive. */
    g_assert_cmpuint(coverage.pauses, >, SCHEDULES / 10);
    g_assert_cmpuint(coverage.recoveries, >, SCHEDULES / 10);
    g_assert_cmpuint(coverage.endings[ENDING_COMPLETED], >, SCHEDULES / 2);
    /* The rest are of some in a million. */
    for (guint i = 0; i <= ENDING_LOST_AT_THE_END; i++)
        g_assert_cmpuint(coverage.endings[i], >, 0);
}

static void
test_mutants(void)
{
    for (guint mutant = MUTANT_NONE + 1; mutant < MUTANT_LAST; mutant++) {
        Coverage coverage = {0};
        g_autoptr(Runner) runner = runner_new(&coverage);
        gboolean caught = FALSE;

        for (guint i = 0; i < MUTANT_SCHEDULES && !caught; i++) {
            Schedule schedule;
            Outcome outcome = {0};

            schedule_roll(&schedule, 1 + i);
            runner_run(runner, &schedule, mutant, FALSE, &outcome);
            caught = outcome.violation != NULL;
            g_free(outcome.violation);
        }
        if (!caught)
            g_error("nothing complains of mutant %s", mutant_to_string(mutant));
    }
}

/* The same seeds, in two runs that have nothing to do with each other. */
static void
test_same_again(void)
{
    Coverage coverages[2] = {0};

    for (guint run = 0; run < 2; run++) {
        g_autoptr(Runner) runner = runner_new(&coverages[run]);

        for (guint i = 0; i < 1000; i++) {
            Schedule schedule;
            Outcome outcome = {0};

            schedule_roll(&schedule, 1 + i);
            runner_run(runner, &schedule, MUTANT_NONE, FALSE, &outcome);
            g_free(outcome.violation);
        }
    }
    g_assert_cmpmem(&coverages[0], sizeof(Coverage), &coverages[1], sizeof(Coverage));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/simulate/named", test_named);
    g_test_add_func("/simulate/mutants", test_mutants);
    g_test_add_func("/simulate/same-again", test_same_again);
    g_test_add_func("/simulate/schedules", test_schedules);
    return g_test_run();
}
