/*
 * coverage.h: what the schedules have reached
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/session.h"

#define COVERAGE_ROWS_MAX   128
#define COVERAGE_FAULTS_MAX 32

/** How a schedule ended. */
typedef enum {
    ENDING_COMPLETED,       /* the guest is at the destination, by postcopy */
    ENDING_COMPLETED_FIRST, /* ... before it came to postcopy */
    ENDING_KEPT,            /* failed or cancelled before postcopy: at the source */
    ENDING_RETURNED,        /* in postcopy, but before it ran there: at the source again */
    ENDING_QEMU_KILLED,     /* lost with a QEMU that was killed */
    ENDING_LOST_AT_SWITCH,  /* the limits below */
    ENDING_LOST_AT_THE_END,
    ENDING_LOST_IN_FINISH,
    ENDING_LOST_WITH_CLIENT,
    ENDING_TAKEN_BACK,
} Ending;
#define ENDING_LAST (ENDING_TAKEN_BACK + 1)

/**
 * What loses a guest without our doing. Each is a rule of QEMU 10.0 or libvirt 11.3; the README
 * says which.
 */
typedef enum {
    LIMIT_QEMU_KILLED,
    LIMIT_SWITCH,    /* the network broke the channel before the destination had its order to run */
    LIMIT_THE_END,   /* the channel broke after all was sent: the source's QEMU fails */
    LIMIT_IN_FINISH, /* paused while libvirt's own Finish was at work */
    LIMIT_CLIENT,    /* the client is gone, and the switch is not heard of for long after that */
    LIMIT_UNNOTED,   /* the source's daemon was killed at the switch; QEMU has failed before it is
                        back */
} Limit;
#define LIMIT_LAST (LIMIT_UNNOTED + 1)

typedef struct {
    guint64 schedules;
    guint64 steps;
    guint64 states[ROLE_LAST][STATE_LAST];
    guint64 events[EVENT_LAST];
    guint64 effects[EFFECT_LAST];
    guint64 rows[COVERAGE_ROWS_MAX];
    guint64 faults[COVERAGE_FAULTS_MAX];
    guint64 endings[ENDING_LAST];
    guint64 answers[4];
    guint64 pauses;
    guint64 recoveries;
    guint64 restarts;
    guint64 resolved; /* pauses that a person had to end */
} Coverage;

const char *ending_to_string(Ending ending);
const char *limit_to_string(Limit limit);

/** For a person. */
void coverage_print(const Coverage *coverage, double seconds);
/** For a program: one JSON object. */
char *coverage_to_json(const Coverage *coverage, guint64 seed, double seconds);
