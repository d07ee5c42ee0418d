/*
 * calls.c: the caller of a migration, and libvirt's phases that it goes through
 *
 * The caller is a client that drives the migration from outside, or, peer to peer, a thread in the
 * source's daemon: p2p_perform() in driver/run/p2p.c. Perform and Confirm are phases_perform() and
 * phases_confirm(). Both hosts' own calls take no time here; the network to the destination does,
 * and fails after libvirt's keepalive.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "calls.h"

#include "check.h"
#include "daemon.h"
#include "network.h"
#include "qemu.h"

#define KEEPALIVE_USEC (30 * SEC)
#define LIBVIRT_USEC   (20 * MSEC) /* to stop a QEMU, and such */
/* GRACE_LOOKS of connection.c */
#define CLIENT_GRACE_USEC (10 * SEC)

void
calls_begin(World *world)
{
    world->caller = (Caller){.peer2peer = world->schedule->peer2peer, .alive = TRUE};
    world->finish = (Finish){0};
    world->domain = (Domain){0};
    world->settles = FALSE;
}

/* --- the caller's connection to the destination --- */

void
calls_destroy_destination(World *world, const char *why)
{
    if (!world->qemu[ROLE_DESTINATION].alive)
        return;
    world->qemu[ROLE_DESTINATION].killed = TRUE;
    qemu_end(world, ROLE_DESTINATION, why);
}

/* qemuProcessAutoDestroy(), once nobody keeps the client's connection; a Finish at work does */
static void
auto_destroy_cb(World *world, const ClockArgs *args)
{
    const Daemon *daemon = &world->daemon[ROLE_DESTINATION];

    if (!daemon->up || daemon->life != args->generation || world->finish.phase_begun ||
        !world->qemu[ROLE_DESTINATION].alive)
        return;
    if (world->qemu[ROLE_SOURCE].has_switched &&
        world->clock.now_usec - daemon->client_gone_usec >= CLIENT_GRACE_USEC)
        check_limit(world, LIMIT_CLIENT);
    calls_destroy_destination(world, "the client's connection is closed");
}

void
calls_connection_dropped(World *world, MigrationRole host)
{
    Daemon *daemon = &world->daemon[host];

    if (host != ROLE_DESTINATION || !daemon->has_client)
        return;
    daemon->has_client = FALSE;
    if (!world->caller.alive || world->caller.stage == CALLER_ANSWERED)
        world_after(world, MSEC, auto_destroy_cb, (ClockArgs){.generation = daemon->life});
}

/* look_cb() of connection.c: the switch may be on its way */
static void
look_cb(World *world, const ClockArgs *args)
{
    Daemon *daemon = &world->daemon[ROLE_DESTINATION];

    if (!daemon->up || daemon->life != args->generation || !daemon->session ||
        migration_state_is_terminal(session_get_state(daemon->session)))
        return;
    daemon->client_gone_usec = MIN(daemon->client_gone_usec, world->clock.now_usec);
    if (session_get_owner(daemon->session) == OWNER_DESTINATION ||
        (world->clock.now_usec - daemon->client_gone_usec < CLIENT_GRACE_USEC &&
         world->mutant != MUTANT_NO_GRACE))
        world_after(world, SEC, look_cb, *args);
    else
        calls_connection_dropped(world, ROLE_DESTINATION);
}

/* --- the answer --- */

static void
answer(World *world, Answer what)
{
    Caller *caller = &world->caller;

    if (caller->stage == CALLER_ANSWERED)
        return;
    caller->stage = CALLER_ANSWERED;
    caller->generation++;
    if (world->mutant == MUTANT_LYING_CALL && what == ANSWER_FAILURE)
        what = ANSWER_SUCCESS;
    caller->answer = what;
    caller->answered_by_stock |= world->daemon[ROLE_SOURCE].session &&
                                 !daemon_holds(world, ROLE_SOURCE) &&
                                 !migration_state_is_terminal(daemon_get_state(world, ROLE_SOURCE));
    world_trace(world, "caller: is told of %s",
                what == ANSWER_SUCCESS   ? "success"
                : what == ANSWER_FAILURE ? "failure"
                                         : "nothing: its connection is gone");
    check_answer(world);
    /* Its connections close. */
    world_after(world, dice_scale(&world->dice, MSEC, SEC), look_cb,
                (ClockArgs){.generation = world->daemon[ROLE_DESTINATION].life});
}

/* --- Confirm --- */

/* qemuMigrationSrcComplete(), before anybody is told */
static void
stop_source(World *world)
{
    qemu_end(world, ROLE_SOURCE, "libvirt stops it, it has migrated");
}

