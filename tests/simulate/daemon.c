/*
 * daemon.c: the daemon on one host: a real Session, and what driver/run does for it
 *
 * Beside it stand migration.c (post, step, journal), observe.c (QEMU's events, the end of domains),
 * restore.c (after a restart) and libvirt's own part of a restart, qemuProcessRecoverMigration*()
 * and qemuMigrationProcessUnattended() (src/qemu, libvirt 11.3.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "daemon.h"

#include "calls.h"
#include "check.h"
#include "engine/session-priv.h"
#include "faults.h"
#include "network.h"
#include "qemu.h"

/* JUDGE_AGAIN_MS */
#define JUDGE_AGAIN_USEC (500 * MSEC)
#define KEPT_LONG_USEC   (300 * SEC)

static const char session_id[] = "5ad0f6a2-1f0c-4b53-9c0a-0c6e7f1a0001";
static const char domain_uuid[] = "0b6a3c2c-5a6e-4c53-8b0e-bd3a7bd1c001";

void
daemon_init(World *world)
{
    for (guint host = 0; host < HOSTS; host++)
        world->daemon[host] = (Daemon){.up = TRUE, .has_monitor = TRUE};
}

void
daemon_clear(World *world)
{
    for (guint host = 0; host < HOSTS; host++)
        g_clear_pointer(&world->daemon[host].session, session_free);
}

static void
make_session(World *world, MigrationRole host, guint paths)
{
    Daemon *daemon = &world->daemon[host];

    daemon->session =
        session_new(host, session_id, domain_uuid, "guest", world->policy,
                    (guint32)dice_below(&world->dice, G_MAXUINT32), world->clock.now_usec + SEC);
    session_set_peer(daemon->session, "peer", paths);
}

/* write_journal() */
static void
write_journal(World *world, MigrationRole host)
{
    Daemon *daemon = &world->daemon[host];

    daemon->has_journal = session_needs_journal(daemon->session) || daemon->unjudged;
    daemon->notes_lost |=
        host == ROLE_DESTINATION && session_never_runs(daemon->session) && !world->qemu[host].alive;
    session_remember(daemon->session, &daemon->journal);
    daemon->journal_kept = daemon->unjudged;
    daemon->journal_channel_port = daemon->channel_port;
    daemon->journal_paths = host == ROLE_SOURCE ? world->schedule->n_paths : 1;
}

/* phases_begin(), learn_destination(), phases_prepare() */
void
daemon_begin(World *world, MigrationRole host)
{
    Daemon *daemon = &world->daemon[host];

    make_session(world, host, host == ROLE_SOURCE ? world->schedule->n_paths : 1);
    daemon->channel_port = HOLDFAST_FIRST_PORT;
    daemon->has_client = host == ROLE_DESTINATION;
    daemon->client_gone_usec = NEVER;
    daemon->entered_usec = world->clock.now_usec;
    if (host == ROLE_DESTINATION) /* migration_note() */
        write_journal(world, host);
}

MigrationState
daemon_get_state(const World *world, MigrationRole host)
{
    const Session *session = world->daemon[host].session;

    return session ? session_get_state(session) : STATE_FAILED;
}

gboolean
daemon_holds(const World *world, MigrationRole host)
{
    return world->daemon[host].session && session_holds_callers(world->daemon[host].session);
}

/* is_reached(), MIGRATION_SETTLED */
gboolean
daemon_is_settled(const World *world, MigrationRole host)
{
    return migration_state_is_terminal(daemon_get_state(world, host)) || !daemon_holds(world, host);
}

/* --- a step --- */

gboolean
daemon_dies_here(World *world, MigrationRole host)
{
    Daemon *daemon = &world->daemon[host];

    if (daemon->kills_in == 0 || --daemon->kills_in > 0)
        return FALSE;
    world_trace(world, "%s's daemon: is killed in the middle", host_to_string(host));
    daemon_kill(world, host);
    return TRUE;
}

