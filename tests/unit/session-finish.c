/*
 * session-finish.c: a destination that waits for Finish, or finds itself otherwise than it thought
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bench.h"

/* A destination before postcopy. */
static void
begin(Bench *bench)
{
    g_autoptr(Policy) policy = policy_default();

    bench_init(bench, ROLE_DESTINATION, policy);
    bring_to(bench, STATE_PRECOPY_ACTIVE);
}

static void
test_lost_finish(void)
{
    Bench b;

    begin(&b);
    send(&b, EVENT_TIMER_STATE);
    g_assert_null(find_effect(&b, EFFECT_FINISH));
    send(&b, EVENT_QEMU_POSTCOPY_ACTIVE);
    g_assert_nonnull(find_effect(&b, EFFECT_START_STATE_TIMER));
    /* a pause in between: only a destination that has its channel is started */
    send(&b, EVENT_QEMU_POSTCOPY_PAUSED);
    g_assert_nonnull(find_effect(&b, EFFECT_STOP_STATE_TIMER));
    send(&b, EVENT_QEMU_POSTCOPY_RECOVER);
    send(&b, EVENT_QEMU_POSTCOPY_ACTIVE);
    g_assert_nonnull(find_effect(&b, EFFECT_START_STATE_TIMER));
    send(&b, EVENT_TIMER_STATE);
    g_assert_nonnull(find_effect(&b, EFFECT_FINISH));
    bench_clear(&b);
}

static void
test_finish_called(void)
{
    Bench b;

    begin(&b);
    send(&b, EVENT_QEMU_POSTCOPY_ACTIVE);
    /* which the journal is to know */
    g_assert_true(send(&b, EVENT_FINISH_CALLED));
    g_assert_nonnull(find_effect(&b, EFFECT_STOP_STATE_TIMER));
    send(&b, EVENT_QEMU_POSTCOPY_PAUSED);
    send(&b, EVENT_QEMU_POSTCOPY_ACTIVE);
    g_assert_null(find_effect(&b, EFFECT_START_STATE_TIMER));
    send(&b, EVENT_QEMU_RESUME);
    send(&b, EVENT_QEMU_COMPLETED);
    g_assert_cmpint(session_get_state(b.session), ==, STATE_COMPLETED);
    bench_clear(&b);
}

/* All memory is there before anybody has started the guest: that is not the end. To close the
 * client's connection now would have libvirt destroy the guest. */
static void
test_received_before_finish(void)
{
    Bench b;

    begin(&b);
    send(&b, EVENT_QEMU_POSTCOPY_ACTIVE);
    send(&b, EVENT_QEMU_COMPLETED);
    g_assert_cmpint(session_get_state(b.session), ==, STATE_POSTCOPY_ACTIVE);
    g_assert_null(find_effect(&b, EFFECT_END));
    g_assert_null(find_effect(&b, EFFECT_STOP_STATE_TIMER));
    g_assert_true(session_holds_callers(b.session));
    send(&b, EVENT_TIMER_STATE);
    g_assert_nonnull(find_effect(&b, EFFECT_FINISH));
    g_assert_true(send(&b, EVENT_FINISH_CALLED));
    g_assert_nonnull(find_effect(&b, EFFECT_STOP_STATE_TIMER));
    /* it comes to nothing, and is tried again */
    g_assert_true(send(&b, EVENT_FINISH_FAILED));
    g_assert_cmpint(session_get_state(b.session), ==, STATE_POSTCOPY_ACTIVE);
    for (guint i = 0; i < 3; i++) {
        send(&b, EVENT_TIMER_STATE);
        g_assert_nonnull(find_effect(&b, EFFECT_FINISH));
        g_assert_nonnull(find_effect(&b, EFFECT_START_STATE_TIMER));
    }
    send(&b, EVENT_FINISH_CALLED);
    send(&b, EVENT_QEMU_RESUME);
    g_assert_cmpint(session_get_state(b.session), ==, STATE_COMPLETED);
    g_assert_nonnull(find_effect(&b, EFFECT_END));
    bench_clear(&b);
}

