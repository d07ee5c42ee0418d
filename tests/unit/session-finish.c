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
    g_assert_cmpint(session_get_state(b.session), ==, STATE_COMPLETED);
    g_assert_nonnull(find_effect(&b, EFFECT_END));
    bench_clear(&b);
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
    g_test_add_func("/session/not-paused-after-all", test_not_paused_after_all);
    return g_test_run();
}
