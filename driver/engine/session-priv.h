/*
 * session-priv.h: what a session remembers, for the transitions
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/session.h"

struct Session {
    char *id;
    char *uuid;
    char *name;
    char *peer;
    char *message;
    char *hint; /* why the pause does not end, for a person */
    char *note; /* what the policy has done about postcopy, for a person */
    Policy *policy;
    MigrationRole role;
    MigrationState state;
    PauseReason reason;         /* of the pause that lasts; REASON_NONE otherwise */
    PauseReason pending_reason; /* of the pause that is coming, if somebody announced it */
    guint paths;                /* addresses of the peer */
    guint path;                 /* the one to try next */
    gboolean wanted;            /* a person asked for the end of this pause */
    gboolean gave_up;           /* the pause outlasted the policy's patience */
    gboolean resuming;          /* source, paused: QEMU was told to resume and has yet to answer */
    gboolean arm_asked;         /* destination: the source waits for an answer */
    guint arm_port;             /* ... and wants QEMU to listen on this port; 0: any */
    gboolean arming;            /* destination: QEMU is being told to listen */
    guint arming_port;          /* ... on this port, as far as is known; 0: on none yet */
    guint armed_port;           /* destination: where QEMU listens; 0: nowhere */
    gboolean armed_used;        /* ... and the source has been told */
    gboolean finish_called;     /* destination: somebody starts the guest */
    gboolean received;          /* destination: all memory is here */
    gboolean running;           /* the destination's QEMU is known to have its order to run */
    gboolean started;           /* destination: and its vCPUs were started */
    gboolean may_have_run;      /* ... or may have been, by an earlier daemon */
    gboolean gone;              /* destination, over: QEMU has ended */
    guint remains_kib;       /* source, active: memory to be sent at the last look; 0: none yet */
    gboolean ending;         /* destination, active: the source has sent nearly all */
    gboolean to_stop;        /* source, failed: QEMU runs the guest again, or will */
    gboolean kept_stopped;   /* ... and was stopped: from now on that is a person's affair */
    gboolean running_asked;  /* destination: the source waits to be told so */
    gboolean postcopy_on;    /* source: QEMU can switch to postcopy */
    gboolean switch_asked;   /* source: ... and was told to */
    gint64 asked_early_usec; /* destination: when a paused source first asked in precopy; 0: not */
    gboolean restored;       /* and QEMU may be further than it knows */
    gboolean returned;       /* source, active: the guest is lost there, and never ran */
    gboolean taken_back;     /* source, cancelled: and so goes on here */
    gboolean untold;         /* source, over: the destination does not know yet */
    gboolean unsettled;      /* source, over: the guest has yet to go on, or to be ended, here */
    gboolean return_wanted;  /* source: until the destination has said whether it started it */
    guint failures;          /* of attempts that reached the peer, in a row: sets the back-off */
    guint pauses;
    guint recoveries;
    guint attempts;
    gint64 started_at_usec;
    gint64 paused_at_usec; /* 0: not paused */
    gint64 next_attempt_at_usec;
    guint64 paused_usec;
    guint64 last_outage_usec;
    guint32 random; /* state of the jitter */
    GArray *history;
    GPtrArray *verdicts; /* of Verdict, see Status */

    /* of the step that runs */
    GArray *effects;
    gint64 now_usec;
    gboolean changed;
    gboolean stays; /* an action has found that it is too early for its row's state */
};

/** What is always so in a state. */
typedef struct {
    MigrationOwner owner;
    /* How long the state may last by itself before EVENT_TIMER_STATE; 0: as long as it takes. */
    guint deadline_ms;
} StateTraits;

typedef void (*TransitionAction)(Session *session, const Event *event);

/** Marks a transition that stays in the state it is in. */
#define STATE_SAME STATE_LAST

typedef struct {
    guint roles; /* bits 1 << MigrationRole */
    guint from;  /* bits 1 << MigrationState */
    EventType event;
    MigrationState to;       /* or STATE_SAME */
    TransitionAction action; /* before the state changes; or NULL */
} Transition;

extern const StateTraits state_traits[STATE_LAST];
extern const Transition transitions[];
extern const gsize n_transitions;

/** The row for what may happen, or NULL: the first that fits. */
const Transition *transition_find(MigrationRole role, MigrationState state, EventType event);

/** The one place where the state changes. */
void session_enter(Session *session, MigrationState to);
void session_emit(Session *session, EffectType type, guint number, const char *text);
/** What it ended with; the first that is known stays. */
void session_set_message(Session *session, const char *message);
/** Adds what is so now to the history. */
void session_note(Session *session);
/** Destination, paused: have QEMU listen on a port, 0: any; not twice at once. */
void session_arm(Session *session, guint port);
/** Source, paused: ask the destination to listen, now or after the back-off. Neither does anything
 * when the pause is somebody else's to end. */
void session_ask(Session *session);
void session_ask_later(Session *session);
/** Source, postcopy: ask the destination whether the guest runs there. */
void session_ask_running(Session *session);
/** Destination, where it runs: answer that, if asked. */
void session_reply_running(Session *session);
/** The destination's QEMU has its order to run. */
void session_runs(Session *session);
/** Has the channel watched, where there is a use and no harm in it. */
void session_watch(Session *session);
/** Source, at the switchover: ask whether the guest was started. */
void session_ask_return(Session *session);
/** Destination, postcopy-active: long enough to have loaded the devices, if nothing hinders it. */
gboolean session_has_loaded(const Session *session);
/* Source, precopy: the policy's switch to postcopy (switch.c). */
void session_switch_on(Session *session, const Event *event);
void session_switch_attend(Session *session);
void session_switch_pass(Session *session, const Event *event);
void session_switch_due(Session *session, const Event *event);
void session_switch_failed(Session *session, const Event *event);
/** Sets going what a state needs from the world: timers, the watchdog, a question to the peer. */
void session_attend(Session *session);
/** The pause is a person's from now on. */
void session_pause_by_person(Session *session);
/** How long to wait after so many failures in a row. */
guint session_get_backoff_ms(Session *session);
/** Whether the session brings a pause to its end without being asked. */
gboolean session_recovers_itself(const Session *session);