/* settle() of p2p.c, and what virDomainMigrate3() returns to a client */
static void
settle(World *world)
{
    Caller *caller = &world->caller;

    if (!caller->alive) {
        answer(world, ANSWER_LOST);
    } else if (caller->moved) {
        answer(world, ANSWER_SUCCESS);
    } else if (!caller->peer2peer) {
        answer(world, caller->connection_lost ? ANSWER_LOST : ANSWER_FAILURE);
    } else if (daemon_is_settled(world, ROLE_SOURCE)) {
        answer(world, daemon_get_state(world, ROLE_SOURCE) == STATE_COMPLETED ? ANSWER_SUCCESS
                                                                              : ANSWER_FAILURE);
    }
}

/* phases_confirm() */
static void
progress_confirm(World *world)
{
    Caller *caller = &world->caller;
    MigrationState state = daemon_get_state(world, ROLE_SOURCE);

    if (caller->cancelled && migration_state_is_postcopy(state)) {
        if (!daemon_is_settled(world, ROLE_SOURCE))
            return;
    } else if (caller->cancelled && state == STATE_SWITCHOVER) { /* confirm_return() */
        if (!session_wants_return(world->daemon[ROLE_SOURCE].session))
            daemon_step(world, ROLE_SOURCE, EVENT_RETURN_REQUESTED, 0);
        return;
    } else if (caller->cancelled && state == STATE_COMPLETED) {
        caller->cancelled = FALSE;
    }
    if (!caller->cancelled) {
        stop_source(world);
        if (!migration_state_is_terminal(state))
            daemon_step(world, ROLE_SOURCE, EVENT_CALL_COMPLETED, 0);
    } else if (!migration_state_is_postcopy(state)) {
        /* never after the switch: qemuMigrationSrcConfirmPhase() */
        if (!world->qemu[ROLE_SOURCE].has_switched)
            qemu_run(world, ROLE_SOURCE);
        if (!migration_state_is_terminal(state))
            daemon_step(world, ROLE_SOURCE, EVENT_CALL_FAILED, 0);
    }
    daemon_post(world, ROLE_SOURCE, EVENT_SETTLED, 0);
    settle(world);
}

static void
begin_confirm(World *world, gboolean moved)
{
    world->caller.stage = CALLER_CONFIRM;
    world->caller.generation++;
    world->caller.moved = moved;
    world->caller.cancelled = !moved;
    calls_progress(world);
}

/* --- Finish, from here --- */

static gboolean
is_finish_open(const World *world, const ClockArgs *args)
{
    return world->caller.stage == CALLER_FINISH && world->caller.generation == args->generation;
}

/* The keepalive of the connection has had no answer. */
static void
keepalive_cb(World *world, const ClockArgs *args)
{
    if (!is_finish_open(world, args))
        return;
    world->caller.connection_lost = TRUE;
    begin_confirm(world, FALSE);
}

static void
finish_arrives_cb(World *world, const ClockArgs *args)
{
    if (!is_finish_open(world, args))
        return;
    if (!world->daemon[ROLE_DESTINATION].up || world->caller.connection_lost) {
        world->caller.connection_lost = TRUE;
        begin_confirm(world, FALSE);
    } else if (world->clock.now_usec < world->rpc_down_until_usec) {
        /* It arrives when the network is back before the connection is given up. */
        if (world->rpc_down_until_usec != NEVER)
            world_after(world, world->rpc_down_until_usec - world->clock.now_usec,
                        finish_arrives_cb, *args);
    } else if (world->daemon[ROLE_DESTINATION].session) {
        finish_begin(world, TRUE, args->number);
    } else {
        begin_confirm(world, FALSE);
    }
}

static void
finish_returns_cb(World *world, const ClockArgs *args)
{
    if (!is_finish_open(world, args))
        return;
    if (world->clock.now_usec >= world->rpc_down_until_usec)
        begin_confirm(world, args->number);
    else if (world->rpc_down_until_usec != NEVER)
        world_after(world, world->rpc_down_until_usec - world->clock.now_usec, finish_returns_cb,
                    *args);
}

void
calls_finish_returned(World *world, gboolean moved)
{
    if (world->caller.stage != CALLER_FINISH)
        return;
    world->caller.answered_by_stock |=
        !moved && !migration_state_is_terminal(daemon_get_state(world, ROLE_DESTINATION));
    world_after(world, network_latency(world), finish_returns_cb,
                (ClockArgs){.generation = world->caller.generation, .number = moved});
}

