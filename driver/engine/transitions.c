/*
 * transitions.c: the table of what may happen to a migration
 *
 * One row says: in these roles and states, this event leads there, after this action. The first row
 * that fits counts; an event without a row changes nothing. What happens on arrival in a state,
 * whatever led there, is in session.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/end-priv.h"
#include "engine/handover-priv.h"
#include "engine/session-priv.h"

#define SOURCE      (1u << ROLE_SOURCE)
#define DESTINATION (1u << ROLE_DESTINATION)
#define BOTH        (SOURCE | DESTINATION)

#define S(state)   (1u << STATE_##state)
#define PRECOPY    (S(SETUP) | S(PRECOPY_ACTIVE) | S(SWITCHOVER))
#define RECOVERING (S(POSTCOPY_RECOVER_SETUP) | S(POSTCOPY_RECOVER))
#define CHANNEL    (S(POSTCOPY_ACTIVE) | RECOVERING)
#define POSTCOPY   (CHANNEL | S(POSTCOPY_PAUSED))
#define OVER       (S(COMPLETED) | S(FAILED) | S(CANCELLED))
#define ALIVE      (PRECOPY | POSTCOPY)

/* A handshake of two QEMUs on a working network takes some ten milliseconds; one that takes this
 * long has met a stray connection or a network that broke again (QEMU's own tests call it a double
 * failure) and is kicked. */
#define RECOVER_DEADLINE_MS SESSION_RECOVER_DEADLINE_MS
/* A recovery that a person pauses is kicked this often until QEMU lets go of it: it may be between
 * two connections, where there is nothing to break and migrate-pause is refused
 * (migration_postcopy_is_alive(), migration/migration.c, QEMU 10.0). */
#define PAUSE_AGAIN_MS 250

/* clang-format off */
const StateTraits state_traits[STATE_LAST] = {
    /*                                 who may run the guest  deadline */
    [STATE_SETUP]                  = { OWNER_SOURCE,          0 },
    [STATE_PRECOPY_ACTIVE]         = { OWNER_SOURCE,          0 },
    [STATE_SWITCHOVER]             = { OWNER_NOBODY,          0 },
    [STATE_POSTCOPY_ACTIVE]        = { OWNER_DESTINATION,     0 },
    [STATE_POSTCOPY_PAUSED]        = { OWNER_DESTINATION,     0 },
    [STATE_POSTCOPY_RECOVER_SETUP] = { OWNER_DESTINATION,     RECOVER_DEADLINE_MS },
    [STATE_POSTCOPY_RECOVER]       = { OWNER_DESTINATION,     RECOVER_DEADLINE_MS },
    [STATE_COMPLETED]              = { OWNER_DESTINATION,     0 },
    [STATE_FAILED]                 = { OWNER_SOURCE,          0 }, /* or as the state before left it */
    [STATE_CANCELLED]              = { OWNER_SOURCE,          0 },
};
/* clang-format on */

static void
keep_message(Session *session, const Event *event)
{
    if (event->text)
        session_set_message(session, event->text);
}

/* QEMU has been told to cancel, and says no more than that it has; the calls know why. The last one
 * knows best: it looks at what the others met. */
static void
take_message(Session *session, const Event *event)
{
    if (!event->text || g_str_equal(session->message, event->text))
        return;
    g_free(session->message);
    session->message = g_strdup(event->text);
    session->changed = TRUE;
}

/* The guest has run on the destination, and QEMU runs it here again (migration_iteration_finish(),
 * migration/migration.c, QEMU 10.0), at once and once. A person who does so later knows why. */
static void
failed_at_source(Session *session, const Event *event)
{
    if (handover_goes_on_here(session))
        return;
    keep_message(session, event);
    end_keep_stopped(session);
}

static void
link_silent(Session *session, const Event *event)
{
    if (session->ending)
        return;
    if (session->pending_reason != REASON_OPERATOR)
        session->pending_reason = REASON_NETWORK;
    session_emit(session, EFFECT_BREAK_CHANNEL, 0, NULL);
}

/* The state outlived its deadline: kick the channel, and again if the kick does not help. */
static void
kick(Session *session, const Event *event)
{
    session_emit(session, EFFECT_BREAK_CHANNEL, 0, NULL);
    session_emit(session, EFFECT_START_STATE_TIMER,
                 session_is_pausing(session) ? PAUSE_AGAIN_MS : RECOVER_DEADLINE_MS, NULL);
}

