/*
 * faults.c: what goes wrong, and what persons do, by a schedule
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "faults.h"

#include <stdio.h>

#include "calls.h"
#include "daemon.h"
#include "network.h"
#include "qemu.h"

static const char *const trigger_names[TRIGGER_LAST] = {
    [TRIGGER_START] = "start",
    [TRIGGER_POSTCOPY] = "postcopy",
    [TRIGGER_LISTEN] = "listen",
    [TRIGGER_PAUSED] = "paused",
    [TRIGGER_DESTINATION_PAUSED] = "destination-paused",
    [TRIGGER_RECOVER] = "recover",
    [TRIGGER_RECOVERED] = "recovered",
    [TRIGGER_COMPLETING] = "completing",
    [TRIGGER_ALL_SENT] = "all-sent",
};

static const struct {
    const char *name;
    guint weight;
} faults[FAULT_LAST] = {
    [FAULT_CUT] = {"cut", 20},
    [FAULT_CUT_ONE_WAY] = {"cut-one-way", 8},
    [FAULT_CUT_ALL] = {"cut-all", 12},
    [FAULT_REJECT] = {"reject", 6},
    [FAULT_RESET] = {"reset", 8},
    [FAULT_RESET_ONE] = {"reset-one", 6},
    [FAULT_HANG] = {"hang", 4},
    [FAULT_CUT_CALLER] = {"cut-caller", 7},
    [FAULT_KILL_DAEMON] = {"kill-daemon", 7},
    [FAULT_KILL_DAEMONS] = {"kill-daemons", 2},
    [FAULT_STOP_DAEMON] = {"stop-daemon", 3},
    [FAULT_KILL_AMID] = {"kill-amid", 7},
    [FAULT_KILL_CALLER] = {"kill-caller", 3},
    [FAULT_KILL_QEMU] = {"kill-qemu", 1},
    [PERSON_ABORT] = {"abort-postcopy", 4},
    [PERSON_PAUSE] = {"pause", 4},
    [PERSON_RECOVER] = {"recover", 5},
    [PERSON_CANCEL] = {"cancel", 1},
};

const char *
trigger_to_string(Trigger trigger)
{
    return trigger_names[trigger];
}

const char *
fault_to_string(FaultType type)
{
    return faults[type].name;
}

/* --- rolled --- */

static FaultType
roll_type(Dice *dice)
{
    guint sum = 0, point;
    guint type = 0;

    for (guint i = 0; i < FAULT_LAST; i++)
        sum += faults[i].weight;
    point = (guint)dice_below(dice, sum);
    while (point >= faults[type].weight)
        point -= faults[type++].weight;
    return type;
}

void
faults_roll(Schedule *schedule)
{
    Dice dice;

    dice_seed(&dice, schedule->seed);
    schedule->peer2peer = dice_chance(&dice, 60);
    schedule->postcopy = dice_chance(&dice, 92);
    schedule->manual = dice_chance(&dice, 5);
    schedule->give_up_s = dice_chance(&dice, 15) ? (guint)dice_scale(&dice, 2, 40) : POLICY_NEVER;
    schedule->n_paths = 1 + (guint)dice_below(&dice, PATHS_MAX);
    schedule->latency_usec = dice_scale(&dice, 100, 40 * MSEC);
    schedule->load_usec = dice_scale(&dice, MSEC, 400 * MSEC);
    schedule->memory_usec = dice_scale(&dice, 20 * MSEC, 60 * SEC);
    schedule->finish_usec = dice_scale(&dice, MSEC, 40 * MSEC);
    schedule->n_faults = (guint)dice_below(&dice, 6) + dice_chance(&dice, 90);
    for (guint i = 0; i < schedule->n_faults; i++) {
        Fault *fault = &schedule->faults[i];

        fault->trigger = (guint)dice_below(&dice, TRIGGER_LAST);
        fault->delay_usec = dice_scale(&dice, 100, 16 * SEC);
        fault->type = roll_type(&dice);
        fault->host = (guint)dice_below(&dice, HOSTS);
        fault->path = (guint)dice_below(&dice, schedule->n_paths);
        fault->lasts_usec = dice_scale(&dice, 10 * MSEC, 60 * SEC);
    }
    schedule->switches = dice_chance(&dice, 50)
                             ? POLICY_SWITCH_MANUAL
                             : POLICY_SWITCH_AFTER_PRECOPY + (PolicySwitch)dice_below(&dice, 2);
}

