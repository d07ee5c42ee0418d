/*
 * session.c: the migration engine, over its whole table
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bench.h"
#include "engine/session-priv.h"

#define SECOND G_USEC_PER_SEC

static Policy *
policy_of(const char *attributes)
{
    g_autofree char *xml = g_strdup_printf(
        "<m:migration xmlns:m='" POLICY_NAMESPACE "'><m:recovery %s/></m:migration>", attributes);
    g_autoptr(Policy) defaults = policy_default();
    g_autoptr(GError) error = NULL;
    Policy *policy = policy_from_element_xml(xml, POLICY_NAMESPACE, defaults, &error);

    g_assert_no_error(error);
    return policy;
}

/* Every (role, state, event): what must hold whatever the table says. */
static void
test_whole_table(void)
{
    g_autoptr(Policy) policy = policy_default();

    for (guint role = 0; role < ROLE_LAST; role++) {
        for (guint state = 0; state < STATE_LAST; state++) {
            for (guint event = 0; event < EVENT_LAST; event++) {
                Bench bench;
                MigrationOwner owner;
                MigrationState to;

                bench_init(&bench, role, policy);
                bring_to(&bench, state);
                owner = session_get_owner(bench.session);
                send(&bench, event);
                to = session_get_state(bench.session);

                /* A guest is never taken back from a destination that may have run. */
                if (owner == OWNER_DESTINATION && event != EVENT_PEER_RETURNED)
                    g_assert_cmpint(session_get_owner(bench.session), ==, OWNER_DESTINATION);
                if (migration_state_is_terminal(state)) {
                    g_assert_cmpuint(to, ==, state);
                    g_assert_false(session_holds_callers(bench.session));
                }
                /* A person's pause that is announced comes, or is taken back, before the end. */
                if (migration_state_is_terminal(to))
                    g_assert_false(session_is_pausing(bench.session));
                /* Postcopy ends in cancelled when the guest never ran there, and never else. */
                if (migration_state_is_postcopy(state) && event != EVENT_PEER_RETURNED)
                    g_assert_true(migration_state_is_postcopy(to) || to == STATE_COMPLETED ||
                                  to == STATE_FAILED);
                /* An event that is not in the table does nothing at all. */
                if (!transition_find(role, state, event))
                    g_assert_cmpuint(bench.effects->len, ==, 0);
                /* Whoever ends says so, once. */
                g_assert_cmpint(!migration_state_is_terminal(state) &&
                                    migration_state_is_terminal(to),
                                ==, find_effect(&bench, EFFECT_END) != NULL);
                bench_clear(&bench);
            }
        }
    }
}

/* No row is hidden behind an earlier one, and none names a state that does not exist. */
static void
test_rows_reachable(void)
{
    for (gsize i = 0; i < n_transitions; i++) {
        const Transition *row = &transitions[i];
        gboolean reached = FALSE;

        g_assert_cmpuint(row->to, <=, STATE_SAME);
        g_assert_cmpuint(row->from >> STATE_LAST, ==, 0);
        g_assert_true(row->to != STATE_SAME || row->action);
        for (guint role = 0; role < ROLE_LAST; role++) {
            for (guint state = 0; state < STATE_LAST; state++)
                reached |= transition_find(role, state, row->event) == row;
        }
        g_assert_true(reached);
    }
}

/* Every event, wherever it comes from, means something somewhere, but for QEMU's own beginning. */
static void
test_events_used(void)
{
    for (guint event = 0; event < EVENT_LAST; event++) {
        gboolean used = FALSE;

        for (gsize i = 0; i < n_transitions; i++)
            used |= transitions[i].event == event;
        g_assert_cmpint(used, ==, event != EVENT_QEMU_SETUP);
        g_assert_nonnull(event_type_to_string(event));
    }
    for (guint effect = 0; effect < EFFECT_LAST; effect++)
        g_assert_nonnull(effect_type_to_string(effect));
}

