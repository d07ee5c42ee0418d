/*
 * effects.c: what a session asks for, done in the model; driver/run/execute.c, function by function
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "calls.h"
#include "check.h"
#include "daemon.h"
#include "network.h"
#include "qemu.h"

#define TELL_AGAIN_MS   500
#define REMAINS_LOOK_MS 500
/* QEMU's answer to a command; a pool that is busy, or a job that is held, takes longer. */
#define COMMAND_MIN (200)
#define COMMAND_MAX (20 * MSEC)

/* migration_let_run(): has_run() */
gboolean
effects_may_pause(const World *world, MigrationRole host)
{
    return daemon_get_state(world, host) != STATE_POSTCOPY_ACTIVE ||
           session_may_break(world->daemon[host].session);
}

/* REMAINING_MIN_BYTES */
gboolean
effects_is_ending(const World *world)
{
    return world->qemu[ROLE_SOURCE].status == QEMU_POSTCOPY_ACTIVE &&
           qemu_get_remaining_kib(world) < 1024;
}

static gboolean
is_stale(const World *world, const ClockArgs *args)
{
    const Daemon *daemon = &world->daemon[args->host];

    return !daemon->up || daemon->life != args->generation || !daemon->session;
}

/* run_command() */
static void
run_command(World *world, MigrationRole host, ClockFn fn, guint number, guint other)
{
    world_after(world, dice_scale(&world->dice, COMMAND_MIN, COMMAND_MAX), fn,
                (ClockArgs){
                    .host = host,
                    .generation = world->daemon[host].life,
                    .number = number,
                    .other = other,
                });
}

/* pause_job() */
static void
pause_job(World *world, const ClockArgs *args)
{
    ClockArgs again = *args;

    if (is_stale(world, args))
        return;
    again.number++;
    if (!effects_may_pause(world, args->host) && args->number > LET_RUN_USEC / LET_RUN_LOOK) {
        daemon_post(world, args->host, EVENT_PAUSE_WITHDRAWN, 0);
        return;
    }
    if (!effects_may_pause(world, args->host) || !world->daemon[args->host].has_monitor) {
        world_after(world, LET_RUN_LOOK, pause_job, again);
        return;
    }
    if (args->host == ROLE_SOURCE && effects_is_ending(world)) {
        daemon_post(world, args->host, EVENT_PAUSE_WITHDRAWN, 0);
        return;
    }
    world_trace(world, "%s: migrate-pause", host_to_string(args->host));
    if (qemu_migrate_pause(world, args->host))
        return;
    if (args->host == ROLE_DESTINATION && world->qemu[args->host].alive)
        daemon_post(world, args->host, EVENT_QEMU_POSTCOPY_PAUSED, 0);
    daemon_post(world, args->host, EVENT_PAUSE_WITHDRAWN, 0);
}

void
effects_pause(World *world, MigrationRole host)
{
    run_command(world, host, pause_job, 0, 0);
}

/* break_channel(), command_break() */
static void
break_channel(World *world, MigrationRole host)
{
    if (host == ROLE_SOURCE && effects_is_ending(world))
        return;
    if (qemu_break_sockets(world, host, world->daemon[host].channel_port) == 0)
        effects_pause(world, host);
}

/* resume_job() */
static void
resume_job(World *world, const ClockArgs *args)
{
    if (is_stale(world, args))
        return;
    if (!world->daemon[args->host].has_monitor) {
        world_after(world, 20 * MSEC, resume_job, *args);
        return;
    }
    if (!qemu_migrate_resume(world, args->other, args->number))
        daemon_post(world, ROLE_SOURCE, EVENT_RESUME_FAILED, 0);
}

/* postcopy_start_job() */
static void
start_postcopy_job(World *world, const ClockArgs *args)
{
    if (is_stale(world, args))
        return;
    if (world->daemon[args->host].has_monitor && world->qemu[args->host].alive)
        qemu_start_postcopy(world);
    else
        daemon_post(world, args->host, EVENT_SWITCH_FAILED, 0);
}

/* arm_job(): a fresh port is one that QEMU does not listen on already */
static void
arm_job(World *world, const ClockArgs *args)
{
    guint port = args->number;

    if (is_stale(world, args))
        return;
    if (!world->daemon[args->host].has_monitor) {
        world_after(world, 20 * MSEC, arm_job, *args);
        return;
    }
    if (port == 0)
        port = world->qemu[ROLE_DESTINATION].listen_port == HOLDFAST_RECOVER_PORT
                   ? HOLDFAST_RECOVER_PORT - 1
                   : HOLDFAST_RECOVER_PORT;
    daemon_step(world, ROLE_DESTINATION, EVENT_ARMING, port); /* arm_at() */
    if (is_stale(world, args))
        return;
    if (qemu_migrate_recover(world, port))
        daemon_post(world, ROLE_DESTINATION, EVENT_ARMED, port);
    else
        daemon_post(world, ROLE_DESTINATION, EVENT_ARM_FAILED, 0);
}