static void
note(World *world, MigrationRole host, EventType type, MigrationState from)
{
    const Daemon *daemon = &world->daemon[host];
    const Transition *row = transition_find(host, from, type);
    MigrationState to = session_get_state(daemon->session);

    world->coverage->steps++;
    world->coverage->events[type]++;
    if (row)
        world->coverage->rows[row - transitions]++;
    if (to != from)
        world->coverage->states[host][to]++;
    if (!row)
        world_trace(world, "%s: %s (means nothing in %s)", host_to_string(host),
                    event_type_to_string(type), migration_state_to_string(from));
    else
        world_trace(world, "%s: %s: %s -> %s %s", host_to_string(host), event_type_to_string(type),
                    migration_state_to_string(from), migration_state_to_string(to),
                    pause_reason_to_string(session_get_reason(daemon->session)));
}

/* migration_step(): session, journal, effects, in this order */
void
daemon_step(World *world, MigrationRole host, EventType type, guint number)
{
    Daemon *daemon = &world->daemon[host];
    Event event = {
        .type = type,
        .at_usec = world->clock.now_usec + SEC,
        .number = number,
        .text = "because",
    };
    GArray *effects = g_steal_pointer(&world->effects);
    MigrationState from;
    guint life = daemon->life;

    if (!effects)
        effects = g_array_new(FALSE, FALSE, sizeof(Effect));
    g_array_set_size(effects, 0);
    from = session_get_state(daemon->session);
    if (session_step(daemon->session, &event, effects)) {
        if (from != session_get_state(daemon->session))
            daemon->entered_usec = world->clock.now_usec;
        note(world, host, type, from);
        check_step(world, host, from);
        if (!daemon_dies_here(world, host))
            write_journal(world, host);
    } else {
        note(world, host, type, from);
    }
    for (guint i = 0; i < effects->len && daemon->life == life; i++) {
        if (!daemon_dies_here(world, host))
            effects_execute(world, host, &g_array_index(effects, Effect, i));
    }
    g_clear_pointer(&world->effects, g_array_unref);
    world->effects = effects;
    calls_progress(world);
}

static void
post_cb(World *world, const ClockArgs *args)
{
    Daemon *daemon = &world->daemon[args->host];

    if (daemon->up && daemon->life == args->generation && daemon->session)
        daemon_step(world, args->host, args->other, args->number);
}

void
daemon_post(World *world, MigrationRole host, EventType type, guint number)
{
    Daemon *daemon = &world->daemon[host];
    gint64 at_usec = world->clock.now_usec + dice_scale(&world->dice, 10, 2 * MSEC);

    daemon->posted_usec = MAX(daemon->posted_usec, at_usec);
    world_after(
        world, daemon->posted_usec - world->clock.now_usec, post_cb,
        (ClockArgs){.host = host, .generation = daemon->life, .number = number, .other = type});
}

/* --- what it hears: observe.c --- */

static void
continue_cb(World *world, const ClockArgs *args)
{
    if (world->daemon[ROLE_SOURCE].up && world->daemon[ROLE_SOURCE].life == args->generation)
        qemu_migrate_continue(world);
}

/* on_migration_event() */
void
daemon_hear_qemu(World *world, MigrationRole host, EventType type)
{
    Daemon *daemon = &world->daemon[host];

    if (!daemon->up || !daemon->has_monitor)
        return;
    if (daemon->session && (!world->qemu[host].killed || type != EVENT_QEMU_FAILED))
        daemon_post(world, host, type, 0);
    if (host == ROLE_SOURCE && type == EVENT_QEMU_PRE_SWITCHOVER)
        world_after(world, dice_scale(&world->dice, MSEC, 50 * MSEC), continue_cb,
                    (ClockArgs){.generation = daemon->life});
    calls_hear_qemu(world, host);
}

/* on_lifecycle(), STOPPED: libvirt has stopped a source that has migrated, or found a QEMU gone */
void
daemon_hear_end(World *world, MigrationRole host)
{
    Daemon *daemon = &world->daemon[host];
    gboolean migrated = host == ROLE_SOURCE && !world->qemu[host].killed;

    if (daemon->up && daemon->has_monitor && daemon->session &&
        (host == ROLE_SOURCE || !world->domain.dropped))
        daemon_post(world, host, migrated ? EVENT_CALL_COMPLETED : EVENT_QEMU_GONE, 0);
    calls_hear_qemu(world, host);
}

