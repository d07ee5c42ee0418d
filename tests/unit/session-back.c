/*
 * session-back.c: the migration engine when a destination has ended before it ran the guest
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "bench.h"

static const EventType questions[] = {EVENT_PEER_RECOVER, EVENT_PEER_ASKS_RUNNING};

/* Puts each question that a source in postcopy has. */
static void
assert_answers(Bench *b, EffectType expected)
{
    for (guint i = 0; i < G_N_ELEMENTS(questions); i++) {
        send(b, questions[i]);
        g_assert_cmpstr(
            effect_type_to_string(g_array_index(b->effects, Effect, b->effects->len - 1).type), ==,
            effect_type_to_string(expected));
        g_assert_cmpint(find_effect(b, EFFECT_LOOK) != NULL, ==, expected == EFFECT_REPLY_REFUSED);
    }
}

/* QEMU tells that it has failed a moment before it ends, and may be started in that moment. */
static void
test_answers(void)
{
    g_autoptr(Policy) policy = policy_default();

    for (guint state = STATE_POSTCOPY_ACTIVE; state <= STATE_POSTCOPY_RECOVER; state++) {
        for (guint ran = 0; ran < 3; ran++) {
            Bench b;

            bench_init(&b, ROLE_DESTINATION, policy);
            bring_to(&b, state);
            send(&b, EVENT_FINISH_CALLED);
            if (ran == 1)
                send(&b, EVENT_QEMU_RESUME);
            send(&b, EVENT_QEMU_FAILED);
            assert_state(&b, STATE_FAILED);
            assert_answers(&b, ran == 1 ? EFFECT_REPLY_OVER : EFFECT_REPLY_REFUSED);
            if (ran == 2)
                send(&b, EVENT_QEMU_RESUME);
            send(&b, EVENT_QEMU_GONE);
            assert_answers(&b, ran ? EFFECT_REPLY_OVER : EFFECT_REPLY_RETURNED);
            g_assert_cmpint(session_may_have_run(b.session), ==, ran != 0);
            send(&b, EVENT_PEER_RETURN);
            g_assert_cmpint(find_effect(&b, EFFECT_REPLY_RETURNED) != NULL, ==, !ran);
            bench_clear(&b);
        }
    }
}

/* What has failed before postcopy does not run, while it is there or not. */
static void
test_failed_before(void)
{
    g_autoptr(Policy) policy = policy_default();
    Bench b;

    bench_init(&b, ROLE_DESTINATION, policy);
    bring_to(&b, STATE_PRECOPY_ACTIVE);
    send(&b, EVENT_QEMU_FAILED);
    assert_answers(&b, EFFECT_REPLY_RETURNED);
    bench_clear(&b);
}

/* Whoever was at Finish went with the daemon, and may have started the guest. */
static void
test_restarted(void)
{
    g_autoptr(Policy) policy = policy_default();

    for (guint called = 0; called < 2; called++) {
        SessionMemory memory;
        Bench b, c, d;

        bench_init(&b, ROLE_DESTINATION, policy);
        bring_to(&b, STATE_POSTCOPY_ACTIVE);
        if (called)
            send(&b, EVENT_FINISH_CALLED);
        session_remember(b.session, &memory);
        bench_init(&c, ROLE_DESTINATION, policy);
        session_restore(c.session, &memory, c.now_usec);
        session_remember(c.session, &memory);
        bench_init(&d, ROLE_DESTINATION, policy);
        session_restore(d.session, &memory, d.now_usec);
        for (guint i = 0; i < 2; i++) {
            Bench *restored = i ? &d : &c;

            send(restored, EVENT_QEMU_GONE);
            assert_answers(restored, called ? EFFECT_REPLY_OVER : EFFECT_REPLY_RETURNED);
        }
        bench_clear(&b);
        bench_clear(&c);
        bench_clear(&d);
    }
}

static void
assert_taken_back(Bench *a)
{
    g_autoptr(Status) status = session_get_status(a->session);

    assert_state(a, STATE_CANCELLED);
    g_assert_cmpint(session_get_owner(a->session), ==, OWNER_SOURCE);
    g_assert_nonnull(find_effect(a, EFFECT_TAKE_BACK));
    g_assert_null(find_effect(a, EFFECT_KEEP_STOPPED));
    g_assert_null(find_effect(a, EFFECT_TELL_ENDED));
    g_assert_nonnull(strstr(status->message, "before it ran the guest"));
}

/* The guest goes on when QEMU has paused, or has let it run by itself; and that is not forgotten
 * before it is done, whatever libvirt has settled. */
static void
test_taken_back(void)
{
    static const EventType ends[] = {EVENT_QEMU_POSTCOPY_PAUSED, EVENT_QEMU_FAILED};
    g_autoptr(Policy) policy = policy_default();

    for (guint i = 0; i <= G_N_ELEMENTS(ends); i++) {
        SessionMemory memory;
        Bench a, b;

        bench_init(&a, ROLE_SOURCE, policy);
        bring_to(&a, i ? STATE_POSTCOPY_ACTIVE : STATE_POSTCOPY_PAUSED);
        send(&a, EVENT_PEER_RETURNED);
        if (i) {
            assert_state(&a, STATE_POSTCOPY_ACTIVE);
            g_assert_nonnull(find_effect(&a, EFFECT_BREAK_CHANNEL));
            send(&a, EVENT_TIMER_STATE);
            g_assert_nonnull(find_effect(&a, EFFECT_ASK_RUNNING));
            send(&a, ends[i - 1]);
        }
        assert_taken_back(&a);
        send(&a, EVENT_SETTLED);
        send(&a, EVENT_QEMU_RESUME);
        g_assert_true(session_needs_journal(a.session));

        session_remember(a.session, &memory);
        bench_init(&b, ROLE_SOURCE, policy);
        session_restore(b.session, &memory, b.now_usec);
        send(&b, EVENT_RESTORED);
        g_assert_nonnull(find_effect(&b, EFFECT_TAKE_BACK));
        send(&b, EVENT_TAKEN_BACK);
        g_assert_false(session_needs_journal(b.session));
        send(&b, EVENT_RESTORED);
        g_assert_null(find_effect(&b, EFFECT_TAKE_BACK));
        bench_clear(&a);
        bench_clear(&b);
    }
}

/* One that was cancelled before postcopy is libvirt's to settle. */
static void
test_cancelled(void)
{
    g_autoptr(Policy) policy = policy_default();
    SessionMemory memory;
    Bench a, b;

    bench_init(&a, ROLE_SOURCE, policy);
    bring_to(&a, STATE_SWITCHOVER);
    send(&a, EVENT_RETURN_REQUESTED);
    send(&a, EVENT_PEER_RETURNED);
    assert_state(&a, STATE_CANCELLED);
    g_assert_null(find_effect(&a, EFFECT_TAKE_BACK));
    session_remember(a.session, &memory);
    bench_init(&b, ROLE_SOURCE, policy);
    session_restore(b.session, &memory, b.now_usec);
    send(&b, EVENT_RESTORED);
    g_assert_null(find_effect(&b, EFFECT_TAKE_BACK));
    send(&b, EVENT_SETTLED);
    g_assert_false(session_needs_journal(b.session));
    bench_clear(&a);
    bench_clear(&b);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session-back/answers", test_answers);
    g_test_add_func("/session-back/failed-before", test_failed_before);
    g_test_add_func("/session-back/restarted", test_restarted);
    g_test_add_func("/session-back/taken-back", test_taken_back);
    g_test_add_func("/session-back/cancelled", test_cancelled);
    return g_test_run();
}
