/*
 * session.c: one migration on one host, decided
 *
 * How it works: session_step() looks the event up in the table of transitions.c, lets the row's
 * action work on the session, and enters the row's state; session_enter() is the one place where
 * the state changes. To end a pause the source asks the destination to listen, over one of its
 * addresses after the other, and resumes at the port it is told; the destination only answers.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/end-priv.h"
#include "engine/handover-priv.h"
#include "engine/session-priv.h"

/* Enough for the pauses of a bad night; D-Bus messages and status files stay small. */
#define HISTORY_MAX 64
/* From the switchover until libvirt's Finish some ten milliseconds pass; a client under load, or
 * one far away, gets this long before the destination starts the guest itself. */
#define FINISH_DEADLINE_MS 3000
/* 2^7 times the shortest interval is beyond the longest one of any sane policy. */
#define BACKOFF_SHIFT_MAX 7
/* Between Perform's end and Confirm there is one call to the destination. How often to see whether
 * a client is still there to make it. */
#define LOOK_INTERVAL_MS 2000

Session *
session_new(MigrationRole role,
            const char *id,
            const char *uuid,
            const char *name,
            const Policy *policy,
            guint32 seed,
            gint64 at_usec)
{
    Session *session = g_new0(Session, 1);
    StatusStep first = {.state = STATE_SETUP, .at_usec = at_usec};

    session->role = role;
    session->id = g_strdup(id);
    session->uuid = g_strdup(uuid);
    session->name = g_strdup(name);
    session->peer = g_strdup("");
    session->message = g_strdup("");
    session->hint = g_strdup("");
    session->note = g_strdup("");
    session->policy = policy_ref(policy);
    session->state = STATE_SETUP;
    session->started_at_usec = at_usec;
    session->random = seed;
    session->history = g_array_new(FALSE, TRUE, sizeof(StatusStep));
    session->verdicts = g_ptr_array_new_with_free_func((GDestroyNotify)verdict_unref);
    g_array_append_val(session->history, first);
    return session;
}

void
session_free(Session *session)
{
    if (!session)
        return;
    g_free(session->id);
    g_free(session->uuid);
    g_free(session->name);
    g_free(session->peer);
    g_free(session->message);
    g_free(session->hint);
    g_free(session->note);
    policy_unref(session->policy);
    g_array_unref(session->history);
    g_ptr_array_unref(session->verdicts);
    g_free(session);
}

void
session_note(Session *session)
{
    StatusStep step = {
        .state = session->state,
        .reason = session->reason,
        .at_usec = session->now_usec,
    };

    if (session->history->len == HISTORY_MAX)
        g_array_remove_index(session->history, 0);
    g_array_append_val(session->history, step);
}

void
session_remember(const Session *session, SessionMemory *memory)
{
    *memory = (SessionMemory){
        .state = session->state,
        .reason = session->reason,
        .wanted = session->wanted,
        .gave_up = session->gave_up,
        .finish_called = session->finish_called,
        .running = session->running,
        .started = session->started,
        .may_have_run = session->may_have_run,
        .taken_back = session->taken_back,
        .untold = session->untold,
        .unsettled = session->unsettled,
        .ending = session->ending,
        .to_stop = session->to_stop,
        .arming = session->arming_port != 0,
        .armed_port = session->arming_port ? session->arming_port : session->armed_port,
        .pauses = session->pauses,
        .recoveries = session->recoveries,
        .attempts = session->attempts,
        .started_at_usec = session->started_at_usec,
        .paused_at_usec = session->paused_at_usec,
        .paused_usec = session->paused_usec,
        .last_outage_usec = session->last_outage_usec,
    };
}

void
session_restore(Session *session, const SessionMemory *memory, gint64 at_usec)
{
    session->state = memory->state;
    session->reason = memory->reason;
    session->wanted = memory->wanted;
    session->gave_up = memory->gave_up;
    session->running = memory->running;
    session->restored = TRUE;
    session->started = memory->started;
    /* Whoever was about to start it went with the daemon, and may have done so. */
    session->may_have_run = memory->may_have_run ||
                            (memory->finish_called && migration_state_is_postcopy(memory->state));
    session->taken_back = memory->taken_back;
    session->untold = memory->untold;
    session->unsettled = memory->unsettled;
    end_restore(session, memory);
    /* Whoever was at it went with the daemon. Before postcopy libvirt settles what is left of it.
     */
    session->finish_called =
        memory->finish_called && (memory->started || !migration_state_is_postcopy(memory->state));
    session->armed_port = memory->armed_port;
    session->pauses = memory->pauses;
    session->recoveries = memory->recoveries;
    session->attempts = memory->attempts;
    session->started_at_usec = memory->started_at_usec;
    session->paused_at_usec = memory->paused_at_usec;
    session->paused_usec = memory->paused_usec;
    session->last_outage_usec = memory->last_outage_usec;
    session->now_usec = at_usec;
    g_array_index(session->history, StatusStep, 0).at_usec = memory->started_at_usec;
    if (session->state != STATE_SETUP)
        session_note(session);
}

