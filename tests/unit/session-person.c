/*
 * session-person.c: a person's word in the migration engine: the last one counts
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bench.h"

/* A withdrawn pause leaves the next one to its real cause. */
static void
test_pause_withdrawn(void)
{
    g_autoptr(Policy) policy = policy_default();
    Bench a;

    bench_init(&a, ROLE_SOURCE, policy);
    bring_to(&a, STATE_POSTCOPY_ACTIVE);
    send_number(&a, EVENT_PAUSE_REQUESTED, 1);
    g_assert_nonnull(find_effect(&a, EFFECT_PAUSE));
    g_assert_true(session_is_pausing(a.session));
    g_assert_true(send(&a, EVENT_PAUSE_WITHDRAWN));
    g_assert_false(session_is_pausing(a.session));
    g_assert_false(send(&a, EVENT_PAUSE_WITHDRAWN));
    send(&a, EVENT_QEMU_POSTCOPY_PAUSED);
    g_assert_cmpint(session_get_reason(a.session), ==, REASON_IO_ERROR);
    g_assert_nonnull(find_effect(&a, EFFECT_ASK_PEER));
    bench_clear(&a);
}

/* A recovery that a person pauses is kicked until QEMU lets go of it, whatever QEMU says. */
static void
test_pause_of_recovery(void)
{
    g_autoptr(Policy) policy = policy_default();

    for (guint state = STATE_POSTCOPY_RECOVER_SETUP; state <= STATE_POSTCOPY_RECOVER; state++) {
        /* Somebody else has carried it out, or nobody has: it is ours. */
        for (guint number = 0; number < 2; number++) {
            Bench a;

            bench_init(&a, ROLE_SOURCE, policy);
            bring_to(&a, state);
            g_assert_true(send_number(&a, EVENT_PAUSE_REQUESTED, number));
            g_assert_true(session_is_pausing(a.session));
            for (guint i = 0; i < 3; i++) {
                g_assert_nonnull(find_effect(&a, EFFECT_BREAK_CHANNEL));
                g_assert_cmpuint(find_effect(&a, EFFECT_START_STATE_TIMER)->number, <, 1000);
                send(&a, EVENT_PAUSE_WITHDRAWN);
                g_assert_true(session_is_pausing(a.session));
                g_assert_cmpuint(a.effects->len, ==, 0);
                send(&a, EVENT_TIMER_STATE);
            }
            send(&a, EVENT_QEMU_POSTCOPY_PAUSED);
            g_assert_cmpint(session_get_reason(a.session), ==, REASON_OPERATOR);
            g_assert_false(session_is_pausing(a.session));
            g_assert_nonnull(find_effect(&a, EFFECT_TELL_PEER));
            g_assert_null(find_effect(&a, EFFECT_ASK_PEER));
            bench_clear(&a);
        }
    }
}

/* QEMU has been told to resume when the person pauses: wherever it is met, it is paused again. */
static void
test_pause_overtaken(void)
{
    static const EventType resumed[] = {
        EVENT_QEMU_POSTCOPY_RECOVER_SETUP,
        EVENT_QEMU_POSTCOPY_RECOVER,
        EVENT_QEMU_POSTCOPY_ACTIVE,
    };
    g_autoptr(Policy) policy = policy_default();

    for (gsize i = 0; i < G_N_ELEMENTS(resumed); i++) {
        Bench a;

        bench_init(&a, ROLE_SOURCE, policy);
        bring_to(&a, STATE_POSTCOPY_PAUSED);
        send_number(&a, EVENT_PEER_ARMED, 49300);
        g_assert_nonnull(find_effect(&a, EFFECT_RESUME));
        send(&a, EVENT_PAUSE_REQUESTED);
        g_assert_cmpint(session_get_reason(a.session), ==, REASON_OPERATOR);
        g_assert_true(session_is_pausing(a.session));
        send(&a, resumed[i]);
        g_assert_true(find_effect(&a, EFFECT_BREAK_CHANNEL) || find_effect(&a, EFFECT_PAUSE));
        send(&a, EVENT_QEMU_POSTCOPY_PAUSED);
        g_assert_cmpint(session_get_reason(a.session), ==, REASON_OPERATOR);
        g_assert_false(session_is_pausing(a.session));
        g_assert_false(session_holds_callers(a.session));
        bench_clear(&a);
    }
}

