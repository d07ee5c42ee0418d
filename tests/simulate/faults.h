/*
 * faults.h: what goes wrong, and what persons do, by a schedule
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "world.h"

/** What a fault waits for before its delay begins; each happens once. */
typedef enum {
    TRIGGER_START,
    TRIGGER_POSTCOPY, /* the source has switched */
    TRIGGER_LISTEN,   /* ... and the destination knows */
    TRIGGER_PAUSED,   /* the source */
    TRIGGER_DESTINATION_PAUSED,
    TRIGGER_RECOVER, /* the handshake begins */
    TRIGGER_RECOVERED,
    TRIGGER_COMPLETING,
    TRIGGER_ALL_SENT, /* without postcopy: the source has completed */
} Trigger;
#define TRIGGER_LAST (TRIGGER_ALL_SENT + 1)

typedef enum {
    FAULT_CUT,         /* a path is silent, both ways */
    FAULT_CUT_ONE_WAY, /* ... or one */
    FAULT_CUT_ALL,     /* all paths */
    FAULT_REJECT,      /* a path answers with resets */
    FAULT_RESET,       /* connections are reset, the path works */
    FAULT_RESET_ONE,   /* ... and one end does not hear of it */
    FAULT_HANG,        /* a stranger takes a place in the next recovery's channel */
    FAULT_CUT_CALLER,  /* between caller and destination */
    FAULT_KILL_DAEMON,
    FAULT_KILL_DAEMONS,
    FAULT_STOP_DAEMON, /* SIGTERM */
    FAULT_KILL_AMID,   /* ... between two of its acts */
    FAULT_KILL_CALLER,
    FAULT_KILL_QEMU,
    PERSON_ABORT,   /* virsh domjobabort --postcopy */
    PERSON_PAUSE,   /* virsh migrate-pause */
    PERSON_RECOVER, /* virsh migrate-recover */
    PERSON_CANCEL,  /* virsh domjobabort */
} FaultType;
#define FAULT_LAST (PERSON_CANCEL + 1)

const char *trigger_to_string(Trigger trigger);
const char *fault_to_string(FaultType type);

/** Fills in @schedule by its seed. */
void faults_roll(Schedule *schedule);
void faults_print(const Schedule *schedule);

void faults_fire(World *world, Trigger trigger);
void faults_fire_for_qemu(World *world, MigrationRole host, guint status);
/** A recovery's channel has just been made. */
void faults_link_opened(World *world);
/** All is mended, and nothing breaks from now on. */
void faults_calm(World *world);
/** A person takes up what waits for one. */
void faults_resolve(World *world);
