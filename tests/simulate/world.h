/*
 * world.h: two hosts with a network between them, and what runs on them
 *
 *      caller, persons
 *        |  calls                        ^ answers
 *      +-v------- daemon[SOURCE] --------|--+      +---------- daemon[DESTINATION] ---------+
 *      |  Session <- events   effects ->    |<---->|  Session <- events   effects ->        |
 *      +-----------|--------------|---------+ peer +-------------|--------------|-----------+
 *                  |              v          calls               |              v
 *           qemu[SOURCE]  =================== channel =================  qemu[DESTINATION]
 *                              paths of the migration network
 *
 * All of a World belongs to one schedule on one thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "clock.h"
#include "coverage.h"
#include "engine/session.h"

#define HOSTS     ROLE_LAST
#define PATHS_MAX 3
#define NEVER     G_MAXINT64

static inline MigrationRole
other_host(MigrationRole host)
{
    return host == ROLE_SOURCE ? ROLE_DESTINATION : ROLE_SOURCE;
}

/* --- network.c --- */

/** What carries between the hosts, each direction by itself: named by who sends. */
typedef struct {
    gboolean up[HOSTS];
    gint64 since_usec[HOSTS];
    gboolean rejects; /* what is down answers with a reset instead of with silence */
} Path;

typedef enum {
    MESSAGE_TO_RUN,   /* the package: LISTEN, device state, RUN */
    MESSAGE_ALL_SENT, /* the end of the stream */
    MESSAGE_ALL_READ, /* SHUT on the return path */
    MESSAGE_COMPARE,  /* the handshake of a recovery: which pages have you got? */
    MESSAGE_COMPARED,
    MESSAGE_GO_ON,  /* POSTCOPY_RESUME */
    MESSAGE_WE_ARE, /* RESUME_ACK */
    MESSAGE_END,    /* FIN: the other end was shut down */
} ChannelMessage;

typedef enum {
    CAUSE_NONE,
    CAUSE_FAULT,  /* the network's doing, or a process that ended */
    CAUSE_ENGINE, /* Holdfast shut it down, on its own account or for a person */
} Cause;

typedef struct {
    ChannelMessage queue[16];
    guint length;
    gboolean moving;
} Stream;

/** The connection between the two QEMUs. */
typedef struct {
    guint generation;
    guint path;
    guint port;
    gboolean open[HOSTS];
    gboolean hangs; /* a stranger holds a part of it: nothing arrives any more */
    Cause cause;    /* of its first break */
    gint64 broken_usec;
    gboolean told; /* ... at which the destination knew that the source was near its end */
    Stream stream[HOSTS];
} Link;

/* --- qemu.c --- */

typedef enum {
    QEMU_SETUP,
    QEMU_ACTIVE,
    QEMU_PRE_SWITCHOVER,
    QEMU_DEVICE,
    QEMU_POSTCOPY_ACTIVE,
    QEMU_POSTCOPY_PAUSED,
    QEMU_POSTCOPY_RECOVER_SETUP,
    QEMU_POSTCOPY_RECOVER,
    QEMU_COMPLETED,
    QEMU_FAILED,
    QEMU_CANCELLED,
} QemuStatus;

typedef struct {
    gboolean alive;
    gboolean killed; /* by a fault, or by libvirt */
    QemuStatus status;
    gboolean runs; /* its vCPUs */
    gboolean has_run;
    /* source */
    gboolean wants_postcopy;
    gboolean has_switched; /* to postcopy */
    gboolean completing;   /* all is sent, and the answer awaited */
    gint64 remaining_usec;
    gint64 moving_since_usec; /* or NEVER */
    guint moving_generation;
    guint attempts;
    guint connecting; /* which attempt is under way; 0: none */
    guint connecting_path;
    guint connecting_port;
    /* destination */
    gboolean loaded; /* RUN has been read: only now does it pause rather than fail */
    gboolean all_read;
    guint listen_port; /* of migrate-recover; 0: none */
} Qemu;

