/*
 * session-return.c: the migration engine when nobody knows whether the guest was started
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bench.h"

/* A Finish that ended before it started the guest is not the last one. */
static void
test_finish_failed(void)
{
    g_autoptr(Policy) policy = policy_default();
    Bench b;

    bench_init(&b, ROLE_DESTINATION, policy);
    bring_to(&b, STATE_POSTCOPY_ACTIVE);
    send(&b, EVENT_FINISH_CALLED);
    send(&b, EVENT_FINISH_FAILED);
    g_assert_nonnull(find_effect(&b, EFFECT_START_STATE_TIMER));
    send(&b, EVENT_TIMER_STATE);
    g_assert_nonnull(find_effect(&b, EFFECT_FINISH));
    /* in a pause: once the channel is back */
    send(&b, EVENT_FINISH_CALLED);
    send(&b, EVENT_QEMU_POSTCOPY_PAUSED);
    send(&b, EVENT_FINISH_FAILED);
    g_assert_null(find_effect(&b, EFFECT_START_STATE_TIMER));
    send(&b, EVENT_QEMU_POSTCOPY_ACTIVE);
    g_assert_nonnull(find_effect(&b, EFFECT_START_STATE_TIMER));
    bench_clear(&b);
}

/* The word that the guest was started is missing: nobody runs it at the source until it is known,
 * whatever the policy says about recovery. */
static void
test_return(void)
{
    static const struct {
        EventType answer;
        MigrationState state;
        MigrationOwner owner;
    } ends[] = {
        {EVENT_PEER_COMPLETED, STATE_COMPLETED, OWNER_DESTINATION},
        {EVENT_PEER_RETURNED, STATE_CANCELLED, OWNER_SOURCE},
        {EVENT_CALL_CANCELLED, STATE_CANCELLED, OWNER_SOURCE}, /* a person's word */
    };
    g_autoptr(Policy) defaults = policy_default();
    g_autoptr(Policy) manual = policy_from_element_xml(
        "<m:migration xmlns:m='" POLICY_NAMESPACE "'><m:recovery mode='manual'/></m:migration>",
        POLICY_NAMESPACE, defaults, NULL);

    for (guint state = STATE_SETUP; state <= STATE_SWITCHOVER; state++) {
        for (guint i = 0; i < G_N_ELEMENTS(ends); i++) {
            Bench a;

            bench_init(&a, ROLE_SOURCE, manual);
            bring_to(&a, state);
            send(&a, EVENT_RETURN_REQUESTED);
            g_assert_nonnull(find_effect(&a, EFFECT_ASK_RETURN));
            g_assert_cmpint(g_array_index(a.effects, Effect, a.effects->len - 1).type, ==,
                            EFFECT_START_STATE_TIMER);
            for (guint n = 1; n < 6; n++) {
                assert_state(&a, STATE_SWITCHOVER);
                g_assert_true(session_wants_return(a.session));
                g_assert_true(session_holds_callers(a.session));
                g_assert_cmpint(session_get_owner(a.session), ==, OWNER_NOBODY);
                send(&a, n % 2 ? EVENT_PEER_UNREACHABLE : EVENT_PEER_REFUSED);
                g_assert_null(find_effect(&a, EFFECT_ASK_RETURN));
                g_assert_cmpuint(find_effect(&a, EFFECT_START_STATE_TIMER)->number, ==,
                                 manual->min_interval_ms);
                send(&a, EVENT_TIMER_STATE);
                g_assert_cmpuint(find_effect(&a, EFFECT_ASK_RETURN)->number, ==, n % 2);
            }
            send(&a, ends[i].answer);
            assert_state(&a, ends[i].state);
            g_assert_cmpint(session_get_owner(a.session), ==, ends[i].owner);
            g_assert_false(session_wants_return(a.session));
            bench_clear(&a);
        }
    }
}

/* A source that nobody confirms is looked at, if there is somebody who can be asked. */
static void
test_look(void)
{
    g_autoptr(Policy) policy = policy_default();

    for (guint paths = 0; paths < 2; paths++) {
        Bench a;

        bench_init(&a, ROLE_SOURCE, policy);
        session_set_peer(a.session, "b.example", paths);
        bring_to(&a, STATE_SWITCHOVER);
        g_assert_cmpint(find_effect(&a, EFFECT_START_STATE_TIMER) != NULL, ==, paths > 0);
        send(&a, EVENT_TIMER_STATE);
        g_assert_nonnull(find_effect(&a, EFFECT_LOOK));
        g_assert_cmpint(find_effect(&a, EFFECT_START_STATE_TIMER) != NULL, ==, paths > 0);
        bench_clear(&a);
    }
}

