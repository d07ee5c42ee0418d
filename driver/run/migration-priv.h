/*
 * migration-priv.h: what a migration has on the engine thread
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "bitmap/disk.h"
#include "run/journal.h"
#include "run/migration.h"
#include "run/peer.h"
#include "run/takeback.h"
#include "run/watchdog.h"

/** An address of the destination. */
typedef struct {
    PathRank rank;
    char *host;          /* numeric */
    guint16 listen_port; /* that its QEMU is to listen on; 0: any */
} MigrationPath;

/** Somebody on the engine thread who wants to be called. */
typedef struct {
    MigrationMilestone milestone;
    guint recoveries;
    MigrationWhenFn fn;
    gpointer opaque;
} MigrationWait;

/** Commands to QEMU; see run/command.h. */
typedef enum { COMMAND_IN_BAND, COMMAND_OOB, COMMAND_LANES } CommandLane;
typedef struct {
    gboolean busy;
    GQueue waiting; /* of Command */
} CommandQueue;

struct Migration {
    gatomicrefcount refs;

    /* never change */
    MigrationRole role;
    char *id;
    char *name;
    unsigned char uuid[VIR_UUID_BUFLEN];
    Policy *policy;
    gboolean foreign; /* migration_is_foreign() */

    /* under the registry's lock */
    Status *status;
    unsigned int flags;
    int domain_id;       /* that it runs by on this host, or did; -1: unknown */
    CookiePostcopy wish; /* what the source's policy asks of the destination */
    Secret secret;
    gboolean holds;          /* session_holds_callers() */
    gboolean may_break;      /* session_may_break() */
    gboolean pausing;        /* session_is_pausing() */
    gboolean wants_return;   /* session_wants_return() */
    gboolean may_have_run;   /* session_may_have_run() */
    gboolean taken_back;     /* source: the guest never ran there, in postcopy, and goes on here */
    Takeback takeback;       /* ... how far that is */
    gboolean given_up;       /* source: its images, and it has not got them again */
    gboolean guarded;        /* source: and they have a guard */
    gboolean images_changed; /* ... which the journal does not know yet */
    gboolean has_peer;
    gboolean can_ask;
    gboolean undefine;
    gboolean undefine_taken;
    gboolean carried; /* or it was tried: see carry.h */
    guint confirms;
    gboolean finish_claimed;
    gint fresh;          /* atomic; destination: libvirt had no definition of the domain */
    virConnectPtr dconn; /* the client's to this host */
    GPtrArray *disks;    /* of Disk; NULL: not known */
    GPtrArray *verdicts; /* of Verdict, that the engine thread has yet to take in */
    gboolean noted;      /* migration_needs_journal() */
    gint64 asked_until;  /* CLOCK_MONOTONIC, us; 0: it was never over, or its source does not ask */

    gint stuck; /* atomic; of Stuck, see stuck.h */

    gint kept; /* atomic; of KEPT_*, see restore.h; 0: it is known whose the guest is */
    /* of the thread that finds that out */
    gint64 kept_since_us;
    guint64 kept_received; /* over its channel, at the last look */
    guint kept_flows;      /* in so many looks more had come */
    gboolean told_kept;

    /* the engine thread's */
    Session *session;
    Channel channel;
    char *peer;
    GPtrArray *paths;        /* of MigrationPath, in the order to try */
    guint16 peer_port;       /* of its Holdfast; 0 if it has none */
    char *peer_boot;         /* the destination's boot_get_id(); NULL: unknown */
    gboolean told_restarted; /* that it has another one now */
    GSource *state_timer;
    GSource *give_up_timer;
    GSource *client_timer; /* looks whether the client is still there */
    guint looks_in_vain;   /* since it is gone */
    Watchdog *watchdog;
    GSource *look_timer;    /* source: with the watchdog */
    gboolean told_unbroken; /* that a silent channel is left to TCP */
    PeerCall *call;
    guint calls_in_vain;    /* in a row */
    char *resume_host;      /* the address that the last answer came from */
    guint16 resume_port;    /* ... and the port that it named */
    char *listen_host;      /* the one that recoveries may listen on; NULL: any */
    char *local_host;       /* this host's end of the channel; NULL: unknown */
    char *armed_host;       /* where QEMU listens; NULL: everywhere, or nowhere */
    char *arming_host;      /* where it is being told to; NULL: everywhere, or it is not */
    PeerQuestion *question; /* the one to be answered */
    guint32 sequence;       /* of the last question, asked or answered; 0: none */
    GArray *waits;          /* of MigrationWait */
    CommandQueue commands[COMMAND_LANES];
};

