/*
 * snapshot.c: a session as it is shown, to whoever may look at any time
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/session-priv.h"

/* An error, or what may be done about a pause, before what is merely good to know. */
static const char *
get_message(const Session *session)
{
    if (*session->message || migration_state_is_terminal(session->state))
        return session->message;
    if (*session->hint &&
        (migration_state_is_postcopy(session->state) || session_wants_return(session)))
        return session->hint;
    return session->paused_at_usec ? "" : session->note;
}

Status *
session_get_status(const Session *session)
{
    Status *status = status_new();

    status->id = g_strdup(session->id);
    status->uuid = g_strdup(session->uuid);
    status->name = g_strdup(session->name);
    status->peer = g_strdup(session->peer);
    status->message = g_strdup(get_message(session));
    status->role = session->role;
    status->state = session->state;
    status->reason = session->reason;
    status->started_at_usec = session->started_at_usec;
    status->paused_at_usec =
        migration_state_is_terminal(session->state) ? 0 : session->paused_at_usec;
    status->recovers_itself = status->paused_at_usec && session_recovers_itself(session);
    status->next_attempt_at_usec = session->next_attempt_at_usec;
    status->paused_usec = session->paused_usec;
    status->last_outage_usec = session->last_outage_usec;
    status->pauses = session->pauses;
    status->recoveries = session->recoveries;
    status->attempts = session->attempts;
    g_array_append_vals(status->history, session->history->data, session->history->len);
    for (guint i = 0; i < session->verdicts->len; i++)
        g_ptr_array_add(status->verdicts, verdict_ref(session->verdicts->pdata[i]));
    return status;
}