/* ... and where QEMU could not resume, or the person resumes after all, nothing is left of it. */
static void
test_pause_overtaken_in_vain(void)
{
    static const EventType ends[] = {EVENT_RESUME_FAILED, EVENT_RECOVER_REQUESTED};
    g_autoptr(Policy) policy = policy_default();

    for (gsize i = 0; i < G_N_ELEMENTS(ends); i++) {
        Bench a;

        bench_init(&a, ROLE_SOURCE, policy);
        bring_to(&a, STATE_POSTCOPY_PAUSED);
        send_number(&a, EVENT_PEER_ARMED, 49300);
        send(&a, EVENT_PAUSE_REQUESTED);
        send(&a, ends[i]);
        g_assert_false(session_is_pausing(a.session));
        assert_state(&a, STATE_POSTCOPY_PAUSED);
        /* Nobody's resume but a person's: stock libvirt's, say. */
        send(&a, EVENT_QEMU_POSTCOPY_RECOVER_SETUP);
        g_assert_null(find_effect(&a, EFFECT_BREAK_CHANNEL));
        bench_clear(&a);
    }
}

/* The last word in a recovery is to go on: what pauses it now is not the person's. */
static void
test_pause_taken_back(void)
{
    g_autoptr(Policy) policy = policy_default();
    Bench a;

    bench_init(&a, ROLE_SOURCE, policy);
    bring_to(&a, STATE_POSTCOPY_RECOVER);
    send(&a, EVENT_PAUSE_REQUESTED);
    send(&a, EVENT_RECOVER_REQUESTED);
    g_assert_false(session_is_pausing(a.session));
    send(&a, EVENT_QEMU_POSTCOPY_PAUSED);
    g_assert_cmpint(session_get_reason(a.session), ==, REASON_IO_ERROR);
    g_assert_true(session_holds_callers(a.session));
    bench_clear(&a);
}

/* A person pauses in the middle of the recovery that a person asked for: the last word counts. */
static void
test_operator_again(void)
{
    for (MigrationRole role = 0; role < ROLE_LAST; role++) {
        gboolean source = role == ROLE_SOURCE;
        g_autoptr(Policy) policy = policy_default();
        Bench bench;

        bench_init(&bench, role, policy);
        bring_to(&bench, STATE_POSTCOPY_ACTIVE);
        send(&bench, source ? EVENT_PAUSE_REQUESTED : EVENT_PEER_PAUSED);
        send(&bench, EVENT_QEMU_POSTCOPY_PAUSED);
        send(&bench, source ? EVENT_RECOVER_REQUESTED : EVENT_PEER_RECOVER);
        send(&bench, EVENT_QEMU_POSTCOPY_RECOVER);
        send(&bench, source ? EVENT_PAUSE_REQUESTED : EVENT_PEER_PAUSED);
        send(&bench, EVENT_QEMU_POSTCOPY_PAUSED);
        assert_state(&bench, STATE_POSTCOPY_PAUSED);
        g_assert_cmpint(session_get_reason(bench.session), ==, REASON_OPERATOR);
        g_assert_false(session_holds_callers(bench.session));
        g_assert_null(find_effect(&bench, EFFECT_START_STATE_TIMER));
        bench_clear(&bench);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session-person/pause-withdrawn", test_pause_withdrawn);
    g_test_add_func("/session-person/pause-of-recovery", test_pause_of_recovery);
    g_test_add_func("/session-person/pause-overtaken", test_pause_overtaken);
    g_test_add_func("/session-person/pause-overtaken-in-vain", test_pause_overtaken_in_vain);
    g_test_add_func("/session-person/pause-taken-back", test_pause_taken_back);
    g_test_add_func("/session-person/operator-again", test_operator_again);
    return g_test_run();
}
