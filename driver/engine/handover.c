/*
 * handover.c: who runs the guest: Finish, and what the hosts ask each other when it is missing
 *
 * Actions of the table in transitions.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/handover-priv.h"

/* No answer, no connection, or a destination that has forgotten: the next address. */
void
handover_ask_again(Session *session, const Event *event)
{
    if (session->paths)
        session->path = (session->path + 1) % session->paths;
    session_emit(session, EFFECT_START_STATE_TIMER, session->policy->min_interval_ms, NULL);
}

/* Two hosts that both run the guest would be the worst of all ends: until it is known what the
 * destination has done, the guest stays as it is, stopped. */
void
handover_return_requested(Session *session, const Event *event)
{
    session->return_wanted = TRUE;
    session->changed = TRUE;
    session->path = 0;
    if (session->state == STATE_SWITCHOVER)
        session_ask_return(session);
}

void
handover_return_unanswered(Session *session, const Event *event)
{
    if (!session->return_wanted)
        return;
    /* One that cannot be asked just now has not taken back what it said. */
    if (event->text)
        session_set_hint(session, event->text);
    handover_ask_again(session, event);
}

void
handover_switchover_lasts(Session *session, const Event *event)
{
    if (!session->return_wanted)
        session_emit(session, EFFECT_LOOK, 0, NULL);
    session_attend(session);
}

/* libvirt cancels it when the daemon is back, and would wait until then for its end, half a minute.
 */
void
handover_abort_precopy(Session *session, const Event *event)
{
    session_emit(session, EFFECT_ABORT, 0, NULL);
}

/* The source is told when it asks again. */
void
handover_cancel_finish(Session *session, const Event *event)
{
    session_emit(session, EFFECT_CANCEL_FINISH, 0, NULL);
    session_emit(session, EFFECT_REPLY_REFUSED, 0, "it is not known yet");
}

/* What has failed before postcopy is not started any more; what has gone cannot be. */
gboolean
session_never_runs(const Session *session)
{
    return (session->state == STATE_FAILED || session->state == STATE_CANCELLED) &&
           !session_may_have_run(session) &&
           (session_get_owner(session) != OWNER_DESTINATION || session->gone);
}

void
handover_reply_returned(Session *session, const Event *event)
{
    if (session_never_runs(session))
        session_emit(session, EFFECT_REPLY_RETURNED, 0, NULL);
    else
        session_emit(session, EFFECT_REPLY_REFUSED, 0, "the guest may have run on the destination");
}

void
handover_reply_postcopy(Session *session, const Event *event)
{
    session_emit(session, EFFECT_REPLY_REFUSED, 0, "the migration is in postcopy");
}

void
handover_finish_called(Session *session, const Event *event)
{
    session->finish_called = TRUE;
    session->changed = TRUE;
    if (session->state == STATE_POSTCOPY_ACTIVE)
        session_emit(session, EFFECT_STOP_STATE_TIMER, 0, NULL);
}

/* QEMU is done, and the guest may have yet to be started: Finish is still waited for, or called by
 * us when its time is up, and again if it fails. To end now would close the client's connection,
 * and libvirt would destroy the guest that has left its source. */
void
handover_received(Session *session, const Event *event)
{
    session->received = TRUE;
    session->stays = !session->started;
    /* A daemon that was away has missed the recovery. */
    if (session->stays && session->state != STATE_POSTCOPY_ACTIVE)
        session_enter(session, STATE_POSTCOPY_ACTIVE);
}

/* libvirt has drawn its line under a postcopy migration, which it does also for a guest that nobody
 * has started (qemuMigrationDstComplete(), src/qemu/qemu_migration.c, 11.3.0). */
void
handover_line_drawn(Session *session, const Event *event)
{
    handover_received(session, event);
    if (session->stays && !session->finish_called)
        session_attend(session);
}

/* The last that was missing, where all memory is here already. */
void
handover_guest_runs(Session *session, const Event *event)
{
    session->changed |= !session->started;
    session->started = TRUE;
    session_runs(session);
    session->stays = !session->received;
}

/* It ended before it started the guest: the next one is ours. */
void
handover_finish_failed(Session *session, const Event *event)
{
    session->finish_called = FALSE;
    session->changed = TRUE;
    if (session->state == STATE_POSTCOPY_ACTIVE)
        session_attend(session);
}

/* The source is stopped for good and the guest runs nowhere: the client's word to start it here was
 * lost, or nobody is left to give it. Again, until somebody is at it or it runs. */
void
handover_finish_overdue(Session *session, const Event *event)
{
    if (session->finish_called || session->started)
        return;
    session_emit(session, EFFECT_FINISH, 0, NULL);
    session_attend(session);
}

/* --- a source that is further than its destination --- */

/* The source has switched and lost its channel. What it had sent is on its way while its kernel
 * still sends it again, which Linux does for a socket that was closed for a hundred seconds or so
 * (tcp_orphan_retries). */
#define ON_ITS_WAY_USEC (300 * G_USEC_PER_SEC)

/* A reset that only the source has heard of leaves a destination that waits for ever: that ends, as
 * QEMU ends a destination which has not had its order to run. */
void
handover_source_paused_early(Session *session, const Event *event)
{
    if (session->asked_early_usec == 0)
        session->asked_early_usec = event->at_usec;
    else if (event->at_usec - session->asked_early_usec >= ON_ITS_WAY_USEC)
        session_emit(session, EFFECT_BREAK_CHANNEL, 0, NULL);
    session_emit(session, EFFECT_REPLY_REFUSED, 0,
                 "the destination has not had what the source sent at the switch to postcopy");
}