static void
test_qemu_names(void)
{
    EventType type = EVENT_LAST;

    g_assert_true(event_type_from_qemu("postcopy-recover-setup", &type));
    g_assert_cmpint(type, ==, EVENT_QEMU_POSTCOPY_RECOVER_SETUP);
    g_assert_true(event_type_from_qemu("active", &type));
    g_assert_cmpint(type, ==, EVENT_QEMU_ACTIVE);
    g_assert_false(event_type_from_qemu("gone", &type));
    g_assert_false(event_type_from_qemu("wait-unplug", &type));
    g_assert_false(event_type_from_qemu("", &type));
    g_assert_cmpint(type, ==, EVENT_QEMU_ACTIVE);
}

/* The outage of the foundation's scenario, told to both hosts. */
static void
test_outage(void)
{
    g_autoptr(Policy) policy = policy_default();
    g_autoptr(Status) status = NULL;
    Bench a, b;

    bench_init(&a, ROLE_SOURCE, policy);
    bench_init(&b, ROLE_DESTINATION, policy);
    bring_to(&a, STATE_POSTCOPY_ACTIVE);
    bring_to(&b, STATE_POSTCOPY_ACTIVE);
    send(&a, EVENT_PEER_RUNNING);
    send(&b, EVENT_QEMU_RESUME);

    send(&a, EVENT_LINK_SILENT);
    g_assert_nonnull(find_effect(&a, EFFECT_BREAK_CHANNEL));
    assert_state(&a, STATE_POSTCOPY_ACTIVE);
    send(&a, EVENT_QEMU_POSTCOPY_PAUSED);
    assert_state(&a, STATE_POSTCOPY_PAUSED);
    g_assert_cmpint(session_get_reason(a.session), ==, REASON_NETWORK);
    g_assert_nonnull(find_effect(&a, EFFECT_ASK_PEER));
    g_assert_true(session_holds_callers(a.session));

    /* the network is down: ask again soon, without counting attempts */
    a.now_usec += SECOND;
    send(&a, EVENT_PEER_UNREACHABLE);
    g_assert_cmpuint(find_effect(&a, EFFECT_START_STATE_TIMER)->number, ==,
                     policy->min_interval_ms);
    send(&a, EVENT_TIMER_STATE);
    g_assert_cmpuint(find_effect(&a, EFFECT_ASK_PEER)->number, ==, 0);

    /* the destination has not noticed: the question itself breaks its channel */
    send(&b, EVENT_PEER_RECOVER);
    g_assert_nonnull(find_effect(&b, EFFECT_BREAK_CHANNEL));
    g_assert_null(find_effect(&b, EFFECT_ARM));
    send(&b, EVENT_QEMU_POSTCOPY_PAUSED);
    g_assert_nonnull(find_effect(&b, EFFECT_ARM));
    send_number(&b, EVENT_ARMED, 49300);
    g_assert_cmpuint(find_effect(&b, EFFECT_REPLY_ARMED)->number, ==, 49300);
    /* asked again: a fresh port, or the old one if there is no other */
    send(&b, EVENT_PEER_RECOVER);
    g_assert_nonnull(find_effect(&b, EFFECT_ARM));
    send(&b, EVENT_ARM_FAILED);
    g_assert_cmpuint(find_effect(&b, EFFECT_REPLY_ARMED)->number, ==, 49300);

    a.now_usec += 4 * SECOND;
    send_number(&a, EVENT_PEER_ARMED, 49300);
    g_assert_cmpuint(find_effect(&a, EFFECT_RESUME)->number, ==, 49300);
    send(&a, EVENT_QEMU_POSTCOPY_RECOVER_SETUP);
    g_assert_nonnull(find_effect(&a, EFFECT_START_STATE_TIMER));
    send(&a, EVENT_QEMU_POSTCOPY_RECOVER);
    send(&a, EVENT_QEMU_POSTCOPY_ACTIVE);
    g_assert_nonnull(find_effect(&a, EFFECT_WATCH));
    send(&a, EVENT_QEMU_COMPLETED);

    status = session_get_status(a.session);
    g_assert_cmpuint(status->pauses, ==, 1);
    g_assert_cmpuint(status->recoveries, ==, 1);
    g_assert_cmpuint(status->attempts, ==, 1);
    g_assert_cmpuint(status->last_outage_usec, ==, 5 * SECOND);
    g_assert_cmpuint(status->paused_usec, ==, 5 * SECOND);
    g_assert_cmpint(status->state, ==, STATE_COMPLETED);
    g_assert_cmpuint(status->history->len, ==, 9);
    bench_clear(&a);
    bench_clear(&b);
}