void
faults_print(const Schedule *schedule)
{
    printf("schedule %s, seed %" G_GUINT64_FORMAT ": %s, %s, %s recovery, give-up %u s, %u "
           "path(s), latency %" G_GINT64_FORMAT " us, device state %" G_GINT64_FORMAT
           " us, memory %" G_GINT64_FORMAT " us\n",
           schedule->name ? schedule->name : "by the dice", schedule->seed,
           schedule->peer2peer ? "peer to peer" : "driven by a client",
           schedule->postcopy ? "postcopy" : "precopy", schedule->manual ? "manual" : "automatic",
           schedule->give_up_s, schedule->n_paths, schedule->latency_usec, schedule->load_usec,
           schedule->memory_usec);
    for (guint i = 0; i < schedule->n_faults; i++) {
        const Fault *fault = &schedule->faults[i];

        printf("  %s + %" G_GINT64_FORMAT " us: %s, %s, path %u, for %" G_GINT64_FORMAT " us\n",
               trigger_names[fault->trigger], fault->delay_usec, faults[fault->type].name,
               host_to_string(fault->host), fault->path, fault->lasts_usec);
    }
}

/* --- done and undone --- */

static void
set_path(World *world, guint path, gboolean up)
{
    network_set(world, path, ROLE_SOURCE, up);
    network_set(world, path, ROLE_DESTINATION, up);
}

static void
start_daemon_cb(World *world, const ClockArgs *args)
{
    if (args->host == ROLE_SOURCE || args->other)
        daemon_start(world, ROLE_SOURCE);
    if (args->host == ROLE_DESTINATION || args->other)
        daemon_start(world, ROLE_DESTINATION);
}

static void
mend_cb(World *world, const ClockArgs *args)
{
    guint first = args->number == FAULT_CUT_ALL ? 0 : args->other;
    guint last = args->number == FAULT_CUT_ALL ? world->schedule->n_paths - 1 : args->other;

    for (guint path = first; path <= last; path++) {
        world->paths[path].rejects = FALSE;
        set_path(world, path, TRUE);
    }
}

static void
break_network(World *world, const Fault *fault)
{
    switch (fault->type) {
    case FAULT_CUT_ALL:
        for (guint i = 0; i < world->schedule->n_paths; i++)
            set_path(world, i, FALSE);
        break;
    case FAULT_CUT_ONE_WAY:
        network_set(world, fault->path, fault->host, FALSE);
        break;
    case FAULT_REJECT:
        world->paths[fault->path].rejects = TRUE;
        network_reset(world, fault->path, TRUE, TRUE);
        set_path(world, fault->path, FALSE);
        break;
    default:
        set_path(world, fault->path, FALSE);
        break;
    }
    world_after(world, fault->lasts_usec, mend_cb,
                (ClockArgs){.number = fault->type, .other = fault->path});
}

static void
stop_daemon_cb(World *world, const ClockArgs *args)
{
    if (world->daemon[args->host].life == args->generation)
        daemon_kill(world, args->host);
}

/* host_stop(): it is told, and ends a little later */
static void
stop_daemon(World *world, MigrationRole host)
{
    Daemon *daemon = &world->daemon[host];

    if (daemon->up && daemon->session)
        daemon_post(world, host, EVENT_DAEMON_STOPS, 0);
    world_after(world, dice_scale(&world->dice, 3 * MSEC, 100 * MSEC), stop_daemon_cb,
                (ClockArgs){.host = host, .generation = daemon->life});
}

static void
kill_daemons(World *world, const Fault *fault)
{
    gboolean both = fault->type == FAULT_KILL_DAEMONS;

    if (fault->type == FAULT_KILL_AMID) {
        world->daemon[fault->host].kills_in = 1 + fault->path;
        world_trace(world, "%s's daemon: will be killed in the middle",
                    host_to_string(fault->host));
    } else if (fault->type == FAULT_STOP_DAEMON) {
        stop_daemon(world, fault->host);
    } else {
        daemon_kill(world, fault->host);
        if (both)
            daemon_kill(world, other_host(fault->host));
    }
    world_after(world, fault->lasts_usec + 200 * MSEC, start_daemon_cb,
                (ClockArgs){.host = fault->host, .other = both});
}

/* requests_pause(), requests_recover() */
static void
request(World *world, FaultType type)
{
    MigrationState state = daemon_get_state(world, ROLE_SOURCE);

    world_trace(world, "person: virsh migrate-%s", faults[type].name);
    if (!world->daemon[ROLE_SOURCE].up || !migration_state_is_postcopy(state))
        return;
    if (type == PERSON_PAUSE)
        daemon_post(world, ROLE_SOURCE, EVENT_PAUSE_REQUESTED, 1);
    else if (state >= STATE_POSTCOPY_PAUSED)
        daemon_post(world, ROLE_SOURCE, EVENT_RECOVER_REQUESTED, 0);
}

static void
kill_qemu(World *world, MigrationRole host)
{
    if (!world->qemu[host].alive)
        return;
    world->qemu[host].killed = TRUE;
    world->limits |= 1u << LIMIT_QEMU_KILLED;
    qemu_end(world, host, "it was killed");
}

