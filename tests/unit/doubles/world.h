/*
 * world.h: a host for migrations without libvirt's daemon and without QEMU
 *
 * Stands in, when the test is linked, for driver/run/host.c (an engine thread and threads for what
 * may block, both real), for driver/stock's QMP and errors (scripted and kept), for the Finish of
 * driver/run/phases.c and for driver/run/listeners.c. The domains are those of libvirt's own test
 * driver.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "run/migration.h"
#include "stock/slots.h"

/** Starts the engine thread; once a test. */
void world_start(void);
/** Runs what is queued to its end and stops it. Fails the test when something keeps on coming. */
void world_stop(void);

/** Returns when the engine and the other threads have nothing left to do. */
void world_settle(void);

/** What is to run later runs now, once; returns as world_settle() does. */
void world_pass_time(void);

/** Runs @fn on the engine thread and returns when it has. */
void world_on_engine(void (*fn)(gpointer opaque), gpointer opaque);

/** No engine thread could be made. */
void world_set_running(gboolean running);
/** There is no connection to our own daemon. */
void world_set_connected(gboolean connected);
/** The directory of the journal, or NULL, as it is at first. @directory: the test's. */
void world_set_journal(const char *directory);
/** What host_get_recover_port() gives. */
void world_set_recover_port(guint16 port);

/** The UUID of one of the running domains, VIR_UUID_BUFLEN bytes: 0, 1, 2, ... */
const unsigned char *world_domain(guint n);

/**
 * WorldQmpFn: a QEMU
 * @command: "migrate-pause", "migrate-recover", "getfd NAME FD", or the whole JSON of a command
 * that goes in-band
 * @arguments: or NULL
 *
 * Returns: the answer, to be freed; NULL with @error set. On a thread that may block.
 */
typedef char *(*WorldQmpFn)(const char *name,
                            const char *command,
                            const char *arguments,
                            GError **error);
void world_set_qemu(WorldQmpFn fn);
/** QEMU's MIGRATION event of a domain, as the hook in front of libvirt passes it on. */
void world_migration_event(guint domain, const char *status);
/** QEMU's event RESUME, likewise. */
void world_resume_event(guint domain);
/** libvirt has the QEMU of a domain go on from pre-switchover; whether that was let through. */
gboolean world_migrate_continue(guint domain);
/** How often libvirt was told that QEMU had cancelled the migration, since it was last asked. */
guint world_take_cancelled(void);
/** How many commands were sent so far. */
guint world_count_commands(void);

/** Waits until Finish was called in place of the client as often as that, and not more often. */
void world_wait_finishes(guint finishes);

/** libvirt's Prepare. */
void world_set_prepare(StockFn_domainMigratePrepare3Params fn);

/** libvirt has a job of a postcopy migration from here, which nobody drives, until it is told that
 * it has left postcopy, and Confirm is called. */
void world_set_outgoing(void);
gboolean world_is_outgoing(void);

/** How often libvirt's Confirm was called, cancelled. */
guint world_count_confirms(void);

/** How often the clients' listeners were to be told what was held back from them. */
guint world_count_settled(void);

/** What was shown so far: "NAME ROLE STATE" or "withdrawn UUID ROLE", in order; to be freed. */
GStrv world_get_shown(void);
/** Forgets it. */
void world_clear_shown(void);

/** The libvirt error that stock_error_raise() got last, and its text. */
virErrorNumber world_get_raised(const char **text);

/** Waits until a migration is in a state; fails the test, with its history, when it never is. */
void world_wait_state(Migration *migration, MigrationState state);

/** Nobody knows a domain's migration any more, if it is over: many others have begun since, or the
 * daemon was restarted. */
void world_forget(const unsigned char *uuid);

/** Ends a migration, and lets it go: what runs for one that is over ends within a few turns of the
 * engine. Fails the test when it does not. */
void world_drop(Migration *migration);
