/*
 * session.h: one migration on one host, decided
 *
 * A Session is a pure state machine: (session, event) -> effects. It reads no clock, takes no lock
 * and calls nobody. The transitions are data, in transitions.c; this file and session.c hold what
 * the transitions work on. Whoever runs it (driver/run) does so on one thread.
 *
 *            source                                     destination
 *   setup -> precopy-active -> switchover      setup -> precopy-active -> switchover
 *                  |                |                        |                |
 *                  v                v                        v                v
 *                postcopy-active  <---------.              postcopy-active <------------.
 *                  | channel broken         |                | channel broken           |
 *                  v                        |                v                          |
 *                postcopy-paused            |              postcopy-paused              |
 *                  | ask-peer  ------------ | ------------>  | arm: listen              |
 *                  |         <------------- | -------------  | reply: port              |
 *                  | resume                 |                |                          |
 *                  v                        |                v                          |
 *                postcopy-recover-setup -> postcopy-recover ==handshake==> postcopy-recover
 *
 * What always holds, tested over the whole table: once the owner is the destination it stays the
 * destination, unless that has said that the guest did not and never will run there; completed,
 * failed and cancelled are never left; a state that waits for somebody has a timer or a person who
 * ends it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

#include "engine/effect.h"
#include "engine/event.h"
#include "model/policy.h"
#include "model/state.h"
#include "model/status.h"

/* A question that got no answer and no error by then is put again. Longer than the deadlines of the
 * connection that it travels on (run/execute.c). */
#define SESSION_ASK_DEADLINE_MS 7000

/* How long a resume may take before it is kicked, or asked for anew; see transitions.c. */
#define SESSION_RECOVER_DEADLINE_MS 10000

typedef struct Session Session;

/**
 * session_new:
 * @id: of the migration, the same on both hosts
 * @uuid: of the domain, in text
 * @name: of the domain on this host
 * @policy: (transfer none): a reference is kept
 * @seed: of the jitter; the same seed gives the same session
 * @at_usec: CLOCK_REALTIME
 */
Session *session_new(MigrationRole role,
                     const char *id,
                     const char *uuid,
                     const char *name,
                     const Policy *policy,
                     guint32 seed,
                     gint64 at_usec);
void session_free(Session *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Session, session_free)

/** What a session needs to go on after the daemon was restarted; the rest is asked of the world. */
typedef struct {
    MigrationState state;
    PauseReason reason;
    gboolean wanted;
    gboolean gave_up;
    gboolean finish_called;
    gboolean running;
    gboolean started;
    gboolean may_have_run;
    gboolean taken_back;
    gboolean untold;
    gboolean unsettled;
    gboolean ending;
    gboolean to_stop;
    gboolean arming; /* QEMU is being told of the port, and may listen there already */
    guint armed_port;
    guint pauses;
    guint recoveries;
    guint attempts;
    gint64 started_at_usec;
    gint64 paused_at_usec; /* 0: not paused */
    guint64 paused_usec;
    guint64 last_outage_usec;
} SessionMemory;

void session_remember(const Session *session, SessionMemory *memory);

/**
 * session_restore: makes a fresh session what it was
 *
 * Before its first step. EVENT_RESTORED then sets it going, after the events that tell what has
 * happened meanwhile.
 */
void session_restore(Session *session, const SessionMemory *memory, gint64 at_usec);

/**
 * session_set_peer:
 * @peer: the other host, for a person
 * @paths: how many addresses of the other host can be tried; 0: it has no Holdfast that we can talk
 *   to, and the session detects and tells but never resumes
 */
void session_set_peer(Session *session, const char *peer, guint paths);

/** session_set_hint: why nobody but a person ends a pause, for that person; "": nothing to say. It
 * is the Status's message while the migration is in postcopy and has not failed, and while the
 * source waits for the destination's word whether the guest was started there. */
void session_set_hint(Session *session, const char *hint);

/** session_set_note: what the policy has done about postcopy, or why not. It is the Status's
 * message while the migration is under way, as long as there is nothing more urgent to say. */
void session_set_note(Session *session, const char *note);

/* A guest with many disks and checkpoints has a hundred; what tells of them stays small. */
#define SESSION_VERDICTS_MAX 256

/**
 * session_add_verdicts: what was decided of bitmaps or checkpoints
 * @verdicts: (element-type Verdict): references are kept; each takes the place of an older one of
 *   the same bitmap or checkpoint
 */
void session_add_verdicts(Session *session, const GPtrArray *verdicts);

/** (element-type Verdict): oldest first, borrowed until the next are added. */
const GPtrArray *session_get_verdicts(const Session *session);

/**
 * session_step:
 * @effects: (element-type Effect): what is to be done is appended, in order
 *
 * An event that means nothing in the session's state does nothing.
 *
 * Returns: whether anything has changed that a Status shows, or session_is_pausing().
 */
gboolean session_step(Session *session, const Event *event, GArray *effects);

MigrationState session_get_state(const Session *session);
PauseReason session_get_reason(const Session *session);
MigrationOwner session_get_owner(const Session *session);
const Policy *session_get_policy(const Session *session);

/**
 * session_may_break: whether a break of the channel is a pause
 *
 * QEMU's destination pauses only once it has been told to run the guest; before that it fails when
 * its channel ends, and the guest is lost (qemu_loadvm_state_main(), migration/savevm.c, QEMU
 * 10.0). FALSE from the beginning of postcopy until the guest is known to run there.
 */
gboolean session_may_break(const Session *session);

/**
 * session_holds_callers:
 *
 * Whether a client's call that stock libvirt would fail now is to wait: the migration is not over,
 * and we are the ones who bring it on. FALSE during an operator's pause, with manual recovery, with
 * a peer that cannot be asked, after giving up, and in a terminal state.
 */
/** Source: whether the guest is stopped until the destination has said whether it runs there. */
gboolean session_wants_return(const Session *session);
gboolean session_holds_callers(const Session *session);

/** Destination: whether the guest's vCPUs have run here, as far as can be known. */
gboolean session_may_have_run(const Session *session);

/** Destination, over: whether it is certain that the guest neither has run here nor will. */
gboolean session_never_runs(const Session *session);

/** Source: whether it has ended in postcopy, and the destination, which may wait for it, has still
 * to be told. */
gboolean session_is_untold(const Session *session);

/** Whether anything is left to be done, also after the end. */
gboolean session_needs_journal(const Session *session);

/** Whether a pause that a person asked for has yet to come. */
gboolean session_is_pausing(const Session *session);

/** A snapshot; one reference. */
Status *session_get_status(const Session *session);
