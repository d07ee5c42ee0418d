/*
 * qemu.c: the two QEMUs of a migration, as QEMU 10.0 has them in migration/
 *
 * What each function stands for is in migration.c and savevm.c there, named beside it. libvirt
 * starts the destination with -S, so its vCPUs run from libvirt's Finish on (qemu_run()).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "qemu.h"

#include "calls.h"
#include "check.h"
#include "daemon.h"
#include "faults.h"
#include "network.h"

/* Twenty megabytes a second, of which the sockets' buffers hold six. */
#define KIB_PER_MSEC 20
#define BUFFERS_USEC (300 * MSEC)

/* A SYN is sent again after one second, three, seven, ... (tcp_syn_retries). */
#define SYN_ATTEMPTS 6

static const struct {
    const char *name;
    EventType event;
} statuses[] = {
    [QEMU_SETUP] = {"setup", EVENT_QEMU_SETUP},
    [QEMU_ACTIVE] = {"active", EVENT_QEMU_ACTIVE},
    [QEMU_PRE_SWITCHOVER] = {"pre-switchover", EVENT_QEMU_PRE_SWITCHOVER},
    [QEMU_DEVICE] = {"device", EVENT_QEMU_DEVICE},
    [QEMU_POSTCOPY_ACTIVE] = {"postcopy-active", EVENT_QEMU_POSTCOPY_ACTIVE},
    [QEMU_POSTCOPY_PAUSED] = {"postcopy-paused", EVENT_QEMU_POSTCOPY_PAUSED},
    [QEMU_POSTCOPY_RECOVER_SETUP] = {"postcopy-recover-setup", EVENT_QEMU_POSTCOPY_RECOVER_SETUP},
    [QEMU_POSTCOPY_RECOVER] = {"postcopy-recover", EVENT_QEMU_POSTCOPY_RECOVER},
    [QEMU_COMPLETED] = {"completed", EVENT_QEMU_COMPLETED},
    [QEMU_FAILED] = {"failed", EVENT_QEMU_FAILED},
    [QEMU_CANCELLED] = {"cancelled", EVENT_QEMU_CANCELLED},
};

const char *
qemu_status_to_string(QemuStatus status)
{
    return statuses[status].name;
}

gboolean
qemu_is_postcopy(QemuStatus status)
{
    return status >= QEMU_POSTCOPY_ACTIVE && status <= QEMU_POSTCOPY_RECOVER;
}

void
qemu_init(World *world)
{
    for (guint host = 0; host < HOSTS; host++)
        world->qemu[host] = (Qemu){.alive = TRUE, .moving_since_usec = NEVER};
    world->qemu[ROLE_SOURCE].remaining_usec = world->schedule->memory_usec;
    world->qemu[ROLE_SOURCE].wants_postcopy = world->schedule->postcopy;
    world->qemu[ROLE_SOURCE].runs = TRUE;
    world->qemu[ROLE_SOURCE].has_run = TRUE;
}

/* migrate_set_state() and the MIGRATION event */
static void
set_status(World *world, MigrationRole host, QemuStatus status)
{
    Qemu *qemu = &world->qemu[host];

    if (qemu->status == status)
        return;
    world_trace(world, "%s's QEMU: %s -> %s", host_to_string(host), statuses[qemu->status].name,
                statuses[status].name);
    qemu->status = status;
    daemon_hear_qemu(world, host, statuses[status].event);
    qemu_network_changed(world);
    faults_fire_for_qemu(world, host, status);
}

static void
set_runs(World *world, MigrationRole host, gboolean runs)
{
    if (world->qemu[host].runs == runs)
        return;
    world_trace(world, "%s's QEMU: the guest %s", host_to_string(host), runs ? "runs" : "stops");
    world->qemu[host].runs = runs;
    world->qemu[host].has_run |= runs;
    if (runs)
        daemon_hear_qemu(world, host, EVENT_QEMU_RESUME);
    check_owners(world, host);
}

void
qemu_run(World *world, MigrationRole host)
{
    if (world->qemu[host].alive)
        set_runs(world, host, TRUE);
}

void
qemu_stop(World *world, MigrationRole host)
{
    if (world->qemu[host].alive)
        set_runs(world, host, FALSE);
}

