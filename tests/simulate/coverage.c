/*
 * coverage.c: what the schedules have reached
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "coverage.h"

#include <stdio.h>

#include "engine/session-priv.h"
#include "faults.h"

static const char *const ending_names[ENDING_LAST] = {
    [ENDING_COMPLETED] = "completed",
    [ENDING_COMPLETED_FIRST] = "completed-in-precopy",
    [ENDING_KEPT] = "kept-at-the-source",
    [ENDING_RETURNED] = "back-at-the-source",
    [ENDING_QEMU_KILLED] = "qemu-killed",
    [ENDING_LOST_AT_SWITCH] = "limit-broken-at-the-switch",
    [ENDING_LOST_AT_THE_END] = "limit-broken-at-the-end",
    [ENDING_LOST_IN_FINISH] = "limit-paused-in-finish",
    [ENDING_LOST_WITH_CLIENT] = "limit-client-gone-in-an-outage",
    [ENDING_TAKEN_BACK] = "limit-daemon-killed-at-the-switch",
};

static const char *const answer_names[] = {"none", "success", "failure", "lost"};

const char *
ending_to_string(Ending ending)
{
    return ending_names[ending];
}

const char *
limit_to_string(Limit limit)
{
    return ending_names[ENDING_QEMU_KILLED + limit];
}

/* How many of the table's rows were used. */
static guint
count_rows(const Coverage *coverage)
{
    guint n = 0;

    g_assert(n_transitions <= COVERAGE_ROWS_MAX);
    for (gsize i = 0; i < n_transitions; i++)
        n += coverage->rows[i] > 0;
    return n;
}

static char *
describe_row(gsize i)
{
    const Transition *row = &transitions[i];
    GString *text = g_string_new(NULL);

    for (guint role = 0; role < ROLE_LAST; role++) {
        if (row->roles & (1u << role))
            g_string_append_printf(text, "%s%s", text->len ? "+" : "",
                                   migration_role_to_string(role));
    }
    g_string_append_printf(text, " %s ", event_type_to_string(row->event));
    for (guint state = 0, n = 0; state < STATE_LAST; state++) {
        if (row->from & (1u << state))
            g_string_append_printf(text, "%s%s", n++ ? "|" : "", migration_state_to_string(state));
    }
    return g_string_free(text, FALSE);
}

static void
print_count(const char *name, guint64 n)
{
    printf("  %-36s %12" G_GUINT64_FORMAT "\n", name, n);
}

void
coverage_print(const Coverage *coverage, double seconds)
{
    printf("states entered\n");
    for (guint role = 0; role < ROLE_LAST; role++) {
        for (guint state = 0; state < STATE_LAST; state++) {
            g_autofree char *name = g_strdup_printf("%s %s", migration_role_to_string(role),
                                                    migration_state_to_string(state));

            if (state != STATE_SETUP)
                print_count(name, coverage->states[role][state]);
        }
    }
    printf("faults and persons\n");
    for (guint i = 0; i < FAULT_LAST; i++)
        print_count(fault_to_string(i), coverage->faults[i]);
    printf("answers to callers\n");
    for (guint i = 1; i < G_N_ELEMENTS(answer_names); i++)
        print_count(answer_names[i], coverage->answers[i]);
    printf("endings\n");
    for (guint i = 0; i < ENDING_LAST; i++)
        print_count(ending_names[i], coverage->endings[i]);
    printf("rows of the table: %u of %zu\n", count_rows(coverage), n_transitions);
    for (gsize i = 0; i < n_transitions; i++) {
        g_autofree char *text = coverage->rows[i] ? NULL : describe_row(i);

        if (text)
            printf("  not reached: %s\n", text);
    }
    printf("%" G_GUINT64_FORMAT " pauses, %" G_GUINT64_FORMAT " recoveries, %" G_GUINT64_FORMAT
           " restarts of a daemon, %" G_GUINT64_FORMAT " steps\n",
           coverage->pauses, coverage->recoveries, coverage->restarts, coverage->steps);
    printf("%" G_GUINT64_FORMAT " schedules in %.1f s: %.0f schedules per second\n",
           coverage->schedules, seconds, (double)coverage->schedules / MAX(seconds, 0.001));
}

/* --- JSON; every name is a plain word --- */

static void
add_count(GString *json, gboolean *first, const char *name, guint64 n)
{
    g_string_append_printf(json, "%s\"%s\": %" G_GUINT64_FORMAT, *first ? "" : ", ", name, n);
    *first = FALSE;
}

static void
begin_object(GString *json, gboolean *first, const char *name)
{
    g_string_append_printf(json, ",\n  \"%s\": {", name);
    *first = TRUE;
}

char *
coverage_to_json(const Coverage *coverage, guint64 seed, double seconds)
{
    GString *json = g_string_new("{\n  ");
    gboolean first = TRUE;

    add_count(json, &first, "seed", seed);
    add_count(json, &first, "schedules", coverage->schedules);
    add_count(json, &first, "milliseconds", (guint64)(seconds * 1000));
    add_count(json, &first, "schedules-per-second",
              (guint64)((double)coverage->schedules / MAX(seconds, 0.001)));
    add_count(json, &first, "steps", coverage->steps);
    add_count(json, &first, "pauses", coverage->pauses);
    add_count(json, &first, "recoveries", coverage->recoveries);
    add_count(json, &first, "restarts", coverage->restarts);
    add_count(json, &first, "rows", n_transitions);
    add_count(json, &first, "rows-reached", count_rows(coverage));
    for (guint role = 0; role < ROLE_LAST; role++) {
        begin_object(json, &first, migration_role_to_string(role));
        for (guint state = 1; state < STATE_LAST; state++)
            add_count(json, &first, migration_state_to_string(state),
                      coverage->states[role][state]);
        g_string_append(json, "}");
    }
    begin_object(json, &first, "events");
    for (guint i = 0; i < EVENT_LAST; i++)
        add_count(json, &first, event_type_to_string(i), coverage->events[i]);
    g_string_append(json, "}");
    begin_object(json, &first, "effects");
    for (guint i = 0; i < EFFECT_LAST; i++)
        add_count(json, &first, effect_type_to_string(i), coverage->effects[i]);
    g_string_append(json, "}");
    begin_object(json, &first, "faults");
    for (guint i = 0; i < FAULT_LAST; i++)
        add_count(json, &first, fault_to_string(i), coverage->faults[i]);
    g_string_append(json, "}");
    begin_object(json, &first, "answers");
    for (guint i = 1; i < G_N_ELEMENTS(answer_names); i++)
        add_count(json, &first, answer_names[i], coverage->answers[i]);
    g_string_append(json, "}");
    begin_object(json, &first, "endings");
    for (guint i = 0; i < ENDING_LAST; i++)
        add_count(json, &first, ending_names[i], coverage->endings[i]);
    g_string_append(json, "}");
    g_string_append(json, "}\n");
    return g_string_free(json, FALSE);
}