void
session_set_peer(Session *session, const char *peer, guint paths)
{
    g_free(session->peer);
    session->peer = g_strdup(peer);
    session->paths = paths;
    if (session->path >= paths)
        session->path = 0;
}

static void
set_text(Session *session, char **text, const char *value)
{
    if (g_str_equal(*text, value))
        return;
    g_free(*text);
    *text = g_strdup(value);
    session->changed = TRUE;
}

void
session_set_message(Session *session, const char *message)
{
    if (!*session->message)
        set_text(session, &session->message, message);
}

void
session_set_hint(Session *session, const char *hint)
{
    set_text(session, &session->hint, hint);
}

void
session_set_note(Session *session, const char *note)
{
    set_text(session, &session->note, note);
}

void
session_emit(Session *session, EffectType type, guint number, const char *text)
{
    Effect effect = {.type = type, .number = number, .text = text};

    g_array_append_val(session->effects, effect);
}

gboolean
session_recovers_itself(const Session *session)
{
    if (session->paths == 0)
        return FALSE;
    if (session->wanted)
        return TRUE;
    return session->policy->recovery_mode == POLICY_RECOVERY_AUTO && !session->gave_up &&
           session->reason != REASON_OPERATOR;
}

/* A linear congruential step (Numerical Recipes): deterministic, and good enough to spread hosts
 * that all lost the same switch. Returns 75 % to 125 % of the interval. */
static guint
jitter(Session *session, guint interval_ms)
{
    session->random = session->random * 1664525u + 1013904223u;
    return interval_ms * 3 / 4 + (guint)((guint64)interval_ms * (session->random >> 16) / 131072u);
}

guint
session_get_backoff_ms(Session *session)
{
    guint shift = MIN(session->failures - 1, BACKOFF_SHIFT_MAX);
    guint64 interval_ms = (guint64)session->policy->min_interval_ms << shift;

    return jitter(session, MIN(interval_ms, session->policy->max_interval_ms));
}

static void
set_next_attempt(Session *session, gint64 at_usec)
{
    if (session->next_attempt_at_usec != at_usec) {
        session->next_attempt_at_usec = at_usec;
        session->changed = TRUE;
    }
}

/* Nothing happens by itself: a person, or the other host, ends the pause. */
static void
rest(Session *session)
{
    set_next_attempt(session, 0);
    session_emit(session, EFFECT_STOP_STATE_TIMER, 0, NULL);
    if (session->role == ROLE_SOURCE && session->reason == REASON_OPERATOR)
        session_emit(session, EFFECT_TELL_PEER, 0, NULL);
}

void
session_arm(Session *session, guint port)
{
    if (session->arming)
        return;
    session->arming = TRUE;
    session_emit(session, EFFECT_ARM, port, NULL);
}

void
session_ask(Session *session)
{
    if (!session_recovers_itself(session)) {
        rest(session);
        return;
    }
    set_next_attempt(session, 0);
    session_emit(session, EFFECT_ASK_PEER, session->path, NULL);
    session_emit(session, EFFECT_START_STATE_TIMER, SESSION_ASK_DEADLINE_MS, NULL);
}

void
session_ask_later(Session *session)
{
    guint wait_ms;

    if (!session_recovers_itself(session)) {
        rest(session);
        return;
    }
    session->path = (session->path + 1) % session->paths;
    wait_ms = session_get_backoff_ms(session);
    session_emit(session, EFFECT_START_STATE_TIMER, wait_ms, NULL);
    set_next_attempt(session, session->now_usec + (gint64)wait_ms * 1000);
}

void
session_ask_running(Session *session)
{
    session_emit(session, EFFECT_ASK_RUNNING, session->path, NULL);
    session_emit(session, EFFECT_START_STATE_TIMER, SESSION_ASK_DEADLINE_MS, NULL);
}

void
session_reply_running(Session *session)
{
    if (session->running_asked)
        session_emit(session, EFFECT_REPLY_RUNNING, 0, NULL);
    session->running_asked = FALSE;
}

