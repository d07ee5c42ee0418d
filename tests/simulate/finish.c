/*
 * finish.c: libvirt's Finish on the destination, and ours around it
 *
 * phases_finish() and what it calls in driver/run/phases.c; qemuMigrationDstFinish*() in
 * src/qemu/qemu_migration.c (libvirt 11.3.0) for the stock part.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "calls.h"
#include "check.h"
#include "daemon.h"
#include "qemu.h"

static void
return_from_finish(World *world, gboolean moved)
{
    Finish *finish = &world->finish;
    gboolean tell = finish->is_callers || finish->attached;

    world_trace(world, "Finish: returns %s", moved ? "the domain" : "an error");
    finish->stage = FINISH_OVER;
    finish->attached = FALSE;
    finish->is_callers = FALSE;
    if (tell)
        calls_finish_returned(world, moved);
}

/* The outcome, when the engine has taken in all that QEMU told: get_state() */
static void
failed_cb(World *world, const ClockArgs *args)
{
    MigrationState state = daemon_get_state(world, ROLE_DESTINATION);
    const Daemon *daemon = &world->daemon[ROLE_DESTINATION];

    if (!daemon->up || daemon->life != args->generation || world->finish.stage != FINISH_FAILED)
        return;
    if (!world->qemu[ROLE_DESTINATION].alive && migration_state_is_postcopy(state)) {
        daemon_step(world, ROLE_DESTINATION, EVENT_QEMU_GONE, 0); /* hear_end() */
        state = daemon_get_state(world, ROLE_DESTINATION);
    }
    if (migration_state_is_postcopy(state) ||
        (state == STATE_COMPLETED && !world->finish.cancelled)) {
        world_trace(world, "Finish: is held");
        world->finish.stage = FINISH_HELD;
        finish_progress(world);
        return;
    }
    daemon_step(world, ROLE_DESTINATION,
                world->finish.cancelled ? EVENT_CALL_CANCELLED : EVENT_CALL_FAILED, 0);
    return_from_finish(world, FALSE);
}

static void
end_stock(World *world, gboolean moved)
{
    const Daemon *daemon = &world->daemon[ROLE_DESTINATION];
    gint64 wait_usec = 0;

    if (moved) {
        world->finish.stage = FINISH_OVER;
        calls_draw_line(world);
        daemon_step(world, ROLE_DESTINATION, EVENT_CALL_COMPLETED, 0);
        return_from_finish(world, TRUE);
        return;
    }
    world->finish.stage = FINISH_FAILED;
    world->domain.unattended = TRUE;
    /* What libvirt itself has just ended is told by its event loop, sooner or later. */
    if (!world->finish.cancelled || dice_chance(&world->dice, 50))
        wait_usec = MAX(daemon->posted_usec - world->clock.now_usec, 0) + 1;
    world_after(world, wait_usec, failed_cb, (ClockArgs){.generation = daemon->life});
}

/* qemuMigrationDstWaitForCompletion(), qemuProcessStartCPUs() */
static void
progress_stock(World *world)
{
    Qemu *qemu = &world->qemu[ROLE_DESTINATION];
    Finish *finish = &world->finish;

    if (!qemu->alive || qemu->status == QEMU_FAILED) {
        finish->stage = FINISH_OVER;
        world->domain.dropped = qemu->alive && dice_chance(&world->dice, 50);
        qemu->killed |= qemu->alive && !qemu_is_postcopy(world->qemu[ROLE_SOURCE].status);
        qemu_end(world, ROLE_DESTINATION, "libvirt stops it");
        end_stock(world, FALSE);
    } else if (finish->cancelled) {
        finish->stage = FINISH_OVER;
        qemu->killed = TRUE;
        qemu_end(world, ROLE_DESTINATION, "Finish was cancelled");
        end_stock(world, FALSE);
    } else if (qemu->status == QEMU_POSTCOPY_PAUSED && !finish->looked) {
        finish->stage = FINISH_OVER;
        check_limit(world, LIMIT_IN_FINISH);
        qemu->killed = TRUE;
        qemu_end(world, ROLE_DESTINATION, "Finish found it paused");
        end_stock(world, FALSE);
    } else if (qemu_is_postcopy(qemu->status) || qemu->status == QEMU_COMPLETED) {
        finish->looked = TRUE;
        if (!qemu->loaded)
            return; /* `cont` waits for the main loop */
        finish->stage = FINISH_STARTED;
        qemu_run(world, ROLE_DESTINATION);
        finish_progress(world);
    }
}

