/*
 * state.c: every state and reason has a name that leads back to it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/state.h"

static void
test_state_names(void)
{
    for (guint i = 0; i < STATE_LAST; i++) {
        MigrationState back = STATE_LAST;

        g_assert_true(migration_state_from_string(migration_state_to_string(i), &back));
        g_assert_cmpuint(back, ==, i);
    }
}

static void
test_reason_names(void)
{
    for (guint i = 0; i < REASON_LAST; i++) {
        PauseReason back = REASON_LAST;

        g_assert_true(pause_reason_from_string(pause_reason_to_string(i), &back));
        g_assert_cmpuint(back, ==, i);
    }
}

static void
test_unknown_names(void)
{
    MigrationState state = STATE_SWITCHOVER;

    g_assert_false(migration_state_from_string("postcopy", &state));
    g_assert_false(migration_state_from_string("", &state));
    g_assert_cmpuint(state, ==, STATE_SWITCHOVER);
}

static void
test_classes(void)
{
    for (guint i = 0; i < STATE_LAST; i++)
        g_assert_false(migration_state_is_terminal(i) && migration_state_is_postcopy(i));
    g_assert_true(migration_state_is_postcopy(STATE_POSTCOPY_RECOVER_SETUP));
    g_assert_false(migration_state_is_postcopy(STATE_SWITCHOVER));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/state/names", test_state_names);
    g_test_add_func("/state/reason-names", test_reason_names);
    g_test_add_func("/state/unknown-names", test_unknown_names);
    g_test_add_func("/state/classes", test_classes);
    return g_test_run();
}