static void
send_finish(World *world, gboolean cancelled)
{
    Caller *caller = &world->caller;

    caller->stage = CALLER_FINISH;
    caller->generation++;
    world_after(world, network_latency(world) + dice_scale(&world->dice, MSEC, 50 * MSEC),
                finish_arrives_cb,
                (ClockArgs){.generation = caller->generation, .number = cancelled});
    if (world->rpc_down_until_usec > world->clock.now_usec)
        world_after(world, KEEPALIVE_USEC, keepalive_cb,
                    (ClockArgs){.generation = caller->generation});
}

void
calls_cut(World *world, gint64 lasts_usec)
{
    world_trace(world, "the caller's network to the destination is cut");
    world->rpc_down_until_usec = lasts_usec == NEVER ? NEVER : world->clock.now_usec + lasts_usec;
    if (world->caller.stage == CALLER_FINISH && lasts_usec > KEEPALIVE_USEC)
        world_after(world, KEEPALIVE_USEC, keepalive_cb,
                    (ClockArgs){.generation = world->caller.generation});
}

/* --- Finish without the caller --- */

void
calls_draw_line(World *world)
{
    world->domain.line_drawn = TRUE;
    if (world->daemon[ROLE_DESTINATION].session && !world->daemon[ROLE_DESTINATION].unjudged &&
        world->mutant != MUTANT_NO_LINE)
        daemon_post(world, ROLE_DESTINATION, EVENT_GUEST_STARTED, 0);
}

static gboolean
is_destination_stale(const World *world, const ClockArgs *args)
{
    const Daemon *daemon = &world->daemon[ROLE_DESTINATION];

    return !daemon->up || daemon->life != args->generation || !daemon->session;
}

/* run_kept(): `cont` waits for the main loop, and before that for libvirt */
static void
run_kept_cb(World *world, const ClockArgs *args)
{
    const Qemu *qemu = &world->qemu[ROLE_DESTINATION];

    if (is_destination_stale(world, args) || !qemu->alive)
        return;
    if (!world->daemon[ROLE_DESTINATION].has_monitor || !qemu->loaded) {
        world_after(world, 20 * MSEC, run_kept_cb, *args);
        return;
    }
    qemu_run(world, ROLE_DESTINATION);
    if (world->domain.line_drawn)
        daemon_post(world, ROLE_DESTINATION, EVENT_CALL_COMPLETED, 0);
}

/* start_kept() */
static void
start_kept_cb(World *world, const ClockArgs *args)
{
    Daemon *daemon = &world->daemon[ROLE_DESTINATION];
    const Qemu *qemu = &world->qemu[ROLE_DESTINATION];

    if (is_destination_stale(world, args) || !qemu->alive || world->mutant == MUTANT_NO_STARTING)
        return;
    if (qemu->runs) {
        daemon_post(world, ROLE_DESTINATION, EVENT_QEMU_RESUME, 0);
        if (world->domain.line_drawn)
            daemon_post(world, ROLE_DESTINATION, EVENT_CALL_COMPLETED, 0);
    } else if (!daemon->finish_claimed) {
        daemon->finish_claimed = TRUE;
        daemon_step(world, ROLE_DESTINATION, EVENT_FINISH_CALLED, 0);
        run_kept_cb(world, args);
    }
}

/* finish_ourselves() */
void
calls_finish_ourselves(World *world)
{
    if (world->daemon[ROLE_DESTINATION].has_client)
        finish_begin(world, FALSE, FALSE);
    else
        world_after(world, dice_scale(&world->dice, 100, 5 * MSEC), start_kept_cb,
                    (ClockArgs){.generation = world->daemon[ROLE_DESTINATION].life});
}

/* finish_cancel() */
static void
cancel_finish_cb(World *world, const ClockArgs *args)
{
    Daemon *daemon = &world->daemon[ROLE_DESTINATION];

    if (is_destination_stale(world, args) || !daemon->has_monitor || daemon->finish_claimed ||
        migration_state_is_postcopy(daemon_get_state(world, ROLE_DESTINATION)))
        return;
    daemon->finish_claimed = TRUE;
    daemon_step(world, ROLE_DESTINATION, EVENT_FINISH_CALLED, 0);
    calls_destroy_destination(world, "the source takes the guest back");
    if (!is_destination_stale(world, args))
        daemon_step(world, ROLE_DESTINATION, EVENT_CALL_CANCELLED, 0);
}

void
calls_cancel_finish(World *world)
{
    world_after(world, dice_scale(&world->dice, 100, 20 * MSEC), cancel_finish_cb,
                (ClockArgs){.generation = world->daemon[ROLE_DESTINATION].life});
}

