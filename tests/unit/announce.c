/*
 * announce.c: what two snapshots of a migration make a listener hear
 *
 * Histories are written as words, `state` or `state/reason`, 10 us apart.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dbus/announce.h"

#define STEP_USEC 10

static gboolean
in_pause(MigrationState state)
{
    return state >= STATE_POSTCOPY_PAUSED && state <= STATE_POSTCOPY_RECOVER;
}

static void
append_step(Status *status, const char *word, gint64 at_usec)
{
    g_auto(GStrv) parts = g_strsplit(word, "/", 2);
    StatusStep step = {.at_usec = at_usec};

    g_assert_true(migration_state_from_string(parts[0], &step.state));
    if (parts[1])
        g_assert_true(pause_reason_from_string(parts[1], &step.reason));
    g_array_append_val(status->history, step);
    status->state = step.state;
    status->reason = step.reason;
}

/* The figures as an engine keeps them, which sees every step. */
static void
count_step(Status *status, gint64 *paused_at)
{
    guint len = status->history->len;
    const StatusStep *step = &g_array_index(status->history, StatusStep, len - 1);
    gboolean was = len > 1 && in_pause(step[-1].state);

    if (!was && in_pause(step->state)) {
        *paused_at = step->at_usec;
        status->pauses++;
        status->attempts = 0;
    }
    if (step->state == STATE_POSTCOPY_RECOVER_SETUP)
        status->attempts++;
    if (was && !in_pause(step->state)) {
        status->last_outage_usec = step->at_usec - *paused_at;
        status->recoveries++;
    }
}

/* The first @len of @words, of which the history keeps the last @keep. */
static Status *
make_status(const char *id, char **words, guint len, guint keep)
{
    Status *status = status_new();
    gint64 paused_at = 0;

    status->id = g_strdup(id);
    for (guint i = 0; i < len; i++) {
        append_step(status, words[i], (i + 1) * STEP_USEC);
        count_step(status, &paused_at);
    }
    if (len > keep)
        g_array_remove_range(status->history, 0, len - keep);
    return status;
}

static void
print_one(GString *text, const Announcement *a)
{
    const char *reason = pause_reason_to_string(a->reason);

    switch (a->kind) {
    case ANNOUNCE_ADDED:
        g_string_append(text, "added");
        break;
    case ANNOUNCE_CHANGED:
        g_string_append(text, "changed");
        break;
    case ANNOUNCE_STATE_CHANGED:
        g_string_append_printf(text, " %s>%s%s%s", migration_state_to_string(a->from),
                               migration_state_to_string(a->to), *reason ? "/" : "", reason);
        break;
    case ANNOUNCE_PAUSED:
        g_string_append_printf(text, " PAUSED(%s,%d)", reason, (int)a->at_usec);
        break;
    case ANNOUNCE_RECOVERED:
        g_string_append_printf(text, " RECOVERED(%d,%u,%d)", (int)a->outage_usec, a->attempts,
                               (int)a->at_usec);
        break;
    case ANNOUNCE_BITMAPS:
        g_string_append(text, " BITMAPS(");
        for (guint i = 0; i < a->verdicts->len; i++)
            g_string_append_printf(text, "%s%s", i ? " " : "",
                                   ((const Verdict *)a->verdicts->pdata[i])->name);
        g_string_append(text, ")");
        break;
    case ANNOUNCE_FINISHED:
        g_string_append_printf(text, " FINISHED(%s)", migration_state_to_string(a->to));
        break;
    }
}

static char *
print(const Status *previous, const Status *current)
{
    g_autoptr(GArray) list = announce(previous, current);
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < list->len; i++)
        print_one(text, &g_array_index(list, Announcement, i));
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* clang-format off */
#define P "postcopy-paused"
#define S "postcopy-recover-setup"
#define R "postcopy-recover"
#define A "postcopy-active"
static const struct {
    const char *what;
    guint known;         /* how many steps the snapshot before has; 0: there is none */
    const char *history;
    const char *expected;
} cases[] = {
    {"a new session", 0, "setup", "added"},
    {"nothing new", 1, "setup", "changed"},
    {"a step", 1, "setup precopy-active", "changed setup>precopy-active"},
    {"a success", 2, "switchover " A " completed",
     "changed " A ">completed FINISHED(completed)"},
    {"a failure", 1, "precopy-active failed", "changed precopy-active>failed FINISHED(failed)"},
    {"a cancel", 1, "precopy-active cancelled",
     "changed precopy-active>cancelled FINISHED(cancelled)"},
    {"a pause", 1, A " " P "/network", "changed " A ">" P "/network PAUSED(network,20)"},
    {"failed attempts are the same pause", 2, A " " P "/network " S " " P "/network " S " " R " " P "/io-error",
     "changed " P ">" S " " S ">" P "/network " P ">" S " " S ">" R " " R ">" P "/io-error"},
    {"recovery", 4, A " " P "/network " S " " R " " A, "changed " R ">" A " RECOVERED(30,1,50)"},
    {"straight to the end", 2, A " " P "/network completed",
     "changed " P ">completed RECOVERED(10,0,30) FINISHED(completed)"},
    {"giving up recovers nothing", 2, A " " P "/network failed",
     "changed " P ">failed FINISHED(failed)"},
    {"an operator takes over", 2, A " " P "/network " P "/operator",
     "changed " P ">" P "/operator PAUSED(operator,20)"},
    {"and hands back", 2, A " " P "/operator " P "/network",
     "changed " P ">" P "/network PAUSED(network,20)"},
    {"two pauses at once", 1, A " " P "/network " S " " A " " P "/operator",
     "changed " A ">" P "/network PAUSED(network,20) " P ">" S " " S ">" A
     " RECOVERED(20,1,40) " A ">" P "/operator PAUSED(operator,50)"},
    {"found in a pause", 0, A " " P "/network " S, "added PAUSED(network,20)"},
    {"found recovering, the pause's beginning lost", 0, S " " R, "added PAUSED(,10)"},
    {"found after a pause", 0, A " " P "/network " S " " A, "added"},
    {"found ended", 0, A " completed", "added"},
};
/* clang-format on */

