/*
 * session-finish.c: a destination that waits for Finish, or finds itself otherwise than it thought
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/session.h"

typedef struct {
    Session *session;
    GArray *effects; /* of the last event */
} Destination;

static gboolean
tell_number(Destination *destination, EventType type, guint number)
{
    Event event = {.type = type, .at_usec = G_USEC_PER_SEC, .number = number, .text = "because"};

    g_array_set_size(destination->effects, 0);
    return session_step(destination->session, &event, destination->effects);
}

static gboolean
tell(Destination *destination, EventType type)
{
    return tell_number(destination, type, 0);
}

static gboolean
has_effect(const Destination *destination, EffectType type)
{
    for (guint i = 0; i < destination->effects->len; i++) {
        if (g_array_index(destination->effects, Effect, i).type == type)
            return TRUE;
    }
    return FALSE;
}

/* Before postcopy. */
static void
begin(Destination *destination)
{
    g_autoptr(Policy) policy = policy_default();

    destination->session =
        session_new(ROLE_DESTINATION, "6f9d9c1e-0d0c-4c3c-9d5e-4e2c6bb0a001",
                    "0b6a3c2c-5a6e-4c53-8b0e-bd3a7bd1c001", "guest", policy, 7, G_USEC_PER_SEC);
    session_set_peer(destination->session, "a.example", 1);
    destination->effects = g_array_new(FALSE, TRUE, sizeof(Effect));
    tell(destination, EVENT_QEMU_ACTIVE);
}

static void
end(Destination *destination)
{
    session_free(destination->session);
    g_array_unref(destination->effects);
}

static void
test_lost_finish(void)
{
    Destination b;

    begin(&b);
    tell(&b, EVENT_TIMER_STATE);
    g_assert_false(has_effect(&b, EFFECT_FINISH));
    tell(&b, EVENT_QEMU_POSTCOPY_ACTIVE);
    g_assert_true(has_effect(&b, EFFECT_START_STATE_TIMER));
    /* a pause in between: only a destination that has its channel is started */
    tell(&b, EVENT_QEMU_POSTCOPY_PAUSED);
    g_assert_true(has_effect(&b, EFFECT_STOP_STATE_TIMER));
    tell(&b, EVENT_QEMU_POSTCOPY_RECOVER);
    tell(&b, EVENT_QEMU_POSTCOPY_ACTIVE);
    g_assert_true(has_effect(&b, EFFECT_START_STATE_TIMER));
    tell(&b, EVENT_TIMER_STATE);
    g_assert_true(has_effect(&b, EFFECT_FINISH));
    end(&b);
}

static void
test_finish_called(void)
{
    Destination b;

    begin(&b);
    tell(&b, EVENT_QEMU_POSTCOPY_ACTIVE);
    /* which the journal is to know */
    g_assert_true(tell(&b, EVENT_FINISH_CALLED));
    g_assert_true(has_effect(&b, EFFECT_STOP_STATE_TIMER));
    tell(&b, EVENT_QEMU_POSTCOPY_PAUSED);
    tell(&b, EVENT_QEMU_POSTCOPY_ACTIVE);
    g_assert_false(has_effect(&b, EFFECT_START_STATE_TIMER));
    tell(&b, EVENT_QEMU_COMPLETED);
    g_assert_cmpint(session_get_state(b.session), ==, STATE_COMPLETED);
    end(&b);
}

/* All memory is there before anybody has started the guest: that is not the end. To close the
 * client's connection now would have libvirt destroy the guest. */
static void
test_received_before_finish(void)
{
    Destination b;

    begin(&b);
    tell(&b, EVENT_QEMU_POSTCOPY_ACTIVE);
    tell(&b, EVENT_QEMU_COMPLETED);
    g_assert_cmpint(session_get_state(b.session), ==, STATE_POSTCOPY_ACTIVE);
    g_assert_false(has_effect(&b, EFFECT_END));
    g_assert_false(has_effect(&b, EFFECT_STOP_STATE_TIMER));
    g_assert_true(session_holds_callers(b.session));
    tell(&b, EVENT_TIMER_STATE);
    g_assert_true(has_effect(&b, EFFECT_FINISH));
    g_assert_true(tell(&b, EVENT_FINISH_CALLED));
    g_assert_cmpint(session_get_state(b.session), ==, STATE_COMPLETED);
    g_assert_true(has_effect(&b, EFFECT_END));
    end(&b);
}

/* A destination that recovered while its daemon was away, and has lost its channel since, does not
 * listen any more: the port of then is not offered for ever. */
static void
test_not_paused_after_all(void)
{
    Destination b;

    begin(&b);
    tell(&b, EVENT_QEMU_POSTCOPY_ACTIVE);
    tell(&b, EVENT_QEMU_POSTCOPY_PAUSED);
    tell_number(&b, EVENT_ARMED, 49215);
    tell(&b, EVENT_PEER_RECOVER);
    g_assert_true(has_effect(&b, EFFECT_REPLY_ARMED));
    tell(&b, EVENT_PEER_RECOVER);
    g_assert_true(has_effect(&b, EFFECT_ARM));
    tell(&b, EVENT_ARM_FAILED);
    g_assert_true(has_effect(&b, EFFECT_BREAK_CHANNEL));
    g_assert_true(has_effect(&b, EFFECT_REPLY_ARMED));
    end(&b);
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