static void
announce_pause(Session *session)
{
    session->pending_reason = REASON_OPERATOR;
    session->changed = TRUE;
}

/* number: 1 if nobody else carries the pause out */
static void
pause_active(Session *session, const Event *event)
{
    announce_pause(session);
    if (event->number)
        session_emit(session, EFFECT_PAUSE, 0, NULL);
}

/* Nobody but us can carry this one out: QEMU refuses migrate-pause until it is connected. */
static void
pause_recovering(Session *session, const Event *event)
{
    announce_pause(session);
    kick(session, event);
}

/* The network was faster: the pause becomes the person's, and nothing resumes by itself. What is
 * on its way to QEMU already is undone when it gets there. */
static void
pause_paused(Session *session, const Event *event)
{
    gboolean was_persons = session->reason == REASON_OPERATOR;

    session_pause_by_person(session);
    if (!was_persons)
        session_note(session);
    if (session->resuming)
        announce_pause(session);
    session->changed = TRUE;
    if (session->role == ROLE_SOURCE)
        session_ask(session);
}

static void
pause_withdrawn(Session *session, const Event *event)
{
    if (!session_is_pausing(session))
        return;
    session->pending_reason = REASON_NONE;
    session->changed = TRUE;
}

static void
recover_requested(Session *session, const Event *event)
{
    session->wanted = TRUE;
    session->gave_up = FALSE;
    session->pending_reason = REASON_NONE;
    session->failures = 0;
    session->path = 0;
    session->changed = TRUE;
    session_ask(session);
}

static void
retry(Session *session, const Event *event)
{
    session_ask(session);
}

static void
peer_armed(Session *session, const Event *event)
{
    /* A person paused the migration while the question was on its way. */
    if (!session_recovers_itself(session))
        return;
    session->attempts++;
    session->resuming = TRUE;
    session->changed = TRUE;
    session_emit(session, EFFECT_RESUME, event->number, NULL);
    /* QEMU's events follow within milliseconds; without them the question is put again. */
    session_emit(session, EFFECT_START_STATE_TIMER, RECOVER_DEADLINE_MS, NULL);
}

static void
peer_refused(Session *session, const Event *event)
{
    if (!session_recovers_itself(session))
        return;
    session->attempts++;
    session->failures++;
    session->changed = TRUE;
    session_set_hint(session, event->text ? event->text : "");
    session_ask_later(session);
}

static void
resume_failed(Session *session, const Event *event)
{
    session->resuming = FALSE;
    pause_withdrawn(session, event);
    peer_refused(session, event);
}

/* The other host cannot be reached, over any address: try soon again. This costs one SYN, and how
 * soon we notice that the network is back hangs on it, so it knows no back-off. */
static void
peer_unreachable(Session *session, const Event *event)
{
    if (session_recovers_itself(session))
        session_emit(session, EFFECT_START_STATE_TIMER, session->policy->min_interval_ms, NULL);
}

static void
reply_armed(Session *session)
{
    session->armed_used = TRUE;
    session->arm_asked = FALSE;
    session->arm_port = 0;
    session_emit(session, EFFECT_REPLY_ARMED, session->armed_port, NULL);
}

/* A port that was given out once and not come to anything is given up for a fresh one: somebody
 * else may have taken a channel's place on it. */
static void
arm(Session *session, const Event *event)
{
    session->wanted = TRUE;
    session->changed = TRUE;
    if (session->armed_port && !session->armed_used && !session->arming &&
        (event->number == 0 || event->number == session->armed_port)) {
        reply_armed(session);
        return;
    }
    session->arm_asked = TRUE;
    session->arm_port = event->number;
    session_arm(session, event->number);
}

static void
reply_completed(Session *session, const Event *event)
{
    session_emit(session, EFFECT_REPLY_COMPLETED, 0, NULL);
}

