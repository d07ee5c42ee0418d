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
    if (session->return_wanted)
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

void
handover_reply_returned(Session *session, const Event *event)
{
    if (session_get_owner(session) == OWNER_DESTINATION)
        session_emit(session, EFFECT_REPLY_REFUSED, 0, "the guest has run on the destination");
    else
        session_emit(session, EFFECT_REPLY_RETURNED, 0, NULL);
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
    session->stays = !session->received;
    if (session->state == STATE_POSTCOPY_ACTIVE)
        session_emit(session, EFFECT_STOP_STATE_TIMER, 0, NULL);
}

/* QEMU is done, and the guest has yet to be started: Finish is still waited for, or called by us
 * when its time is up. To end now would close the client's connection, and libvirt would destroy
 * the guest that has left its source. */
void
handover_received(Session *session, const Event *event)
{
    session->received = TRUE;
    session->stays = !session->finish_called;
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
 * lost, or nobody is left to give it. */
void
handover_finish_overdue(Session *session, const Event *event)
{
    session_emit(session, EFFECT_FINISH, 0, NULL);
}