/* --- daemon.c --- */

typedef struct {
    gboolean up;
    guint life; /* changes when it dies and when it starts */
    gboolean has_monitor;
    Session *session;
    gint64 entered_usec; /* its state */
    gint64 posted_usec;  /* the last event waits until then */
    guint state_timer;
    guint give_up_timer;
    gboolean tells_again; /* the state timer is that of a person's pause to be told */
    gboolean watching;
    guint watch;
    guint channel_port; /* as it believes */
    guint resume_path;
    guint calls_in_vain;
    guint call;     /* generation; the one under way if has_call */
    guint sequence; /* destination: of the last question that came */
    guint question; /* the other host's call to be answered; 0: none */
    guint question_path;
    gboolean forgotten; /* the session is looked at, but the daemon knows nothing of it */
    gboolean has_call;
    gboolean call_connected;
    gboolean finish_claimed;
    gboolean unjudged; /* destination: restore_is_unjudged(), and what its source has said */
    gboolean source_switched;
    gboolean source_returns;
    gint64 kept_usec;
    gboolean has_client;     /* destination: the client's connection is kept */
    gint64 client_gone_usec; /* since when nobody else has it; NEVER */
    guint kills_in;          /* a fault: dies at this many steps of what it does; 0: does not */
    /* on disk */
    gboolean has_journal;
    gboolean notes_lost; /* destination: ARRIVAL_LOST */
    SessionMemory journal;
    gboolean journal_kept;
    guint journal_channel_port;
    guint journal_paths;
} Daemon;

/* --- calls.c --- */

typedef enum {
    CALLER_PERFORM,
    CALLER_FINISH,
    CALLER_CONFIRM,
    CALLER_ANSWERED,
} CallerStage;

typedef enum {
    ANSWER_NONE,
    ANSWER_SUCCESS,
    ANSWER_FAILURE,
    ANSWER_LOST, /* the connection, the daemon or the caller itself is gone */
} Answer;

typedef struct {
    gboolean peer2peer; /* runs in the source's daemon */
    gboolean alive;
    CallerStage stage;
    guint generation;
    gboolean moved; /* Finish has returned the domain */
    gboolean cancelled;
    gboolean connection_lost;   /* to the destination */
    gboolean answered_by_stock; /* while a person, manual recovery or giving up let stock answer */
    Answer answer;
} Caller;

typedef enum {
    FINISH_NONE,
    FINISH_FLOWING, /* waits until the guest can run */
    FINISH_STOCK,   /* libvirt's own is at work */
    FINISH_STARTED, /* it has started the guest and waits for the rest */
    FINISH_FAILED,  /* libvirt's own has failed, and ours has yet to ask the engine */
    FINISH_HELD,    /* libvirt's own has failed; ours waits for the outcome */
    FINISH_OVER,
} FinishStage;

/** Finish at work on the destination. */
typedef struct {
    FinishStage stage;
    gboolean phase_begun; /* libvirt has written FINISH3 to its status file */
    gboolean is_callers;
    gboolean cancelled;
    gboolean attached; /* the caller's own waits for the one at work */
    gboolean looked;   /* libvirt's own has taken its first look */
} Finish;

/** What libvirt has of the destination's domain, beyond any Finish. */
typedef struct {
    gboolean kept;       /* its status file says postcopy, for us: stock/statusfile.c */
    gboolean unattended; /* libvirt completes it when QEMU has, as no call does */
    gboolean line_drawn; /* its job is over: qemuMigrationDstComplete() */
    gboolean dropped;    /* it ended while Finish was at work: this daemon's libvirt tells nobody */
} Domain;

/* --- faults.c --- */

typedef struct {
    guint trigger; /* Trigger */
    gint64 delay_usec;
    guint type; /* FaultType */
    guint host;
    guint path;
    gint64 lasts_usec;
} Fault;

#define FAULTS_MAX 8

