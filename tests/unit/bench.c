/*
 * bench.c: one session, and what it asks for
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bench.h"

#define SECOND G_USEC_PER_SEC

void
bench_init(Bench *bench, MigrationRole role, Policy *policy)
{
    bench->now_usec = 1000 * SECOND;
    bench->session =
        session_new(role, "6f9d9c1e-0d0c-4c3c-9d5e-4e2c6bb0a001",
                    "0b6a3c2c-5a6e-4c53-8b0e-bd3a7bd1c001", "guest", policy, 7, bench->now_usec);
    session_set_peer(bench->session, "b.example", 2);
    bench->effects = g_array_new(FALSE, TRUE, sizeof(Effect));
}

void
bench_clear(Bench *bench)
{
    session_free(bench->session);
    g_array_unref(bench->effects);
}

gboolean
send_number(Bench *bench, EventType type, guint number)
{
    Event event = {.type = type, .at_usec = bench->now_usec, .number = number, .text = "because"};

    g_array_set_size(bench->effects, 0);
    return session_step(bench->session, &event, bench->effects);
}

const Effect *
find_effect(const Bench *bench, EffectType type)
{
    for (guint i = 0; i < bench->effects->len; i++) {
        const Effect *effect = &g_array_index(bench->effects, Effect, i);

        if (effect->type == type)
            return effect;
    }
    return NULL;
}

static const EventType to_postcopy[] = {
    EVENT_QEMU_ACTIVE,
    EVENT_QEMU_PRE_SWITCHOVER,
    EVENT_QEMU_DEVICE,
    EVENT_QEMU_POSTCOPY_ACTIVE,
};

void
bring_to(Bench *bench, MigrationState state)
{
    if (state == STATE_FAILED) {
        send(bench, EVENT_CALL_FAILED);
    } else if (state == STATE_CANCELLED) {
        send(bench, EVENT_QEMU_CANCELLED);
    } else if (state > STATE_SETUP) {
        for (guint i = 0; i < G_N_ELEMENTS(to_postcopy); i++) {
            if (session_get_state(bench->session) != state)
                send(bench, to_postcopy[i]);
        }
        if (state > STATE_POSTCOPY_ACTIVE && state != STATE_COMPLETED)
            send(bench, EVENT_QEMU_POSTCOPY_PAUSED);
        if (state == STATE_POSTCOPY_RECOVER_SETUP || state == STATE_POSTCOPY_RECOVER)
            send(bench, EVENT_QEMU_POSTCOPY_RECOVER_SETUP);
        if (state == STATE_POSTCOPY_RECOVER)
            send(bench, EVENT_QEMU_POSTCOPY_RECOVER);
        if (state == STATE_COMPLETED) {
            send(bench, EVENT_FINISH_CALLED);
            send(bench, EVENT_QEMU_RESUME);
            send(bench, EVENT_QEMU_COMPLETED);
        }
    }
    assert_state(bench, state);
}