/* The destination lets its source have the guest back only when nobody can start it any more. */
static void
test_return_answered(void)
{
    g_autoptr(Policy) policy = policy_default();

    for (guint state = 0; state < STATE_LAST; state++) {
        Bench b;

        bench_init(&b, ROLE_DESTINATION, policy);
        bring_to(&b, state);
        send(&b, EVENT_PEER_RETURN);
        g_assert_cmpint(find_effect(&b, EFFECT_REPLY_COMPLETED) != NULL, ==,
                        state == STATE_COMPLETED);
        g_assert_cmpint(find_effect(&b, EFFECT_REPLY_RETURNED) != NULL, ==,
                        state == STATE_FAILED || state == STATE_CANCELLED);
        g_assert_cmpint(find_effect(&b, EFFECT_CANCEL_FINISH) != NULL, ==,
                        state <= STATE_SWITCHOVER);
        g_assert_cmpint(find_effect(&b, EFFECT_REPLY_REFUSED) != NULL, ==,
                        state <= STATE_POSTCOPY_RECOVER);
        if (state <= STATE_SWITCHOVER) {
            /* Finish was faster, or it was cancelled */
            send(&b, state == STATE_SETUP ? EVENT_GUEST_STARTED : EVENT_CALL_CANCELLED);
            send(&b, EVENT_PEER_RETURN);
            g_assert_nonnull(find_effect(&b, state == STATE_SETUP ? EFFECT_REPLY_COMPLETED
                                                                  : EFFECT_REPLY_RETURNED));
        }
        if (migration_state_is_postcopy(state)) {
            /* it may have run */
            send(&b, EVENT_QEMU_FAILED);
            send(&b, EVENT_QEMU_RESUME);
            send(&b, EVENT_QEMU_GONE);
            send(&b, EVENT_PEER_RETURN);
            g_assert_nonnull(find_effect(&b, EFFECT_REPLY_REFUSED));
            g_assert_null(find_effect(&b, EFFECT_REPLY_RETURNED));
        }
        bench_clear(&b);
    }
}

/* A source that has failed in postcopy says so until the destination has it; the journal is kept so
 * long. */
static void
test_ended_source(void)
{
    static const EventType ends[] = {EVENT_QEMU_FAILED, EVENT_QEMU_GONE};
    g_autoptr(Policy) policy = policy_default();

    for (guint state = STATE_SETUP; state < STATE_COMPLETED; state++) {
        gboolean tells = state >= STATE_SWITCHOVER;
        SessionMemory memory;
        Bench a;

        bench_init(&a, ROLE_SOURCE, policy);
        bring_to(&a, state);
        send(&a, ends[state % 2]);
        assert_state(&a, STATE_FAILED);
        g_assert_cmpint(find_effect(&a, EFFECT_TELL_ENDED) != NULL, ==, tells);
        g_assert_cmpint(session_is_untold(a.session), ==, tells);
        for (guint i = 0; i < 3; i++) {
            send(&a, i % 2 ? EVENT_PEER_UNREACHABLE : EVENT_PEER_REFUSED);
            g_assert_cmpint(find_effect(&a, EFFECT_START_STATE_TIMER) != NULL, ==, tells);
            send(&a, EVENT_TIMER_STATE);
            g_assert_cmpint(find_effect(&a, EFFECT_TELL_ENDED) != NULL, ==, tells);
        }
        session_remember(a.session, &memory);
        bench_clear(&a);

        bench_init(&a, ROLE_SOURCE, policy);
        session_restore(a.session, &memory, a.now_usec);
        send(&a, EVENT_RESTORED);
        g_assert_cmpint(find_effect(&a, EFFECT_TELL_ENDED) != NULL, ==, tells);
        g_assert_cmpint(send(&a, state % 2 ? EVENT_PEER_OVER : EVENT_PEER_COMPLETED), ==, tells);
        g_assert_false(session_is_untold(a.session));
        send(&a, EVENT_TIMER_STATE);
        g_assert_null(find_effect(&a, EFFECT_TELL_ENDED));
        bench_clear(&a);
    }
}

/* A destination that waits for its source ends, unless what it has is all, or on its way. */
static void
test_ended_destination(void)
{
    g_autoptr(Policy) policy = policy_default();

    for (guint state = 0; state < STATE_LAST; state++) {
        gboolean channel = migration_state_is_postcopy(state) && state != STATE_POSTCOPY_PAUSED;
        gboolean over =
            state == STATE_POSTCOPY_PAUSED || state == STATE_FAILED || state == STATE_CANCELLED;
        Bench b;

        bench_init(&b, ROLE_DESTINATION, policy);
        bring_to(&b, state);
        send(&b, EVENT_QEMU_RESUME);
        send(&b, EVENT_PEER_ENDED);
        g_assert_cmpint(find_effect(&b, EFFECT_BREAK_CHANNEL) != NULL, ==, channel);
        g_assert_cmpint(find_effect(&b, EFFECT_REPLY_COMPLETED) != NULL, ==,
                        state == STATE_COMPLETED);
        g_assert_cmpint(find_effect(&b, EFFECT_REPLY_OVER) != NULL, ==, over);
        g_assert_cmpint(find_effect(&b, EFFECT_REPLY_REFUSED) != NULL, ==,
                        !over && state != STATE_COMPLETED);
        if (channel) {
            send(&b, EVENT_QEMU_POSTCOPY_PAUSED);
            send(&b, EVENT_PEER_ENDED);
            g_assert_nonnull(find_effect(&b, EFFECT_REPLY_OVER));
            assert_state(&b, STATE_FAILED);
        }
        bench_clear(&b);
    }
}