/* channel_may_listen() */
gboolean
daemon_may_listen(const World *world, guint port)
{
    const Qemu *qemu = &world->qemu[ROLE_DESTINATION];

    return !qemu->alive || qemu->listen_port == port;
}

/* --- the watchdog: watchdog.c --- */

static void
silent_cb(World *world, const ClockArgs *args)
{
    Daemon *daemon = &world->daemon[args->host];
    gint64 detect_usec = world->policy->detect_ms * MSEC;

    if (!daemon->up || !daemon->watching || daemon->watch != args->generation ||
        world->link.path != args->other || world->link.port != daemon->channel_port ||
        !world->link.open[args->host] ||
        world->clock.now_usec - network_down_since(world, args->other) < detect_usec ||
        network_is_whole(world, args->other))
        return;
    daemon_post(world, args->host, EVENT_LINK_SILENT, 0);
    /* If that does not help, it is told again. */
    world_after(world, detect_usec, silent_cb, *args);
}

/* The source has something unacknowledged at once; the destination sends a probe first. */
void
daemon_network_fell_silent(World *world, guint path)
{
    for (guint host = 0; host < HOSTS; host++) {
        Daemon *daemon = &world->daemon[host];
        gint64 late_usec = host == ROLE_DESTINATION ? SEC : 0;

        if (daemon->watching && world->link.path == path)
            world_after(world,
                        world->policy->detect_ms * MSEC +
                            dice_between(&world->dice, MSEC, 200 * MSEC + late_usec),
                        silent_cb,
                        (ClockArgs){.host = host, .generation = daemon->watch, .other = path});
    }
}

/* --- restarts --- */

/* SIGKILL, and as good as that SIGTERM: what is held is let go of */
void
daemon_kill(World *world, MigrationRole host)
{
    Daemon *daemon = &world->daemon[host];

    if (!daemon->up)
        return;
    world_trace(world, "%s's daemon: ends", host_to_string(host));
    check_disturbed(world, TRUE);
    if (host == ROLE_SOURCE)
        peers_cancel(world);
    daemon->up = FALSE;
    daemon->has_monitor = FALSE;
    daemon->life++;
    daemon->kills_in = 0;
    daemon->watching = FALSE;
    daemon->question = 0;
    daemon->finish_claimed = FALSE;
    daemon->has_client = FALSE;
    daemon->sequence = 0;
    if (host == ROLE_SOURCE)
        world->settles = FALSE;
    daemon->calls_in_vain = 0;
    daemon->state_timer++;
    daemon->give_up_timer++;
    daemon->posted_usec = 0;
    /* The session is kept to be looked at, but nothing steps it any more. */
    calls_daemon_died(world, host);
}

/* libvirt has its monitor back: qemuProcessRecoverMigrationOut(), ...In() */
static void
reconnect_cb(World *world, const ClockArgs *args)
{
    Daemon *daemon = &world->daemon[args->host];

    if (!daemon->up || daemon->life != args->generation)
        return;
    daemon->has_monitor = TRUE;
    calls_libvirt_reconnected(world, args->host);
}

/* restore_judge(), on what libvirt's status file says before it has reconnected, or after */
static EventType
judge_source(const World *world, gboolean postcopy)
{
    const Qemu *qemu = &world->qemu[ROLE_SOURCE];
    gboolean has_monitor = world->daemon[ROLE_SOURCE].has_monitor;

    if (!qemu->alive && has_monitor)
        return qemu->killed || !postcopy ? EVENT_QEMU_GONE : EVENT_CALL_COMPLETED;
    if (postcopy)
        return qemu->runs && has_monitor ? EVENT_QEMU_FAILED : EVENT_RESTORED;
    if (qemu->runs)
        return EVENT_CALL_FAILED;
    if (qemu->has_switched)
        return EVENT_RESTORED;
    return qemu->status == QEMU_COMPLETED ? EVENT_RETURN_REQUESTED : EVENT_CALL_FAILED;
}

