/*
 * end-priv.h: actions of the table for a migration's last moments
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/session-priv.h"

/** Source: QEMU says how much remains; the destination is told when that is little. */
void end_remains(Session *session, const Event *event);
/** Destination: it has been told. */
void end_is_near(Session *session, const Event *event);

/** Source, failed: has the guest stopped that QEMU lets run again. */
void end_keep_stopped(Session *session);
/** ... QEMU does; */
void end_runs_again(Session *session, const Event *event);
/** ... it is done; */
void end_kept_stopped(Session *session, const Event *event);
/** ... and it may not have been when the daemon ended. */
void end_restored(Session *session, const Event *event);
/** A fresh session knows what this is about. */
void end_restore(Session *session, const SessionMemory *memory);