/* A person's pause is a person's to end, on both hosts, and releases the callers. */
static void
test_operator(void)
{
    g_autoptr(Policy) policy = policy_default();
    Bench a, b;

    bench_init(&a, ROLE_SOURCE, policy);
    bring_to(&a, STATE_POSTCOPY_ACTIVE);
    send(&a, EVENT_PAUSE_REQUESTED);
    send(&a, EVENT_LINK_SILENT);
    send(&a, EVENT_QEMU_POSTCOPY_PAUSED);
    g_assert_cmpint(session_get_reason(a.session), ==, REASON_OPERATOR);
    g_assert_null(find_effect(&a, EFFECT_ASK_PEER));
    g_assert_nonnull(find_effect(&a, EFFECT_TELL_PEER));
    g_assert_false(session_holds_callers(a.session));
    for (guint event = 0; event < EVENT_LAST; event++) {
        if (event == EVENT_RECOVER_REQUESTED || event == EVENT_CALL_COMPLETED ||
            event <= EVENT_QEMU_GONE || event == EVENT_PEER_COMPLETED || event == EVENT_PEER_OVER ||
            event == EVENT_PEER_RETURNED)
            continue;
        send(&a, event);
        g_assert_null(find_effect(&a, EFFECT_ASK_PEER));
        g_assert_null(find_effect(&a, EFFECT_RESUME));
    }
    send(&a, EVENT_RECOVER_REQUESTED);
    g_assert_nonnull(find_effect(&a, EFFECT_ASK_PEER));
    g_assert_true(session_holds_callers(a.session));
    bench_clear(&a);

    bench_init(&b, ROLE_DESTINATION, policy);
    bring_to(&b, STATE_POSTCOPY_PAUSED);
    g_assert_cmpint(session_get_reason(b.session), ==, REASON_IO_ERROR);
    g_assert_true(session_holds_callers(b.session));
    send(&b, EVENT_PEER_PAUSED);
    g_assert_cmpint(session_get_reason(b.session), ==, REASON_OPERATOR);
    g_assert_false(session_holds_callers(b.session));
    /* it listens since the pause began: the answer is there */
    send_number(&b, EVENT_ARMED, 49301);
    g_assert_null(find_effect(&b, EFFECT_REPLY_ARMED));
    send(&b, EVENT_PEER_RECOVER);
    g_assert_cmpuint(find_effect(&b, EFFECT_REPLY_ARMED)->number, ==, 49301);
    g_assert_true(session_holds_callers(b.session));
    bench_clear(&b);
}

/* Refused attempts back off up to the policy's longest interval, jittered, and a person's word
 * starts afresh. */
static void
test_backoff(void)
{
    g_autoptr(Policy) policy = policy_of("min-interval='200' max-interval='5000'");
    guint64 last = 0;
    Bench a;

    bench_init(&a, ROLE_SOURCE, policy);
    bring_to(&a, STATE_POSTCOPY_PAUSED);
    for (guint i = 0; i < 12; i++) {
        guint nominal = MIN(200u << MIN(i, 7u), 5000u);
        const Effect *timer;

        send(&a, EVENT_PEER_REFUSED);
        timer = find_effect(&a, EFFECT_START_STATE_TIMER);
        g_assert_cmpuint(timer->number, >=, nominal * 3 / 4);
        g_assert_cmpuint(timer->number, <=, nominal * 5 / 4);
        if (i > 8)
            g_assert_cmpuint(timer->number, !=, last);
        last = timer->number;
        g_assert_null(find_effect(&a, EFFECT_ASK_PEER));
        send(&a, EVENT_TIMER_STATE);
        g_assert_nonnull(find_effect(&a, EFFECT_ASK_PEER));
    }
    send(&a, EVENT_RECOVER_REQUESTED);
    g_assert_nonnull(find_effect(&a, EFFECT_ASK_PEER));
    send(&a, EVENT_PEER_REFUSED);
    g_assert_cmpuint(find_effect(&a, EFFECT_START_STATE_TIMER)->number, <=, 250);
    bench_clear(&a);
}