/* migration_iteration_finish(), when a stand-in has brought it to its end: driver/run/standin.h */
gboolean
qemu_take_back(World *world)
{
    Qemu *qemu = &world->qemu[ROLE_SOURCE];

    if (qemu->alive && qemu_is_postcopy(qemu->status) && qemu->status != QEMU_POSTCOPY_PAUSED)
        return FALSE;
    qemu_run(world, ROLE_SOURCE);
    return TRUE;
}

/* exit(), or a signal */
void
qemu_end(World *world, MigrationRole host, const char *why)
{
    Qemu *qemu = &world->qemu[host];

    if (!qemu->alive)
        return;
    world_trace(world, "%s's QEMU: ends, %s", host_to_string(host), why);
    qemu->alive = FALSE;
    qemu->runs = FALSE;
    qemu->connecting = 0;
    qemu->listen_port = 0;
    link_shut(world, host, CAUSE_FAULT);
    daemon_hear_end(world, host);
}

/* migration_iteration_finish(): the disks are taken back and the guest runs again, whatever has
 * become of it elsewhere */
static void
fail_source(World *world)
{
    world->qemu[ROLE_SOURCE].completing = FALSE;
    set_status(world, ROLE_SOURCE, QEMU_FAILED);
    set_runs(world, ROLE_SOURCE, TRUE);
}

/* --- the source's way to postcopy --- */

static void
switch_cb(World *world, const ClockArgs *args)
{
    Qemu *qemu = &world->qemu[ROLE_SOURCE];

    if (!qemu->alive || qemu->status != QEMU_DEVICE)
        return;
    if (!qemu->wants_postcopy) { /* migration_completion_precopy() */
        link_send(world, ROLE_SOURCE, MESSAGE_ALL_SENT);
        return;
    }
    /* postcopy_start(): LISTEN, device state and RUN leave as one package */
    qemu->has_switched = TRUE;
    link_send(world, ROLE_SOURCE, MESSAGE_TO_RUN);
    set_status(world, ROLE_SOURCE, QEMU_POSTCOPY_ACTIVE);
    if (!world->qemu[ROLE_DESTINATION].alive || world->qemu[ROLE_DESTINATION].status == QEMU_FAILED)
        check_broken_switch(world);
}

/* libvirt has seen pre-switchover and lets it go on. */
gboolean
qemu_migrate_continue(World *world)
{
    Qemu *qemu = &world->qemu[ROLE_SOURCE];

    if (!qemu->alive || qemu->status != QEMU_PRE_SWITCHOVER)
        return FALSE;
    set_status(world, ROLE_SOURCE, QEMU_DEVICE);
    world_after(world, dice_scale(&world->dice, MSEC, 50 * MSEC), switch_cb, (ClockArgs){0});
    return TRUE;
}

static void
switchover_cb(World *world, const ClockArgs *args)
{
    if (world->qemu[ROLE_SOURCE].status != QEMU_ACTIVE || !world->qemu[ROLE_SOURCE].alive)
        return;
    set_runs(world, ROLE_SOURCE, FALSE);
    set_status(world, ROLE_SOURCE, QEMU_PRE_SWITCHOVER);
}

/* qmp_migrate_start_postcopy(); migration_iteration_run() sees it at once */
void
qemu_start_postcopy(World *world)
{
    switchover_cb(world, &(ClockArgs){0});
}

/* migration_bitmap_sync(): the event MIGRATION_PASS */
static void
pass_cb(World *world, const ClockArgs *args)
{
    const Daemon *daemon = &world->daemon[ROLE_SOURCE];

    if (world->qemu[ROLE_SOURCE].alive && world->qemu[ROLE_SOURCE].status == QEMU_ACTIVE &&
        daemon->up && daemon->has_monitor && daemon->session)
        daemon_post(world, ROLE_SOURCE, EVENT_QEMU_PASS, 2);
}

void
qemu_start(World *world)
{
    link_open(world, 0, HOLDFAST_FIRST_PORT);
    set_status(world, ROLE_SOURCE, QEMU_ACTIVE);
    set_status(world, ROLE_DESTINATION, QEMU_ACTIVE);
    world_after(world, dice_scale(&world->dice, 100 * MSEC, 5 * SEC), switchover_cb,
                (ClockArgs){0});
    if (world->schedule->switches == POLICY_SWITCH_AFTER_PRECOPY)
        world_after(world, world->schedule->memory_usec / 20, pass_cb, (ClockArgs){0});
}

