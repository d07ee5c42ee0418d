/*
 * turns.h: how many recover at once on a host, and who is next
 *
 * When a switch comes back, all migrations that it carried are ready to recover in the same moment.
 * QEMUs that all send what was lost at once, over one link and on a few processors, make each
 * other's handshakes miss their deadlines. Whoever has been paused longest goes first. Pure; one
 * thread.
 *
 * The source alone counts. A destination of many sources answers as many handshakes at once as they
 * have turns, and never more than its memory has room for guests. One that it is too busy for
 * misses its deadline at its source, which comes again later and later (SESSION_RECOVER_DEADLINE_MS
 * and the policy's intervals); a turn kept there could be kept for a source that never comes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

typedef struct Turns Turns;

Turns *turns_new(guint max);
void turns_free(Turns *turns);

/**
 * turns_ask:
 * @who: neither referenced nor looked at; to be taken out with turns_leave() before it is gone
 * @since: the smaller, the sooner; among equals who asked first
 *
 * Returns: whether it is its turn, or was already. If not, turns_leave() will tell when it is.
 */
gboolean turns_ask(Turns *turns, gpointer who, gint64 since);

/** Ends the turn of @who, or its wait. Returns: who has the turn instead, or NULL. */
gpointer turns_leave(Turns *turns, gpointer who);

gboolean turns_is_waiting(const Turns *turns, gconstpointer who);
guint turns_count_waiting(const Turns *turns);