/* A handshake that hangs is kicked, and again, until QEMU pauses; then it is tried again. */
static void
test_deadline(void)
{
    g_autoptr(Policy) policy = policy_default();

    for (guint role = 0; role < ROLE_LAST; role++) {
        Bench bench;

        bench_init(&bench, role, policy);
        bring_to(&bench, STATE_POSTCOPY_RECOVER);
        for (guint i = 0; i < 3; i++) {
            send(&bench, EVENT_TIMER_STATE);
            g_assert_nonnull(find_effect(&bench, EFFECT_BREAK_CHANNEL));
            g_assert_nonnull(find_effect(&bench, EFFECT_START_STATE_TIMER));
        }
        send(&bench, EVENT_QEMU_POSTCOPY_PAUSED);
        if (role == ROLE_SOURCE)
            g_assert_nonnull(find_effect(&bench, EFFECT_START_STATE_TIMER));
        bench_clear(&bench);
    }
}

/* A person's port is asked for while the destination begins to listen by itself: it is the person's
 * that counts, if QEMU can have it. */
static void
test_persons_port(void)
{
    static const EventType ends[] = {EVENT_ARMED, EVENT_ARM_FAILED};
    g_autoptr(Policy) policy = policy_default();

    for (guint i = 0; i < G_N_ELEMENTS(ends); i++) {
        Bench b;

        bench_init(&b, ROLE_DESTINATION, policy);
        bring_to(&b, STATE_POSTCOPY_PAUSED);
        send_number(&b, EVENT_PEER_RECOVER, 49160);
        g_assert_null(find_effect(&b, EFFECT_ARM));
        send_number(&b, EVENT_ARMED, 49215);
        g_assert_null(find_effect(&b, EFFECT_REPLY_ARMED));
        g_assert_cmpuint(find_effect(&b, EFFECT_ARM)->number, ==, 49160);
        send_number(&b, ends[i], 49160);
        g_assert_cmpuint(find_effect(&b, EFFECT_REPLY_ARMED)->number, ==,
                         ends[i] == EVENT_ARMED ? 49160 : 49215);
        bench_clear(&b);
    }
}

/* A source whose last page arrived but whose channel broke before it knew learns it by asking. */
static void
test_peer_completed(void)
{
    g_autoptr(Policy) policy = policy_default();
    Bench a, b;

    bench_init(&b, ROLE_DESTINATION, policy);
    bring_to(&b, STATE_COMPLETED);
    send(&b, EVENT_PEER_RECOVER);
    g_assert_nonnull(find_effect(&b, EFFECT_REPLY_COMPLETED));
    bench_clear(&b);

    bench_init(&a, ROLE_SOURCE, policy);
    bring_to(&a, STATE_POSTCOPY_PAUSED);
    send(&a, EVENT_PEER_COMPLETED);
    assert_state(&a, STATE_COMPLETED);
    bench_clear(&a);
}

/* A channel that breaks before the destination has run is a lost guest: neither host looks at it,
 * nor ends it, until the guest is known to run. */
