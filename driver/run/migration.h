/*
 * migration.h: a session that is being run, and all of this host's
 *
 * The decisions are the Session's (driver/engine); a Migration is what connects one to the world:
 * the queue in front of it, the snapshot behind it, and whoever waits for it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>
#include <sys/types.h>

#include "engine/session.h"
#include "model/cookie.h"
#include "util/secret.h"

typedef struct Migration Migration;

/**
 * migration_start: a new one, in place of an older one of the same domain
 * @id: of the migration, or NULL for a new one
 * @uuid: of the domain, VIR_UUID_BUFLEN bytes
 * @flags: virDomainMigrateFlags
 *
 * Returns: a reference; NULL when there is no engine thread.
 */
Migration *migration_start(MigrationRole role,
                           const char *id,
                           const unsigned char *uuid,
                           const char *name,
                           const Policy *policy,
                           unsigned int flags);

/**
 * migration_start_foreign: to this host, from a source that has no Holdfast that we can talk to
 *
 * It is shown, and nothing is done about it: it goes, and ends, as with stock libvirt, and a
 * restart of the daemon forgets it. Otherwise as migration_start().
 */
Migration *migration_start_foreign(const unsigned char *uuid, const char *name, unsigned int flags);
gboolean migration_is_foreign(const Migration *migration);

/* Each returns a reference, or NULL. A migration that is over is found until another of the
 * same domain takes its place or newer ones push it out. */
Migration *migration_find(const unsigned char *uuid);
Migration *migration_find_by_uuid_text(const char *uuid);
/** The one that brings domain @name to this host over the client's connection @dconn. */
Migration *migration_find_incoming(virConnectPtr dconn, const char *name);
/** The one to this host that the asker of a question knows the secret of. */
Migration *migration_find_by_secret(const Secret *secret);

/** Those that are over, newest first. (element-type Migration) (transfer full) */
GPtrArray *migration_list_over(void);

Migration *migration_ref(Migration *migration);
void migration_unref(Migration *migration);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Migration, migration_unref)

const char *migration_get_id(const Migration *migration);
/** A migration has one of its own until the source's is known. Any thread. */
void migration_set_secret(Migration *migration, const Secret *secret);
void migration_get_secret(Migration *migration, Secret *secret);
const unsigned char *migration_get_uuid(const Migration *migration);
MigrationRole migration_get_role(const Migration *migration);
/** The virDomainMigrateFlags that it runs with: the client's, and postcopy if the policy has turned
 * it on. Any thread. */
unsigned int migration_get_flags(const Migration *migration);
void migration_add_flags(Migration *migration, unsigned int flags);
/* What the source's policy wishes, see postcopy.h. Any thread. */
void migration_set_wish(Migration *migration, CookiePostcopy wish);
CookiePostcopy migration_get_wish(Migration *migration);
/** Of the domain on this host. */
const char *migration_get_name(const Migration *migration);
/** By which libvirt knew it here while it ran; -1: unknown. Any thread. */
void migration_set_domain_id(Migration *migration, int id);
int migration_get_domain_id(Migration *migration);
const Policy *migration_get_policy(const Migration *migration);
/** Destination: that libvirt had no definition of the domain before. FALSE: not known. Any thread.
 */
void migration_set_fresh(Migration *migration, gboolean fresh);
gboolean migration_is_fresh(Migration *migration);
/** migration_learn_disks: how the domain, which runs here, names its disks. Reads libvirt's file;
 * any thread that may do that. */
void migration_learn_disks(Migration *migration);
/** The disk that has a block node, "vda"; the node itself where that is not known. Free with
 * g_free(). Any thread. */
char *migration_name_disk(Migration *migration, const char *node);
/** The latest snapshot; a reference. */
Status *migration_get_status(Migration *migration);

/** Tells the engine; @text is copied. Any thread, never blocks. */
void migration_post(Migration *migration, EventType type, guint number, const char *text);
/** The same, and returns when the engine has taken it in. Not on the engine thread. */
void migration_tell(Migration *migration, EventType type, guint number, const char *text);

/** Writes the journal as things are now, in order with the events. Any thread, never blocks. */
void migration_note(Migration *migration);

/* What the engine cannot know by itself; told in order with the events. Any thread. */

/** QEMU's process and the port of the channel (to the other host at the source, here at the
 * destination); 0: unknown. */
void migration_set_channel(Migration *migration, pid_t pid, guint16 port);
/* How an address of the destination is known; in the order in which they are tried. */
typedef enum {
    PATH_PERSON,  /* named for one recovery */
    PATH_URI,     /* where the memory goes */
    PATH_POLICY,  /* a further network of the policy's */
    PATH_OFFERED, /* by the destination, or a person's of an earlier recovery */
    PATH_NAME,    /* what it calls itself: to tell it something, as libvirt would; not for memory */
} PathRank;

/**
 * migration_set_destination: the destination as the source knows it
 * @name: for a person
 * @hosts: its addresses, numeric, NULL-terminated; none: there is no network to ask over
 * @port: where its Holdfast can be asked; 0: it has none
 */
void migration_set_destination(Migration *migration, const char *name, char **hosts, guint16 port);
/** Which start of it this is, as it says: boot_get_id(); NULL: it does not. */
void migration_set_peer_boot(Migration *migration, const char *boot);
/** Why it cannot be asked, for a person. */
void migration_set_hint(Migration *migration, const char *hint);
/** session_set_note() */
void migration_set_note(Migration *migration, const char *note);
/** Something was decided of a bitmap or a checkpoint; @verdict is taken. Several at once are shown
 * together. */