/* qmp_migrate_cancel() */
gboolean
qemu_migrate_cancel(World *world)
{
    Qemu *qemu = &world->qemu[ROLE_SOURCE];

    if (!qemu->alive || qemu_is_postcopy(qemu->status))
        return FALSE;
    if (qemu->status >= QEMU_COMPLETED)
        return TRUE;
    set_status(world, ROLE_SOURCE, QEMU_CANCELLED);
    set_runs(world, ROLE_SOURCE, TRUE);
    link_shut(world, ROLE_SOURCE, CAUSE_ENGINE);
    return TRUE;
}

/* --- the memory, in postcopy --- */

static gboolean
is_sending(const World *world)
{
    const Qemu *source = &world->qemu[ROLE_SOURCE];

    return source->alive && source->status == QEMU_POSTCOPY_ACTIVE && !source->completing &&
           world->link.open[ROLE_SOURCE] && !world->link.hangs;
}

static void
all_sent_cb(World *world, const ClockArgs *args)
{
    Qemu *qemu = &world->qemu[ROLE_SOURCE];

    if (args->generation != qemu->moving_generation || !is_sending(world))
        return;
    /* migration_completion(): it sends the end and waits for the destination to have read it
     * (close_return_path_on_source()); what breaks the channel now makes it `failed`. */
    qemu->remaining_usec = 0;
    qemu->moving_since_usec = NEVER;
    qemu->completing = TRUE;
    check_told(world);
    link_send(world, ROLE_SOURCE, MESSAGE_ALL_SENT);
    faults_fire(world, TRIGGER_COMPLETING);
}

guint
qemu_get_remaining_kib(const World *world)
{
    const Qemu *qemu = &world->qemu[ROLE_SOURCE];
    gint64 moved_usec =
        qemu->moving_since_usec == NEVER ? 0 : world->clock.now_usec - qemu->moving_since_usec;

    return (guint)(MAX(qemu->remaining_usec - moved_usec, 0) * KIB_PER_MSEC / MSEC);
}

/* Memory moves while both ends are in postcopy and the path carries; when it does not any more, the
 * sockets' buffers still take some, which may be all. */
void
qemu_network_changed(World *world)
{
    Qemu *source = &world->qemu[ROLE_SOURCE];
    const Link *link = &world->link;
    gboolean moves = is_sending(world) && link->open[ROLE_DESTINATION] &&
                     world->qemu[ROLE_DESTINATION].status == QEMU_POSTCOPY_ACTIVE &&
                     network_is_whole(world, link->path);

    if (moves == (source->moving_since_usec != NEVER))
        return;
    source->moving_generation++;
    if (!moves) {
        source->remaining_usec -= world->clock.now_usec - source->moving_since_usec;
        /* What was in flight is sent again. */
        source->remaining_usec = MAX(source->remaining_usec, 0) + 5 * MSEC;
        source->moving_since_usec = NEVER;
        if (is_sending(world) && source->remaining_usec < BUFFERS_USEC)
            world_after(world, source->remaining_usec / 10, all_sent_cb,
                        (ClockArgs){.generation = source->moving_generation});
        return;
    }
    source->moving_since_usec = world->clock.now_usec;
    world_after(world, source->remaining_usec, all_sent_cb,
                (ClockArgs){.generation = source->moving_generation});
}

/* --- the destination reads --- */

/* postcopy_ram_listen_thread() ends well; the source hears of it when the state is torn down. */
static void
complete_destination(World *world)
{
    Qemu *qemu = &world->qemu[ROLE_DESTINATION];

    if (!qemu->all_read || !qemu->loaded || qemu->status == QEMU_COMPLETED)
        return;
    qemu->listen_port = 0;
    set_status(world, ROLE_DESTINATION, QEMU_COMPLETED);
    link_send(world, ROLE_DESTINATION, MESSAGE_ALL_READ);
    world->link.open[ROLE_DESTINATION] = FALSE;
}

/* loadvm_postcopy_handle_run() */
static void
loaded_cb(World *world, const ClockArgs *args)
{
    Qemu *qemu = &world->qemu[ROLE_DESTINATION];

    if (!qemu->alive || qemu->status == QEMU_FAILED)
        return;
    world_trace(world, "destination's QEMU: has the order to run");
    qemu->loaded = TRUE;
    complete_destination(world);
    calls_hear_qemu(world, ROLE_DESTINATION); /* the main loop answers again */
}

