/*
 * session-end.c: the last moments of a migration, in which a channel that breaks is no pause
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/session.h"

static gboolean
tell(Session *session, EventType type, guint number, EffectType wanted)
{
    g_autoptr(GArray) effects = g_array_new(FALSE, FALSE, sizeof(Effect));
    Event event = {.type = type, .at_usec = G_USEC_PER_SEC, .number = number};
    gboolean found = FALSE;

    session_step(session, &event, effects);
    for (guint i = 0; i < effects->len; i++)
        found |= g_array_index(effects, Effect, i).type == wanted;
    return found;
}

/* In postcopy. */
static Session *
begin_unheard(MigrationRole role)
{
    g_autoptr(Policy) policy = policy_default();
    Session *session = session_new(role, "id", "uuid", "guest", policy, 7, 0);

    session_set_peer(session, "b.example", 1);
    tell(session, EVENT_QEMU_ACTIVE, 0, EFFECT_END);
    tell(session, EVENT_QEMU_POSTCOPY_ACTIVE, 0, EFFECT_END);
    return session;
}

/* In postcopy, and the guest runs on the destination. */
static Session *
begin(MigrationRole role)
{
    Session *session = begin_unheard(role);

    g_assert_true(tell(session, role == ROLE_SOURCE ? EVENT_PEER_RUNNING : EVENT_QEMU_RESUME, 0,
                       EFFECT_WATCH));
    return session;
}

/* The destination is told before the end can be reached between two looks, and not long before. */
static void
test_told(void)
{
    static const struct {
        guint before_kib, now_kib;
        gboolean told;
    } cases[] = {
        {0, 1 << 20, FALSE},
        {0, 1000, TRUE},
        {1 << 20, 1 << 19, TRUE},
        {1 << 20, (1 << 20) - 1000, FALSE},
        {10000, 9000, FALSE},
        {10000, 5000, TRUE},
        {1000, 1000, TRUE},
        {1000, 9000, FALSE},
        {5, 0, TRUE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Session) session = begin(ROLE_SOURCE);

        if (cases[i].before_kib)
            tell(session, EVENT_REMAINS, cases[i].before_kib, EFFECT_END);
        g_assert_cmpint(tell(session, EVENT_REMAINS, cases[i].now_kib, EFFECT_TELL_ENDING), ==,
                        cases[i].told);
    }
}

/* Near the end the destination leaves the channel alone, until it is another one. */
static void
test_left_alone(void)
{
    g_autoptr(Session) session = begin(ROLE_DESTINATION);

    g_assert_true(tell(session, EVENT_LINK_SILENT, 0, EFFECT_BREAK_CHANNEL));
    g_assert_true(tell(session, EVENT_PEER_ENDING, 0, EFFECT_UNWATCH));
    g_assert_false(tell(session, EVENT_LINK_SILENT, 0, EFFECT_BREAK_CHANNEL));
    g_assert_false(tell(session, EVENT_QEMU_RESUME, 0, EFFECT_WATCH));
    /* The source has lost it, and so is not at the end. */
    g_assert_true(tell(session, EVENT_PEER_RECOVER, 0, EFFECT_BREAK_CHANNEL));
    tell(session, EVENT_QEMU_POSTCOPY_PAUSED, 0, EFFECT_END);
    tell(session, EVENT_QEMU_POSTCOPY_RECOVER, 0, EFFECT_END);
    g_assert_true(tell(session, EVENT_QEMU_POSTCOPY_ACTIVE, 0, EFFECT_WATCH));
    g_assert_true(tell(session, EVENT_LINK_SILENT, 0, EFFECT_BREAK_CHANNEL));
}

static Session *
restore(const Session *session, MigrationRole role)
{
    g_autoptr(Policy) policy = policy_default();
    SessionMemory memory;
    Session *restored = session_new(role, "id", "uuid", "guest", policy, 7, 0);

    session_remember(session, &memory);
    session_restore(restored, &memory, 0);
    session_set_peer(restored, "peer", 1);
    return restored;
}

/* A daemon that is restarted knows what the source has told. */
static void
test_left_alone_after_restart(void)
{
    g_autoptr(Session) session = begin(ROLE_DESTINATION);
    g_autoptr(Session) restored = NULL;

    tell(session, EVENT_PEER_ENDING, 0, EFFECT_UNWATCH);
    restored = restore(session, ROLE_DESTINATION);
    g_assert_false(tell(restored, EVENT_RESTORED, 0, EFFECT_WATCH));
    g_assert_false(tell(restored, EVENT_LINK_SILENT, 0, EFFECT_BREAK_CHANNEL));
}

/* The source is near the end of what it sends, and so is through with a recovery. */
static void
test_recovered_unseen(void)
{
    g_autoptr(Session) session = begin(ROLE_DESTINATION);

    tell(session, EVENT_QEMU_POSTCOPY_PAUSED, 0, EFFECT_END);
    tell(session, EVENT_QEMU_POSTCOPY_RECOVER, 0, EFFECT_END);
    g_assert_false(tell(session, EVENT_PEER_ENDING, 0, EFFECT_WATCH));
    g_assert_cmpint(session_get_state(session), ==, STATE_POSTCOPY_ACTIVE);
    g_assert_false(tell(session, EVENT_LINK_SILENT, 0, EFFECT_BREAK_CHANNEL));
}

