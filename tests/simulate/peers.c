/*
 * peers.c: the source's questions and the destination's answers
 *
 * driver/run/peer.c (a connection a question, its deadlines), ask_done(), tell_done() and
 * call_peer() of execute.c, and observe_question() of observe.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "daemon.h"
#include "network.h"

#define CONNECT_MS         400
#define CONNECT_LONG_MS    3000
#define CONNECT_LONG_EVERY 5
#define ANSWER_MS          3000

/* A call's generation tells what is asked, and after which others. */
#define KINDS 8

/* What travels in ClockArgs: generation: the call; number: what; other: more. */

static void
finish_call(World *world, gboolean answered, gboolean reached, EventType answer, guint number)
{
    Daemon *daemon = &world->daemon[ROLE_SOURCE];
    gboolean tells = daemon->call % KINDS == QUESTION_PAUSED;

    daemon->has_call = FALSE;
    if (daemon->call % KINDS == QUESTION_ENDING) /* noted_done() */
        return;
    daemon->calls_in_vain = answered ? 0 : daemon->calls_in_vain + 1;
    if (tells) {
        if (!answered)
            effects_tell_again(world);
        return;
    }
    if (!answered)
        answer = reached ? EVENT_PEER_REFUSED : EVENT_PEER_UNREACHABLE;
    daemon_step(world, ROLE_SOURCE, answer, number);
}

static gboolean
is_current(const World *world, const ClockArgs *args)
{
    const Daemon *daemon = &world->daemon[ROLE_SOURCE];

    return daemon->has_call && daemon->call == args->generation;
}

static void
connect_deadline_cb(World *world, const ClockArgs *args)
{
    if (is_current(world, args) && !world->daemon[ROLE_SOURCE].call_connected)
        finish_call(world, FALSE, FALSE, EVENT_LAST, 0);
}

static void
answer_deadline_cb(World *world, const ClockArgs *args)
{
    if (is_current(world, args))
        finish_call(world, FALSE, TRUE, EVENT_LAST, 0);
}

/* The answer arrives; it is lost to who does not wait any more. */
static void
answer_cb(World *world, const ClockArgs *args)
{
    guint path = args->number % PATHS_MAX;

    if (!is_current(world, args))
        return;
    if (network_carries(world, path, ROLE_DESTINATION))
        finish_call(world, TRUE, TRUE, args->other, args->number / PATHS_MAX);
    else /* it is sent again, until the deadline */
        world_after(world, 400 * MSEC, answer_cb, *args);
}

static void
send_answer(World *world, guint call, guint path, EventType answer, guint number)
{
    world_after(world, network_latency(world), answer_cb,
                (ClockArgs){
                    .generation = call,
                    .number = number * PATHS_MAX + path,
                    .other = answer,
                });
}

void
peers_answer(World *world, EventType answer, guint number)
{
    Daemon *daemon = &world->daemon[ROLE_DESTINATION];

    if (daemon->question)
        send_answer(world, daemon->question, daemon->question_path, answer, number);
    daemon->question = 0;
}

/* judge_job(): a destination that has forgotten the migration looks for the domain. */
static EventType
judge_domain(const World *world, Question question)
{
    const Daemon *daemon = &world->daemon[ROLE_DESTINATION];
    const Qemu *qemu = &world->qemu[ROLE_DESTINATION];

    if (daemon->notes_lost) /* judge_arrival() */
        return EVENT_PEER_RETURNED;
    if (!daemon->has_monitor || world->mutant == MUTANT_FORGETFUL)
        return EVENT_PEER_REFUSED;
    if (!qemu->alive)
        return question == QUESTION_RETURN ? EVENT_PEER_RETURNED : EVENT_PEER_OVER;
    return qemu->status == QEMU_COMPLETED && world->domain.line_drawn ? EVENT_PEER_COMPLETED
                                                                      : EVENT_PEER_REFUSED;
}

static const EventType questions[] = {
    [QUESTION_RECOVER] = EVENT_PEER_RECOVER, [QUESTION_RUNNING] = EVENT_PEER_ASKS_RUNNING,
    [QUESTION_PAUSED] = EVENT_PEER_PAUSED,   [QUESTION_ENDED] = EVENT_PEER_ENDED,
    [QUESTION_RETURN] = EVENT_PEER_RETURN,   [QUESTION_ENDING] = EVENT_PEER_ENDING,
};

