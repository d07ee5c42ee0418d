/*
 * execute.c: what the engine asks for, done
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/execute.h"

#include <glib/gi18n-lib.h>

#include "run/answer.h"
#include "run/command.h"
#include "run/connection.h"
#include "run/finish.h"
#include "run/host.h"
#include "run/migration-priv.h"
#include "run/outcome.h"
#include "run/postcopy.h"
#include "run/turns.h"

/* How long a connection to the other host may take: enough for a path around the world. */
#define CONNECT_MS 3000
/* Whoever asks must have the answer, or none, before the engine asks anew. */
G_STATIC_ASSERT(CONNECT_MS + PEER_ANSWER_MS < SESSION_ASK_DEADLINE_MS);
/* Where nobody answers, how often it is tried anew: by this part of the time that the pause has
 * lasted already, a SYN and a tenth of a millisecond of this host each; not so often that it could
 * be taken for an attack, nor so seldom that a person thinks it asleep. */
#define AGAIN_PART   1000
#define AGAIN_MIN_MS 20
#define AGAIN_MAX_MS 400
/* A person's pause is told to the destination, over every way there is, until it has heard it. */
#define TELL_AGAIN_MS 500
/* How often QEMU at the source is asked how much remains. */
#define REMAINS_LOOK_MS 500
/* After so many questions in a row that nobody answered, who waits for the answer is told. */
#define WARN_AFTER 2

/* --- the other host --- */

static EventType
event_of_answer(MessageType type)
{
    switch (type) {
    case MESSAGE_ARMED:
        return EVENT_PEER_ARMED;
    case MESSAGE_COMPLETED:
        return EVENT_PEER_COMPLETED;
    case MESSAGE_RUNNING:
        return EVENT_PEER_RUNNING;
    case MESSAGE_OVER:
        return EVENT_PEER_OVER;
    case MESSAGE_RETURNED:
        return EVENT_PEER_RETURNED;
    default:
        return EVENT_PEER_REFUSED;
    }
}

/* Told in the log once an outage, not once a question. */
static void
count_call(Migration *migration, const Message *answer, const GError *error)
{
    migration->calls_in_vain = answer ? 0 : migration->calls_in_vain + 1;
    if (migration->calls_in_vain == 1)
        g_message("migration %s: the destination does not answer (%s); it is asked on",
                  migration->id, error->message);
    if (migration->calls_in_vain == WARN_AFTER && migration->wants_return)
        g_warning("migration %s: whether domain %s was started on the destination cannot be asked "
                  "(%s): it stays stopped here until that is known. If it is certain that it does "
                  "not run there, 'virsh resume %s' lets it run here",
                  migration->id, migration->name, error->message, migration->name);
}

/* A host that was restarted has forgotten whether it had the guest, which may have written to its
 * disks there. NULL: it is to be believed. */
static char *
doubt_return(Migration *migration, const Message *answer)
{
    char *text;

    if (answer->type != MESSAGE_RETURNED || !migration->peer_boot || !*answer->text ||
        g_str_equal(answer->text, migration->peer_boot))
        return NULL;
    text = g_strdup_printf(_("host '%1$s' was restarted since, and whether domain '%2$s' ran there "
                             "is not known: if its disks show that it did not, 'virsh resume %2$s' "
                             "lets it go on here"),
                           migration->peer, migration->name);
    if (!migration->told_restarted)
        g_warning("migration %s: %s", migration->id, text);
    migration->told_restarted = TRUE;
    return text;
}

static void
ask_done(
    const Message *answer, const char *host, gboolean reached, const GError *error, gpointer opaque)
{
    Migration *migration = opaque;
    g_autofree char *doubt = NULL;

    migration->call = NULL;
    if (migration_is_released()) {
        migration_unref(migration);
        return;
    }
    count_call(migration, answer, error);
    if (answer) {
        g_free(migration->resume_host);
        migration->resume_host = g_strdup(host);
    }
    if (answer && answer->type == MESSAGE_REFUSED && !migration->wants_return &&
        !session_is_untold(migration->session))
        g_message("migration %s: the destination cannot recover it now: %s", migration->id,
                  answer->text);
    doubt = answer ? doubt_return(migration, answer) : NULL;
    if (doubt)
        migration_step(migration, EVENT_PEER_REFUSED, 0, doubt);
    else if (answer)
        migration_step(migration, event_of_answer(answer->type), answer->number, answer->text);
    else if (reached)
        migration_step(migration, EVENT_PEER_REFUSED, 0, error->message);
    else
        migration_step(migration, EVENT_PEER_UNREACHABLE, 0, NULL);
    migration_unref(migration);
}