/* All memory is here, only nobody has started the guest: it is. */
static void
test_ended_received(void)
{
    g_autoptr(Policy) policy = policy_default();
    Bench b;

    bench_init(&b, ROLE_DESTINATION, policy);
    bring_to(&b, STATE_POSTCOPY_ACTIVE);
    send(&b, EVENT_QEMU_COMPLETED);
    for (guint i = 0; i < 2; i++) {
        send(&b, i ? EVENT_PEER_ENDED : EVENT_PEER_RECOVER);
        g_assert_nonnull(find_effect(&b, EFFECT_REPLY_COMPLETED));
        g_assert_null(find_effect(&b, EFFECT_BREAK_CHANNEL));
    }
    bench_clear(&b);
}

/* What came of a question is done to the guest before it is forgotten. */
static void
test_settled(void)
{
    static const EventType answers[] = {EVENT_PEER_COMPLETED, EVENT_PEER_RETURNED};
    g_autoptr(Policy) policy = policy_default();

    for (gsize i = 0; i < G_N_ELEMENTS(answers); i++) {
        SessionMemory memory;
        Bench a;

        bench_init(&a, ROLE_SOURCE, policy);
        bring_to(&a, STATE_SWITCHOVER);
        send(&a, EVENT_RETURN_REQUESTED);
        send(&a, answers[i]);
        g_assert_true(session_needs_journal(a.session));
        session_remember(a.session, &memory);
        bench_clear(&a);

        bench_init(&a, ROLE_SOURCE, policy);
        session_restore(a.session, &memory, a.now_usec);
        g_assert_true(session_needs_journal(a.session));
        g_assert_true(send(&a, EVENT_SETTLED));
        g_assert_false(session_needs_journal(a.session));
        g_assert_false(send(&a, EVENT_SETTLED));
        bench_clear(&a);
    }
}

/* A guest that may have run on the destination is not given back, whatever has become of it. */
static void
test_may_have_run(void)
{
    g_autoptr(Policy) policy = policy_default();

    for (guint started = 0; started < 2; started++) {
        SessionMemory memory;
        Bench b;

        bench_init(&b, ROLE_DESTINATION, policy);
        bring_to(&b, STATE_SWITCHOVER);
        send(&b, EVENT_FINISH_CALLED);
        session_remember(b.session, &memory);
        bench_clear(&b);

        memory.started = started;
        bench_init(&b, ROLE_DESTINATION, policy);
        session_restore(b.session, &memory, b.now_usec);
        send(&b, EVENT_QEMU_GONE);
        send(&b, EVENT_PEER_RETURN);
        g_assert_cmpint(find_effect(&b, EFFECT_REPLY_RETURNED) != NULL, ==, !started);
        g_assert_cmpint(find_effect(&b, EFFECT_REPLY_REFUSED) != NULL, ==, started);
        bench_clear(&b);
    }
}

/* The source has switched, and the destination never hears of it. */
static void
test_source_paused_early(void)
{
    g_autoptr(Policy) policy = policy_default();
    Bench b;

    bench_init(&b, ROLE_DESTINATION, policy);
    bring_to(&b, STATE_PRECOPY_ACTIVE);
    for (guint seconds = 0; seconds < 330; seconds += 30) {
        send(&b, EVENT_PEER_RECOVER);
        g_assert_nonnull(find_effect(&b, EFFECT_REPLY_REFUSED));
        g_assert_cmpint(find_effect(&b, EFFECT_BREAK_CHANNEL) != NULL, ==, seconds >= 300);
        b.now_usec += 30 * G_USEC_PER_SEC;
    }
    bench_clear(&b);
}

/* A daemon that stops does not wait for the rest of precopy. */
static void
test_daemon_stops(void)
{
    g_autoptr(Policy) policy = policy_default();

    for (guint state = 0; state < STATE_LAST; state++) {
        Bench a;

        bench_init(&a, ROLE_SOURCE, policy);
        bring_to(&a, state);
        send(&a, EVENT_DAEMON_STOPS);
        g_assert_cmpint(find_effect(&a, EFFECT_ABORT) != NULL, ==, state <= STATE_PRECOPY_ACTIVE);
        assert_state(&a, state);
        bench_clear(&a);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session-return/finish-failed", test_finish_failed);
    g_test_add_func("/session-return/return", test_return);
    g_test_add_func("/session-return/return-answered", test_return_answered);
    g_test_add_func("/session-return/look", test_look);
    g_test_add_func("/session-return/ended-source", test_ended_source);
    g_test_add_func("/session-return/ended-destination", test_ended_destination);
    g_test_add_func("/session-return/ended-received", test_ended_received);
    g_test_add_func("/session-return/settled", test_settled);
    g_test_add_func("/session-return/may-have-run", test_may_have_run);
    g_test_add_func("/session-return/source-paused-early", test_source_paused_early);
    g_test_add_func("/session-return/daemon-stops", test_daemon_stops);
    return g_test_run();
}
