/*
 * announce.h: what a new Status has to tell a listener that knew the one before
 *
 * Pure: two snapshots in, a list out. Snapshots may skip steps: what happened in between is read
 * from the history. What is on the bus of it is tree.c's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "model/status.h"

typedef enum {
    ANNOUNCE_ADDED,         /* the session is new, or takes the place of an older migration */
    ANNOUNCE_CHANGED,       /* its properties may have changed */
    ANNOUNCE_STATE_CHANGED, /* one step of the history */
    ANNOUNCE_PAUSED,
    ANNOUNCE_RECOVERED,
    ANNOUNCE_FINISHED,
    ANNOUNCE_BITMAPS, /* something was decided of bitmaps or checkpoints */
} AnnouncementKind;
#define ANNOUNCE_LAST (ANNOUNCE_BITMAPS + 1)

typedef struct {
    AnnouncementKind kind;
    MigrationState from; /* of a STATE_CHANGED */
    MigrationState to;   /* of a STATE_CHANGED and a FINISHED */
    PauseReason reason;  /* of a STATE_CHANGED and a PAUSED */
    gint64 at_usec;      /* of a PAUSED: when the pause began; of a RECOVERED: when it ended */
    guint64 outage_usec; /* of a RECOVERED */
    guint attempts;      /* of a RECOVERED */
    GPtrArray *verdicts; /* of a BITMAPS: (element-type Verdict): those that are new */
} Announcement;

/**
 * announce:
 * @previous: the last snapshot of the domain's session that was announced, or NULL
 * @current: the new one
 *
 * The rules, which listeners read in docs/dbus.md:
 * - Properties come first, then for each new step its STATE_CHANGED and what it means.
 * - PAUSED comes once for a pause, which lasts until postcopy-active or the end; and once more when
 * an operator takes the pause over or hands it back, since that decides who ends it.
 * - Of a session seen for the first time (also one read from the journal) only the present is
 *   told: ADDED, and PAUSED if it is in a pause.
 * - BITMAPS comes last.
 *
 * Returns: (transfer full): a GArray of Announcement, in the order to send them; never empty.
 */
GArray *announce(const Status *previous, const Status *current);

/** Whether @current is of a migration that is over, told when another one has taken its place, and
 * is to be passed over. @previous as above. */
gboolean announce_is_late(const Status *previous, const Status *current);