static guint
choose_again_ms(const Migration *migration)
{
    SessionMemory memory;
    gint64 paused_ms;

    session_remember(migration->session, &memory);
    if (!memory.paused_at_usec)
        return AGAIN_MAX_MS;
    paused_ms = (g_get_real_time() - memory.paused_at_usec) / G_TIME_SPAN_MILLISECOND;
    return (guint)CLAMP(paused_ms / AGAIN_PART, AGAIN_MIN_MS, AGAIN_MAX_MS);
}

static void
call_peer(Migration *migration, guint n_ways, guint path, MessageType type, PeerCallFn done)
{
    g_autofree PeerWay *ways = g_new(PeerWay, n_ways);
    Message message = {.type = type};

    migration->sequence = message_next_sequence(migration->sequence, g_get_monotonic_time());
    message_set_subject(&message, migration->status->uuid, migration->sequence);
    if (type == MESSAGE_ENDED)
        message.number = session_get_owner(migration->session) + 1;
    for (guint i = 0; i < n_ways; i++) {
        const MigrationPath *way = g_ptr_array_index(migration->paths, (path + i) % n_ways);

        ways[i] = (PeerWay){.host = way->host, .number = way->listen_port};
    }
    if (migration->call) {
        peer_call_cancel(migration->call);
        migration_unref(migration);
    }
    migration_get_secret(migration, &message.secret);
    migration->call = peer_call_new(ways, n_ways, migration->peer_port, &message, CONNECT_MS,
                                    choose_again_ms(migration), done, migration_ref(migration));
}

static void
ask_peer(Migration *migration, guint path, MessageType question)
{
    guint n_ways = migration_count_ways(migration);

    if (n_ways > 0)
        call_peer(migration, n_ways, path, question, ask_done);
}

static void
start_timer(GSource **timer, guint milliseconds, GSourceFunc fn, Migration *migration)
{
    if (*timer) {
        g_source_destroy(*timer);
        g_source_unref(*timer);
    }
    *timer = NULL;
    if (!fn)
        return;
    *timer = g_timeout_source_new(milliseconds);
    g_source_set_callback(*timer, fn, migration_ref(migration), (GDestroyNotify)migration_unref);
    g_source_attach(*timer, g_main_context_get_thread_default());
}

static gboolean
is_operators(const Migration *migration)
{
    return session_get_state(migration->session) == STATE_POSTCOPY_PAUSED &&
           session_get_reason(migration->session) == REASON_OPERATOR;
}

static gboolean tell_again_cb(gpointer opaque);

static void
tell_done(
    const Message *answer, const char *host, gboolean reached, const GError *error, gpointer opaque)
{
    Migration *migration = opaque;

    migration->call = NULL;
    count_call(migration, answer, error);
    if (!answer && is_operators(migration))
        start_timer(&migration->state_timer, TELL_AGAIN_MS, tell_again_cb, migration);
    migration_unref(migration);
}

/* Not only where memory may go: a client who waits for the destination on one network is not to
 * wait for the return of another. */
static void
tell_everywhere(Migration *migration, MessageType type, PeerCallFn done)
{
    if (migration->paths->len > 0)
        call_peer(migration, migration->paths->len, 0, type, done);
}

static gboolean
tell_again_cb(gpointer opaque)
{
    Migration *migration = opaque;

    /* Until a person says otherwise; the timer is the state's, so it ends with the pause. */
    if (is_operators(migration))
        tell_everywhere(migration, MESSAGE_PAUSED, tell_done);
    return G_SOURCE_REMOVE;
}

/* --- timers and the channel --- */

static gboolean
state_timer_cb(gpointer opaque)
{
    migration_step(opaque, EVENT_TIMER_STATE, 0, NULL);
    return G_SOURCE_REMOVE;
}

static gboolean
give_up_timer_cb(gpointer opaque)
{
    migration_step(opaque, EVENT_TIMER_GIVE_UP, 0, NULL);
    return G_SOURCE_REMOVE;
}

static void
silent_cb(gpointer opaque)
{
    Migration *migration = opaque;

    /* Posted, not stepped: the watchdog that calls may be freed by the step. */
    migration_post(migration, EVENT_LINK_SILENT, 0, NULL);
}

static void
noted_done(
    const Message *answer, const char *host, gboolean reached, const GError *error, gpointer opaque)
{
    Migration *migration = opaque;

    migration->call = NULL;
    migration_unref(migration);
}

