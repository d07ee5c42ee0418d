/*
 * named.c: schedules that found something once, or show a promise kept
 *
 * Each failed before the engine was what it is, or would if it were less. Times are in microseconds
 * after the fault's trigger.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "named.h"

#include "faults.h"

#define S ROLE_SOURCE
#define D ROLE_DESTINATION

/* Peer to peer, in postcopy, with some ordinary values and those that matter. */
#define WITH(paths, latency, load, memory)                                                         \
    .seed = 7, .postcopy = TRUE, .finish_usec = 5 * MSEC, .n_paths = (paths),                      \
    .latency_usec = (latency), .load_usec = (load), .memory_usec = (memory)
#define ORDINARY .peer2peer = TRUE, WITH(1, 500, 20 * MSEC, 10 * SEC)

/* clang-format off */
const NamedSchedule named_schedules[] = {
    { { .name = "nothing-happens", ORDINARY },
      .ending = ENDING_COMPLETED },
    { { .name = "outage", ORDINARY, .n_faults = 1, .faults = {
        { TRIGGER_LISTEN, 2 * SEC, FAULT_CUT_ALL, S, 0, 40 * SEC } } },
      .ending = ENDING_COMPLETED },
    { { .name = "the-other-network", .peer2peer = TRUE, WITH(2, 500, 20 * MSEC, 10 * SEC),
        .n_faults = 1, .faults = {
        { TRIGGER_LISTEN, 2 * SEC, FAULT_CUT, S, 0, 99 * SEC } } },
      .ending = ENDING_COMPLETED },
    { { .name = "one-way", ORDINARY, .n_faults = 2, .faults = {
        { TRIGGER_LISTEN, 2 * SEC, FAULT_CUT_ONE_WAY, S, 0, 20 * SEC },
        { TRIGGER_RECOVERED, SEC, FAULT_CUT_ONE_WAY, D, 0, 20 * SEC } } },
      .ending = ENDING_COMPLETED },
    { { .name = "double-failure", ORDINARY, .n_faults = 2, .faults = {
        { TRIGGER_LISTEN, 2 * SEC, FAULT_RESET, S, 0, 0 },
        { TRIGGER_RECOVER, 100, FAULT_CUT_ALL, S, 0, 20 * SEC } } },
      .ending = ENDING_COMPLETED },
    { { .name = "a-stranger-in-the-recovery", ORDINARY, .n_faults = 2, .faults = {
        { TRIGGER_START, 0, FAULT_HANG, S, 0, 0 },
        { TRIGGER_LISTEN, 2 * SEC, FAULT_RESET, S, 0, 0 } } },
      .ending = ENDING_COMPLETED },
    { { .name = "both-daemons-killed-in-an-outage", ORDINARY, .n_faults = 2, .faults = {
        { TRIGGER_LISTEN, 2 * SEC, FAULT_CUT_ALL, S, 0, 30 * SEC },
        { TRIGGER_PAUSED, 5 * SEC, FAULT_KILL_DAEMONS, S, 0, 5 * SEC } } },
      .ending = ENDING_COMPLETED },
    { { .name = "a-persons-pause", ORDINARY, .n_faults = 2, .faults = {
        { TRIGGER_LISTEN, 2 * SEC, PERSON_ABORT, S, 0, 0 },
        { TRIGGER_PAUSED, 20 * SEC, PERSON_RECOVER, S, 0, 0 } } },
      .ending = ENDING_COMPLETED },

    /* The destination's QEMU is slow with its device state: breaking the channel then loses the
     * guest. */
    { { .name = "outage-before-the-order-to-run", .peer2peer = TRUE,
        WITH(1, 500, 4 * SEC, 10 * SEC), .n_faults = 1,
        .faults = { { TRIGGER_LISTEN, 100 * MSEC, FAULT_CUT_ALL, S, 0, 8 * SEC } } },
      .ending = ENDING_COMPLETED },
    { { .name = "pause-before-the-order-to-run", .peer2peer = TRUE,
        WITH(1, 500, 4 * SEC, 10 * SEC), .n_faults = 1,
        .faults = { { TRIGGER_POSTCOPY, 2 * MSEC, PERSON_ABORT, S, 0, 0 } } },
      .ending = ENDING_COMPLETED },
    /* Where the channel breaks by itself, what was sent before it ran is lost there and whole here. */
    { { .name = "broken-before-the-order-to-run", .peer2peer = TRUE,
        WITH(1, 500, 4 * SEC, 10 * SEC), .n_faults = 1,
        .faults = { { TRIGGER_LISTEN, 100 * MSEC, FAULT_RESET, S, 0, 0 } } },
      .ending = ENDING_RETURNED, .limits = 1u << LIMIT_SWITCH },
    { { .name = "killed-before-the-order-to-run", .peer2peer = TRUE,
        WITH(1, 500, 4 * SEC, 10 * SEC), .n_faults = 1,
        .faults = { { TRIGGER_LISTEN, 100 * MSEC, FAULT_KILL_QEMU, D, 0, 0 } } },
      .ending = ENDING_RETURNED, .limits = 1u << LIMIT_QEMU_KILLED },
    /* ... and the source's daemon is killed when that was decided and not done yet. */
    { { .name = "restarted-before-it-went-on", .peer2peer = TRUE,
        WITH(1, 500, 4 * SEC, 10 * SEC), .n_faults = 2, .faults = {
        { TRIGGER_LISTEN, 100 * MSEC, FAULT_RESET, S, 0, 0 },
        { TRIGGER_PAUSED, 0, FAULT_KILL_AMID, S, 10, 2 * SEC } } },
      .ending = ENDING_RETURNED, .limits = 1u << LIMIT_SWITCH },
    /* The journal said precopy, and libvirt killed the destination that had the guest. */
    { { .name = "the-switch-was-not-noted", ORDINARY, .n_faults = 1, .faults = {
        { TRIGGER_POSTCOPY, 0, FAULT_KILL_DAEMON, D, 0, 2 * SEC } } },
      .ending = ENDING_COMPLETED },
    /* ... and when it was back the source had nothing left to ask. */
    { { .name = "the-switch-was-not-noted-until-the-end", .peer2peer = TRUE,
        WITH(1, 500, 20 * MSEC, 200 * MSEC), .n_faults = 1, .faults = {
        { TRIGGER_POSTCOPY, 0, FAULT_KILL_DAEMON, D, 0, 20 * SEC } } },
      .ending = ENDING_COMPLETED },
    { { .name = "both-daemons-killed-at-the-switch", .peer2peer = TRUE,
        WITH(1, 500, 20 * MSEC, 200 * MSEC), .n_faults = 1, .faults = {
        { TRIGGER_POSTCOPY, 0, FAULT_KILL_DAEMONS, D, 0, 20 * SEC } } },
      .ending = ENDING_COMPLETED },
    /* The source asked for ever. */
    { { .name = "the-destination-has-failed", ORDINARY, .n_faults = 1, .faults = {
        { TRIGGER_LISTEN, 2 * SEC, FAULT_KILL_QEMU, D, 0, 0 } } },
      .ending = ENDING_QEMU_KILLED, .limits = 1u << LIMIT_QEMU_KILLED },
    /* All memory was there before Finish was missed: the destination's session ended, nobody
     * started the guest, and libvirt destroyed it with the client's connection. */
    { { .name = "finish-is-lost-and-the-memory-short", .peer2peer = TRUE,
        WITH(1, 500, 20 * MSEC, 200 * MSEC), .n_faults = 1, .faults = { { TRIGGER_START, 0, FAULT_CUT_CALLER, S, 0, 60 * SEC } } },
      .ending = ENDING_COMPLETED },
    { { .name = "the-client-dies-before-finish",
        WITH(1, 500, 20 * MSEC, 200 * MSEC), .n_faults = 1,
        .faults = { { TRIGGER_LISTEN, 0, FAULT_KILL_CALLER, S, 0, 0 } } },
      .ending = ENDING_COMPLETED },
    /* The destination recovered while its daemon was away: from then on it offered the port of the
     * recovery before, for ever. */
    { { .name = "recovered-while-nobody-looked", .peer2peer = TRUE,
        WITH(1, 20 * MSEC, 20 * MSEC, 60 * SEC), .n_faults = 4, .faults = {
        { TRIGGER_LISTEN, 4 * SEC, PERSON_ABORT, S, 0, 0 },
        { TRIGGER_PAUSED, 70 * MSEC, PERSON_RECOVER, S, 0, 0 },
        { TRIGGER_RECOVER, 0, FAULT_KILL_DAEMON, D, 0, 5 * SEC },
        { TRIGGER_RECOVERED, 70 * MSEC, FAULT_RESET_ONE, S, 0, 0 } } },
      .ending = ENDING_COMPLETED },
    /* Nobody told it: it held its callers for good. */
    { { .name = "the-source-has-failed", ORDINARY, .n_faults = 2, .faults = {
        { TRIGGER_LISTEN, 2 * SEC, FAULT_CUT_ALL, S, 0, 20 * SEC },
        { TRIGGER_PAUSED, 5 * SEC, FAULT_KILL_QEMU, S, 0, 0 } } },
      .ending = ENDING_QEMU_KILLED, .limits = 1u << LIMIT_QEMU_KILLED },
    { { .name = "the-source-has-failed-while-its-daemon-was-away", ORDINARY, .n_faults = 3, .faults = {
        { TRIGGER_LISTEN, 2 * SEC, FAULT_CUT_ALL, S, 0, 20 * SEC },
        { TRIGGER_PAUSED, 3 * SEC, FAULT_KILL_DAEMON, S, 0, 5 * SEC },
        { TRIGGER_PAUSED, 5 * SEC, FAULT_KILL_QEMU, S, 0, 0 } } },
      .ending = ENDING_QEMU_KILLED, .limits = 1u << LIMIT_QEMU_KILLED },
    /* It answered "not known" for ever. */
    { { .name = "the-destination-has-forgotten", ORDINARY, .n_faults = 3, .faults = {
        { TRIGGER_LISTEN, 2 * SEC, FAULT_CUT_ALL, S, 0, 20 * SEC },
        { TRIGGER_DESTINATION_PAUSED, 3 * SEC, FAULT_KILL_QEMU, D, 0, 0 },
        { TRIGGER_DESTINATION_PAUSED, 5 * SEC, FAULT_KILL_DAEMON, D, 0, 2 * SEC } } },
      .ending = ENDING_QEMU_KILLED, .limits = 1u << LIMIT_QEMU_KILLED },
    /* The client's connection is gone with the daemon, and nobody started the guest. */
    { { .name = "restarted-before-finish", ORDINARY, .n_faults = 2, .faults = {
        { TRIGGER_START, 0, FAULT_CUT_CALLER, S, 0, 60 * SEC },
        { TRIGGER_LISTEN, SEC, FAULT_KILL_DAEMON, D, 0, 2 * SEC } } },
      .ending = ENDING_COMPLETED },
    /* libvirt drew its line under a guest that had never run, and the session waited for ever. */
    { { .name = "completed-while-nobody-looked", .peer2peer = TRUE,
        WITH(1, 500, 20 * MSEC, 400 * MSEC), .n_faults = 2, .faults = {
        { TRIGGER_START, 0, FAULT_CUT_CALLER, S, 0, 60 * SEC },
        { TRIGGER_LISTEN, 100 * MSEC, FAULT_KILL_DAEMON, D, 0, 2 * SEC } } },
      .ending = ENDING_COMPLETED },
    /* The journal says precopy, and QEMU is paused when it is asked. */
    { { .name = "restarted-at-the-switch", ORDINARY, .n_faults = 2, .faults = {
        { TRIGGER_POSTCOPY, 0, FAULT_KILL_DAEMON, S, 0, 5 * SEC },
        { TRIGGER_LISTEN, 2 * SEC, FAULT_RESET, S, 0, 0 } } },
      .ending = ENDING_COMPLETED },
    /* QEMU has failed while the source's daemon was away. */
    { { .name = "broken-at-the-end-unseen", ORDINARY, .n_faults = 2, .faults = {
        { TRIGGER_COMPLETING, 0, FAULT_KILL_DAEMON, S, 0, 5 * SEC },
        { TRIGGER_COMPLETING, 100, FAULT_RESET, S, 0, 0 } } },
      .ending = ENDING_LOST_AT_THE_END, .limits = 1u << LIMIT_THE_END },
    /* ... or was killed when that was in its journal and the guest, which QEMU runs again, had yet to
     * be stopped: it ran on both hosts. */
    { { .name = "broken-at-the-end-and-killed", ORDINARY, .n_faults = 2, .faults = {
        { TRIGGER_COMPLETING, 0, FAULT_KILL_AMID, S, 1, 5 * SEC },
        { TRIGGER_COMPLETING, 100, FAULT_RESET, S, 0, 0 } } },
      .ending = ENDING_LOST_AT_THE_END, .limits = 1u << LIMIT_THE_END },
    /* ... or before it was in its journal that the migration is in postcopy. */
    { { .name = "killed-at-the-switch-and-broken-at-the-end", ORDINARY, .n_faults = 2, .faults = {
        { TRIGGER_POSTCOPY, 0, FAULT_KILL_DAEMON, S, 0, 30 * SEC },
        { TRIGGER_COMPLETING, 100, FAULT_RESET, S, 0, 0 } } },
      .ending = ENDING_TAKEN_BACK, .limits = 1u << LIMIT_THE_END | 1u << LIMIT_UNNOTED },
    /* The destination had been told that the end is near, forgot it, and broke the channel. */
    { { .name = "restarted-in-an-outage-at-the-end", ORDINARY, .n_faults = 2, .faults = {
        { TRIGGER_COMPLETING, 0, FAULT_CUT_ALL, S, 0, 20 * SEC },
        { TRIGGER_COMPLETING, 2 * SEC, FAULT_KILL_DAEMON, D, 0, 2 * SEC } } },
      .ending = ENDING_COMPLETED },
    /* ... or took it for something that does not concern a recovery, which had long been over. */
    { { .name = "recovered-unseen-and-an-outage-at-the-end", .peer2peer = TRUE,
        WITH(1, 20 * MSEC, 2 * MSEC, 4 * SEC), .n_faults = 3, .faults = {
        { TRIGGER_LISTEN, SEC, FAULT_RESET, S, 0, 0 },
        { TRIGGER_RECOVER, 10 * MSEC, FAULT_KILL_DAEMON, D, 0, 200 * MSEC },
        { TRIGGER_COMPLETING, 0, FAULT_CUT_ALL, S, 0, 20 * SEC } } },
      .ending = ENDING_COMPLETED },
    /* The destination let go of the client's connection, and libvirt destroyed the domain. */
    { { .name = "the-client-dies-at-the-switch", WITH(1, 500, 20 * MSEC, 10 * SEC),
        .n_faults = 2, .faults = {
        { TRIGGER_POSTCOPY, 0, FAULT_CUT_ALL, S, 0, 3 * SEC },
        { TRIGGER_POSTCOPY, 0, FAULT_KILL_CALLER, S, 0, 0 } } },
      .ending = ENDING_COMPLETED },
    /* Without postcopy: the answer of Finish is lost, and the source must not run the guest. */
    { { .name = "finish-is-lost-in-precopy", .seed = 7, .peer2peer = TRUE,
        .finish_usec = 5 * MSEC, .n_paths = 1, .latency_usec = 500, .load_usec = 20 * MSEC,
        .memory_usec = SEC, .n_faults = 1, .faults = {
        { TRIGGER_START, 0, FAULT_CUT_CALLER, S, 0, 60 * SEC } } },
      .ending = ENDING_KEPT },
    { { .name = "both-daemons-killed-after-precopy", .seed = 7, .peer2peer = TRUE,
        .finish_usec = 5 * MSEC, .n_paths = 1, .latency_usec = 500, .load_usec = 20 * MSEC,
        .memory_usec = SEC, .n_faults = 2, .faults = {
        { TRIGGER_START, 0, FAULT_CUT_CALLER, S, 0, 60 * SEC },
        { TRIGGER_ALL_SENT, SEC, FAULT_KILL_DAEMONS, S, 0, 2 * SEC } } },
      .ending = ENDING_KEPT },
};
/* clang-format on */
const gsize n_named_schedules = G_N_ELEMENTS(named_schedules);