void
session_ask_return(Session *session)
{
    session_emit(session, EFFECT_ASK_RETURN, session->path, NULL);
    session_emit(session, EFFECT_START_STATE_TIMER, SESSION_ASK_DEADLINE_MS, NULL);
}

static void
begin_pause(Session *session)
{
    guint give_up_s = session->policy->give_up_s;

    session->paused_at_usec = session->now_usec;
    session->pauses++;
    session->attempts = 0;
    session->failures = 0;
    session->wanted = FALSE;
    session->gave_up = FALSE;
    session->reason = session->pending_reason;
    /* Nobody announced it: QEMU itself met an error on the channel. The destination cannot tell
     * that from a person's pause at the source until the source says so. */
    if (session->reason == REASON_NONE)
        session->reason = REASON_IO_ERROR;
    if (give_up_s != POLICY_NEVER && session_recovers_itself(session))
        session_emit(session, EFFECT_START_GIVE_UP_TIMER, give_up_s * 1000, NULL);
}

static void
end_pause(Session *session)
{
    if (!session->paused_at_usec)
        return;
    session->last_outage_usec = MAX(session->now_usec - session->paused_at_usec, 0);
    session->paused_usec += session->last_outage_usec;
    session->paused_at_usec = 0;
    session->next_attempt_at_usec = 0;
    session->recoveries++;
    session_set_hint(session, "");
    session_emit(session, EFFECT_STOP_GIVE_UP_TIMER, 0, NULL);
}

/* Whoever asked for the end of this pause before has been overruled. */
void
session_pause_by_person(Session *session)
{
    session->reason = REASON_OPERATOR;
    session->wanted = FALSE;
}

static void
enter_paused(Session *session, MigrationState from)
{
    session_emit(session, EFFECT_UNWATCH, 0, NULL);
    /* A destination that has not run does not pause, it fails; the source will hear of that. */
    session->running = TRUE;
    session_reply_running(session);
    if (from == STATE_POSTCOPY_ACTIVE)
        begin_pause(session);
    else if (session->pending_reason == REASON_OPERATOR)
        session_pause_by_person(session);
    session->pending_reason = REASON_NONE;

    session->armed_port = 0;
    session->armed_used = FALSE;
    session->remains_kib = 0;
    session->ending = FALSE;

    if (session->role == ROLE_DESTINATION) {
        /* At once, asked or not: later QEMU's main loop may be waiting for a missing page, and a
         * daemon that was restarted meanwhile could not reach it any more. */
        session->arming = FALSE;
        session->arming_port = 0;
        session_arm(session, session->arm_asked ? session->arm_port : 0);
    } else if (from == STATE_POSTCOPY_ACTIVE) {
        session_ask(session);
    } else {
        session->failures++;
        session_ask_later(session);
    }
}

gboolean
session_may_break(const Session *session)
{
    return session->running;
}

/* With the event postcopy-active QEMU has the devices' state and the order to run in its memory
 * (loadvm_handle_cmd_packaged(), migration/savevm.c, QEMU 10.0) and needs some ten milliseconds for
 * them; or it waits for a page, with its main loop, which the channel alone can bring. Where the
 * source has lost that, waiting longer helps nobody: a destination that has its order pauses, and
 * says nothing of it while its main loop waits. */
#define LOAD_USEC (2 * G_USEC_PER_SEC)

gboolean
session_has_loaded(const Session *session)
{
    const StatusStep *last =
        &g_array_index(session->history, StatusStep, session->history->len - 1);

    return session->now_usec - last->at_usec >= LOAD_USEC;
}

/* Where nobody can resume, and where a break would lose the guest, a channel that TCP may still
 * save is left alone. */
void
session_watch(Session *session)
{
    if (session->paths > 0 && session_may_break(session) && !session->ending)
        session_emit(session, EFFECT_WATCH, 0, NULL);
}

