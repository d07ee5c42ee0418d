/*
 * check.c: what must hold, at every step and at the end
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "check.h"

#include "daemon.h"
#include "engine/session-priv.h"
#include "network.h"
#include "qemu.h"

/* The source has looked twice how much remains, and told the destination. */
#define TOLD_USEC (1250 * MSEC)
/* What may be sent after a network has fallen silent: qemu.c's BUFFERS_USEC, and a little. */
#define LATER_USEC (350 * MSEC)

static void fail(World *world, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void
fail(World *world, const char *format, ...)
{
    va_list arguments;

    if (world->violation)
        return;
    va_start(arguments, format);
    world->violation = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    world_trace(world, "! %s", world->violation);
}

void
check_limit(World *world, Limit limit)
{
    world_trace(world, "limit: %s", limit_to_string(limit));
    world->limits |= 1u << limit;
}

void
check_owners(World *world, MigrationRole host)
{
    const Qemu *source = &world->qemu[ROLE_SOURCE];
    const Qemu *destination = &world->qemu[ROLE_DESTINATION];

    if (world->limits & (1u << LIMIT_THE_END))
        return;
    if (source->runs && destination->runs)
        fail(world, "two owners: the guest runs on both hosts");
    else if (host == ROLE_SOURCE && source->runs && destination->has_run)
        fail(world, "taken back: the guest runs at the source after it ran at the destination");
}

/* What has failed in precopy is never started any more: qmp_cont() in RUN_STATE_INMIGRATE. */
static gboolean
may_run_there(const World *world)
{
    const Qemu *destination = &world->qemu[ROLE_DESTINATION];

    return destination->has_run || (destination->alive && destination->status != QEMU_FAILED);
}

void
check_step(World *world, MigrationRole host, MigrationState from)
{
    const Session *session = world->daemon[host].session;
    MigrationState to = session_get_state(session);

    if (migration_state_is_terminal(from) && to != from)
        fail(world, "the %s's session has left %s", host_to_string(host),
             migration_state_to_string(from));
    if (migration_state_is_postcopy(from) && session_get_owner(session) != OWNER_DESTINATION &&
        (to != STATE_CANCELLED || may_run_there(world)))
        fail(world, "the %s's session takes the guest back from %s", host_to_string(host),
             migration_state_to_string(from));
    if (host == ROLE_SOURCE && to == STATE_FAILED && from != to &&
        !migration_state_is_postcopy(from) && world->qemu[host].has_switched &&
        world->daemon[host].life > 0)
        world->unnoted = TRUE;
    if (to == STATE_POSTCOPY_PAUSED && from != to)
        world->coverage->pauses++;
    if (to == STATE_POSTCOPY_ACTIVE && from >= STATE_POSTCOPY_PAUSED && from != to)
        world->coverage->recoveries++;
}

void
check_broken_switch(World *world)
{
    if (world->qemu[ROLE_DESTINATION].loaded)
        fail(world, "lost: the destination's QEMU has ended where it should have paused");
    else if (world->link.cause == CAUSE_ENGINE)
        fail(world, "lost: the channel was broken on purpose before the destination's QEMU had "
                    "its order to run");
    else
        check_limit(world, LIMIT_SWITCH);
}

void
check_disturbed(World *world, gboolean forgets)
{
    Quiet *quiet = &world->quiet;

    if (forgets)
        quiet->until_usec = 0;
    else if (world->clock.now_usec - quiet->since_usec > TOLD_USEC)
        quiet->until_usec = world->clock.now_usec;
    quiet->since_usec = world->clock.now_usec;
}

void
check_told(World *world)
{
    const Daemon *source = &world->daemon[ROLE_SOURCE];
    const Daemon *destination = &world->daemon[ROLE_DESTINATION];
    Quiet *quiet = &world->quiet;
    gboolean whole = TRUE;

    for (guint i = 0; i < world->schedule->n_paths; i++)
        whole &= network_is_whole(world, i);
    if (whole)
        check_disturbed(world, FALSE);
    quiet->is_due = source->up && source->watching && destination->up && !destination->forgotten &&
                    quiet->until_usec > 0 && world->clock.now_usec - quiet->until_usec < LATER_USEC;
}

/* The destination leaves the channel alone when it knows; and it knows, unless something was in the
 * word's way. */
void
check_broken_end(World *world)
{
    if (world->link.cause == CAUSE_ENGINE && world->link.told)
        fail(world, "lost: the channel was broken on purpose though the destination had been told "
                    "that all but the end has been sent");
    else if (world->link.cause == CAUSE_ENGINE && world->quiet.is_due &&
             world->link.broken_usec > world->quiet.until_usec)
        fail(world, "lost: the channel was broken on purpose when all had been sent, which the "
                    "destination could have been told");
    else
        check_limit(world, LIMIT_THE_END);
}

/* Where the guest is whole and runs; HOSTS: nowhere. */
static guint
find_guest(const World *world)
{
    const Qemu *source = &world->qemu[ROLE_SOURCE];
    const Qemu *destination = &world->qemu[ROLE_DESTINATION];

    if (destination->alive && destination->runs && destination->status == QEMU_COMPLETED)
        return ROLE_DESTINATION;
    if (source->alive && source->runs && !destination->has_run)
        return ROLE_SOURCE;
    return HOSTS;
}

void
check_answer(World *world)
{
    const Caller *caller = &world->caller;
    MigrationState state = daemon_get_state(world, ROLE_SOURCE);

    world->coverage->answers[caller->answer]++;
    if (caller->answer == ANSWER_FAILURE && !caller->answered_by_stock && world->limits == 0 &&
        (state == STATE_COMPLETED || !migration_state_is_terminal(state)))
        fail(world, "the caller is told of failure, but the source's session is %s",
             migration_state_to_string(state));
}

static gboolean
is_session_over(const World *world, MigrationRole host)
{
    return !world->daemon[host].session ||
           migration_state_is_terminal(session_get_state(world->daemon[host].session));
}

gboolean
check_is_over(const World *world)
{
    return world->daemon[ROLE_SOURCE].has_monitor && world->daemon[ROLE_DESTINATION].has_monitor &&
           world->caller.stage == CALLER_ANSWERED && is_session_over(world, ROLE_SOURCE) &&
           is_session_over(world, ROLE_DESTINATION);
}

/* The two sessions tell the truth. */
static void
check_sessions(World *world)
{
    const Qemu *destination = &world->qemu[ROLE_DESTINATION];

    for (guint host = 0; host < HOSTS; host++) {
        MigrationState state = daemon_get_state(world, host);

        if (!is_session_over(world, host))
            fail(world, "stuck: the %s's session is %s %s", host_to_string(host),
                 migration_state_to_string(state),
                 pause_reason_to_string(session_get_reason(world->daemon[host].session)));
        if (state == STATE_COMPLETED && destination->status != QEMU_COMPLETED)
            fail(world, "the %s's session is completed, the destination's QEMU %s",
                 host_to_string(host), qemu_status_to_string(destination->status));
        if (world->limits == 0 && world->daemon[host].session && state != STATE_COMPLETED &&
            find_guest(world) == ROLE_DESTINATION)
            fail(world, "the %s's session is %s, but the guest is whole at the destination",
                 host_to_string(host), migration_state_to_string(state));
    }
}

/* A guest that has never run at the destination is whole at the source, whatever has become of its
 * migration. What has forgotten whether it ran it cannot give it back; one that QEMU has let run at
 * the source again, and we have stopped, is a person's to resume. */
static void
check_kept(World *world)
{
    const Qemu *source = &world->qemu[ROLE_SOURCE];
    const Qemu *destination = &world->qemu[ROLE_DESTINATION];

    if (find_guest(world) == HOSTS && source->alive && !destination->alive &&
        !destination->has_run &&
        (world->daemon[ROLE_DESTINATION].life == 0 || world->daemon[ROLE_DESTINATION].notes_lost) &&
        !(world->limits & (1u << LIMIT_THE_END)))
        fail(world, "lost: the guest runs nowhere, and never ran at the destination");
}

static void
check_outcome(World *world)
{
    const Qemu *source = &world->qemu[ROLE_SOURCE];
    const Caller *caller = &world->caller;

    check_sessions(world);
    check_kept(world);
    if (source->runs && source->has_switched && may_run_there(world)) {
        if (world->unnoted)
            check_limit(world, LIMIT_UNNOTED);
        else
            fail(world, "two owners: QEMU runs the guest again at the source, after postcopy");
    }
    if (caller->stage != CALLER_ANSWERED)
        fail(world, "stuck: the caller has had no answer");
    if (world->limits != 0)
        return;
    if (caller->answer == ANSWER_SUCCESS && find_guest(world) != ROLE_DESTINATION)
        fail(world, "the caller was told of success, but the guest is not at the destination");
    if (find_guest(world) == HOSTS)
        fail(world, "lost: the guest runs nowhere");
    if (find_guest(world) == ROLE_SOURCE && world->qemu[ROLE_SOURCE].has_switched)
        fail(world, "given up: the guest is at the source again, and could have gone on at the "
                    "destination");
    if (caller->answer == ANSWER_FAILURE && !caller->answered_by_stock &&
        find_guest(world) == ROLE_DESTINATION)
        fail(world, "the caller was told of failure, but the guest is at the destination");
}

void
check_end(World *world)
{
    check_outcome(world);
}

Ending
check_get_ending(const World *world)
{
    guint guest = find_guest(world);

    if (guest == ROLE_DESTINATION && !(world->limits & (1u << LIMIT_THE_END)))
        return world->qemu[ROLE_SOURCE].wants_postcopy ? ENDING_COMPLETED : ENDING_COMPLETED_FIRST;
    if (world->limits & (1u << LIMIT_UNNOTED))
        return ENDING_TAKEN_BACK;
    if (guest == ROLE_SOURCE && world->qemu[ROLE_SOURCE].has_switched)
        return ENDING_RETURNED;
    if (world->limits & (1u << LIMIT_QEMU_KILLED))
        return ENDING_QEMU_KILLED;
    if (world->limits & (1u << LIMIT_SWITCH))
        return ENDING_LOST_AT_SWITCH;
    if (world->limits & (1u << LIMIT_THE_END))
        return ENDING_LOST_AT_THE_END;
    if (world->limits & (1u << LIMIT_IN_FINISH))
        return ENDING_LOST_IN_FINISH;
    if (world->limits & (1u << LIMIT_CLIENT))
        return ENDING_LOST_WITH_CLIENT;
    return ENDING_KEPT;
}