/* state_timer_cb(), tell_again_cb() */
static void
state_timer_cb(World *world, const ClockArgs *args)
{
    Daemon *daemon = &world->daemon[args->host];

    if (is_stale(world, args) || daemon->state_timer != args->number)
        return;
    if (!daemon->tells_again)
        daemon_step(world, args->host, EVENT_TIMER_STATE, 0);
    else if (session_get_state(daemon->session) == STATE_POSTCOPY_PAUSED &&
             session_get_reason(daemon->session) == REASON_OPERATOR)
        peers_ask(world, G_MAXUINT, QUESTION_PAUSED);
}

static void
give_up_timer_cb(World *world, const ClockArgs *args)
{
    if (!is_stale(world, args) && world->daemon[args->host].give_up_timer == args->number)
        daemon_step(world, args->host, EVENT_TIMER_GIVE_UP, 0);
}

static void
start_state_timer(World *world, MigrationRole host, guint ms, gboolean tells_again)
{
    Daemon *daemon = &world->daemon[host];

    if (world->mutant == MUTANT_NO_DEADLINE && !tells_again)
        return;
    daemon->tells_again = tells_again;
    world_after(
        world, ms * MSEC, state_timer_cb,
        (ClockArgs){.host = host, .generation = daemon->life, .number = ++daemon->state_timer});
}

static void
start_give_up_timer(World *world, MigrationRole host, guint ms)
{
    Daemon *daemon = &world->daemon[host];

    world_after(
        world, ms * MSEC, give_up_timer_cb,
        (ClockArgs){.host = host, .generation = daemon->life, .number = ++daemon->give_up_timer});
}

/* tell_done() */
void
effects_tell_again(World *world)
{
    const Daemon *daemon = &world->daemon[ROLE_SOURCE];

    if (session_get_state(daemon->session) == STATE_POSTCOPY_PAUSED &&
        session_get_reason(daemon->session) == REASON_OPERATOR)
        start_state_timer(world, ROLE_SOURCE, TELL_AGAIN_MS, TRUE);
}

/* run_look() */
static void
remains_job(World *world, const ClockArgs *args)
{
    if (!is_stale(world, args) && world->daemon[ROLE_SOURCE].has_monitor &&
        world->qemu[ROLE_SOURCE].alive)
        daemon_post(world, ROLE_SOURCE, EVENT_REMAINS, qemu_get_remaining_kib(world));
}

/* look_timer_cb(), command_look() */
static void
look_timer_cb(World *world, const ClockArgs *args)
{
    const Daemon *daemon = &world->daemon[ROLE_SOURCE];

    if (!daemon->up || !daemon->watching || daemon->watch != args->generation)
        return;
    run_command(world, ROLE_SOURCE, remains_job, 0, 0);
    world_after(world, REMAINS_LOOK_MS * MSEC, look_timer_cb, *args);
}

/* watch() */
static void
watch(World *world, MigrationRole host)
{
    Daemon *daemon = &world->daemon[host];

    daemon->watching = TRUE;
    daemon->watch++;
    if (host == ROLE_SOURCE) {
        check_disturbed(world, TRUE);
        world_after(world, REMAINS_LOOK_MS * MSEC, look_timer_cb,
                    (ClockArgs){.generation = daemon->watch});
    }
    if (!network_is_whole(world, world->link.path))
        daemon_network_fell_silent(world, world->link.path);
}

/* outcome_look_job() */
static void
look_job(World *world, const ClockArgs *args)
{
    if (is_stale(world, args) || !world->daemon[args->host].has_monitor)
        return;
    if (args->host == ROLE_SOURCE)
        calls_look(world);
    else if (!world->qemu[args->host].alive) /* finish_look_job() */
        daemon_post(world, args->host, EVENT_QEMU_GONE, 0);
}

/* tell_ending() */
static void
tell_ending(World *world)
{
    if (!world->daemon[ROLE_SOURCE].has_call && world->mutant != MUTANT_NO_ENDING)
        peers_ask(world, G_MAXUINT, QUESTION_ENDING);
}

/* outcome_stop_job(), which waits until libvirt has reconnected */
static void
stop_job(World *world, const ClockArgs *args)
{
    if (is_stale(world, args))
        return;
    if (!world->daemon[ROLE_SOURCE].has_monitor) {
        world_after(world, 20 * MSEC, stop_job, *args);
        return;
    }
    daemon_post(world, ROLE_SOURCE, EVENT_KEPT_STOPPED, world->qemu[ROLE_SOURCE].runs);
    qemu_stop(world, ROLE_SOURCE);
}

/* takeback_job(), which tries again while QEMU is not where it can be done */
static void
take_back_job(World *world, const ClockArgs *args)
{
    if (is_stale(world, args))
        return;
    if (!world->daemon[ROLE_SOURCE].has_monitor || !qemu_take_back(world)) {
        world_after(world, 20 * MSEC, take_back_job, *args);
        return;
    }
    daemon_post(world, ROLE_SOURCE, EVENT_TAKEN_BACK, 0);
}

