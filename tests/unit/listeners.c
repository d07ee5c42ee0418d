/*
 * listeners.c: what listeners for lifecycle events are told of a failure
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "listening.h"

#define DETAILS_MAX 16

static void
test_decide(void)
{
    /* clang-format off */
    static const struct {
        int event, detail;
        ListenersDecision migrating, migrating_held, known_over, known_over_held;
    } rows[] = {
        { SOURCE_FAILED,         LISTENERS_HOLD, LISTENERS_HOLD,       LISTENERS_PASS, LISTENERS_TELL_FIRST },
        { DESTINATION_FAILED,    LISTENERS_HOLD, LISTENERS_HOLD,       LISTENERS_PASS, LISTENERS_TELL_FIRST },
        { SOURCE_CORRECTED,      LISTENERS_PASS, LISTENERS_DROP,       LISTENERS_PASS, LISTENERS_DROP },
        { DESTINATION_CORRECTED, LISTENERS_PASS, LISTENERS_DROP,       LISTENERS_PASS, LISTENERS_DROP },
        { RESUMED, VIR_DOMAIN_EVENT_RESUMED_MIGRATED,
                                 LISTENERS_PASS, LISTENERS_FORGET,     LISTENERS_PASS, LISTENERS_FORGET },
        { STOPPED, VIR_DOMAIN_EVENT_STOPPED_MIGRATED,
                                 LISTENERS_PASS, LISTENERS_FORGET,     LISTENERS_PASS, LISTENERS_FORGET },
        { STOPPED, DETAILS_MAX,  LISTENERS_PASS, LISTENERS_TELL_FIRST, LISTENERS_PASS, LISTENERS_TELL_FIRST },
        { -1, DETAILS_MAX,       LISTENERS_PASS, LISTENERS_PASS,       LISTENERS_PASS, LISTENERS_PASS },
    };
    /* clang-format on */

    for (int event = 0; event <= VIR_DOMAIN_EVENT_CRASHED; event++) {
        for (int detail = 0; detail < DETAILS_MAX; detail++) {
            gsize i = 0;

            while (rows[i].event >= 0 &&
                   (rows[i].event != event ||
                    (rows[i].detail != detail && rows[i].detail != DETAILS_MAX)))
                i++;
            g_assert_cmpint(listeners_decide(event, detail, TRUE, FALSE), ==, rows[i].migrating);
            g_assert_cmpint(listeners_decide(event, detail, TRUE, TRUE), ==,
                            rows[i].migrating_held);
            g_assert_cmpint(listeners_decide(event, detail, FALSE, FALSE), ==, rows[i].known_over);
            g_assert_cmpint(listeners_decide(event, detail, FALSE, TRUE), ==,
                            rows[i].known_over_held);
        }
    }
}

/* One word a step: a letter for what happens, and after `=` all that was told by then. */
static void
test_sequences(void)
{
    static const struct {
        const char *name;
        const char *steps;
        const char *told;
    } rows[] = {
        {"mended", "f q c q", ""},
        {"mended, and again", "f q c f q c o", ""},
        {"completed", "f q o m", "5/3"},
        {"completed before the engine says so", "f q m o", "5/3"},
        {"given up", "f q g", "3/8"},
        {"given up, then recovered by a person", "f q g c o m", "3/8 3/7 5/3"},
        {"given up in the second outage", "f q c f q g", "3/8"},
        {"told once", "f q g g g", "3/8"},
        {"manual", "M f q c o m", "3/8 3/7 5/3"},
        {"manual, and over before the engine has looked", "M f c q", ""},
        {"not a migration of ours", "U f c m", "3/8 3/7 5/3"},
        {"one that is shown alone", "F f c m", "3/8 3/7 5/3"},
        {"a migration that is over", "O f m", "3/8 5/3"},
        {"the guest dies", "f q d g", "3/8 5/2"},
        {"the guest dies before the engine has looked", "f d q g", "3/8 5/2"},
        {"the beginning of postcopy", "c f q g", "3/7 3/8"},
        {"something else in between", "f q e g", "3/0 3/8"},
        {"something else, then mended", "f q e c", "3/0"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        Listener listener = {0};
        Registration *registration;

        g_test_message("%s", rows[i].name);
        listening_reset();
        registration = listener_join(&listener, world.connection, NULL);
        for (const char *step = rows[i].steps; *step; step++) {
            switch (*step) {
            case 'M':
                world.holds = FALSE;
                break;
            case 'U':
                world.is_known = FALSE;
                break;
            case 'F':
                world.is_foreign = TRUE;
                break;
            case 'O':
                world.state = STATE_COMPLETED;
                break;
            case 'f':
                listening_emit(registration, SOURCE_FAILED);
                break;
            case 'c':
                listening_emit(registration, SOURCE_CORRECTED);
                break;
            case 'm':
                listening_emit(registration, STOPPED, VIR_DOMAIN_EVENT_STOPPED_MIGRATED);
                break;
            case 'd':
                listening_emit(registration, STOPPED, VIR_DOMAIN_EVENT_STOPPED_CRASHED);
                break;
            case 'e':
                listening_emit(registration, SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_PAUSED);
                break;
            case 'q': /* the engine looks at what it was asked */
                listening_run_engine();
                listening_run_loop();
                break;
            case 'g': /* nobody but a person brings it on */
                listening_settle(STATE_POSTCOPY_PAUSED);
                break;
            case 'o': /* it has completed */
                listening_settle(STATE_COMPLETED);
                break;
            }
        }
        listener_assert_told(&listener, rows[i].told);
        listening_run_engine();
        listener_leave(&listener);
    }
}

static void
add_tests(void)
{
    g_test_add_func("/listeners/decide", test_decide);
    g_test_add_func("/listeners/sequences", test_sequences);
}

int
main(int argc, char **argv)
{
    return listening_main(argc, argv, add_tests);
}