static EventType
judge_destination(const World *world, gboolean postcopy)
{
    const Qemu *qemu = &world->qemu[ROLE_DESTINATION];

    if (!qemu->alive && world->daemon[ROLE_DESTINATION].has_monitor)
        return EVENT_QEMU_GONE;
    if (qemu->runs && world->domain.line_drawn)
        return EVENT_CALL_COMPLETED;
    return postcopy ? EVENT_RESTORED : EVENT_QEMU_POSTCOPY_ACTIVE;
}

static const EventType qemu_events[] = {
    [QEMU_POSTCOPY_ACTIVE] = EVENT_QEMU_POSTCOPY_ACTIVE,
    [QEMU_POSTCOPY_PAUSED] = EVENT_QEMU_POSTCOPY_PAUSED,
    [QEMU_POSTCOPY_RECOVER_SETUP] = EVENT_QEMU_POSTCOPY_RECOVER_SETUP,
    [QEMU_POSTCOPY_RECOVER] = EVENT_QEMU_POSTCOPY_RECOVER,
    [QEMU_COMPLETED] = EVENT_QEMU_COMPLETED,
    [QEMU_FAILED] = EVENT_QEMU_FAILED,
    [QEMU_CANCELLED] = EVENT_QEMU_CANCELLED,
};

/* tell_qemu_status() */
static void
tell_qemu_status(World *world, gboolean postcopy)
{
    const Qemu *qemu = &world->qemu[ROLE_SOURCE];

    if (!postcopy)
        daemon_post(world, ROLE_SOURCE, EVENT_QEMU_POSTCOPY_ACTIVE, 0);
    if (qemu->alive && qemu->status >= QEMU_POSTCOPY_ACTIVE)
        daemon_post(world, ROLE_SOURCE, qemu_events[qemu->status], 0);
}

typedef enum { VERDICT_WAIT, VERDICT_HAS_GUEST, VERDICT_HAS_NOT } Kept;

/* restore_judge_kept() */
static Kept
judge_status(const World *world)
{
    const Daemon *daemon = &world->daemon[ROLE_DESTINATION];
    QemuStatus status = world->qemu[ROLE_DESTINATION].status;

    gboolean switched = qemu_is_postcopy(status) || status == QEMU_COMPLETED;

    if ((!switched && status > QEMU_ACTIVE) || daemon->source_returns)
        return VERDICT_HAS_NOT;
    if (daemon->source_switched)
        return switched ? VERDICT_HAS_GUEST : VERDICT_WAIT;
    return !switched && world->clock.now_usec - daemon->kept_usec >= KEPT_LONG_USEC
               ? VERDICT_HAS_NOT
               : VERDICT_WAIT;
}

/* judge_job() */
static void
judge_cb(World *world, const ClockArgs *args)
{
    Daemon *daemon = &world->daemon[args->host];
    const Qemu *qemu = &world->qemu[args->host];
    Kept verdict = judge_status(world);

    if (!daemon->up || daemon->life != args->generation || !daemon->session)
        return;
    if (!daemon->has_monitor || (qemu->alive && !qemu->runs && verdict == VERDICT_WAIT)) {
        world_after(world, JUDGE_AGAIN_USEC, judge_cb, *args);
        return;
    }
    if (!qemu->alive || qemu->runs) {
        daemon_post(world, args->host,
                    judge_destination(
                        world, migration_state_is_postcopy(daemon_get_state(world, args->host))),
                    0);
        if (qemu->runs)
            daemon_post(world, args->host, EVENT_QEMU_RESUME, 0);
    } else if (verdict == VERDICT_HAS_NOT) {
        calls_destroy_destination(world, "it has not got the guest");
        daemon_post(world, args->host, EVENT_QEMU_GONE, 0);
    } else if (!migration_state_is_postcopy(daemon_get_state(world, args->host))) {
        daemon_step(world, args->host, EVENT_QEMU_POSTCOPY_ACTIVE, 0);
        if (!daemon->up)
            return;
        if (qemu->status != QEMU_POSTCOPY_ACTIVE)
            daemon_post(world, args->host, qemu_events[qemu->status], 0);
    }
    daemon->unjudged = FALSE;
    write_journal(world, args->host);
}