static void
do_fault(World *world, const Fault *fault)
{
    switch ((FaultType)fault->type) {
    case FAULT_CUT:
    case FAULT_CUT_ONE_WAY:
    case FAULT_CUT_ALL:
    case FAULT_REJECT:
        break_network(world, fault);
        break;
    case FAULT_RESET:
        network_reset(world, fault->path, TRUE, TRUE);
        break;
    case FAULT_RESET_ONE:
        network_reset(world, fault->path, fault->host == ROLE_SOURCE,
                      fault->host == ROLE_DESTINATION);
        break;
    case FAULT_HANG:
        world->hang_next = TRUE;
        break;
    case FAULT_CUT_CALLER:
        calls_cut(world, fault->lasts_usec);
        break;
    case FAULT_KILL_DAEMON:
    case FAULT_KILL_DAEMONS:
    case FAULT_STOP_DAEMON:
    case FAULT_KILL_AMID:
        kill_daemons(world, fault);
        break;
    case FAULT_KILL_CALLER:
        calls_kill_caller(world);
        break;
    case FAULT_KILL_QEMU:
        kill_qemu(world, fault->host);
        break;
    case PERSON_ABORT:
        calls_abort_postcopy(world);
        break;
    case PERSON_PAUSE:
    case PERSON_RECOVER:
        request(world, fault->type);
        break;
    case PERSON_CANCEL:
        calls_cancel(world);
        break;
    }
}

static void
fault_cb(World *world, const ClockArgs *args)
{
    const Fault *fault = &world->schedule->faults[args->number];

    if (world->calm)
        return;
    world->coverage->faults[fault->type]++;
    world_trace(world, "* %s", faults[fault->type].name);
    do_fault(world, fault);
}

void
faults_fire(World *world, Trigger trigger)
{
    if (world->calm || (world->fired & (1u << trigger)))
        return;
    world->fired |= 1u << trigger;
    for (guint i = 0; i < world->schedule->n_faults; i++) {
        if (world->schedule->faults[i].trigger == trigger)
            world_after(world, world->schedule->faults[i].delay_usec, fault_cb,
                        (ClockArgs){.number = i});
    }
}

void
faults_fire_for_qemu(World *world, MigrationRole host, guint status)
{
    if (status == QEMU_POSTCOPY_ACTIVE)
        faults_fire(world, host == ROLE_DESTINATION                 ? TRIGGER_LISTEN
                           : world->fired & (1u << TRIGGER_RECOVER) ? TRIGGER_RECOVERED
                                                                    : TRIGGER_POSTCOPY);
    else if (status == QEMU_POSTCOPY_PAUSED)
        faults_fire(world, host == ROLE_SOURCE ? TRIGGER_PAUSED : TRIGGER_DESTINATION_PAUSED);
    else if (status == QEMU_COMPLETED && host == ROLE_SOURCE && !world->schedule->postcopy)
        faults_fire(world, TRIGGER_ALL_SENT);
    else if (status == QEMU_POSTCOPY_RECOVER && host == ROLE_SOURCE)
        faults_fire(world, TRIGGER_RECOVER);
}

void
faults_link_opened(World *world)
{
    world->link.hangs = world->hang_next;
    world->hang_next = FALSE;
}

void
faults_calm(World *world)
{
    world_trace(world, "* from now on nothing breaks");
    world->calm = TRUE;
    world->hang_next = FALSE;
    world->rpc_down_until_usec = MIN(world->rpc_down_until_usec, world->clock.now_usec);
    for (guint i = 0; i < world->schedule->n_paths; i++) {
        world->paths[i].rejects = FALSE;
        set_path(world, i, TRUE);
    }
    for (guint host = 0; host < HOSTS; host++) {
        world->daemon[host].kills_in = 0;
        daemon_start(world, host);
    }
}

/* The guest may have run on the destination, and is gone there: it is for a person to say whether
 * it goes on at the source (confirm_resume()); this one knows. */
static void
resolve_doubt(World *world)
{
    if (world->qemu[ROLE_DESTINATION].alive)
        return;
    world->coverage->resolved++;
    if (!world->qemu[ROLE_DESTINATION].has_run) {
        daemon_step(world, ROLE_SOURCE, EVENT_CALL_CANCELLED, 0);
        return;
    }
    world->qemu[ROLE_SOURCE].killed = TRUE;
    qemu_end(world, ROLE_SOURCE, "a person destroys it");
}

void
faults_resolve(World *world)
{
    const Daemon *daemon = &world->daemon[ROLE_SOURCE];

    if (daemon->session && session_wants_return(daemon->session)) {
        resolve_doubt(world);
        return;
    }
    if (!daemon->session || session_get_state(daemon->session) != STATE_POSTCOPY_PAUSED ||
        session_holds_callers(daemon->session))
        return;
    world->coverage->resolved++;
    request(world, PERSON_RECOVER);
}