/* One in vain is followed by another after the next look. */
static void
tell_ending(Migration *migration)
{
    if (!migration->call)
        tell_everywhere(migration, MESSAGE_ENDING, noted_done);
}

static gboolean
look_timer_cb(gpointer opaque)
{
    command_look(opaque);
    return G_SOURCE_CONTINUE;
}

static void
unwatch(Migration *migration)
{
    g_clear_pointer(&migration->watchdog, watchdog_free);
    start_timer(&migration->look_timer, 0, NULL, migration);
}

static void
leave_alone(Migration *migration)
{
    unwatch(migration);
    channel_bear(&migration->channel);
}

static void
watch(Migration *migration)
{
    char *local;

    unwatch(migration);
    if (!migration->channel.pid || !migration->channel.port)
        return;
    local = channel_find_local(&migration->channel);
    if (local) {
        g_free(migration->local_host);
        migration->local_host = local;
    }
    migration->watchdog =
        watchdog_new(&migration->channel, session_get_policy(migration->session)->detect_ms,
                     silent_cb, migration);
    if (migration->role == ROLE_SOURCE)
        start_timer(&migration->look_timer, REMAINS_LOOK_MS, look_timer_cb, migration);
}

static void
break_channel(Migration *migration)
{
    guint broken;

    if (migration->role == ROLE_SOURCE) {
        command_break(migration);
        return;
    }
    broken =
        migration->channel.pid && migration->channel.port ? channel_break(&migration->channel) : 0;

    /* No TCP connection that we know of: a UNIX socket, RDMA, or QEMU has let go already. */
    if (broken == 0)
        command_pause(migration);
    else
        g_message("migration %s: broke %u connection(s) of the channel", migration->id, broken);
}

/* Threads of their own: Finish lasts as long as the rest of the migration. */
static void
finish_job(gpointer opaque, gpointer unused)
{
    g_autoptr(Migration) migration = opaque;

    finish_ourselves(migration);
}

static void
cancel_finish_job(gpointer opaque, gpointer unused)
{
    g_autoptr(Migration) migration = opaque;

    finish_cancel(migration);
}

static void
finish(Migration *migration, GFunc fn)
{
    g_autoptr(GError) error = NULL;

    if (host_run_long(fn, migration_ref(migration), &error))
        return;
    g_warning("migration %s: no thread for Finish: %s", migration->id, error->message);
    migration_unref(migration);
}

/* --- turns --- */

static Turns *
get_turns(void)
{
    static Turns *turns; /* the engine thread's */

    if (!turns) {
        g_autoptr(Policy) policy = host_get_policy();

        turns = turns_new(policy->at_once);
    }
    return turns;
}

static void
leave_turn(Migration *migration)
{
    Migration *next = turns_leave(get_turns(), migration);

    if (!next)
        return;
    /* Its deadline is that of the resume, not of the wait. */
    start_timer(&next->state_timer, SESSION_RECOVER_DEADLINE_MS, state_timer_cb, next);
    command_resume(next, next->resume_host, next->resume_port);
}

void
execute_settle(Migration *migration, MigrationState before, EventType type)
{
    MigrationState now = session_get_state(migration->session);
    gboolean recovering = now == STATE_POSTCOPY_RECOVER_SETUP || now == STATE_POSTCOPY_RECOVER;

    /* Also what an earlier daemon has done. */
    if (migration->role == ROLE_DESTINATION && !recovering && now != STATE_POSTCOPY_PAUSED &&
        (before != now || type == EVENT_RESTORED))
        channel_hasten(&migration->channel, FALSE);
    /* Or somebody else is to end the pause now; the engine takes QEMU for having been told. */
    if (turns_is_waiting(get_turns(), migration) && !session_holds_callers(migration->session))
        migration_post(migration, EVENT_RESUME_FAILED, 0, "it was paused before its turn came");
    if (type == EVENT_RESUME_FAILED || (now != before && !recovering) ||
        !session_holds_callers(migration->session))
        leave_turn(migration);
}

static void
resume(Migration *migration, guint port)
{
    SessionMemory memory;

    /* The way that the answer came: the paths may be others by now. */
    if (!migration->resume_host)
        return;
    migration->channel.port = migration->resume_port = (guint16)port;
    session_remember(migration->session, &memory);
    if (turns_ask(get_turns(), migration, memory.paused_at_usec))
        command_resume(migration, migration->resume_host, migration->resume_port);
    else
        g_message("migration %s: waits for its turn: as many recover on this host as may at once",
                  migration->id);
}