static void
test_table(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(GStrv) words = g_strsplit(cases[i].history, " ", -1);
        guint len = g_strv_length(words);
        g_autoptr(Status) current = make_status("m", words, len, len);
        g_autoptr(Status) previous = NULL;
        g_autofree char *got = NULL;

        if (cases[i].known)
            previous = make_status("m", words, cases[i].known, len);
        got = print(previous, current);
        g_test_message("%s", cases[i].what);
        g_assert_cmpstr(got, ==, cases[i].expected);
    }
}

static void
test_another_migration(void)
{
    g_auto(GStrv) words = g_strsplit("setup completed", " ", -1);
    g_autoptr(Status) old = make_status("m1", words, 2, 2);
    g_autoptr(Status) new = make_status("m2", words, 1, 1);
    g_autoptr(Status) newer = make_status("m2", words, 2, 2);
    g_autofree char *got = print(old, new);

    g_assert_cmpstr(got, ==, "added");
    g_assert_false(announce_is_late(NULL, old));
    g_assert_false(announce_is_late(old, new));
    g_assert_false(announce_is_late(new, newer));
    g_assert_false(announce_is_late(newer, old));
    g_assert_true(announce_is_late(new, old));
}

static char *
strip_head(char *text)
{
    g_assert_true(g_str_has_prefix(text, "changed"));
    return text + strlen("changed");
}

/* However snapshots skip, and however much of its beginning the history has lost, a listener hears
 * the same, as long as the history reaches back to what is known. */
static void
test_skips(void)
{
    g_auto(GStrv) words =
        g_strsplit("setup precopy-active switchover " A " " P "/network " S " " P "/network " P
                   "/operator " S " " R " " A " " P "/io-error " S " " R " completed",
                   " ", -1);
    guint n = g_strv_length(words);

    for (guint from = 1; from < n; from++) {
        g_autoptr(GString) single = g_string_new(NULL);

        for (guint to = from + 1; to <= n; to++) {
            g_autoptr(Status) before = make_status("m", words, to - 1, n);
            g_autoptr(Status) after = make_status("m", words, to, n);
            g_autofree char *step = print(before, after);

            g_string_append(single, strip_head(step));
            for (guint keep = to - from + 1; keep <= n; keep++) {
                g_autoptr(Status) first = make_status("m", words, from, n);
                g_autoptr(Status) last = make_status("m", words, to, keep);
                g_autofree char *skip = print(first, last);

                g_assert_cmpstr(strip_head(skip), ==, single->str);
            }
        }
    }
}

/* What the history has lost cannot be told, but what is left still is, from the known state on. */
static void
test_lost(void)
{
    g_auto(GStrv) words = g_strsplit(A " " P "/network " S " " P "/network " S " " A, " ", -1);
    g_autoptr(Status) before = make_status("m", words, 2, 6);
    g_autoptr(Status) after = make_status("m", words, 6, 2);
    g_autofree char *got = print(before, after);

    g_assert_cmpstr(got, ==, "changed " P ">" S " " S ">" A " RECOVERED(40,2,60)");
}

/* Those that were not in the snapshot before; those decided anew are new. */
static void
test_bitmaps(void)
{
    g_auto(GStrv) words = g_strsplit("setup precopy-active failed", " ", -1);
    g_autoptr(Status) none = make_status("m", words, 1, 3);
    g_autoptr(Status) one = make_status("m", words, 2, 3);
    g_autoptr(Status) more = make_status("m", words, 3, 3);
    g_autoptr(Verdict) kept = verdict_new(VERDICT_BITMAP, "vda", "kept", "leave", "", 1);
    g_autoptr(Verdict) old = verdict_new(VERDICT_BITMAP, "vda", "a", "leave", "", 1);
    struct {
        const Status *previous;
        const Status *current;
        const char *expected;
    } snapshots[] = {
        {none, one, "changed setup>precopy-active BITMAPS(kept a)"},
        {one, one, "changed"},
        {one, more, "changed precopy-active>failed FINISHED(failed) BITMAPS(b a)"},
        {NULL, more, "added"},
    };

    g_ptr_array_add(one->verdicts, verdict_ref(kept));
    g_ptr_array_add(one->verdicts, verdict_ref(old));
    g_ptr_array_add(more->verdicts, verdict_ref(kept));
    g_ptr_array_add(more->verdicts, verdict_new(VERDICT_BITMAP, "vdb", "b", "drop", "", 2));
    g_ptr_array_add(more->verdicts, verdict_new(VERDICT_BITMAP, "vda", "a", "repair", "", 2));
    for (guint i = 0; i < G_N_ELEMENTS(snapshots); i++) {
        g_autofree char *got = print(snapshots[i].previous, snapshots[i].current);

        g_assert_cmpstr(got, ==, snapshots[i].expected);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/announce/table", test_table);
    g_test_add_func("/announce/another-migration", test_another_migration);
    g_test_add_func("/announce/skips", test_skips);
    g_test_add_func("/announce/lost", test_lost);
    g_test_add_func("/announce/bitmaps", test_bitmaps);
    return g_test_run();
}
