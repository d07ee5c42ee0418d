/*
 * journal.h: migrations on disk, for a daemon that is restarted
 *
 * One file a migration, DIRECTORY/UUID-OF-THE-DOMAIN.journal, an INI file as GKeyFile has it. It is
 * written before a change is acted on, and removed when the migration is over. The directory is on
 * a file system that does not outlive the host (/run), like the QEMUs that it speaks of.
 *
 * A key that a later build has added is missing in the file of an older one, and has a default that
 * says "not known". What an older build would misread needs a new version of the format.
 *
 * Beside it, DIRECTORY/UUID-OF-THE-DOMAIN.arrived outlives the migration: a line for each one that
 * came to this host, as long as it is up.
 *
 * What is read is not trusted: a file that does not hold is reported, set aside as .bad, and the
 * migration is libvirt's alone.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/session.h"
#include "util/secret.h"

typedef struct {
    MigrationRole role;
    char *id;
    Secret secret;
    char *uuid;
    char *name;
    char *peer;
    char **hosts;      /* NULL-terminated; the addresses of the peer, for memory */
    char **names;      /* likewise, those of the name that it gives itself */
    char *listen_host; /* the one that a recovery may listen on; "": any */
    char *armed_host;  /* where QEMU listens; "": everywhere, or nowhere */
    char *peer_boot;   /* which start of the destination; "": unknown */
    guint16 peer_port;
    guint16 channel_port;
    guint flags; /* virDomainMigrateFlags */
    gboolean undefine;
    gboolean kept;     /* the destination may have the guest: see restore.h */
    gboolean given_up; /* source: its images, and it has not got them again */
    gboolean guarded;  /* source: and they have a guard */
    char *policy;      /* XML */
    SessionMemory memory;
    GPtrArray *verdicts; /* of Verdict; NULL when written: none */
} JournalRecord;

void journal_record_clear(JournalRecord *record);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(JournalRecord, journal_record_clear)

#define JOURNAL_ERROR (journal_error_quark())
GQuark journal_error_quark(void);
typedef enum {
    JOURNAL_ERROR_VERSION, /* written by a Holdfast that is too new */
    JOURNAL_ERROR_INVALID, /* a value that makes no sense, or none */
} JournalError;

/** A record as text, and back. The record is to be cleared; it is zeroed on failure. */
char *journal_format(const JournalRecord *record);
gboolean journal_parse(const char *text, gsize length, JournalRecord *record, GError **error);

/* Files. A directory that cannot be used is reported once; migrations go on without a journal. */

/** For qemu:///system below /run, else below the user's runtime directory. Free with g_free(). */
char *journal_get_directory(gboolean privileged);
void journal_write(const char *directory, const JournalRecord *record);
void journal_remove(const char *directory, const char *uuid);

typedef void (*JournalFn)(JournalRecord *record, gpointer opaque);

/** Calls @fn for each record; what does not hold is set aside. */
void journal_read_all(const char *directory, JournalFn fn, gpointer opaque);

/** Whether there is any. */
gboolean journal_has_any(const char *directory);

/** What is known of a migration to this host that is over. */
typedef enum {
    ARRIVAL_NONE,     /* no guest came with it */
    ARRIVAL_LOST,     /* one came in postcopy, and was lost before it ever ran */
    ARRIVAL_DOUBTFUL, /* the guest may have run here */
    ARRIVAL_STARTED,  /* it was started here, or left stopped as was asked */
} Arrival;

/** Of the migration that the secret belongs to, so that a later one of the domain neither finds it
 * nor takes it away: another host may have been left with a question about this one. The last
 * sixteen are kept. */
void journal_note_arrival(const char *directory,
                          const char *uuid,
                          const Secret *secret,
                          Arrival arrival);
Arrival journal_get_arrival(const char *directory, const char *uuid, const Secret *secret);

/* The port that the peers of these migrations ask on; 0: none is known. */
guint16 journal_read_port(const char *directory);
void journal_write_port(const char *directory, guint16 port);