/* --- a destination that ends before it has run the guest --- */

/* The source has everything it needs to run it; QEMU knows no way back from postcopy, libvirt gives
 * the guest up. */

void
handover_gone(Session *session, const Event *event)
{
    session->changed |= !session->gone;
    session->gone = TRUE;
}

/* QEMU tells that it has failed before it ends. */
void
handover_runs_after_all(Session *session, const Event *event)
{
    session->changed |= !session->started;
    session->started = TRUE;
}

void
handover_reply_ended(Session *session, const Event *event)
{
    if (session_never_runs(session)) {
        session_emit(session, EFFECT_REPLY_RETURNED, 0, NULL);
    } else if (session_may_have_run(session)) {
        session_emit(session, EFFECT_REPLY_OVER, 0, "the migration has failed on the destination");
    } else {
        session_emit(session, EFFECT_LOOK, 0, NULL);
        session_emit(session, EFFECT_REPLY_REFUSED, 0, "it is not known yet");
    }
}

/* QEMU may not have noticed: it is to pause first. */
void
handover_returned(Session *session, const Event *event)
{
    session->returned = TRUE;
    session_emit(session, EFFECT_BREAK_CHANNEL, 0, NULL);
    session_emit(session, EFFECT_START_STATE_TIMER, SESSION_ASK_DEADLINE_MS, NULL);
}

void
handover_take_back(Session *session, const Event *event)
{
    session->taken_back = TRUE;
    session_set_message(session, "the destination's QEMU ended before it ran the guest, which goes "
                                 "on at the source");
}

gboolean
handover_goes_on_here(Session *session)
{
    if (!session->returned)
        return FALSE;
    handover_take_back(session, NULL);
    session_enter(session, STATE_CANCELLED);
    session->stays = TRUE;
    return TRUE;
}

void
handover_take_back_again(Session *session, const Event *event)
{
    if (session->taken_back && session->unsettled)
        session_emit(session, EFFECT_TAKE_BACK, 0, NULL);
}

static void
settle(Session *session)
{
    session->changed |= session->unsettled;
    session->unsettled = FALSE;
}

/* libvirt, which settles what it knows of, does not know of this. */
void
handover_taken_back(Session *session, const Event *event)
{
    settle(session);
}

/* --- the end --- */

gboolean
session_needs_journal(const Session *session)
{
    return !migration_state_is_terminal(session->state) || session->untold || session->unsettled ||
           session->to_stop;
}

void
handover_settled(Session *session, const Event *event)
{
    if (!session->taken_back)
        settle(session);
}

gboolean
session_is_untold(const Session *session)
{
    return session->untold;
}

void
handover_tell_ended(Session *session, const Event *event)
{
    if (!session->untold)
        return;
    /* Asked by this question it knows that the guest is its own, see run/restore.h. */
    if (session->state == STATE_COMPLETED)
        session_emit(session, EFFECT_ASK_RUNNING, session->path, NULL);
    else
        session_emit(session, EFFECT_TELL_ENDED, 0, NULL);
    session_emit(session, EFFECT_START_STATE_TIMER, SESSION_ASK_DEADLINE_MS, NULL);
}

void
handover_end(Session *session, MigrationState from)
{
    /* At the switchover, and whenever nobody looked, QEMU may have been further. */
    gboolean failed =
        session->state == STATE_FAILED && (from >= STATE_SWITCHOVER || session->restored);
    /* The destination's daemon may have been away all the time, and not know of postcopy. */
    gboolean unheard = session->state == STATE_COMPLETED && !session->running &&
                       (migration_state_is_postcopy(from) || session->restored);

    /* A source that was paused has bitmaps yet to be taken over. */
    session->unsettled =
        session->return_wanted || session->taken_back ||
        (session->role == ROLE_SOURCE && session->state == STATE_COMPLETED && session->pauses > 0);
    handover_take_back_again(session, NULL);
    if (session->role != ROLE_SOURCE || session->paths == 0 || (!failed && !unheard))
        return;
    session->untold = TRUE;
    session->failures = 0;
    handover_tell_ended(session, NULL);
}

void
handover_ended_untold(Session *session, const Event *event)
{
    if (!session->untold)
        return;
    session->failures++;
    session_emit(session, EFFECT_START_STATE_TIMER, session_get_backoff_ms(session), NULL);
}

void
handover_ended_told(Session *session, const Event *event)
{
    session->changed |= session->untold;
    session->untold = FALSE;
    session_emit(session, EFFECT_STOP_STATE_TIMER, 0, NULL);
}

/* What is missing will never come: the guest stays as it is, which is stock libvirt's "post-copy
 * failed", and whoever waits for its end has it. */
void
handover_source_ended(Session *session, const Event *event)
{
    static const char text[] = "the migration has failed on the source while the destination still "
                               "needed memory from it";

    session_set_message(session, text);
    session_emit(session, EFFECT_REPLY_OVER, 0, text);
}

/* What the source had sent may be on its way, and may be all that is missing; the channel's end
 * tells. The source says it again. */
void
handover_source_ended_active(Session *session, const Event *event)
{
    if (session->received) {
        session_emit(session, EFFECT_REPLY_COMPLETED, 0, NULL);
        return;
    }
    if (session_may_break(session) || session_has_loaded(session))
        session_emit(session, EFFECT_BREAK_CHANNEL, 0, NULL);
    session_emit(session, EFFECT_REPLY_REFUSED, 0, "it is not known yet");
}
