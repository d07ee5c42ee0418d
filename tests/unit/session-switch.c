/*
 * session-switch.c: postcopy that is begun because the policy says so
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bench.h"
#include "engine/session-priv.h"

static Policy *
policy_of(const char *attributes)
{
    g_autofree char *xml = g_strdup_printf(
        "<m:migration xmlns:m='" POLICY_NAMESPACE "'><m:postcopy %s/></m:migration>", attributes);
    g_autoptr(Policy) defaults = policy_default();
    g_autoptr(GError) error = NULL;
    Policy *policy = policy_from_element_xml(xml, POLICY_NAMESPACE, defaults, &error);

    g_assert_no_error(error);
    return policy;
}

/* When QEMU is told, for every mode and switch: with the second pass, with the timer, or never. */
static void
test_table(void)
{
    static const struct {
        const char *attributes;
        gboolean by_pass;
        guint timer_ms;
    } table[] = {
        {"", FALSE, 0},
        {"mode='allow' switch='manual'", FALSE, 0},
        {"mode='prefer'", FALSE, 0},
        {"mode='require' switch='manual'", FALSE, 0},
        {"mode='never' switch='after-precopy'", FALSE, 0},
        {"mode='never' after='30'", FALSE, 0},
        {"mode='allow' switch='after-precopy'", TRUE, 0},
        {"mode='prefer' switch='after-precopy'", TRUE, 0},
        {"mode='require' switch='after-precopy'", TRUE, 0},
        {"mode='allow' after='1'", FALSE, 1000},
        {"mode='prefer' after='30'", FALSE, 30000},
        {"mode='require' after='86400'", FALSE, 86400000},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(table) * 4; i++) {
        g_autoptr(Policy) policy = policy_of(table[i / 4].attributes);
        MigrationRole role = i % 2 ? ROLE_SOURCE : ROLE_DESTINATION;
        gboolean on = i & 2; /* the flag, whoever has set it */
        gboolean counts = on && role == ROLE_SOURCE;
        const Effect *timer;
        Bench bench;

        bench_init(&bench, role, policy);
        if (on)
            send(&bench, EVENT_POSTCOPY_ON);
        send(&bench, EVENT_QEMU_ACTIVE);
        timer = find_effect(&bench, EFFECT_START_STATE_TIMER);
        g_assert_cmpuint(timer ? timer->number : 0, ==, counts ? table[i / 4].timer_ms : 0);
        send_number(&bench, EVENT_QEMU_PASS, 1);
        g_assert_null(find_effect(&bench, EFFECT_START_POSTCOPY));
        send_number(&bench, EVENT_QEMU_PASS, 2);
        g_assert_cmpint(find_effect(&bench, EFFECT_START_POSTCOPY) != NULL, ==,
                        counts && table[i / 4].by_pass);
        /* once */
        send_number(&bench, EVENT_QEMU_PASS, 3);
        g_assert_null(find_effect(&bench, EFFECT_START_POSTCOPY));
        if (counts && table[i / 4].timer_ms) {
            send(&bench, EVENT_TIMER_STATE);
            g_assert_nonnull(find_effect(&bench, EFFECT_START_POSTCOPY));
        }
        bench_clear(&bench);
    }
}

/* A lost event is made up for by the next, a refusal is not the end, and precopy that is over is.
 */
static void
test_late_and_again(void)
{
    g_autoptr(Policy) policy = policy_of("mode='prefer' switch='after-precopy'");
    const Effect *timer;
    Bench bench;

    bench_init(&bench, ROLE_SOURCE, policy);
    send(&bench, EVENT_POSTCOPY_ON);
    send(&bench, EVENT_QEMU_ACTIVE);
    send_number(&bench, EVENT_QEMU_PASS, 7);
    g_assert_nonnull(find_effect(&bench, EFFECT_START_POSTCOPY));
    send(&bench, EVENT_SWITCH_FAILED);
    timer = find_effect(&bench, EFFECT_START_STATE_TIMER);
    g_assert_cmpuint(timer->number, <=, 1000);
    send(&bench, EVENT_TIMER_STATE);
    g_assert_nonnull(find_effect(&bench, EFFECT_START_POSTCOPY));
    send(&bench, EVENT_QEMU_PRE_SWITCHOVER);
    g_assert_nonnull(find_effect(&bench, EFFECT_STOP_STATE_TIMER));
    send(&bench, EVENT_SWITCH_FAILED);
    g_assert_cmpuint(bench.effects->len, ==, 0);
    send_number(&bench, EVENT_QEMU_PASS, 8);
    g_assert_cmpuint(bench.effects->len, ==, 0);
    bench_clear(&bench);
}

static void
assert_message(const Bench *bench, const char *expected)
{
    g_autoptr(Status) status = session_get_status(bench->session);

    g_assert_cmpstr(status->message, ==, expected);
}

/* The note is there as long as the migration flows, and gives way to what is more urgent. */
static void
test_note(void)
{
    g_autoptr(Policy) policy = policy_default();

    for (guint state = 0; state < STATE_LAST; state++) {
        Bench bench;
        gboolean flows = state <= STATE_POSTCOPY_ACTIVE;

        bench_init(&bench, ROLE_SOURCE, policy);
        session_set_note(bench.session, "by policy");
        assert_message(&bench, "by policy");
        bring_to(&bench, state);
        assert_message(&bench, flows ? "by policy" : state == STATE_FAILED ? "because" : "");
        session_set_hint(bench.session, "no Holdfast there");
        if (migration_state_is_postcopy(state))
            assert_message(&bench, "no Holdfast there");
        bench_clear(&bench);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session-switch/table", test_table);
    g_test_add_func("/session-switch/late-and-again", test_late_and_again);
    g_test_add_func("/session-switch/note", test_note);
    return g_test_run();
}
