/*
 * handover-priv.h: actions of the table for Finish, and for what the hosts ask each other
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/session-priv.h"

void handover_ask_again(Session *session, const Event *event);
/** It is over: what is left to be done is noted, and a destination that may wait is told. */
void handover_end(Session *session, MigrationState from);
void handover_settled(Session *session, const Event *event);
void handover_tell_ended(Session *session, const Event *event);
void handover_ended_untold(Session *session, const Event *event);
void handover_ended_told(Session *session, const Event *event);
void handover_source_paused_early(Session *session, const Event *event);
void handover_source_ended(Session *session, const Event *event);
void handover_source_ended_active(Session *session, const Event *event);
void handover_gone(Session *session, const Event *event);
void handover_runs_after_all(Session *session, const Event *event);
/** Whether the guest can go on at the source, to a source that asks for something else. */
void handover_reply_ended(Session *session, const Event *event);
void handover_returned(Session *session, const Event *event);
void handover_take_back(Session *session, const Event *event);
void handover_taken_back(Session *session, const Event *event);
void handover_take_back_again(Session *session, const Event *event);
/** Source, whose QEMU has paused, or failed: TRUE if it has thereby taken the guest back. */
gboolean handover_goes_on_here(Session *session);
void handover_return_requested(Session *session, const Event *event);
void handover_return_unanswered(Session *session, const Event *event);
void handover_switchover_lasts(Session *session, const Event *event);
void handover_abort_precopy(Session *session, const Event *event);
void handover_cancel_finish(Session *session, const Event *event);
void handover_reply_returned(Session *session, const Event *event);
void handover_reply_postcopy(Session *session, const Event *event);
void handover_finish_called(Session *session, const Event *event);
void handover_received(Session *session, const Event *event);
void handover_line_drawn(Session *session, const Event *event);
void handover_guest_runs(Session *session, const Event *event);
void handover_finish_failed(Session *session, const Event *event);
void handover_finish_overdue(Session *session, const Event *event);