/* A guest that was paused before the migration stays so, and Finish says when that is all. */
static void
test_never_runs(void)
{
    Bench b;

    begin(&b);
    send(&b, EVENT_QEMU_POSTCOPY_ACTIVE);
    send(&b, EVENT_FINISH_CALLED);
    send(&b, EVENT_QEMU_COMPLETED);
    assert_state(&b, STATE_POSTCOPY_ACTIVE);
    send(&b, EVENT_GUEST_STARTED); /* libvirt's event, whether it runs or not */
    assert_state(&b, STATE_POSTCOPY_ACTIVE);
    g_assert_null(find_effect(&b, EFFECT_START_STATE_TIMER));
    send(&b, EVENT_CALL_COMPLETED);
    assert_state(&b, STATE_COMPLETED);
    bench_clear(&b);
}

/* After a restart nobody is at Finish any more, whatever the journal says; libvirt draws its line
 * under the migration, and the guest is started by us. */
static void
test_restored(void)
{
    static const struct {
        EventType events[3]; /* EVENT_QEMU_SETUP: none */
        gboolean ends;
    } cases[] = {
        {{EVENT_RESTORED}, FALSE},
        {{EVENT_RESTORED, EVENT_GUEST_STARTED}, FALSE},
        {{EVENT_RESTORED, EVENT_QEMU_RESUME}, FALSE},
        {{EVENT_RESTORED, EVENT_GUEST_STARTED, EVENT_QEMU_RESUME}, TRUE},
        {{EVENT_RESTORED, EVENT_QEMU_RESUME, EVENT_GUEST_STARTED}, TRUE},
        {{EVENT_RESTORED, EVENT_QEMU_RESUME, EVENT_QEMU_COMPLETED}, TRUE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        SessionMemory memory;
        Bench b;

        begin(&b);
        send(&b, EVENT_QEMU_POSTCOPY_ACTIVE);
        send(&b, EVENT_FINISH_CALLED);
        session_remember(b.session, &memory);
        bench_clear(&b);
        begin(&b);
        session_restore(b.session, &memory, b.now_usec);
        for (guint j = 0; j < G_N_ELEMENTS(cases[i].events); j++)
            send(&b, cases[i].events[j]);
        assert_state(&b, cases[i].ends ? STATE_COMPLETED : STATE_POSTCOPY_ACTIVE);
        send(&b, EVENT_TIMER_STATE);
        g_assert_cmpint(find_effect(&b, EFFECT_FINISH) != NULL, ==, i < 2);
        bench_clear(&b);
    }
}

/* A destination that recovered while its daemon was away, and has lost its channel since, does not
 * listen any more: the port of then is not offered for ever. */
static void
test_not_paused_after_all(void)
{
    Bench b;

    begin(&b);
    send(&b, EVENT_QEMU_POSTCOPY_ACTIVE);
    send(&b, EVENT_QEMU_POSTCOPY_PAUSED);
    send_number(&b, EVENT_ARMED, 49215);
    send(&b, EVENT_PEER_RECOVER);
    g_assert_nonnull(find_effect(&b, EFFECT_REPLY_ARMED));
    send(&b, EVENT_PEER_RECOVER);
    g_assert_nonnull(find_effect(&b, EFFECT_ARM));
    send(&b, EVENT_ARM_FAILED);
    g_assert_nonnull(find_effect(&b, EFFECT_BREAK_CHANNEL));
    g_assert_nonnull(find_effect(&b, EFFECT_REPLY_ARMED));
    bench_clear(&b);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/lost-finish", test_lost_finish);
    g_test_add_func("/session/finish-called", test_finish_called);
    g_test_add_func("/session/received-before-finish", test_received_before_finish);
    g_test_add_func("/session/never-runs", test_never_runs);
    g_test_add_func("/session/restored-before-the-start", test_restored);
    g_test_add_func("/session/not-paused-after-all", test_not_paused_after_all);
    return g_test_run();
}