/* --- a source that nobody confirms --- */

/* settle() of outcome.c */
static void
settle_cb(World *world, const ClockArgs *args)
{
    const Daemon *daemon = &world->daemon[ROLE_SOURCE];
    MigrationState state = daemon_get_state(world, ROLE_SOURCE);

    if (!daemon->up || daemon->life != args->generation)
        return;
    if (!daemon->has_monitor) {
        world_after(world, LIBVIRT_USEC, settle_cb, *args);
        return;
    }
    if (state == STATE_COMPLETED)
        qemu_end(world, ROLE_SOURCE, "it runs on the destination");
    else if (state == STATE_CANCELLED)
        qemu_run(world, ROLE_SOURCE);
    daemon_post(world, ROLE_SOURCE, EVENT_SETTLED, 0);
}

static void
progress_settling(World *world)
{
    if (!world->settles || !migration_state_is_terminal(daemon_get_state(world, ROLE_SOURCE)))
        return;
    world->settles = FALSE;
    world_after(world, LIBVIRT_USEC, settle_cb,
                (ClockArgs){.generation = world->daemon[ROLE_SOURCE].life});
}

void
calls_settle_source(World *world)
{
    world->settles = TRUE;
    daemon_step(world, ROLE_SOURCE, EVENT_RETURN_REQUESTED, 0);
}

/* is_abandoned() */
void
calls_look(World *world)
{
    const Qemu *qemu = &world->qemu[ROLE_SOURCE];

    if (!world->settles && world->caller.stage == CALLER_ANSWERED && qemu->alive && !qemu->runs &&
        qemu->status == QEMU_COMPLETED)
        calls_settle_source(world);
}

/* --- Perform --- */

/* phases_perform(): in postcopy it ends well whatever has happened since */
static void
progress_perform(World *world)
{
    MigrationState state = daemon_get_state(world, ROLE_SOURCE);
    QemuStatus status = world->qemu[ROLE_SOURCE].status;

    if (migration_state_is_postcopy(state) ||
        (state == STATE_SWITCHOVER && status == QEMU_COMPLETED)) {
        send_finish(world, FALSE);
    } else if (migration_state_is_terminal(state)) {
        send_finish(world, state != STATE_COMPLETED);
    }
}

void
calls_progress(World *world)
{
    finish_progress(world);
    if (world->daemon[ROLE_SOURCE].up)
        progress_settling(world);
    if (!world->daemon[ROLE_SOURCE].up || !world->caller.alive)
        return;
    if (world->caller.stage == CALLER_PERFORM)
        progress_perform(world);
    else if (world->caller.stage == CALLER_CONFIRM)
        progress_confirm(world);
}

/* --- libvirt without a caller --- */

/* qemuMigrationProcessUnattended(): a source that has completed is stopped */
static void
unattended_cb(World *world, const ClockArgs *args)
{
    const Qemu *qemu = &world->qemu[ROLE_SOURCE];

    if (world->daemon[ROLE_SOURCE].life == args->generation &&
        world->caller.stage == CALLER_ANSWERED && qemu->alive && qemu->status == QEMU_COMPLETED)
        qemu_end(world, ROLE_SOURCE, "libvirt stops it, it has migrated unattended");
}

/* ... and a destination taken as it is */
static void
unattended_destination_cb(World *world, const ClockArgs *args)
{
    const Qemu *qemu = &world->qemu[ROLE_DESTINATION];

    if (world->daemon[ROLE_DESTINATION].life != args->generation || !qemu->alive ||
        qemu->status != QEMU_COMPLETED || world->domain.line_drawn)
        return;
    calls_draw_line(world);
}

void
calls_hear_qemu(World *world, MigrationRole host)
{
    if (!world->daemon[host].up || !world->daemon[host].has_monitor)
        return;
    if (host == ROLE_DESTINATION) {
        if (world->domain.unattended && world->qemu[host].status == QEMU_COMPLETED)
            world_after(world, LIBVIRT_USEC, unattended_destination_cb,
                        (ClockArgs){.generation = world->daemon[host].life});
        finish_progress(world);
    } else if (world->qemu[host].status == QEMU_COMPLETED && world->qemu[host].has_switched)
        world_after(world, LIBVIRT_USEC, unattended_cb,
                    (ClockArgs){.generation = world->daemon[host].life});
}

/* Before postcopy libvirt brings the guest back to where it was. */
static void
cancel_before_postcopy(World *world)
{
    qemu_migrate_cancel(world);
}