static void
test_before_the_guest_runs(void)
{
    g_autoptr(Policy) policy = policy_default();
    Bench a, b;

    bench_init(&a, ROLE_SOURCE, policy);
    bring_to(&a, STATE_POSTCOPY_ACTIVE);
    g_assert_false(session_may_break(a.session));
    g_assert_null(find_effect(&a, EFFECT_WATCH));
    g_assert_cmpuint(find_effect(&a, EFFECT_ASK_RUNNING)->number, ==, 0);
    send(&a, EVENT_PEER_UNREACHABLE);
    send(&a, EVENT_TIMER_STATE);
    g_assert_cmpuint(find_effect(&a, EFFECT_ASK_RUNNING)->number, ==, 1);
    g_assert_true(send(&a, EVENT_PEER_RUNNING));
    g_assert_nonnull(find_effect(&a, EFFECT_WATCH));
    g_assert_nonnull(find_effect(&a, EFFECT_STOP_STATE_TIMER));
    g_assert_true(session_may_break(a.session));
    send(&a, EVENT_TIMER_STATE);
    g_assert_null(find_effect(&a, EFFECT_ASK_RUNNING));
    bench_clear(&a);

    bench_init(&b, ROLE_DESTINATION, policy);
    bring_to(&b, STATE_SWITCHOVER);
    send(&b, EVENT_PEER_ASKS_RUNNING);
    g_assert_cmpuint(b.effects->len, ==, 0);
    send(&b, EVENT_QEMU_POSTCOPY_ACTIVE);
    g_assert_null(find_effect(&b, EFFECT_WATCH));
    send(&b, EVENT_PEER_RECOVER);
    g_assert_null(find_effect(&b, EFFECT_BREAK_CHANNEL));
    g_assert_nonnull(find_effect(&b, EFFECT_REPLY_REFUSED));
    send(&b, EVENT_PEER_PAUSED);
    g_assert_null(find_effect(&b, EFFECT_BREAK_CHANNEL));
    /* The source's channel is lost for good: whoever waits for a page waits for nothing. */
    b.now_usec += 3 * SECOND;
    send(&b, EVENT_PEER_RECOVER);
    g_assert_nonnull(find_effect(&b, EFFECT_BREAK_CHANNEL));
    g_assert_true(send(&b, EVENT_QEMU_RESUME));
    g_assert_nonnull(find_effect(&b, EFFECT_WATCH));
    g_assert_nonnull(find_effect(&b, EFFECT_REPLY_RUNNING));
    g_assert_false(send(&b, EVENT_QEMU_RESUME));
    g_assert_null(find_effect(&b, EFFECT_REPLY_RUNNING));
    send(&b, EVENT_PEER_ASKS_RUNNING);
    g_assert_nonnull(find_effect(&b, EFFECT_REPLY_RUNNING));
    bench_clear(&b);
}

/* A source whose destination has failed has nobody left to wait for. */
static void
test_peer_over(void)
{
    static const MigrationState states[] = {STATE_POSTCOPY_ACTIVE, STATE_POSTCOPY_PAUSED};
    g_autoptr(Policy) policy = policy_default();
    Bench b;

    bench_init(&b, ROLE_DESTINATION, policy);
    bring_to(&b, STATE_POSTCOPY_ACTIVE);
    send(&b, EVENT_QEMU_RESUME);
    send(&b, EVENT_QEMU_FAILED);
    send(&b, EVENT_PEER_ASKS_RUNNING);
    g_assert_nonnull(find_effect(&b, EFFECT_REPLY_OVER));
    send(&b, EVENT_PEER_RECOVER);
    g_assert_nonnull(find_effect(&b, EFFECT_REPLY_OVER));
    bench_clear(&b);

    for (guint i = 0; i < G_N_ELEMENTS(states); i++) {
        g_autoptr(Status) status = NULL;
        Bench a;

        bench_init(&a, ROLE_SOURCE, policy);
        bring_to(&a, states[i]);
        send(&a, EVENT_PEER_OVER);
        assert_state(&a, STATE_FAILED);
        g_assert_false(session_holds_callers(a.session));
        status = session_get_status(a.session);
        g_assert_cmpstr(status->message, ==, "because");
        bench_clear(&a);
    }
}

/* manual recovery, and a peer that cannot be asked: detection alone, callers as in stock */
static void
test_no_recovery(void)
{
    g_autoptr(Policy) manual = policy_of("mode='manual'");
    g_autoptr(Policy) automatic = policy_default();

    for (guint i = 0; i < 2; i++) {
        Bench a;

        bench_init(&a, ROLE_SOURCE, i ? automatic : manual);
        if (i)
            session_set_peer(a.session, "b.example", 0);
        bring_to(&a, STATE_POSTCOPY_ACTIVE);
        g_assert_cmpint(find_effect(&a, EFFECT_ASK_RUNNING) != NULL, ==, i == 0);
        send(&a, EVENT_PEER_RUNNING);
        g_assert_cmpint(find_effect(&a, EFFECT_WATCH) != NULL, ==, i == 0);
        g_assert_false(session_holds_callers(a.session));
        send(&a, EVENT_LINK_SILENT);
        g_assert_nonnull(find_effect(&a, EFFECT_BREAK_CHANNEL));
        send(&a, EVENT_QEMU_POSTCOPY_PAUSED);
        g_assert_null(find_effect(&a, EFFECT_ASK_PEER));
        g_assert_false(session_holds_callers(a.session));
        send(&a, EVENT_RECOVER_REQUESTED);
        g_assert_cmpint(find_effect(&a, EFFECT_ASK_PEER) != NULL, ==, i == 0);
        bench_clear(&a);
    }
}