static void
stock_cb(World *world, const ClockArgs *args)
{
    const Daemon *daemon = &world->daemon[ROLE_DESTINATION];

    if (!daemon->up || daemon->life != args->generation || world->finish.stage != FINISH_FLOWING)
        return;
    /* prepare_finish(): a pause that lasts */
    if (daemon_get_state(world, ROLE_DESTINATION) > STATE_POSTCOPY_ACTIVE &&
        !migration_state_is_terminal(daemon_get_state(world, ROLE_DESTINATION))) {
        world_trace(world, "Finish: waits for the recovery");
        world->daemon[ROLE_DESTINATION].finish_claimed = FALSE;
        daemon_step(world, ROLE_DESTINATION, EVENT_FINISH_FAILED, 0);
        return_from_finish(world, FALSE);
        return;
    }
    world->finish.stage = FINISH_STOCK;
    finish_progress(world);
}

/* phases_finish() */
void
finish_begin(World *world, gboolean is_callers, gboolean cancelled)
{
    Daemon *daemon = &world->daemon[ROLE_DESTINATION];
    Finish *finish = &world->finish;

    world_trace(world, "Finish: comes from %s%s", is_callers ? "the caller" : "ourselves",
                cancelled ? ", cancelled" : "");
    if (daemon->finish_claimed) { /* finish_attached() */
        if (is_callers)
            finish->attached = TRUE;
        calls_progress(world);
        return;
    }
    daemon->finish_claimed = TRUE;
    *finish = (Finish){
        .stage = FINISH_FLOWING,
        .is_callers = is_callers,
        .cancelled = cancelled,
    };
    daemon_step(world, ROLE_DESTINATION, EVENT_FINISH_CALLED, 0);
    finish_progress(world);
}

/* is_reached(), MIGRATION_FLOWING */
static gboolean
is_flowing(const World *world)
{
    return daemon_is_settled(world, ROLE_DESTINATION) ||
           daemon_get_state(world, ROLE_DESTINATION) <= STATE_POSTCOPY_ACTIVE;
}

static void
progress_attached(World *world)
{
    if (!world->finish.attached || !daemon_is_settled(world, ROLE_DESTINATION))
        return;
    world->finish.attached = FALSE;
    calls_finish_returned(world, daemon_get_state(world, ROLE_DESTINATION) == STATE_COMPLETED);
}

void
finish_progress(World *world)
{
    Finish *finish = &world->finish;
    const Qemu *qemu = &world->qemu[ROLE_DESTINATION];

    if (!world->daemon[ROLE_DESTINATION].up)
        return;
    progress_attached(world);
    switch (finish->stage) {
    case FINISH_FLOWING: /* prepare_finish() */
        if (!is_flowing(world) || finish->phase_begun)
            break;
        if (finish->cancelled &&
            migration_state_is_postcopy(daemon_get_state(world, ROLE_DESTINATION)))
            finish->cancelled = FALSE;
        finish->phase_begun = TRUE;
        world_after(world, world->schedule->finish_usec, stock_cb,
                    (ClockArgs){.generation = world->daemon[ROLE_DESTINATION].life});
        break;
    case FINISH_STOCK:
        progress_stock(world);
        break;
    case FINISH_STARTED:
        if (qemu->alive && qemu->status == QEMU_COMPLETED)
            end_stock(world, TRUE);
        else if (!qemu->alive || qemu->status == QEMU_FAILED ||
                 qemu->status == QEMU_POSTCOPY_PAUSED)
            end_stock(world, FALSE);
        break;
    case FINISH_HELD: /* finish_held() */
        if (daemon_is_settled(world, ROLE_DESTINATION))
            return_from_finish(world, qemu->alive && daemon_get_state(world, ROLE_DESTINATION) ==
                                                         STATE_COMPLETED);
        break;
    case FINISH_NONE:
    case FINISH_FAILED:
    case FINISH_OVER:
        break;
    }
}