void
calls_libvirt_reconnected(World *world, MigrationRole host)
{
    Qemu *qemu = &world->qemu[host];

    if (!qemu->alive) {
        daemon_hear_end(world, host);
        return;
    }
    if (host == ROLE_SOURCE) {
        if (qemu->status == QEMU_COMPLETED && qemu->has_switched)
            stop_source(world);
        else if (!qemu_is_postcopy(qemu->status) && qemu->status != QEMU_COMPLETED)
            cancel_before_postcopy(world);
        return;
    }
    /* "Killing unfinished incoming migration", whatever the memory's state */
    if (!world->domain.kept && (!world->finish.phase_begun || !qemu->runs)) {
        calls_destroy_destination(world, "libvirt finds it unfinished after a restart");
        return;
    }
    if (qemu->status != QEMU_COMPLETED) {
        world->domain.unattended = TRUE;
    } else if (world->qemu[ROLE_SOURCE].wants_postcopy) {
        calls_draw_line(world);
    } else {
        world->domain.line_drawn = TRUE;
    }
}

/* The caller's connections close: qemuMigrationAnyConnectionClosed() on the source. */
static void
caller_gone(World *world)
{
    Caller *caller = &world->caller;
    const Daemon *source = &world->daemon[ROLE_SOURCE];

    /* Confirm is held in the source's daemon, and goes on when its client does not. */
    world->settles |= source->up && source->session && caller->stage == CALLER_CONFIRM &&
                      session_wants_return(source->session);
    caller->alive = FALSE;
    answer(world, ANSWER_LOST);
    if (world->finish.is_callers && world->finish.stage < FINISH_OVER)
        world->finish.is_callers = FALSE;
    world->finish.attached = FALSE;
}

void
calls_kill_caller(World *world)
{
    if (!world->caller.alive)
        return;
    world_trace(world, "caller: is killed");
    if (world->caller.peer2peer) { /* the daemon's thread goes on */
        return;
    }
    caller_gone(world);
    if (world->daemon[ROLE_SOURCE].up)
        cancel_before_postcopy(world);
}

void
calls_daemon_died(World *world, MigrationRole host)
{
    Finish *finish = &world->finish;

    if (host == ROLE_SOURCE) {
        caller_gone(world);
        return;
    }
    if (finish->stage != FINISH_NONE)
        finish->stage = FINISH_OVER;
    finish->attached = FALSE;
    world->domain.dropped = FALSE;
    world->caller.connection_lost = TRUE;
    if (world->caller.stage == CALLER_FINISH)
        begin_confirm(world, FALSE);
}

/* --- persons --- */

void
calls_cancel(World *world)
{
    world_trace(world, "person: cancels");
    if (world->daemon[ROLE_SOURCE].up && world->daemon[ROLE_SOURCE].has_monitor)
        qemu_migrate_cancel(world);
}

static void
abort_cb(World *world, const ClockArgs *args)
{
    const Daemon *daemon = &world->daemon[ROLE_SOURCE];

    ClockArgs again = *args;

    if (!daemon->up || daemon->life != args->generation || !daemon->session ||
        daemon_get_state(world, ROLE_SOURCE) == STATE_POSTCOPY_PAUSED)
        return;
    /* "current job is not outgoing migration in post-copy mode": libvirt hears of it no sooner. */
    if (!migration_state_is_postcopy(daemon_get_state(world, ROLE_SOURCE))) {
        daemon_step(world, ROLE_SOURCE, EVENT_PAUSE_WITHDRAWN, 0);
        return;
    }
    again.number++;
    if (!effects_may_pause(world, ROLE_SOURCE) && args->number <= LET_RUN_USEC / LET_RUN_LOOK) {
        world_after(world, LET_RUN_LOOK, abort_cb, again);
        return;
    }
    if (!effects_may_pause(world, ROLE_SOURCE) || effects_is_ending(world) ||
        !qemu_migrate_pause(world, ROLE_SOURCE))
        daemon_step(world, ROLE_SOURCE, EVENT_PAUSE_WITHDRAWN, 0);
}

/* calls_abort_job() */
void
calls_abort_postcopy(World *world)
{
    const Daemon *daemon = &world->daemon[ROLE_SOURCE];

    if (!daemon->up || !daemon->session || !daemon->has_monitor)
        return;
    world_trace(world, "person: domjobabort --postcopy");
    /* After all that QEMU has told: libvirt, which refuses what is not in postcopy, hears of that
     * later than the engine. */
    daemon_post(world, ROLE_SOURCE, EVENT_PAUSE_REQUESTED, 0);
    world_after(world, daemon->posted_usec - world->clock.now_usec + 1, abort_cb,
                (ClockArgs){.generation = daemon->life});
}