/* execute_end() */
void
effects_end(World *world, MigrationRole host)
{
    Daemon *daemon = &world->daemon[host];

    daemon->watching = FALSE;
    if (host == ROLE_SOURCE)
        peers_cancel(world);
    else
        peers_answer(world, EVENT_PEER_REFUSED, 0);
    daemon->state_timer++;
    daemon->give_up_timer++;
    calls_connection_dropped(world, host);
}

/* execute_reply() */
static gboolean
execute_reply(World *world, MigrationRole host, const Effect *effect)
{
    Daemon *daemon = &world->daemon[host];

    switch (effect->type) {
    case EFFECT_REPLY_ARMED: /* reply_armed() */
        if (!daemon_may_listen(world, effect->number)) {
            peers_answer(world, EVENT_PEER_REFUSED, 0);
            return TRUE;
        }
        daemon->channel_port = effect->number;
        peers_answer(world, EVENT_PEER_ARMED, effect->number);
        return TRUE;
    case EFFECT_REPLY_COMPLETED:
        peers_answer(world, EVENT_PEER_COMPLETED, 0);
        return TRUE;
    case EFFECT_REPLY_RUNNING:
        peers_answer(world, EVENT_PEER_RUNNING, 0);
        return TRUE;
    case EFFECT_REPLY_OVER:
        peers_answer(world, world->mutant == MUTANT_DENYING ? EVENT_PEER_RETURNED : EVENT_PEER_OVER,
                     0);
        return TRUE;
    case EFFECT_REPLY_REFUSED:
        peers_answer(world, EVENT_PEER_REFUSED, 0);
        return TRUE;
    case EFFECT_REPLY_RETURNED:
        peers_answer(world, EVENT_PEER_RETURNED, 0);
        return TRUE;
    default:
        return FALSE;
    }
}

static gboolean
execute_timer(World *world, MigrationRole host, const Effect *effect)
{
    Daemon *daemon = &world->daemon[host];

    switch (effect->type) {
    case EFFECT_START_STATE_TIMER:
        start_state_timer(world, host, effect->number, FALSE);
        return TRUE;
    case EFFECT_STOP_STATE_TIMER:
        daemon->state_timer++;
        return TRUE;
    case EFFECT_START_GIVE_UP_TIMER:
        start_give_up_timer(world, host, effect->number);
        return TRUE;
    case EFFECT_STOP_GIVE_UP_TIMER:
        daemon->give_up_timer++;
        return TRUE;
    default:
        return FALSE;
    }
}

void
effects_execute(World *world, MigrationRole host, const Effect *effect)
{
    Daemon *daemon = &world->daemon[host];

    world->coverage->effects[effect->type]++;
    world_trace(world, "%s: | %s %u", host_to_string(host), effect_type_to_string(effect->type),
                effect->number);
    if (execute_reply(world, host, effect) || execute_timer(world, host, effect))
        return;
    switch (effect->type) {
    case EFFECT_WATCH:
        watch(world, host);
        break;
    case EFFECT_UNWATCH:
        daemon->watching = FALSE;
        break;
    case EFFECT_BREAK_CHANNEL:
        break_channel(world, host);
        break;
    case EFFECT_PAUSE:
        effects_pause(world, host);
        break;
    case EFFECT_ASK_PEER:
        if (world->mutant != MUTANT_NO_ASKING)
            peers_ask(world, effect->number, QUESTION_RECOVER);
        break;
    case EFFECT_ASK_RUNNING:
        peers_ask(world, effect->number, QUESTION_RUNNING);
        break;
    case EFFECT_TELL_PEER:
        peers_ask(world, G_MAXUINT, QUESTION_PAUSED);
        break;
    case EFFECT_RESUME:
        daemon->channel_port = effect->number;
        run_command(world, host, resume_job, effect->number, daemon->resume_path);
        break;
    case EFFECT_ARM:
        run_command(world, host, arm_job, effect->number, 0);
        break;
    case EFFECT_FINISH:
        if (world->mutant != MUTANT_NO_FINISH)
            calls_finish_ourselves(world);
        break;
    case EFFECT_START_POSTCOPY:
        run_command(world, host, start_postcopy_job, 0, 0);
        break;
    case EFFECT_ASK_RETURN:
        peers_ask(world, effect->number, QUESTION_RETURN);
        break;
    case EFFECT_TELL_ENDED:
        if (world->mutant != MUTANT_NO_TELLING)
            peers_ask(world, G_MAXUINT, QUESTION_ENDED);
        break;
    case EFFECT_TELL_ENDING:
        tell_ending(world);
        break;
    case EFFECT_KEEP_STOPPED:
        if (world->mutant != MUTANT_NO_STOPPING)
            run_command(world, host, stop_job, 0, 0);
        break;
    case EFFECT_TAKE_BACK:
        if (world->mutant != MUTANT_NO_TAKING_BACK)
            run_command(world, host, take_back_job, 0, 0);
        break;
    case EFFECT_ABORT:
        calls_cancel(world);
        break;
    case EFFECT_LOOK:
        run_command(world, host, look_job, 0, 0);
        break;
    case EFFECT_CANCEL_FINISH:
        calls_cancel_finish(world);
        break;
    case EFFECT_END:
        effects_end(world, host);
        break;
    default: /* done */
        break;
    }
}