static void
destination_receives(World *world, ChannelMessage message)
{
    Qemu *qemu = &world->qemu[ROLE_DESTINATION];

    switch (message) {
    case MESSAGE_TO_RUN: /* loadvm_postcopy_handle_listen() */
        set_status(world, ROLE_DESTINATION, QEMU_POSTCOPY_ACTIVE);
        world_after(world, world->schedule->load_usec, loaded_cb, (ClockArgs){0});
        break;
    case MESSAGE_ALL_SENT:
        qemu->all_read = TRUE;
        if (qemu->status == QEMU_ACTIVE) /* process_incoming_migration_bh() */
            qemu->loaded = TRUE;
        complete_destination(world);
        break;
    case MESSAGE_COMPARE:
        if (qemu->status == QEMU_POSTCOPY_RECOVER)
            link_send(world, ROLE_DESTINATION, MESSAGE_COMPARED);
        break;
    case MESSAGE_GO_ON: /* loadvm_postcopy_handle_resume() */
        if (qemu->status == QEMU_POSTCOPY_RECOVER) {
            set_status(world, ROLE_DESTINATION, QEMU_POSTCOPY_ACTIVE);
            link_send(world, ROLE_DESTINATION, MESSAGE_WE_ARE);
        }
        break;
    default:
        g_assert_not_reached();
    }
}

static void
source_receives(World *world, ChannelMessage message)
{
    Qemu *qemu = &world->qemu[ROLE_SOURCE];

    switch (message) {
    case MESSAGE_ALL_READ: /* source_return_path_thread(), SHUT */
        qemu->completing = FALSE;
        world->link.open[ROLE_SOURCE] = FALSE;
        set_status(world, ROLE_SOURCE, QEMU_COMPLETED);
        break;
    case MESSAGE_COMPARED: /* postcopy_resume_handshake() */
        if (qemu->status == QEMU_POSTCOPY_RECOVER)
            link_send(world, ROLE_SOURCE, MESSAGE_GO_ON);
        break;
    case MESSAGE_WE_ARE: /* migrate_handle_rp_resume_ack() */
        if (qemu->status == QEMU_POSTCOPY_RECOVER)
            set_status(world, ROLE_SOURCE, QEMU_POSTCOPY_ACTIVE);
        break;
    default:
        g_assert_not_reached();
    }
}

void
qemu_receive(World *world, MigrationRole host, ChannelMessage message)
{
    if (!world->qemu[host].alive)
        return;
    if (host == ROLE_SOURCE)
        source_receives(world, message);
    else
        destination_receives(world, message);
}

/* --- the channel ends --- */

/* migration_detect_error(), migration_completion(), postcopy_do_resume() */
static void
source_channel_ended(World *world)
{
    Qemu *qemu = &world->qemu[ROLE_SOURCE];

    switch (qemu->status) {
    case QEMU_ACTIVE:
    case QEMU_PRE_SWITCHOVER:
    case QEMU_DEVICE:
        fail_source(world);
        break;
    case QEMU_POSTCOPY_ACTIVE:
        if (qemu->completing) {
            check_broken_end(world);
            fail_source(world);
            break;
        }
        set_status(world, ROLE_SOURCE, QEMU_POSTCOPY_PAUSED);
        if (world->mutant == MUTANT_RUNS_WHEN_PAUSED)
            set_runs(world, ROLE_SOURCE, TRUE);
        break;
    case QEMU_POSTCOPY_RECOVER:
        set_status(world, ROLE_SOURCE, QEMU_POSTCOPY_PAUSED);
        break;
    default:
        break;
    }
}

/* qemu_loadvm_state_main(): it pauses in POSTCOPY_INCOMING_RUNNING alone, and ends otherwise */
static void
destination_channel_ended(World *world)
{
    Qemu *qemu = &world->qemu[ROLE_DESTINATION];

    if (qemu->status == QEMU_ACTIVE) {
        /* The source may have switched already: what it sent is lost. */
        if (qemu_is_postcopy(world->qemu[ROLE_SOURCE].status))
            check_broken_switch(world);
        set_status(world, ROLE_DESTINATION, QEMU_FAILED);
    } else if (qemu->status == QEMU_POSTCOPY_ACTIVE && !qemu->all_read &&
               (!qemu->loaded || world->mutant == MUTANT_FAILS_WHEN_PAUSED)) {
        check_broken_switch(world);
        set_status(world, ROLE_DESTINATION, QEMU_FAILED);
        qemu_end(world, ROLE_DESTINATION, "postcopy had not begun to run");
    } else if (qemu->status == QEMU_POSTCOPY_RECOVER ||
               (qemu->status == QEMU_POSTCOPY_ACTIVE && !qemu->all_read)) {
        set_status(world, ROLE_DESTINATION, QEMU_POSTCOPY_PAUSED);
    }
}

