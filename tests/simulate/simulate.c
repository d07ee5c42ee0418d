/*
 * simulate.c: schedules of faults against the migration engine, by the thousand
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "faults.h"
#include "named.h"
#include "schedule.h"

#define SCHEDULES_DEFAULT 1000000
/* Failures that are printed; the rest is counted. */
#define FAILURES_MAX  10
#define PROGRESS_USEC (2 * G_USEC_PER_SEC)
/* A look at the clock costs as much as a small schedule. */
#define LOOK_EVERY 1024

static struct {
    gint64 schedules;
    gint64 seed;
    char *json;
    char *mutant;
    char *name;
    gboolean trace;
    gboolean all_failures;
} options = {.schedules = SCHEDULES_DEFAULT, .seed = 1};

static const GOptionEntry entries[] = {
    {"schedules", 'n', 0, G_OPTION_ARG_INT64, &options.schedules,
     "How many schedules (default: 1000000)", "N"},
    {"seed", 's', 0, G_OPTION_ARG_INT64, &options.seed,
     "Of the first schedule; each has the next one (default: 1)", "S"},
    {"json", 'j', 0, G_OPTION_ARG_FILENAME, &options.json, "Write what was reached to FILE",
     "FILE"},
    {"trace", 't', 0, G_OPTION_ARG_NONE, &options.trace, "Print all that happens", NULL},
    {"name", 0, 0, G_OPTION_ARG_STRING, &options.name, "Run a schedule of named.c instead", "NAME"},
    {"all-failures", 0, 0, G_OPTION_ARG_NONE, &options.all_failures,
     "A line for every failure, and no trace of the first", NULL},
    {"mutant", 0, 0, G_OPTION_ARG_STRING, &options.mutant,
     "Break a rule of the model, to see the checks complain", "NAME"},
    {NULL},
};

static volatile sig_atomic_t interrupted;

static void
on_signal(int number)
{
    interrupted = number;
}

static void
show_progress(gint64 done, gint64 started_usec, gint64 *shown_usec)
{
    gint64 now_usec = g_get_monotonic_time();

    if (!isatty(STDERR_FILENO) || now_usec - started_usec < PROGRESS_USEC ||
        now_usec - *shown_usec < PROGRESS_USEC / 8)
        return;
    *shown_usec = now_usec;
    fprintf(stderr, "\r%" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " schedules, %.0f a second ",
            done, options.schedules,
            (double)done * G_USEC_PER_SEC / (double)(now_usec - started_usec));
}

static void
hide_progress(gint64 *shown_usec)
{
    if (*shown_usec)
        fprintf(stderr, "\r%60s\r", "");
    *shown_usec = 0;
}

/* The first comes with its trace. */
static void
show_failure(Runner *runner, const Schedule *schedule, Mutant mutant, guint64 n, const char *text)
{
    Outcome outcome = {0};

    if (n > FAILURES_MAX && !options.all_failures)
        return;
    printf("seed %" G_GUINT64_FORMAT ": %s\n", schedule->seed, text);
    if (n > 1 || options.trace || options.all_failures)
        return;
    runner_run(runner, schedule, mutant, TRUE, &outcome);
    g_free(outcome.violation);
    printf("again: ./run simulate --seed %" G_GUINT64_FORMAT " --schedules 1 --trace\n",
           schedule->seed);
}

static guint64
run_all(Runner *runner, Mutant mutant)
{
    gint64 started_usec = g_get_monotonic_time(), shown_usec = 0;
    guint64 failures = 0;

    for (gint64 i = 0; i < options.schedules && !interrupted; i++) {
        Schedule schedule;
        Outcome outcome = {0};

        schedule_roll(&schedule, (guint64)options.seed + (guint64)i);
        runner_run(runner, &schedule, mutant, options.trace, &outcome);
        if (outcome.violation) {
            hide_progress(&shown_usec);
            show_failure(runner, &schedule, mutant, ++failures, outcome.violation);
            g_free(outcome.violation);
        }
        if (i % LOOK_EVERY == 0)
            show_progress(i, started_usec, &shown_usec);
    }
    hide_progress(&shown_usec);
    return failures;
}

static gboolean
run_named(Runner *runner, Mutant mutant)
{
    for (gsize i = 0; i < n_named_schedules; i++) {
        const NamedSchedule *named = &named_schedules[i];
        Outcome outcome = {0};

        if (strcmp(named->schedule.name, options.name) != 0)
            continue;
        runner_run(runner, &named->schedule, mutant, TRUE, &outcome);
        if (outcome.violation)
            printf("failed: %s\n", outcome.violation);
        g_free(outcome.violation);
        return !outcome.violation && outcome.ending == named->ending;
    }
    fprintf(stderr, "simulate: there is no schedule '%s'; there are:\n", options.name);
    for (gsize i = 0; i < n_named_schedules; i++)
        fprintf(stderr, "  %s\n", named_schedules[i].schedule.name);
    return FALSE;
}

static gboolean
find_mutant(Mutant *mutant)
{
    *mutant = MUTANT_NONE;
    for (guint i = 0; options.mutant && mutant_to_string(i); i++) {
        if (strcmp(options.mutant, mutant_to_string(i)) == 0) {
            *mutant = i;
            return TRUE;
        }
    }
    if (!options.mutant)
        return TRUE;
    fprintf(stderr, "simulate: there is no mutant '%s'; there are:", options.mutant);
    for (guint i = 0; mutant_to_string(i); i++)
        fprintf(stderr, " %s", mutant_to_string(i));
    fputc('\n', stderr);
    return FALSE;
}

/* FALSE, with a line on standard error, if this cannot be run. */
static gboolean
read_options(int *argc, char ***argv, Mutant *mutant)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;

    g_option_context_set_summary(
        context, "Runs the migration engines of two hosts through schedules of faults, in virtual "
                 "time, and checks that\nno guest runs twice, none is lost, no session is stuck "
                 "and every caller is told the truth.");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, &error)) {
        fprintf(stderr, "simulate: %s\n", error->message);
        return FALSE;
    }
    if (*argc > 1 || options.schedules < 1 || options.seed < 0) {
        fprintf(stderr,
                *argc > 1 ? "simulate: unknown argument '%s'; see --help\n"
                          : "simulate: a number is too small\n",
                (*argv)[1]);
        return FALSE;
    }
    return find_mutant(mutant);
}

static gboolean
write_json(const Coverage *coverage, double seconds)
{
    g_autofree char *json = coverage_to_json(coverage, (guint64)options.seed, seconds);
    g_autoptr(GError) error = NULL;

    if (!options.json || g_file_set_contents(options.json, json, -1, &error))
        return TRUE;
    fprintf(stderr, "simulate: %s\n", error->message);
    return FALSE;
}

int
main(int argc, char **argv)
{
    Coverage coverage = {0};
    g_autoptr(Runner) runner = runner_new(&coverage);
    gint64 started_usec = g_get_monotonic_time();
    Mutant mutant;
    guint64 failures;
    double seconds;

    if (!read_options(&argc, &argv, &mutant))
        return 2;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    if (options.name)
        return run_named(runner, mutant) ? 0 : 1;
    failures = run_all(runner, mutant);
    seconds = (double)(g_get_monotonic_time() - started_usec) / G_USEC_PER_SEC;
    if (!options.trace)
        coverage_print(&coverage, seconds);
    if (!write_json(&coverage, seconds))
        return 2;
    printf("%" G_GUINT64_FORMAT " failed%s\n", failures, interrupted ? ", interrupted" : "");
    return interrupted ? 128 + interrupted : failures ? 1 : 0;
}
