/*
 * bench.h: one session, and what it asks for
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/session.h"

typedef struct {
    Session *session;
    GArray *effects;
    gint64 now_usec;
} Bench;

/** A fresh session whose peer has two addresses. */
void bench_init(Bench *bench, MigrationRole role, Policy *policy);
void bench_clear(Bench *bench);

/**
 * send_number: sends one event, and leaves its effects, alone, in bench->effects
 *
 * Its text is "because". Returns: what session_step() does.
 */
gboolean send_number(Bench *bench, EventType type, guint number);

/* Not to be seen by the linker: the C library has one. */
static inline gboolean
send(Bench *bench, EventType type)
{
    return send_number(bench, type, 0);
}

/** The first of that type, or NULL. */
const Effect *find_effect(const Bench *bench, EffectType type);

/** Brings a fresh session into a state, the way QEMU would. */
void bring_to(Bench *bench, MigrationState state);

#define assert_state(bench, expected)                                                              \
    g_assert_cmpstr(migration_state_to_string(session_get_state((bench)->session)), ==,            \
                    migration_state_to_string(expected))