/* A daemon's restart in any state of postcopy: what was known is known, and it goes on. */
static void
test_restored(void)
{
    g_autoptr(Policy) policy = policy_default();

    for (guint role = 0; role < ROLE_LAST; role++) {
        for (guint state = STATE_POSTCOPY_ACTIVE; state <= STATE_POSTCOPY_RECOVER; state++) {
            g_autoptr(Status) before = NULL;
            g_autoptr(Status) after = NULL;
            SessionMemory memory;
            Bench one, two;

            bench_init(&one, role, policy);
            bring_to(&one, state);
            send(&one, role == ROLE_SOURCE ? EVENT_PEER_RUNNING : EVENT_QEMU_RESUME);
            before = session_get_status(one.session);
            session_remember(one.session, &memory);
            bench_init(&two, role, policy);
            session_restore(two.session, &memory, two.now_usec);
            after = session_get_status(two.session);
            assert_state(&two, state);
            g_assert_cmpint(session_get_owner(two.session), ==, OWNER_DESTINATION);
            g_assert_cmpint(after->reason, ==, before->reason);
            g_assert_cmpuint(after->pauses, ==, before->pauses);
            send(&two, EVENT_RESTORED);
            g_assert_cmpint(find_effect(&two, EFFECT_ASK_PEER) != NULL, ==,
                            role == ROLE_SOURCE && state == STATE_POSTCOPY_PAUSED);
            g_assert_cmpint(find_effect(&two, EFFECT_WATCH) != NULL, ==,
                            state != STATE_POSTCOPY_PAUSED);
            two.now_usec += SECOND;
            send(&two, EVENT_QEMU_POSTCOPY_PAUSED);
            send(&two, EVENT_QEMU_POSTCOPY_ACTIVE);
            assert_state(&two, STATE_POSTCOPY_ACTIVE);
            bench_clear(&one);
            bench_clear(&two);
        }
    }
}

/* Giving up releases the callers and stops trying; the guest is still a person's to save. */
/* Attempts are part of a pause; nothing is paused that is over. */
static void
test_paused_since(void)
{
    static const struct {
        EventType event;
        gboolean paused;
    } steps[] = {
        {EVENT_QEMU_POSTCOPY_RECOVER_SETUP, TRUE}, {EVENT_QEMU_POSTCOPY_RECOVER, TRUE},
        {EVENT_QEMU_POSTCOPY_PAUSED, TRUE},        {EVENT_QEMU_POSTCOPY_RECOVER_SETUP, TRUE},
        {EVENT_QEMU_POSTCOPY_RECOVER, TRUE},       {EVENT_QEMU_POSTCOPY_ACTIVE, FALSE},
        {EVENT_QEMU_POSTCOPY_PAUSED, TRUE},        {EVENT_QEMU_GONE, FALSE},
    };
    g_autoptr(Policy) policy = policy_default();
    gint64 since_usec;
    Bench a;

    bench_init(&a, ROLE_SOURCE, policy);
    bring_to(&a, STATE_POSTCOPY_PAUSED);
    since_usec = a.now_usec;
    for (gsize i = 0; i < G_N_ELEMENTS(steps); i++) {
        g_autoptr(Status) status = session_get_status(a.session);

        g_assert_cmpint(status->paused_at_usec, ==, i == 0 || steps[i - 1].paused ? since_usec : 0);
        g_assert_cmpint(status->recovers_itself, ==, status->paused_at_usec != 0);
        a.now_usec += SECOND;
        if (steps[i].paused && i > 0 && !steps[i - 1].paused)
            since_usec = a.now_usec;
        send(&a, steps[i].event);
    }
    assert_state(&a, STATE_FAILED);
    bench_clear(&a);
}