/* keep_unfinished() */
static void
keep_unfinished(World *world)
{
    Daemon *daemon = &world->daemon[ROLE_DESTINATION];
    const Qemu *qemu = &world->qemu[ROLE_DESTINATION];
    gboolean postcopy = migration_state_is_postcopy(daemon->journal.state);

    daemon->unjudged = daemon->journal_kept && !postcopy;
    daemon->source_switched = daemon->source_returns = FALSE;
    daemon->kept_usec = world->clock.now_usec;
    if (qemu->runs || (!postcopy && !world->schedule->postcopy))
        return;
    world->domain.kept = TRUE;
    if (world->domain.line_drawn || migration_state_is_terminal(daemon->journal.state))
        return;
    daemon->unjudged = daemon->journal_kept = !postcopy;
    daemon->journal.may_have_run |= daemon->journal.finish_called;
    daemon->journal.finish_called = FALSE;
}

/* take_up() */
static void
take_up_cb(World *world, const ClockArgs *args)
{
    Daemon *daemon = &world->daemon[args->host];
    MigrationState state;
    gboolean postcopy;
    EventType type;

    if (!daemon->up || daemon->life != args->generation || !daemon->session)
        return;
    state = session_get_state(daemon->session);
    if (daemon->unjudged) {
        judge_cb(world, args);
        return;
    }
    if (migration_state_is_terminal(state)) {
        daemon_post(world, args->host, EVENT_RESTORED, 0);
        world->settles |= state != STATE_FAILED;
        calls_progress(world);
        return;
    }
    postcopy = migration_state_is_postcopy(state);
    type = args->host == ROLE_SOURCE ? judge_source(world, postcopy)
                                     : judge_destination(world, postcopy);
    /* wait_reconnected(), tell_qemu_status() */
    if ((!postcopy || (type == EVENT_RESTORED && args->host == ROLE_SOURCE)) &&
        !daemon->has_monitor) {
        world_after(world, 5 * MSEC, take_up_cb, *args);
        return;
    }
    if (type == EVENT_RESTORED && args->host == ROLE_SOURCE)
        tell_qemu_status(world, postcopy);
    if (type == EVENT_RETURN_REQUESTED)
        calls_settle_source(world);
    else
        daemon_post(world, args->host, type, 0);
    if (args->host == ROLE_DESTINATION && world->qemu[ROLE_DESTINATION].runs)
        daemon_post(world, ROLE_DESTINATION, EVENT_QEMU_RESUME, 0);
}

/* migration_restore() and what comes after it */
void
daemon_start(World *world, MigrationRole host)
{
    Daemon *daemon = &world->daemon[host];
    ClockArgs args;

    if (daemon->up)
        return;
    world_trace(world, "%s's daemon: starts", host_to_string(host));
    check_disturbed(world, TRUE);
    world->coverage->restarts++;
    daemon->up = TRUE;
    daemon->life++;
    daemon->forgotten = !daemon->has_journal;
    daemon->entered_usec = world->clock.now_usec;
    if (daemon->has_journal) {
        if (host == ROLE_DESTINATION && daemon->journal.finish_called && !world->qemu[host].alive &&
            !migration_state_is_postcopy(daemon->journal.state)) /* doubt_unfinished() */
            daemon->journal.started = TRUE;
        if (host == ROLE_DESTINATION)
            keep_unfinished(world);
        session_free(daemon->session);
        make_session(world, host, daemon->journal_paths);
        session_restore(daemon->session, &daemon->journal, world->clock.now_usec + SEC);
        session_set_peer(daemon->session, "peer", daemon->journal_paths);
        daemon->channel_port = daemon->journal_channel_port;
        session_remember(daemon->session, &daemon->journal);
        daemon->finish_claimed = daemon->journal.finish_called;
    } else if (daemon->session && !migration_state_is_terminal(daemon_get_state(world, host))) {
        g_clear_pointer(&daemon->session, session_free);
    }
    args = (ClockArgs){.host = host, .generation = daemon->life};
    world_after(world, dice_scale(&world->dice, MSEC, 200 * MSEC), reconnect_cb, args);
    if (daemon->has_journal)
        world_after(world, dice_scale(&world->dice, MSEC, 200 * MSEC), take_up_cb, args);
}