/* The source has lost a channel that still looks alive from here. */
static void
arm_after_break(Session *session, const Event *event)
{
    if (session->received) {
        reply_completed(session, event);
        return;
    }
    if (!session_may_break(session) && !session_has_loaded(session)) {
        session_emit(session, EFFECT_REPLY_REFUSED, 0, "the guest does not run there yet");
        return;
    }
    session->arm_asked = TRUE;
    session->arm_port = event->number;
    if (session->pending_reason == REASON_NONE)
        session->pending_reason = REASON_NETWORK;
    session_emit(session, EFFECT_BREAK_CHANNEL, 0, NULL);
}

/* Known before QEMU is told, so that a daemon that is killed before it has the answer leaves it
 * behind: QEMU's main loop may wait for a page by then, and answer nobody who would ask. */
static void
arming(Session *session, const Event *event)
{
    session->arming_port = event->number;
    session->changed = TRUE;
}

static void
end_arming(Session *session)
{
    session->arming = FALSE;
    session->changed |= session->arming_port != 0;
    session->arming_port = 0;
}

static void
armed(Session *session, const Event *event)
{
    end_arming(session);
    session->armed_port = event->number;
    session->armed_used = FALSE;
    session->changed = TRUE;
    if (!session->arm_asked)
        return;
    /* It was told to listen anywhere before the source asked for one port. */
    if (session->arm_port && session->arm_port != event->number)
        session_arm(session, session->arm_port);
    else
        reply_armed(session);
}

/* The port is given up, as one that was given out in vain. */
static void
armed_elsewhere(Session *session, const Event *event)
{
    if (event->number) {
        end_arming(session);
        session->armed_port = event->number;
        session->changed = TRUE;
    }
    session->armed_used = TRUE;
    if (session->arm_asked)
        session_arm(session, session->arm_port);
}

static void
arm_failed(Session *session, const Event *event)
{
    end_arming(session);
    if (!session->arm_asked)
        return;
    /* It listens where it did before: better than nothing. Unless that has been tried: then it may
     * not be paused at all, but have recovered while nobody looked, and lost its channel since. */
    if (session->armed_port) {
        if (session->armed_used)
            session_emit(session, EFFECT_BREAK_CHANNEL, 0, NULL);
        reply_armed(session);
        return;
    }
    session_emit(session, EFFECT_REPLY_REFUSED, 0, event->text);
    session->arm_asked = FALSE;
}

static void
reply_over(Session *session, const Event *event)
{
    session_emit(session, EFFECT_REPLY_OVER, 0, "the migration has failed on the destination");
}

/* Not before it runs: the source learns it within the time of one packet. */
static void
asked_running(Session *session, const Event *event)
{
    session->running_asked = TRUE;
    if (session->running)
        session_reply_running(session);
}

/* From now on a break of the channel is a pause. */
void
session_runs(Session *session)
{
    if (session->running)
        return;
    session->running = TRUE;
    session->changed = TRUE;
    session_watch(session);
    session_reply_running(session);
}

static void
peer_runs(Session *session, const Event *event)
{
    session_emit(session, EFFECT_STOP_STATE_TIMER, 0, NULL);
    session_runs(session);
}

static void
ask_running(Session *session, const Event *event)
{
    if (!session->running)
        session_ask_running(session);
}

static void
restored(Session *session, const Event *event)
{
    session_attend(session);
}

static void
peer_paused_active(Session *session, const Event *event)
{
    announce_pause(session);
    if (session_may_break(session))
        session_emit(session, EFFECT_BREAK_CHANNEL, 0, NULL);
}

static void
give_up(Session *session, const Event *event)
{
    session->gave_up = TRUE;
    session->wanted = FALSE;
    session->changed = TRUE;
    if (session->role == ROLE_SOURCE)
        session_ask(session);
}

static void
source_lost(Session *session, const Event *event)
{
    session_set_message(
        session, "the source's QEMU ended while the destination still needed memory from it");
}

static void
destination_lost(Session *session, const Event *event)
{
    keep_message(session, event);
    handover_gone(session, event);
}

static void
source_paused(Session *session, const Event *event)
{
    handover_goes_on_here(session);
}