/* restore_hear(); TRUE: it is not known yet */
static gboolean
hear(const World *world, Daemon *daemon, Question question)
{
    const Session *source = world->daemon[ROLE_SOURCE].session;
    gboolean returns = question == QUESTION_RETURN || (question == QUESTION_ENDED && source &&
                                                       session_get_owner(source) == OWNER_SOURCE);

    if (!daemon->unjudged)
        return FALSE;
    daemon->source_returns = returns;
    daemon->source_switched = !returns;
    return question == QUESTION_RETURN;
}

/* observe_question() */
static void
question_cb(World *world, const ClockArgs *args)
{
    Daemon *daemon = &world->daemon[ROLE_DESTINATION];
    SessionMemory memory;

    if (!network_carries(world, args->number, ROLE_SOURCE)) {
        if (is_current(world, args))
            world_after(world, 400 * MSEC, question_cb, *args);
        return;
    }
    if (!daemon->up) {
        if (is_current(world, args))
            finish_call(world, FALSE, TRUE, EVENT_LAST, 0);
        return;
    }
    if (!daemon->session || daemon->forgotten) {
        send_answer(world, args->generation, args->number,
                    judge_domain(world, args->generation % KINDS), 0);
    } else if (args->generation < daemon->sequence) { /* is_overtaken() */
        send_answer(world, args->generation, args->number, EVENT_PEER_REFUSED, 0);
    } else if (hear(world, daemon, args->generation % KINDS)) {
        send_answer(world, args->generation, args->number, EVENT_PEER_REFUSED, 0);
    } else if (args->generation % KINDS == QUESTION_PAUSED ||
               args->generation % KINDS == QUESTION_ENDING) {
        daemon->sequence = args->generation;
        send_answer(world, args->generation, args->number, EVENT_LAST, 0);
        daemon_step(world, ROLE_DESTINATION, questions[args->generation % KINDS], 0);
    } else {
        peers_answer(world, EVENT_PEER_REFUSED, 0); /* of an earlier question */
        daemon->sequence = args->generation;
        daemon->question = args->generation;
        daemon->question_path = args->number;
        session_remember(daemon->session, &memory);
        if (args->generation % KINDS == QUESTION_RECOVER && memory.armed_port &&
            !daemon_may_listen(world, memory.armed_port)) /* ask_recover() */
            daemon_step(world, ROLE_DESTINATION, EVENT_ARMED_ELSEWHERE, 0);
        daemon_step(world, ROLE_DESTINATION, questions[args->generation % KINDS], 0);
    }
}

/* A SYN, or the one that is sent a second later, or three. */
static void
syn_cb(World *world, const ClockArgs *args)
{
    Daemon *daemon = &world->daemon[ROLE_SOURCE];
    gboolean whole = network_is_whole(world, args->number);

    if (!is_current(world, args) || daemon->call_connected)
        return;
    if (whole ? !world->daemon[ROLE_DESTINATION].up : world->paths[args->number].rejects) {
        finish_call(world, FALSE, TRUE, EVENT_LAST, 0);
    } else if (whole) {
        daemon->call_connected = TRUE;
        world_after(world, ANSWER_MS * MSEC, answer_deadline_cb, *args);
        world_after(world, network_latency(world), question_cb, *args);
    } else {
        world_after(world, SEC << args->other, syn_cb,
                    (ClockArgs){
                        .generation = args->generation,
                        .number = args->number,
                        .other = args->other + 1,
                    });
    }
}

/* ask_peer(), tell_peer(), tell_ending(), call_peer() */
void
peers_ask(World *world, guint path, Question question)
{
    Daemon *daemon = &world->daemon[ROLE_SOURCE];
    gboolean patient = daemon->calls_in_vain % CONNECT_LONG_EVERY == CONNECT_LONG_EVERY - 1;
    guint n_paths = world->schedule->n_paths;
    ClockArgs args;

    if (path == G_MAXUINT)
        daemon->resume_path = (daemon->resume_path + 1) % n_paths;
    else
        daemon->resume_path = path < n_paths ? path : 0;
    daemon->call = (daemon->call / KINDS + 1) * KINDS + question;
    daemon->has_call = TRUE;
    daemon->call_connected = FALSE;
    args = (ClockArgs){.generation = daemon->call, .number = daemon->resume_path};
    world_after(world, (patient ? CONNECT_LONG_MS : CONNECT_MS) * MSEC, connect_deadline_cb, args);
    world_after(world, network_latency(world), syn_cb, args);
}

void
peers_cancel(World *world)
{
    world->daemon[ROLE_SOURCE].has_call = FALSE;
}