/* Killed before it was done, a daemon does it when it is back; and nothing to what is done. */
static void
test_kept_stopped_after_restart(void)
{
    g_autoptr(Session) session = begin(ROLE_SOURCE);
    g_autoptr(Session) killed = NULL, done = NULL;

    tell(session, EVENT_QEMU_FAILED, 0, EFFECT_END);
    killed = restore(session, ROLE_SOURCE);
    g_assert_true(session_needs_journal(killed));
    g_assert_true(tell(killed, EVENT_RESTORED, 0, EFFECT_KEEP_STOPPED));
    tell(killed, EVENT_KEPT_STOPPED, 0, EFFECT_END);
    g_assert_false(tell(killed, EVENT_QEMU_RESUME, 0, EFFECT_KEEP_STOPPED));

    tell(session, EVENT_KEPT_STOPPED, 1, EFFECT_END);
    done = restore(session, ROLE_SOURCE);
    g_assert_false(tell(done, EVENT_RESTORED, 0, EFFECT_KEEP_STOPPED));
    g_assert_false(tell(done, EVENT_QEMU_RESUME, 0, EFFECT_KEEP_STOPPED));
}

/* A guest that QEMU runs on the source again is stopped, but not against a person's will. */
static void
test_kept_stopped(void)
{
    g_autoptr(Session) session = begin(ROLE_SOURCE);
    g_autoptr(Policy) policy = policy_default();
    g_autoptr(Session) precopy = session_new(ROLE_SOURCE, "id", "uuid", "guest", policy, 7, 0);

    g_assert_true(tell(session, EVENT_QEMU_FAILED, 0, EFFECT_KEEP_STOPPED));
    /* The first word may come before QEMU runs it. */
    tell(session, EVENT_KEPT_STOPPED, 0, EFFECT_END);
    g_assert_true(tell(session, EVENT_QEMU_RESUME, 0, EFFECT_KEEP_STOPPED));
    tell(session, EVENT_KEPT_STOPPED, 1, EFFECT_END);
    g_assert_false(tell(session, EVENT_QEMU_RESUME, 0, EFFECT_KEEP_STOPPED));

    tell(precopy, EVENT_QEMU_ACTIVE, 0, EFFECT_END);
    g_assert_false(tell(precopy, EVENT_QEMU_FAILED, 0, EFFECT_KEEP_STOPPED));
    g_assert_false(tell(precopy, EVENT_QEMU_RESUME, 0, EFFECT_KEEP_STOPPED));
}

/* A destination whose daemon was away since the switch learns that there was one from the source,
 * which has nothing left to do otherwise. */
static void
test_unheard(void)
{
    static const EventType heard[] = {EVENT_PEER_RUNNING, EVENT_PEER_COMPLETED, EVENT_PEER_OVER};

    for (gsize i = 0; i < G_N_ELEMENTS(heard); i++) {
        g_autoptr(Session) session = begin_unheard(ROLE_SOURCE);

        g_assert_true(tell(session, EVENT_QEMU_COMPLETED, 0, EFFECT_ASK_RUNNING));
        g_assert_cmpint(session_get_state(session), ==, STATE_COMPLETED);
        g_assert_true(tell(session, EVENT_PEER_UNREACHABLE, 0, EFFECT_START_STATE_TIMER));
        g_assert_true(tell(session, EVENT_TIMER_STATE, 0, EFFECT_ASK_RUNNING));
        g_assert_true(tell(session, EVENT_PEER_REFUSED, 0, EFFECT_START_STATE_TIMER));
        g_assert_true(session_needs_journal(session));
        g_assert_true(tell(session, EVENT_RESTORED, 0, EFFECT_ASK_RUNNING));
        tell(session, heard[i], 0, EFFECT_END);
        g_assert_false(session_needs_journal(session));
        g_assert_false(tell(session, EVENT_TIMER_STATE, 0, EFFECT_ASK_RUNNING));
        g_assert_cmpint(session_get_state(session), ==, STATE_COMPLETED);
    }
}

/* One that has said that the guest runs there has noted it. */
static void
test_heard(void)
{
    g_autoptr(Session) session = begin(ROLE_SOURCE);

    g_assert_false(tell(session, EVENT_QEMU_COMPLETED, 0, EFFECT_ASK_RUNNING));
    g_assert_false(session_needs_journal(session));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/end/unheard", test_unheard);
    g_test_add_func("/session/end/heard", test_heard);
    g_test_add_func("/session/end/told", test_told);
    g_test_add_func("/session/end/left-alone", test_left_alone);
    g_test_add_func("/session/end/kept-stopped", test_kept_stopped);
    g_test_add_func("/session/end/kept-stopped-after-restart", test_kept_stopped_after_restart);
    g_test_add_func("/session/end/left-alone-after-restart", test_left_alone_after_restart);
    g_test_add_func("/session/end/recovered-unseen", test_recovered_unseen);
    return g_test_run();
}