void
qemu_channel_ended(World *world, MigrationRole host)
{
    if (!world->qemu[host].alive)
        return;
    if (host == ROLE_SOURCE)
        source_channel_ended(world);
    else
        destination_channel_ended(world);
}

/* --- a recovery --- */

static void
connect_failed(World *world)
{
    Qemu *qemu = &world->qemu[ROLE_SOURCE];

    qemu->connecting = 0;
    /* migration_connect_set_error() */
    if (qemu->status == QEMU_POSTCOPY_RECOVER_SETUP)
        set_status(world, ROLE_SOURCE, QEMU_POSTCOPY_PAUSED);
}

/* The handshake is over an open channel. migration_fd_process_incoming(), qemu_resume() */
static void
connected(World *world)
{
    Qemu *source = &world->qemu[ROLE_SOURCE];

    source->connecting = 0;
    link_open(world, source->connecting_path, source->connecting_port);
    faults_link_opened(world);
    set_status(world, ROLE_SOURCE, QEMU_POSTCOPY_RECOVER);
    set_status(world, ROLE_DESTINATION, QEMU_POSTCOPY_RECOVER);
    link_send(world, ROLE_SOURCE, MESSAGE_COMPARE);
}

/* One SYN. A destination that listens but is not paused accepts and closes again
 * (socket_accept_incoming_migration(), migration/socket.c). */
static void
syn_cb(World *world, const ClockArgs *args)
{
    Qemu *source = &world->qemu[ROLE_SOURCE];
    const Qemu *destination = &world->qemu[ROLE_DESTINATION];

    if (args->generation != source->connecting || !source->alive)
        return;
    if (!network_is_whole(world, source->connecting_path)) {
        if (world->paths[source->connecting_path].rejects || args->number == SYN_ATTEMPTS)
            connect_failed(world);
        else
            world_after(world, SEC << args->number, syn_cb,
                        (ClockArgs){.generation = args->generation, .number = args->number + 1});
    } else if (destination->alive && destination->status == QEMU_POSTCOPY_PAUSED &&
               destination->listen_port == source->connecting_port) {
        connected(world);
    } else {
        connect_failed(world);
    }
}

gboolean
qemu_migrate_resume(World *world, guint path, guint port)
{
    Qemu *qemu = &world->qemu[ROLE_SOURCE];

    if (!qemu->alive || qemu->status != QEMU_POSTCOPY_PAUSED)
        return FALSE;
    set_status(world, ROLE_SOURCE, QEMU_POSTCOPY_RECOVER_SETUP);
    qemu->connecting = ++qemu->attempts;
    qemu->connecting_path = path;
    qemu->connecting_port = port;
    world_after(world, network_latency(world), syn_cb, (ClockArgs){.generation = qemu->connecting});
    return TRUE;
}

gboolean
qemu_migrate_recover(World *world, guint port)
{
    Qemu *qemu = &world->qemu[ROLE_DESTINATION];

    if (!qemu->alive || qemu->status != QEMU_POSTCOPY_PAUSED)
        return FALSE;
    qemu->listen_port = port;
    return TRUE;
}

/* qmp_migrate_pause(): in recover-setup, too, there is nothing alive to pause */
gboolean
qemu_migrate_pause(World *world, MigrationRole host)
{
    Qemu *qemu = &world->qemu[host];

    if (!qemu->alive ||
        (qemu->status != QEMU_POSTCOPY_ACTIVE && qemu->status != QEMU_POSTCOPY_RECOVER))
        return FALSE;
    link_shut(world, host, CAUSE_ENGINE);
    return TRUE;
}

guint
qemu_break_sockets(World *world, MigrationRole host, guint port)
{
    Qemu *qemu = &world->qemu[host];

    if (!qemu->alive)
        return 0;
    if (host == ROLE_SOURCE && qemu->connecting && qemu->connecting_port == port) {
        connect_failed(world);
        return 1;
    }
    return port == world->link.port && link_shut(world, host, CAUSE_ENGINE) ? 1 : 0;
}
