/*
 * status.h: what is so, of one migration on one host
 *
 * A Status is an immutable, reference-counted value: the engine thread makes a new one after every
 * change and hands it to whoever shows it (D-Bus, virsh, the log). It may be read from any thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

#include "model/state.h"
#include "model/verdict.h"

/** One line of a migration's history. */
typedef struct {
    MigrationState state;
    PauseReason reason;
    gint64 at_usec; /* CLOCK_REALTIME */
} StatusStep;

typedef struct {
    char *id;   /* of the migration, the same on both hosts: a UUID in text */
    char *uuid; /* of the domain */
    char *name; /* of the domain on this host */
    char *peer; /* the other host as the migration URI names it; "" while unknown */
    MigrationRole role;
    MigrationState state;
    PauseReason reason;
    gint64 started_at_usec;      /* CLOCK_REALTIME */
    gint64 paused_at_usec;       /* CLOCK_REALTIME, of the pause that lasts; 0: none does */
    gboolean recovers_itself;    /* the pause that lasts is brought to its end without a person */
    gint64 next_attempt_at_usec; /* CLOCK_REALTIME; 0: none is planned, or one is under way */
    guint64 paused_usec;         /* all pauses that are over, together */
    guint64 last_outage_usec;    /* the last pause that is over */
    guint pauses;
    guint recoveries;
    guint attempts;      /* of the pause that lasts, or of the last one */
    char *message;       /* of a failure, or why a pause lasts, for a person; "" otherwise */
    GArray *history;     /* of StatusStep, oldest first, at least one; bounded */
    GPtrArray *verdicts; /* of Verdict, oldest first, one of each bitmap or checkpoint; bounded */

    /*< private >*/
    gatomicrefcount refs;
} Status;

/** status_new: an empty one with one reference, to be filled by its maker before anybody sees it.
 */
Status *status_new(void);
Status *status_ref(Status *status);
void status_unref(Status *status);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Status, status_unref)