void migration_add_verdict(Migration *migration, Verdict *verdict);
/** Further addresses of it, after those of the same rank; none is there twice. */
void migration_add_paths(Migration *migration, PathRank rank, char **hosts);
/** The source, which has Holdfast, as the destination knows it. */
void migration_set_source(Migration *migration, const char *hostname);
/** A host to try before all others, for this recovery, by its addresses; @port of its QEMU, 0: any.
 */
void migration_set_override(Migration *migration, char **hosts, guint16 port);
/** At the destination: the one address that a recovery may listen on. */
void migration_set_listen(Migration *migration, const char *host);
/** Whether libvirt is to forget the domain at the source if the migration ends without a client. */
void migration_set_undefine(Migration *migration, gboolean undefine);
gboolean migration_is_to_undefine(Migration *migration);
/** The same, but TRUE once at most: when the domain leaves this host another time, that is another
 * migration's business, also if that one does not pass through us. */
gboolean migration_take_undefine(Migration *migration);

/** Whether the caller is the one to carry what the destination is to have there: carry.h. */
gboolean migration_claim_carry(Migration *migration);

typedef enum {
    /* terminal, or stock libvirt's answer is the one to give: an operator's pause, manual recovery
     */
    MIGRATION_SETTLED,
    /* SETTLED, or the guest can run: not paused and not recovering */
    MIGRATION_FLOWING,
    /* terminal, or the pause that a person asked for is there, or will not come */
    MIGRATION_PAUSED,
    /* SETTLED, or recovered more often than when the wait began */
    MIGRATION_RECOVERED,
} MigrationMilestone;

/**
 * migration_wait: blocks a client's call until the migration has come that far
 * @recoveries: for MIGRATION_RECOVERED: Status.recoveries to be exceeded
 * @timeout_ms: 0: as long as it takes
 * @status: (out) (optional) (transfer full): the snapshot that ended the wait
 *
 * Returns: FALSE when the time ran out.
 */
gboolean migration_wait(Migration *migration,
                        MigrationMilestone milestone,
                        guint recoveries,
                        guint64 timeout_ms,
                        Status **status);

/**
 * migration_poll: waits for something that nobody tells, by looking for it
 * @migration: (nullable): for @reached
 * @reached: called without any lock; may call libvirt
 *
 * Looks often, for as long as a minute; ends at once when the daemon stops. FALSE if in vain.
 * May block; not on the engine thread.
 */
gboolean migration_poll(Migration *migration,
                        gboolean (*reached)(Migration *migration, gpointer opaque),
                        gpointer opaque);

/**
 * migration_let_run: until the migration may be paused, see session_may_break()
 *
 * The destination is asked; one that cannot be is given half a second. Blocks for a minute at most;
 * not on the engine thread.
 *
 * Returns: FALSE if a pause would lose the guest, for all that is known.
 */
gboolean migration_let_run(Migration *migration);

/** migration_release_all: ends all waits of now and later; the daemon stops. Any thread. */
void migration_release_all(void);

/** migration_stop_all: tells all that the daemon stops. Any thread. */
void migration_stop_all(void);

typedef void (*MigrationWhenFn)(const Status *status, gpointer opaque);

/** migration_when: the same without blocking; @fn is called once. Engine thread only. */
void migration_when(Migration *migration,
                    MigrationMilestone milestone,
                    guint recoveries,
                    MigrationWhenFn fn,
                    gpointer opaque);

/** Returns when the engine has taken in what was posted so far. Not on the engine thread. */
void migration_sync(Migration *migration);

/** Whether the other host has Holdfast. Any thread. */
gboolean migration_has_peer(Migration *migration);
/** Whether it can also be asked to recover. Any thread. */
gboolean migration_can_ask(Migration *migration);
/** session_may_break() of the latest snapshot. Any thread. */
gboolean migration_may_break(Migration *migration);
/** session_may_have_run() of the latest snapshot. Any thread. */
gboolean migration_may_have_run(Migration *migration);
/** session_holds_callers() of the latest snapshot. Any thread. */
gboolean migration_holds_callers(Migration *migration);

/** session_wants_return() of the latest snapshot. Any thread. */
gboolean migration_wants_return(Migration *migration);

/* The client's connection to this host. At a destination libvirt destroys the incoming domain when
 * it closes (qemuProcessAutoDestroy(), src/qemu/qemu_process.c, 11.3.0), which in postcopy would
 * lose the guest: it is kept open until the migration is over, or the client is gone before
 * postcopy. At a source it is kept until the client is gone. */
void migration_keep_connection(Migration *migration, virConnectPtr dconn);
/** A reference, or NULL. */
virConnectPtr migration_get_connection(Migration *migration);

/* Source: its images. What is so stands in the journal until the guest is handed back or gone, also
 * when the migration is over (images.c). */
/** QEMU gives them up. Posted; any thread. */
void migration_give_up(Migration *migration);
gboolean migration_has_given_up(const Migration *migration);
/** They have a guard, or none. In the journal when it returns; not on the engine thread. */
void migration_set_guarded(Migration *migration, gboolean guarded);
gboolean migration_is_guarded(const Migration *migration);
/** The source has them again, or there is no guest any more. Posted; any thread. */
void migration_hand_back(Migration *migration);

/** Whether the caller is the one to call libvirt's Finish; every later caller waits for its end. */
gboolean migration_claim_finish(Migration *migration);
/** It has ended without having started the guest, which is still here: the next may be called. */
void migration_release_finish(Migration *migration);

/* While a client's Confirm is at work on the source, it is the one to undefine the domain. */
void migration_begin_confirm(Migration *migration);
void migration_end_confirm(Migration *migration);
gboolean migration_is_confirmed(Migration *migration);