static void
test_give_up(void)
{
    g_autoptr(Policy) policy = policy_of("give-up='60'");
    Bench a;

    bench_init(&a, ROLE_SOURCE, policy);
    bring_to(&a, STATE_POSTCOPY_PAUSED);
    g_assert_cmpuint(find_effect(&a, EFFECT_START_GIVE_UP_TIMER)->number, ==, 60000);
    send(&a, EVENT_TIMER_GIVE_UP);
    g_assert_false(session_holds_callers(a.session));
    send(&a, EVENT_PEER_UNREACHABLE);
    g_assert_null(find_effect(&a, EFFECT_START_STATE_TIMER));
    send(&a, EVENT_RECOVER_REQUESTED);
    g_assert_nonnull(find_effect(&a, EFFECT_ASK_PEER));
    bench_clear(&a);
}

/* The error that a person reads is the first one that was told. */
static void
test_message(void)
{
    g_autoptr(Policy) policy = policy_default();
    g_autoptr(Status) status = NULL;
    Event second = {.type = EVENT_CALL_FAILED, .text = "another one"};
    Bench a;

    bench_init(&a, ROLE_SOURCE, policy);
    send(&a, EVENT_CALL_FAILED);
    session_step(a.session, &second, a.effects);
    status = session_get_status(a.session);
    g_assert_cmpstr(status->message, ==, "because");
    bench_clear(&a);
}

/* However long the night: what is shown stays small, and the newest is there. */
static void
test_history_bounded(void)
{
    g_autoptr(Policy) policy = policy_default();
    g_autoptr(Status) status = NULL;
    Bench a;

    bench_init(&a, ROLE_SOURCE, policy);
    bring_to(&a, STATE_POSTCOPY_ACTIVE);
    for (guint i = 0; i < 500; i++) {
        send(&a, EVENT_QEMU_POSTCOPY_PAUSED);
        send(&a, EVENT_QEMU_POSTCOPY_ACTIVE);
    }
    status = session_get_status(a.session);
    g_assert_cmpuint(status->history->len, <=, 64);
    g_assert_cmpuint(status->pauses, ==, 500);
    g_assert_cmpint(g_array_index(status->history, StatusStep, status->history->len - 1).state, ==,
                    STATE_POSTCOPY_ACTIVE);
    bench_clear(&a);
}

/* Any sequence of events keeps the promises: one owner after the other, no way back, no crash. */
static void
test_random_walk(void)
{
    g_autoptr(Policy) policy = policy_default();
    GRand *random = g_rand_new_with_seed(20261121);

    for (guint walk = 0; walk < 4000; walk++) {
        gboolean destination = FALSE, returned = FALSE;
        Bench bench;

        bench_init(&bench, walk % ROLE_LAST, policy);
        for (guint step = 0; step < 60; step++) {
            EventType event = g_rand_int_range(random, 0, EVENT_LAST);

            returned |= event == EVENT_PEER_RETURNED;
            send_number(&bench, event, g_rand_int_range(random, 0, 2));
            if (destination && !returned)
                g_assert_cmpint(session_get_owner(bench.session), ==, OWNER_DESTINATION);
            destination |= session_get_owner(bench.session) == OWNER_DESTINATION;
        }
        bench_clear(&bench);
    }
    g_rand_free(random);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/whole-table", test_whole_table);
    g_test_add_func("/session/rows-reachable", test_rows_reachable);
    g_test_add_func("/session/events-used", test_events_used);
    g_test_add_func("/session/qemu-names", test_qemu_names);
    g_test_add_func("/session/outage", test_outage);
    g_test_add_func("/session/operator", test_operator);
    g_test_add_func("/session/backoff", test_backoff);
    g_test_add_func("/session/deadline", test_deadline);
    g_test_add_func("/session/peer-completed", test_peer_completed);
    g_test_add_func("/session/persons-port", test_persons_port);
    g_test_add_func("/session/before-the-guest-runs", test_before_the_guest_runs);
    g_test_add_func("/session/peer-over", test_peer_over);
    g_test_add_func("/session/no-recovery", test_no_recovery);
    g_test_add_func("/session/restored", test_restored);
    g_test_add_func("/session/give-up", test_give_up);
    g_test_add_func("/session/paused-since", test_paused_since);
    g_test_add_func("/session/message", test_message);
    g_test_add_func("/session/history-bounded", test_history_bounded);
    g_test_add_func("/session/random-walk", test_random_walk);
    return g_test_run();
}
