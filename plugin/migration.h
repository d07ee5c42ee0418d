/*
 * migration.h: a migration as a daemon with Holdfast tells of it, through libvirt's public API
 *
 * The group `holdfast.*` of a domain's statistics (docs/status.md), read into a value. Failures are
 * reported to the person by the function that meets them, as in connection.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

typedef struct {
    char *state;
    char *reason; /* of a pause; "" otherwise */
    guint64 at_ms;
} MigrationStep;

/** What was decided of a dirty bitmap or, with that as its kind, a checkpoint. */
typedef struct {
    char *kind;
    char *disk; /* "" of a checkpoint */
    char *name;
    char *decision;
    char *reason;
    guint64 at_ms;
} MigrationBitmap;

/** Texts are never NULL, "" is none; points in time are of the host's clock, 0 is none. */
typedef struct {
    char *domain;
    char uuid[VIR_UUID_STRING_BUFLEN];
    char *id;
    char *role;
    char *state;
    char *reason;
    char *peer;
    char *message;
    guint64 now_ms;
    guint64 started_at_ms;
    guint64 paused_at_ms; /* 0: not in a pause; attempts to recover are part of one */
    guint64 paused_ms;
    guint64 last_outage_ms;
    guint64 next_attempt_at_ms;
    guint pauses;
    guint recoveries;
    guint attempts;
    gboolean recovers_itself;
    GArray *history; /* of MigrationStep */
    GArray *bitmaps; /* of MigrationBitmap */

    /* by migration_fetch_progress() */
    guint64 total_bytes; /* 0: not known */
    guint64 remaining_bytes;
} Migration;

void migration_free(Migration *migration);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Migration, migration_free)

/** migration_fetch: the domain's last one on that host; *MIGRATION is NULL if there was none, or
 * if the domain has left the host and the daemon has forgotten it. FALSE: reported. */
gboolean migration_fetch(virDomainPtr domain, Migration **migration);

/** migration_fetch_all: of all domains, in libvirt's order; NULL: reported. */
GPtrArray *migration_fetch_all(virConnectPtr conn);

/** migration_find_domain: one that has left that host, by the id that it had, its UUID or its name,
 * while the daemon remembers its migration; NULL: there is none. Reports nothing; the caller frees
 * it. */
virDomainPtr migration_find_domain(virConnectPtr conn, const char *which);

/** migration_fetch_progress: how much memory is left, where libvirt knows: at the source. Without
 * it nothing is changed and nothing reported. */
void migration_fetch_progress(virConnectPtr conn, Migration *migration);

/** Whether nothing can happen to it any more. */
gboolean migration_is_over(const Migration *migration);
gboolean migration_has_completed(const Migration *migration);
gboolean migration_is_source(const Migration *migration);
/** Whether the guest has not left the source yet. */
gboolean migration_is_before_postcopy(const Migration *migration);