/* QEMU listens where the source will come, and nowhere else. At the beginning of a pause nobody has
 * asked yet; it listens all the same, while it can be told to (engine/session.c), where the channel
 * was. A source that then asks over another network has it listen anew (run/observe.c). */
static void
arm(Migration *migration, guint port)
{
    const char *host = migration->listen_host;

    if (!host && migration->question)
        host = peer_question_get_local(migration->question);
    if (!host)
        host = migration->local_host;
    command_arm(migration, host, (guint16)port);
}

void
execute_end(Migration *migration)
{
    unwatch(migration);
    leave_turn(migration);
    if (migration->call) {
        peer_call_cancel(migration->call);
        migration->call = NULL;
        migration_unref(migration);
    }
    answer_refuse(migration, "the migration has ended on the destination");
    command_drop_waiting(migration);
    connection_drop(migration);
    start_timer(&migration->state_timer, 0, NULL, migration);
    start_timer(&migration->give_up_timer, 0, NULL, migration);
}

static void
run_job(Migration *migration, EffectType type)
{
    GFunc fn = type == EFFECT_START_POSTCOPY         ? postcopy_start_job
               : type == EFFECT_ABORT                ? outcome_abort_job
               : type == EFFECT_TAKE_BACK            ? takeback_job
               : migration->role == ROLE_DESTINATION ? finish_look_job
                                                     : outcome_look_job;

    host_run(fn, migration_ref(migration));
}

void
execute(Migration *migration, const Effect *effect)
{
    g_debug("migration %s: %s %u", migration->id, effect_type_to_string(effect->type),
            effect->number);
    switch (effect->type) {
    case EFFECT_WATCH:
        watch(migration);
        break;
    case EFFECT_UNWATCH:
        leave_alone(migration);
        break;
    case EFFECT_BREAK_CHANNEL:
        break_channel(migration);
        break;
    case EFFECT_PAUSE:
        command_pause(migration);
        break;
    case EFFECT_ASK_PEER:
        /* Whatever was resumed before has come to nothing. */
        leave_turn(migration);
        ask_peer(migration, effect->number, MESSAGE_RECOVER);
        break;
    case EFFECT_ASK_RUNNING:
    case EFFECT_ASK_RETURN:
        ask_peer(migration, effect->number,
                 effect->type == EFFECT_ASK_RUNNING ? MESSAGE_ASK_RUNNING : MESSAGE_RETURN);
        break;
    case EFFECT_TELL_PEER:
        tell_everywhere(migration, MESSAGE_PAUSED, tell_done);
        break;
    case EFFECT_TELL_ENDING:
        tell_ending(migration);
        break;
    case EFFECT_TELL_ENDED:
        tell_everywhere(migration, MESSAGE_ENDED, ask_done);
        break;
    case EFFECT_RESUME:
        resume(migration, effect->number);
        break;
    case EFFECT_ARM:
        arm(migration, effect->number);
        break;
    case EFFECT_FINISH:
    case EFFECT_CANCEL_FINISH:
        finish(migration, effect->type == EFFECT_FINISH ? finish_job : cancel_finish_job);
        break;
    case EFFECT_START_POSTCOPY:
    case EFFECT_ABORT:
    case EFFECT_TAKE_BACK:
    case EFFECT_LOOK:
        run_job(migration, effect->type);
        break;
    case EFFECT_KEEP_STOPPED:
        host_run(outcome_stop_job, migration_ref(migration));
        break;
    case EFFECT_REPLY_ARMED:
    case EFFECT_REPLY_COMPLETED:
    case EFFECT_REPLY_RETURNED:
    case EFFECT_REPLY_REFUSED:
    case EFFECT_REPLY_RUNNING:
    case EFFECT_REPLY_OVER:
        answer_execute(migration, effect);
        break;
    case EFFECT_START_STATE_TIMER:
        start_timer(&migration->state_timer, effect->number, state_timer_cb, migration);
        break;
    case EFFECT_STOP_STATE_TIMER:
        start_timer(&migration->state_timer, 0, NULL, migration);
        break;
    case EFFECT_START_GIVE_UP_TIMER:
        start_timer(&migration->give_up_timer, effect->number, give_up_timer_cb, migration);
        break;
    case EFFECT_STOP_GIVE_UP_TIMER:
        start_timer(&migration->give_up_timer, 0, NULL, migration);
        break;
    case EFFECT_END:
        execute_end(migration);
        break;
    }
}