void
session_attend(Session *session)
{
    switch (session->state) {
    case STATE_PRECOPY_ACTIVE:
        session_switch_attend(session);
        break;
    case STATE_SWITCHOVER:
        if (session->role == ROLE_SOURCE && session->return_wanted)
            session_ask_return(session);
        else if (session->role == ROLE_SOURCE && session->paths > 0)
            session_emit(session, EFFECT_START_STATE_TIMER, LOOK_INTERVAL_MS, NULL);
        break;
    case STATE_POSTCOPY_ACTIVE:
        if (session->role == ROLE_DESTINATION && !session->finish_called && !session->started)
            session_emit(session, EFFECT_START_STATE_TIMER, FINISH_DEADLINE_MS, NULL);
        if (session->role == ROLE_SOURCE && session->paths > 0 && !session->running)
            session_ask_running(session);
        session_watch(session);
        break;
    case STATE_POSTCOPY_RECOVER_SETUP:
    case STATE_POSTCOPY_RECOVER:
        session_emit(session, EFFECT_START_STATE_TIMER, state_traits[session->state].deadline_ms,
                     NULL);
        session_watch(session);
        break;
    case STATE_POSTCOPY_PAUSED:
        if (session->role == ROLE_SOURCE)
            session_ask(session);
        else if (!session->armed_port)
            session_arm(session, 0);
        break;
    default:
        break;
    }
}

/* A person paused the migration while QEMU was being told to resume: it is paused again. */
static void
pause_overtaken(Session *session)
{
    Event requested = {.type = EVENT_PAUSE_REQUESTED, .at_usec = session->now_usec, .number = 1};

    if (session->role == ROLE_SOURCE && session_is_pausing(session))
        transition_find(session->role, session->state, requested.type)->action(session, &requested);
}

/* The one place where the state changes. */
void
session_enter(Session *session, MigrationState to)
{
    MigrationState from = session->state;

    session->state = to;
    session->resuming = FALSE;
    session->changed = TRUE;
    session_emit(session, EFFECT_STOP_STATE_TIMER, 0, NULL);

    switch (to) {
    case STATE_POSTCOPY_PAUSED:
        enter_paused(session, from);
        break;
    case STATE_PRECOPY_ACTIVE:
        session_attend(session);
        break;
    case STATE_SWITCHOVER:
    case STATE_POSTCOPY_RECOVER_SETUP:
    case STATE_POSTCOPY_RECOVER:
        session_attend(session);
        pause_overtaken(session);
        break;
    case STATE_POSTCOPY_ACTIVE:
        end_pause(session);
        session->reason = REASON_NONE;
        session->arm_asked = FALSE;
        session_attend(session);
        pause_overtaken(session);
        break;
    case STATE_COMPLETED:
    case STATE_FAILED:
    case STATE_CANCELLED:
        if (to == STATE_COMPLETED)
            end_pause(session);
        session->reason = REASON_NONE;
        session->pending_reason = REASON_NONE;
        session->next_attempt_at_usec = 0;
        session_emit(session, EFFECT_UNWATCH, 0, NULL);
        session_emit(session, EFFECT_STOP_GIVE_UP_TIMER, 0, NULL);
        session_emit(session, EFFECT_END, 0, NULL);
        handover_end(session, from);
        break;
    default:
        break;
    }
    session_note(session);
}

gboolean
session_step(Session *session, const Event *event, GArray *effects)
{
    const Transition *row = transition_find(session->role, session->state, event->type);

    if (!row)
        return FALSE;
    session->effects = effects;
    session->now_usec = event->at_usec;
    session->changed = FALSE;
    session->stays = FALSE;
    if (row->action)
        row->action(session, event);
    if (row->to != STATE_SAME && row->to != session->state && !session->stays)
        session_enter(session, row->to);
    session->effects = NULL;
    return session->changed;
}

MigrationState
session_get_state(const Session *session)
{
    return session->state;
}

PauseReason
session_get_reason(const Session *session)
{
    return session->reason;
}

/* A failed migration belongs to whom the state before had given it. */
MigrationOwner
session_get_owner(const Session *session)
{
    for (guint i = session->history->len; i-- > 0;) {
        MigrationState state = g_array_index(session->history, StatusStep, i).state;

        if (state != STATE_FAILED)
            return migration_state_is_postcopy(state) ? OWNER_DESTINATION
                   : session->state == STATE_FAILED   ? OWNER_SOURCE
                                                      : state_traits[state].owner;
    }
    return OWNER_SOURCE;
}

gboolean
session_may_have_run(const Session *session)
{
    return session->started || session->may_have_run || session->state == STATE_COMPLETED;
}

const Policy *
session_get_policy(const Session *session)
{
    return session->policy;
}

gboolean
session_wants_return(const Session *session)
{
    return session->return_wanted && session->state == STATE_SWITCHOVER;
}

gboolean
session_holds_callers(const Session *session)
{
    return !migration_state_is_terminal(session->state) &&
           (session_wants_return(session) || session_recovers_itself(session));
}

gboolean
session_is_pausing(const Session *session)
{
    return session->pending_reason == REASON_OPERATOR;
}