/** All of this host's; the lock also guards what a Migration has under it. */
typedef struct {
    GMutex lock;
    GCond changed;     /* a snapshot, or a post that somebody waits for */
    GQueue all;        /* of Migration, newest first, one a domain */
    gboolean released; /* nobody is held any more */
} MigrationRegistry;

extern MigrationRegistry registry;

/** A migration that is in no list yet; see migration_start(). */
Migration *migration_new(MigrationRole role,
                         const char *id,
                         const unsigned char *uuid,
                         const char *name,
                         const Policy *policy,
                         unsigned int flags);

/** Ends what it still does and shows; it is in no list any more. @migration: (transfer full) */
void migration_retire(Migration *migration);

/** A migration that the journal knows; NULL when the domain has a newer one. A reference. */
Migration *
migration_restore(const JournalRecord *record, const unsigned char *uuid, const Policy *policy);

/** A recovery is over: what a person named for it is one of the addresses, and the last. */
void migration_drop_override(Migration *migration);

void migration_path_free(gpointer path);
/** How many of the paths, the first ones, memory may go over: they can be asked. */
guint migration_count_ways(const Migration *migration);
/** Behind those of its rank, unless it is there already. Engine thread. */
void migration_put_path(Migration *migration, PathRank rank, const char *host, guint16 listen_port);

/** Before anything is done about a change. Engine thread. */
void migration_write_journal(Migration *migration);

/** Of the session as it is now. @status: (transfer full); in the place of one that the caller has.
 * Under the registry's lock, once others have the migration. */
void migration_take_snapshot(Migration *migration, Status *status);

/** After a change: shows the session as it is now, and wakes who waits. Engine thread. */
void migration_put_snapshot(Migration *migration, EventType event);

/** Whether the journal is to be written anew for the images' sake; once. */
gboolean migration_take_images_changed(Migration *migration);

/** It has completed: at a destination, what its images are still to be rid of, or to have. */
void migration_settle_arrival(Migration *migration);

/** What the journal knew of them. */
void migration_restore_images(Migration *migration, const JournalRecord *record);

/** Whether anything is left to be done, also after the end, by this daemon or the next: a guest
 * that has left may yet come back to its images here. Engine thread. */
gboolean migration_needs_journal(Migration *migration);

/** Whether it needs its journal; while it does the daemon stays, and longer if it may be asked
 * (inhibit.c). Engine thread. */
gboolean migration_inhibit(Migration *migration);
/** The same of one from before a restart. Any thread. */
void migration_inhibit_restored(Migration *migration);

/** Calls whoever waits on the engine thread, after a new snapshot. */
void migration_call_waits(Migration *migration);

/** FALSE when the domain has a newer one. */
gboolean registry_add_restored(Migration *migration);

/** Whether the daemon stops. Nobody is held any more who would act on an answer of the other
 * host's: none is taken, the journal stays, and it is asked again when the daemon is back. */
gboolean migration_is_released(void);

/** What the journal is to know. Engine thread. */
void migration_record(Migration *migration, JournalRecord *record);

/** Steps the session on the engine thread, then carries out what it asks for. */
void migration_step(Migration *migration, EventType type, guint number, const char *text);