/* clang-format off */
const Transition transitions[] = {
    /* roles        from                  event                              to                            action */

    /* QEMU tells how far it is */
    { BOTH,        S(SETUP),              EVENT_QEMU_ACTIVE,                 STATE_PRECOPY_ACTIVE,         NULL },
    { BOTH,        PRECOPY,               EVENT_QEMU_PRE_SWITCHOVER,         STATE_SWITCHOVER,             NULL },
    { BOTH,        PRECOPY,               EVENT_QEMU_DEVICE,                 STATE_SWITCHOVER,             NULL },
    { BOTH,        PRECOPY,               EVENT_QEMU_POSTCOPY_ACTIVE,        STATE_POSTCOPY_ACTIVE,        NULL },
    /* In precopy `completed` is QEMU's word alone: whether the guest runs on the destination is
     * known when Finish has started it. */
    { BOTH,        PRECOPY,               EVENT_QEMU_COMPLETED,              STATE_SWITCHOVER,             NULL },
    { BOTH,        PRECOPY,               EVENT_QEMU_FAILED,                 STATE_FAILED,                 keep_message },
    { BOTH,        PRECOPY,               EVENT_QEMU_CANCELLED,              STATE_CANCELLED,              NULL },
    { SOURCE,      CHANNEL,               EVENT_QEMU_POSTCOPY_PAUSED,        STATE_POSTCOPY_PAUSED,        source_paused },
    { DESTINATION, CHANNEL,               EVENT_QEMU_POSTCOPY_PAUSED,        STATE_POSTCOPY_PAUSED,        NULL },
    { BOTH,        S(POSTCOPY_PAUSED),    EVENT_QEMU_POSTCOPY_RECOVER_SETUP, STATE_POSTCOPY_RECOVER_SETUP, NULL },
    { BOTH,        S(POSTCOPY_PAUSED) | S(POSTCOPY_RECOVER_SETUP),
                                          EVENT_QEMU_POSTCOPY_RECOVER,       STATE_POSTCOPY_RECOVER,       NULL },
    { BOTH,        S(POSTCOPY_PAUSED) | RECOVERING,
                                          EVENT_QEMU_POSTCOPY_ACTIVE,        STATE_POSTCOPY_ACTIVE,        NULL },
    { SOURCE,      POSTCOPY,              EVENT_QEMU_COMPLETED,              STATE_COMPLETED,              NULL },
    { DESTINATION, POSTCOPY,              EVENT_QEMU_COMPLETED,              STATE_COMPLETED,              handover_received },
    { SOURCE,      POSTCOPY,              EVENT_QEMU_FAILED,                 STATE_FAILED,                 failed_at_source },
    { SOURCE,      S(FAILED),             EVENT_QEMU_RESUME,                 STATE_SAME,                   end_runs_again },
    { SOURCE,      S(FAILED),             EVENT_KEPT_STOPPED,                STATE_SAME,                   end_kept_stopped },
    { DESTINATION, POSTCOPY,              EVENT_QEMU_FAILED,                 STATE_FAILED,                 keep_message },
    { BOTH,        PRECOPY,               EVENT_QEMU_GONE,                   STATE_FAILED,                 keep_message },
    { SOURCE,      POSTCOPY,              EVENT_QEMU_GONE,                   STATE_FAILED,                 source_lost },
    { DESTINATION, POSTCOPY,              EVENT_QEMU_GONE,                   STATE_FAILED,                 destination_lost },
    { DESTINATION, S(FAILED) | S(CANCELLED),
                                          EVENT_QEMU_GONE,                   STATE_SAME,                   handover_gone },

    /* the channel */
    { SOURCE,      S(POSTCOPY_ACTIVE),    EVENT_REMAINS,                     STATE_SAME,                   end_remains },
    { DESTINATION, S(POSTCOPY_ACTIVE),    EVENT_PEER_ENDING,                 STATE_SAME,                   end_is_near },
    /* a recovery that nobody has seen here: the source is through with it */
    { DESTINATION, RECOVERING,            EVENT_PEER_ENDING,                 STATE_POSTCOPY_ACTIVE,        end_is_near },
    { BOTH,        CHANNEL,               EVENT_LINK_SILENT,                 STATE_SAME,                   link_silent },
    { BOTH,        RECOVERING,            EVENT_TIMER_STATE,                 STATE_SAME,                   kick },

    /* libvirt's calls. A failed call ends what has not reached postcopy; in postcopy only QEMU
     * ends it. */
    { BOTH,        ALIVE,                 EVENT_CALL_COMPLETED,              STATE_COMPLETED,              NULL },
    { BOTH,        PRECOPY,               EVENT_CALL_FAILED,                 STATE_FAILED,                 keep_message },
    { BOTH,        S(FAILED),             EVENT_CALL_FAILED,                 STATE_SAME,                   keep_message },
    { BOTH,        S(CANCELLED),          EVENT_CALL_FAILED,                 STATE_SAME,                   take_message },
    { BOTH,        PRECOPY,               EVENT_CALL_CANCELLED,              STATE_CANCELLED,              keep_message },

    { DESTINATION, ALIVE,                 EVENT_FINISH_CALLED,               STATE_SAME,                   handover_finish_called },
    { DESTINATION, POSTCOPY,              EVENT_FINISH_FAILED,               STATE_SAME,                   handover_finish_failed },
    { DESTINATION, S(POSTCOPY_ACTIVE),    EVENT_TIMER_STATE,                 STATE_SAME,                   handover_finish_overdue },
    { DESTINATION, PRECOPY,               EVENT_GUEST_STARTED,               STATE_COMPLETED,              NULL },
    { DESTINATION, POSTCOPY,              EVENT_GUEST_STARTED,               STATE_COMPLETED,              handover_line_drawn },

    /* the policy's switch to postcopy */
    { SOURCE,      S(SETUP),              EVENT_POSTCOPY_ON,                 STATE_SAME,                   session_switch_on },
    { SOURCE,      S(PRECOPY_ACTIVE),     EVENT_QEMU_PASS,                   STATE_SAME,                   session_switch_pass },
    { SOURCE,      S(PRECOPY_ACTIVE),     EVENT_TIMER_STATE,                 STATE_SAME,                   session_switch_due },
    { SOURCE,      S(PRECOPY_ACTIVE),     EVENT_SWITCH_FAILED,               STATE_SAME,                   session_switch_failed },

    { SOURCE,      S(SETUP) | S(PRECOPY_ACTIVE),
                                          EVENT_DAEMON_STOPS,                STATE_SAME,                   handover_abort_precopy },

    /* Precopy has ended, and the word that the guest was started is missing: the source asks ... */
    { SOURCE,      PRECOPY,               EVENT_RETURN_REQUESTED,            STATE_SWITCHOVER,             handover_return_requested },
    { SOURCE,      S(SWITCHOVER),         EVENT_TIMER_STATE,                 STATE_SAME,                   handover_switchover_lasts },
    { SOURCE,      S(SWITCHOVER),         EVENT_PEER_COMPLETED,              STATE_COMPLETED,              NULL },
    { SOURCE,      S(SWITCHOVER),         EVENT_PEER_RETURNED,               STATE_CANCELLED,              NULL },
    { SOURCE,      S(SWITCHOVER),         EVENT_PEER_REFUSED,                STATE_SAME,                   handover_return_unanswered },
    { SOURCE,      S(SWITCHOVER),         EVENT_PEER_UNREACHABLE,            STATE_SAME,                   handover_return_unanswered },
    /* ... and the destination answers */
    { DESTINATION, PRECOPY,               EVENT_PEER_RETURN,                 STATE_SAME,                   handover_cancel_finish },
    { DESTINATION, POSTCOPY,              EVENT_PEER_RETURN,                 STATE_SAME,                   handover_reply_postcopy },
    { DESTINATION, S(COMPLETED),          EVENT_PEER_RETURN,                 STATE_SAME,                   reply_completed },
    { DESTINATION, S(FAILED) | S(CANCELLED),
                                          EVENT_PEER_RETURN,                 STATE_SAME,                   handover_reply_returned },

    /* whether the guest runs on the destination: only then may the channel be broken */
    { DESTINATION, POSTCOPY,              EVENT_QEMU_RESUME,                 STATE_COMPLETED,              handover_guest_runs },
    { DESTINATION, ALIVE,                 EVENT_PEER_ASKS_RUNNING,           STATE_SAME,                   asked_running },
    { DESTINATION, S(COMPLETED),          EVENT_PEER_ASKS_RUNNING,           STATE_SAME,                   reply_completed },
    { DESTINATION, S(FAILED) | S(CANCELLED),
                                          EVENT_PEER_ASKS_RUNNING,           STATE_SAME,                   handover_reply_ended },
    { SOURCE,      S(POSTCOPY_ACTIVE),    EVENT_PEER_RUNNING,                STATE_SAME,                   peer_runs },
    { SOURCE,      S(POSTCOPY_ACTIVE),    EVENT_PEER_COMPLETED,              STATE_SAME,                   peer_runs },
    { SOURCE,      S(POSTCOPY_ACTIVE),    EVENT_PEER_REFUSED,                STATE_SAME,                   handover_ask_again },
    { SOURCE,      S(POSTCOPY_ACTIVE),    EVENT_PEER_UNREACHABLE,            STATE_SAME,                   handover_ask_again },
    { SOURCE,      S(POSTCOPY_ACTIVE),    EVENT_TIMER_STATE,                 STATE_SAME,                   ask_running },
    { SOURCE,      S(POSTCOPY_ACTIVE) | S(POSTCOPY_PAUSED),
                                          EVENT_PEER_OVER,                   STATE_FAILED,                 keep_message },

    /* a destination that has ended before it ran the guest, which then goes on here */
    { DESTINATION, S(FAILED),             EVENT_QEMU_RESUME,                 STATE_SAME,                   handover_runs_after_all },
    { DESTINATION, S(FAILED),             EVENT_GUEST_STARTED,               STATE_SAME,                   handover_runs_after_all },
    { SOURCE,      S(POSTCOPY_ACTIVE),    EVENT_PEER_RETURNED,               STATE_SAME,                   handover_returned },
    { SOURCE,      S(POSTCOPY_PAUSED),    EVENT_PEER_RETURNED,               STATE_CANCELLED,              handover_take_back },
    { SOURCE,      S(CANCELLED),          EVENT_TAKEN_BACK,                  STATE_SAME,                   handover_taken_back },
    { SOURCE,      S(CANCELLED),          EVENT_RESTORED,                    STATE_SAME,                   handover_take_back_again },

    { SOURCE,      OVER,                  EVENT_SETTLED,                     STATE_SAME,                   handover_settled },

    /* a source that has ended tells a destination that may wait for it, until that knows */
    { SOURCE,      S(FAILED) | S(COMPLETED),
                                          EVENT_TIMER_STATE,                 STATE_SAME,                   handover_tell_ended },
    { SOURCE,      S(FAILED),             EVENT_RESTORED,                    STATE_SAME,                   end_restored },
    { SOURCE,      S(COMPLETED),          EVENT_RESTORED,                    STATE_SAME,                   handover_tell_ended },
    { SOURCE,      S(FAILED) | S(COMPLETED),
                                          EVENT_PEER_REFUSED,                STATE_SAME,                   handover_ended_untold },
    { SOURCE,      S(FAILED) | S(COMPLETED),
                                          EVENT_PEER_UNREACHABLE,            STATE_SAME,                   handover_ended_untold },
    { SOURCE,      S(FAILED) | S(COMPLETED),
                                          EVENT_PEER_OVER,                   STATE_SAME,                   handover_ended_told },
    { SOURCE,      S(FAILED) | S(COMPLETED),
                                          EVENT_PEER_COMPLETED,              STATE_SAME,                   handover_ended_told },
    { SOURCE,      S(FAILED) | S(COMPLETED),
                                          EVENT_PEER_RETURNED,               STATE_SAME,                   handover_ended_told },
    { SOURCE,      S(COMPLETED),          EVENT_PEER_RUNNING,                STATE_SAME,                   handover_ended_told },
    { DESTINATION, PRECOPY,               EVENT_PEER_ENDED,                  STATE_SAME,                   handover_source_paused_early },
    { DESTINATION, CHANNEL,               EVENT_PEER_ENDED,                  STATE_SAME,                   handover_source_ended_active },
    { DESTINATION, S(POSTCOPY_PAUSED),    EVENT_PEER_ENDED,                  STATE_FAILED,                 handover_source_ended },
    { DESTINATION, S(COMPLETED),          EVENT_PEER_ENDED,                  STATE_SAME,                   reply_completed },
    { DESTINATION, S(FAILED) | S(CANCELLED),
                                          EVENT_PEER_ENDED,                  STATE_SAME,                   reply_over },

    /* a daemon that was restarted */
    { BOTH,        POSTCOPY,              EVENT_RESTORED,                    STATE_SAME,                   restored },

    /* persons */
    { SOURCE,      S(POSTCOPY_ACTIVE),    EVENT_PAUSE_REQUESTED,             STATE_SAME,                   pause_active },
    { SOURCE,      RECOVERING,            EVENT_PAUSE_REQUESTED,             STATE_SAME,                   pause_recovering },
    { SOURCE,      S(POSTCOPY_PAUSED),    EVENT_PAUSE_REQUESTED,             STATE_SAME,                   pause_paused },
    { SOURCE,      S(POSTCOPY_ACTIVE),    EVENT_PAUSE_WITHDRAWN,             STATE_SAME,                   pause_withdrawn },
    { SOURCE,      S(POSTCOPY_PAUSED),    EVENT_RECOVER_REQUESTED,           STATE_SAME,                   recover_requested },
    { SOURCE,      RECOVERING,            EVENT_RECOVER_REQUESTED,           STATE_SAME,                   pause_withdrawn },

    /* the source asks, ... */
    { SOURCE,      S(POSTCOPY_PAUSED),    EVENT_PEER_ARMED,                  STATE_SAME,                   peer_armed },
    { SOURCE,      S(POSTCOPY_PAUSED),    EVENT_PEER_COMPLETED,              STATE_COMPLETED,              NULL },
    { SOURCE,      S(POSTCOPY_PAUSED),    EVENT_PEER_REFUSED,                STATE_SAME,                   peer_refused },
    { SOURCE,      S(POSTCOPY_PAUSED),    EVENT_PEER_UNREACHABLE,            STATE_SAME,                   peer_unreachable },
    { SOURCE,      S(POSTCOPY_PAUSED),    EVENT_RESUME_FAILED,               STATE_SAME,                   resume_failed },
    { SOURCE,      S(POSTCOPY_PAUSED),    EVENT_TIMER_STATE,                 STATE_SAME,                   retry },
    { SOURCE,      S(POSTCOPY_PAUSED),    EVENT_TIMER_GIVE_UP,               STATE_SAME,                   give_up },
    { DESTINATION, S(POSTCOPY_PAUSED),    EVENT_TIMER_GIVE_UP,               STATE_SAME,                   give_up },

    /* ... and the destination answers */
    { DESTINATION, S(POSTCOPY_PAUSED),    EVENT_PEER_RECOVER,                STATE_SAME,                   arm },
    { DESTINATION, CHANNEL,               EVENT_PEER_RECOVER,                STATE_SAME,                   arm_after_break },
    { DESTINATION, PRECOPY,               EVENT_PEER_RECOVER,                STATE_SAME,                   handover_source_paused_early },
    { DESTINATION, S(COMPLETED),          EVENT_PEER_RECOVER,                STATE_SAME,                   reply_completed },
    { DESTINATION, S(FAILED) | S(CANCELLED),
                                          EVENT_PEER_RECOVER,                STATE_SAME,                   handover_reply_ended },
    { DESTINATION, POSTCOPY,              EVENT_ARMING,                      STATE_SAME,                   arming },
    { DESTINATION, POSTCOPY,              EVENT_ARMED,                       STATE_SAME,                   armed },
    { DESTINATION, POSTCOPY,              EVENT_ARMED_ELSEWHERE,             STATE_SAME,                   armed_elsewhere },
    { DESTINATION, POSTCOPY,              EVENT_ARM_FAILED,                  STATE_SAME,                   arm_failed },
    { DESTINATION, S(POSTCOPY_PAUSED),    EVENT_PEER_PAUSED,                 STATE_SAME,                   pause_paused },
    { DESTINATION, CHANNEL,               EVENT_PEER_PAUSED,                 STATE_SAME,                   peer_paused_active },
};
/* clang-format on */
const gsize n_transitions = G_N_ELEMENTS(transitions);

const Transition *
transition_find(MigrationRole role, MigrationState state, EventType event)
{
    for (gsize i = 0; i < n_transitions; i++) {
        const Transition *row = &transitions[i];

        if (row->event == event && (row->roles & (1u << role)) && (row->from & (1u << state)))
            return row;
    }
    return NULL;
}
