/*
 * session-told.c: what a paused session tells: the source where to come, and a person why it lasts
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/session.h"

typedef struct {
    Session *session;
    GArray *effects; /* of the last event */
} Paused;

static gboolean
tell(Paused *paused, EventType type, guint number, const char *text)
{
    Event event = {.type = type, .at_usec = G_USEC_PER_SEC, .number = number, .text = text};

    g_array_set_size(paused->effects, 0);
    return session_step(paused->session, &event, paused->effects);
}

static const Effect *
find_effect(const Paused *paused, EffectType type)
{
    for (guint i = 0; i < paused->effects->len; i++) {
        const Effect *effect = &g_array_index(paused->effects, Effect, i);

        if (effect->type == type)
            return effect;
    }
    return NULL;
}

static void
make(Paused *paused, MigrationRole role)
{
    g_autoptr(Policy) policy = policy_default();

    paused->effects = g_array_new(FALSE, FALSE, sizeof(Effect));
    paused->session = session_new(role, "id", "uuid", "guest", policy, 7, 0);
    session_set_peer(paused->session, "b.example", 2);
}

static void
begin(Paused *paused, MigrationRole role)
{
    make(paused, role);
    tell(paused, EVENT_QEMU_ACTIVE, 0, NULL);
    tell(paused, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
    tell(paused, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    g_assert_cmpint(session_get_state(paused->session), ==, STATE_POSTCOPY_PAUSED);
}

static void
end(Paused *paused)
{
    session_free(paused->session);
    g_array_unref(paused->effects);
}

/* --- where to come --- */

/* QEMU listens, but not where the source asks: it listens anew before the source is told. */
static void
test_listens_elsewhere(void)
{
    Paused b;

    begin(&b, ROLE_DESTINATION);
    tell(&b, EVENT_ARMED, 49215, NULL);
    tell(&b, EVENT_ARMED_ELSEWHERE, 0, NULL);
    g_assert_null(find_effect(&b, EFFECT_ARM));
    tell(&b, EVENT_PEER_RECOVER, 0, NULL);
    g_assert_null(find_effect(&b, EFFECT_REPLY_ARMED));
    g_assert_nonnull(find_effect(&b, EFFECT_ARM));
    tell(&b, EVENT_ARMED, 49214, NULL);
    g_assert_cmpuint(find_effect(&b, EFFECT_REPLY_ARMED)->number, ==, 49214);
    end(&b);
}

/* The source asked while QEMU was being told. */
static void
test_listens_elsewhere_too_late(void)
{
    Paused b;

    begin(&b, ROLE_DESTINATION);
    tell(&b, EVENT_PEER_RECOVER, 50000, NULL);
    g_assert_null(find_effect(&b, EFFECT_ARM));
    tell(&b, EVENT_ARMED_ELSEWHERE, 49215, NULL);
    g_assert_null(find_effect(&b, EFFECT_REPLY_ARMED));
    g_assert_cmpuint(find_effect(&b, EFFECT_ARM)->number, ==, 50000);
    tell(&b, EVENT_ARMED, 50000, NULL);
    g_assert_cmpuint(find_effect(&b, EFFECT_REPLY_ARMED)->number, ==, 50000);
    end(&b);
}

/* The daemon is killed before it has QEMU's answer: it is found where it was told to listen. */
static void
test_noted_before_the_answer(void)
{
    Paused b, restarted;
    SessionMemory memory;

    begin(&b, ROLE_DESTINATION);
    tell(&b, EVENT_ARMING, 49215, NULL);
    tell(&b, EVENT_PEER_RECOVER, 0, NULL);
    g_assert_null(find_effect(&b, EFFECT_REPLY_ARMED));
    session_remember(b.session, &memory);
    g_assert_cmpuint(memory.armed_port, ==, 49215);

    make(&restarted, ROLE_DESTINATION);
    session_restore(restarted.session, &memory, 0);
    tell(&restarted, EVENT_RESTORED, 0, NULL);
    g_assert_null(find_effect(&restarted, EFFECT_ARM));
    tell(&restarted, EVENT_PEER_RECOVER, 0, NULL);
    g_assert_cmpuint(find_effect(&restarted, EFFECT_REPLY_ARMED)->number, ==, 49215);
    end(&restarted);

    tell(&b, EVENT_ARM_FAILED, 0, "the port is taken");
    session_remember(b.session, &memory);
    g_assert_cmpuint(memory.armed_port, ==, 0);
    end(&b);
}

/* Killed before it had chosen a port: as long as QEMU can be told, it is. */
static void
test_armed_after_a_restart(void)
{
    Paused b, restarted;
    SessionMemory memory;

    begin(&b, ROLE_DESTINATION);
    session_remember(b.session, &memory);
    make(&restarted, ROLE_DESTINATION);
    session_restore(restarted.session, &memory, 0);
    tell(&restarted, EVENT_RESTORED, 0, NULL);
    g_assert_nonnull(find_effect(&restarted, EFFECT_ARM));
    end(&restarted);
    end(&b);
}

/* --- why it lasts --- */

static void
assert_message(const Paused *paused, const char *expected)
{
    g_autoptr(Status) status = session_get_status(paused->session);

    g_assert_cmpstr(status->message, ==, expected);
}

static void
test_hint(void)
{
    Paused a;

    begin(&a, ROLE_SOURCE);
    session_set_hint(a.session, "no Holdfast there");
    assert_message(&a, "no Holdfast there");
    tell(&a, EVENT_PEER_REFUSED, 0, "not known here");
    assert_message(&a, "not known here");
    tell(&a, EVENT_PEER_REFUSED, 0, NULL);
    assert_message(&a, "");
    tell(&a, EVENT_RESUME_FAILED, 0, "QEMU says no");
    assert_message(&a, "QEMU says no");
    tell(&a, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
    assert_message(&a, "");
    end(&a);
}

/* A failure is told before it, and an end that is none tells nothing. */
static void
test_hint_at_the_end(void)
{
    Paused a;

    begin(&a, ROLE_DESTINATION);
    session_set_hint(a.session, "no Holdfast there");
    tell(&a, EVENT_QEMU_FAILED, 0, "it failed");
    assert_message(&a, "it failed");
    end(&a);

    begin(&a, ROLE_SOURCE);
    session_set_hint(a.session, "no Holdfast there");
    tell(&a, EVENT_CALL_COMPLETED, 0, NULL);
    assert_message(&a, "");
    end(&a);
}

/* QEMU says that it was cancelled, and the calls why: the one that knows most comes last. */
static void
test_cancelled(void)
{
    for (guint role = 0; role < ROLE_LAST; role++) {
        g_autoptr(Policy) policy = policy_default();
        Paused a = {.effects = g_array_new(FALSE, FALSE, sizeof(Effect))};

        a.session = session_new(role, "id", "uuid", "guest", policy, 7, 0);
        tell(&a, EVENT_QEMU_ACTIVE, 0, NULL);
        tell(&a, EVENT_QEMU_CANCELLED, 0, NULL);
        assert_message(&a, "");
        g_assert_true(tell(&a, EVENT_CALL_FAILED, 0, "canceled"));
        assert_message(&a, "canceled");
        g_assert_true(tell(&a, EVENT_CALL_FAILED, 0, "the connection is lost"));
        assert_message(&a, "the connection is lost");
        g_assert_false(tell(&a, EVENT_CALL_FAILED, 0, NULL));
        assert_message(&a, "the connection is lost");
        g_assert_cmpuint(a.effects->len, ==, 0);
        end(&a);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session-told/noted-before-the-answer", test_noted_before_the_answer);
    g_test_add_func("/session-told/armed-after-a-restart", test_armed_after_a_restart);
    g_test_add_func("/session-told/listens-elsewhere", test_listens_elsewhere);
    g_test_add_func("/session-told/listens-elsewhere-too-late", test_listens_elsewhere_too_late);
    g_test_add_func("/session-told/hint", test_hint);
    g_test_add_func("/session-told/hint-at-the-end", test_hint_at_the_end);
    g_test_add_func("/session-told/cancelled", test_cancelled);
    return g_test_run();
}
