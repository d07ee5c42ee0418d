/*
 * network.c: the migration network's paths, and the connection between the two QEMUs
 *
 * How it works: TCP as far as a migration sees it. What is sent arrives in order; while a path is
 * down it waits with the sender's kernel and goes out again some time after the path is back. An
 * end that is shut down sends what it has, then an end of file. A reset is seen at once and loses
 * what was on its way. No connection times out by itself: the kernel's fifteen minutes are longer
 * than a schedule.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "network.h"

#include "check.h"
#include "daemon.h"
#include "engine/session-priv.h"
#include "qemu.h"

/* Retransmission backs off with the length of the outage (RFC 6298). */
#define RETRANSMIT_MAX (30 * SEC)

static void pump_cb(World *world, const ClockArgs *args);

void
network_init(World *world)
{
    for (guint i = 0; i < PATHS_MAX; i++)
        world->paths[i] = (Path){.up = {TRUE, TRUE}};
}

gboolean
network_carries(const World *world, guint path, MigrationRole from)
{
    return path < world->schedule->n_paths && world->paths[path].up[from];
}

gboolean
network_is_whole(const World *world, guint path)
{
    return network_carries(world, path, ROLE_SOURCE) &&
           network_carries(world, path, ROLE_DESTINATION);
}

gint64
network_down_since(const World *world, guint path)
{
    gint64 since_usec = NEVER;

    for (guint host = 0; host < HOSTS; host++) {
        if (!world->paths[path].up[host])
            since_usec = MIN(since_usec, world->paths[path].since_usec[host]);
    }
    return since_usec;
}

gint64
network_latency(World *world)
{
    gint64 latency_usec = world->schedule->latency_usec;

    return dice_between(&world->dice, latency_usec, latency_usec * 3 / 2);
}

static void
start_pump(World *world, MigrationRole from, gint64 usec)
{
    Stream *stream = &world->link.stream[from];

    if (stream->moving || stream->length == 0)
        return;
    stream->moving = TRUE;
    world_after(world, usec, pump_cb,
                (ClockArgs){.host = from, .generation = world->link.generation});
}

void
network_set(World *world, guint path, MigrationRole from, gboolean up)
{
    Path *way = &world->paths[path];
    gint64 down_usec = world->clock.now_usec - way->since_usec[from];

    if (way->up[from] == up)
        return;
    check_disturbed(world, FALSE);
    way->up[from] = up;
    way->since_usec[from] = world->clock.now_usec;
    world_trace(world, "path %u: from the %s %s", path, host_to_string(from), up ? "up" : "down");
    if (up && world->link.path == path)
        start_pump(world, from,
                   network_latency(world) +
                       dice_between(&world->dice, 0, MIN(down_usec, RETRANSMIT_MAX)));
    qemu_network_changed(world);
    if (!up)
        daemon_network_fell_silent(world, path);
}

static void
error_cb(World *world, const ClockArgs *args)
{
    if (args->generation == world->link.generation)
        qemu_channel_ended(world, args->host);
}

/* QEMU's threads notice soon. */
static void
close_end(World *world, MigrationRole host, Cause cause)
{
    const Session *session = world->daemon[ROLE_DESTINATION].session;

    world->link.open[host] = FALSE;
    if (world->link.cause == CAUSE_NONE) {
        world->link.cause = cause;
        world->link.broken_usec = world->clock.now_usec;
        world->link.told = session && session->ending;
    }
    qemu_network_changed(world);
    world_after(world, dice_scale(&world->dice, 50, 3 * MSEC), error_cb,
                (ClockArgs){.host = host, .generation = world->link.generation});
}

/* One message arrives. */
static void
pump_cb(World *world, const ClockArgs *args)
{
    Link *link = &world->link;
    Stream *stream = &link->stream[args->host];
    MigrationRole to = other_host(args->host);
    ChannelMessage message;

    if (args->generation != link->generation)
        return;
    stream->moving = FALSE;
    if (!network_carries(world, link->path, args->host))
        return;
    message = stream->queue[0];
    stream->length--;
    memmove(stream->queue, stream->queue + 1, stream->length * sizeof(stream->queue[0]));
    start_pump(world, args->host, dice_scale(&world->dice, 10, 500));
    if (!link->open[to])
        return;
    if (message == MESSAGE_END)
        close_end(world, to, link->cause);
    else if (!link->hangs)
        qemu_receive(world, to, message);
}

void
link_open(World *world, guint path, guint port)
{
    world->link = (Link){
        .generation = world->link.generation + 1,
        .path = path,
        .port = port,
        .open = {TRUE, TRUE},
    };
}

void
link_send(World *world, MigrationRole from, ChannelMessage message)
{
    Stream *stream = &world->link.stream[from];

    if (!world->link.open[from] && message != MESSAGE_END)
        return;
    g_assert(stream->length < G_N_ELEMENTS(stream->queue));
    stream->queue[stream->length++] = message;
    start_pump(world, from, network_latency(world));
}

gboolean
link_shut(World *world, MigrationRole host, Cause cause)
{
    if (!world->link.open[host])
        return FALSE;
    close_end(world, host, cause);
    link_send(world, host, MESSAGE_END);
    return TRUE;
}

/* The kernel of an end that is gone answers with a reset, once it is sent something: the source
 * does all the time, the destination when it is watched (channel.c sets keepalive). */
static void
answer_reset_cb(World *world, const ClockArgs *args)
{
    if (args->generation != world->link.generation || !world->link.open[args->host])
        return;
    if (network_is_whole(world, world->link.path) &&
        (args->host == ROLE_SOURCE || world->daemon[args->host].watching))
        close_end(world, args->host, CAUSE_FAULT);
    else
        world_after(world, SEC, answer_reset_cb, *args);
}

static void
reset_end(World *world, MigrationRole host)
{
    if (!world->link.open[host])
        return;
    close_end(world, host, CAUSE_FAULT);
    world_after(world, dice_scale(&world->dice, MSEC, SEC), answer_reset_cb,
                (ClockArgs){
                    .host = other_host(host),
                    .generation = world->link.generation,
                });
}

void
network_reset(World *world, guint path, gboolean source, gboolean destination)
{
    if (world->link.path != path)
        return;
    world_trace(world, "path %u: connections are reset%s%s", path, source ? " at the source" : "",
                destination ? " at the destination" : "");
    if (source)
        reset_end(world, ROLE_SOURCE);
    if (destination)
        reset_end(world, ROLE_DESTINATION);
}