typedef struct {
    const char *name; /* NULL: made by the dice */
    guint64 seed;
    gboolean peer2peer;
    gboolean postcopy;
    PolicySwitch switches; /* the policy's; the client switches as well, or precopy ends */
    gboolean manual;
    guint give_up_s;
    guint n_paths;
    gint64 latency_usec;
    gint64 load_usec; /* the destination reads its device state */
    gint64 memory_usec;
    gint64 finish_usec; /* libvirt's Finish until it starts the guest */
    guint n_faults;
    Fault faults[FAULTS_MAX];
} Schedule;

/** A rule of the model that is broken on purpose, so that the checks can be seen to complain. */
typedef enum {
    MUTANT_NONE,
    MUTANT_RUNS_WHEN_PAUSED,  /* the source's QEMU runs the guest again when it is paused */
    MUTANT_FAILS_WHEN_PAUSED, /* the destination's QEMU ends where it should pause */
    MUTANT_NO_ASKING,         /* EFFECT_ASK_PEER is dropped */
    MUTANT_NO_FINISH,         /* EFFECT_FINISH is dropped */
    MUTANT_NO_DEADLINE,       /* EFFECT_START_STATE_TIMER is dropped */
    MUTANT_LYING_CALL,        /* a caller is told of success whatever came of it */
    MUTANT_NO_TELLING,        /* EFFECT_TELL_ENDED is dropped */
    MUTANT_NO_ENDING,         /* EFFECT_TELL_ENDING is dropped */
    MUTANT_NO_STOPPING,       /* EFFECT_KEEP_STOPPED is dropped */
    MUTANT_NO_TAKING_BACK,    /* EFFECT_TAKE_BACK is dropped */
    MUTANT_DENYING,           /* the destination denies that it has run the guest */
    MUTANT_FORGETFUL,         /* a migration that is not known stays so, whatever the domain says */
    MUTANT_NO_LINE,           /* nobody hears of libvirt's line under a migration */
    MUTANT_NO_STARTING,       /* a guest that Finish has not started is left to itself */
    MUTANT_NO_GRACE,          /* the connection of a client that is gone is let go of at once */
} Mutant;
#define MUTANT_LAST (MUTANT_NO_GRACE + 1)

/** Whether the word of the source that the end is near had its time to get to the destination. */
typedef struct {
    gint64 since_usec; /* nothing was in its way since then */
    gint64 until_usec; /* until then nothing had been for long; 0: that is forgotten */
    gboolean is_due;   /* all has been sent, and it must be there */
} Quiet;

struct World {
    Clock clock;
    Dice dice;
    const Schedule *schedule;
    Mutant mutant;
    gboolean trace;
    gboolean hang_next; /* the next recovery hangs */
    gboolean calm;      /* no fault happens any more */
    guint16 fired;      /* triggers, by bit */
    Coverage *coverage;
    Policy *policy;
    Path paths[PATHS_MAX];
    gint64 rpc_down_until_usec; /* the network between caller and destination */
    Link link;
    Qemu qemu[HOSTS];
    Daemon daemon[HOSTS];
    Caller caller;
    Finish finish;
    Domain domain;
    gboolean settles; /* the source's domain waits for the session's end: outcome.c */
    Quiet quiet;
    gboolean unnoted; /* the source's daemon was away at the switch, and QEMU has failed since */
    GArray *effects;  /* spare ones for daemon_step() */
    guint limits;     /* bits of Limit: losses that nothing of ours could prevent */
    char *violation;  /* the first; NULL: none */
};

/** One line of the trace, when that is wanted. */
#define world_trace(world, ...)                                                                    \
    do {                                                                                           \
        if (G_UNLIKELY((world)->trace))                                                            \
            world_print(world, __VA_ARGS__);                                                       \
    } while (0)
void world_print(const World *world, const char *format, ...) G_GNUC_PRINTF(2, 3);
const char *host_to_string(guint host);

static inline void
world_after(World *world, gint64 usec, ClockFn fn, ClockArgs args)
{
    clock_after(&world->clock, usec, fn, args);
}
