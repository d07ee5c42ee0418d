/*
 * outcome.h: how a migration ended, and that libvirt has drawn the line under it
 *
 * libvirt ends a postcopy migration that nobody attends by itself once QEMU has completed it,
 * within milliseconds (qemuMigrationProcessUnattended(), src/qemu/qemu_migration.c, 11.3.0): a
 * client's call that is told of success before would see the domain half migrated. These wait,
 * bounded, on the client's thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

#include "run/migration.h"

/** Whether the migration does not go on by itself: failed, paused by a person, given up. */
gboolean outcome_is_lost(const Status *status);

/** Tells the engine what a call came to, with the thread's libvirt error if it failed. */
void outcome_tell(Migration *migration, EventType type);

/** The state once the engine has taken in what was told. Not on the engine thread. */
MigrationState outcome_fetch_state(Migration *migration);

/** Sets the thread's libvirt error to what became of the migration. Returns: -1. */
int outcome_raise(const Status *status);

/** Until libvirt's job of the domain has ended; FALSE when that takes a minute. May block. */
gboolean outcome_wait_job(virDomainPtr dom);

/** The domain on the destination once libvirt's incoming job has ended; NULL with an error. */
virDomainPtr outcome_get_destination(Migration *migration, virConnectPtr dconn);

/** Until the domain is no longer active on the source, and forgotten if that was asked for. */
void outcome_wait_source(Migration *migration);

/** The domain on a connection of our own, or NULL with an error. */
virDomainPtr outcome_find_own(Migration *migration);

/* For host_run(): they take over a reference to a Migration. */
/** Cancels a migration in precopy, whose call then ends. */
void outcome_stop_job(gpointer migration, gpointer unused);
void outcome_abort_job(gpointer migration, gpointer unused);
/** outcome_settle_source() if the guest is stopped for a migration that libvirt's API has let go
 * of: no client is left to call Confirm; stuck_look() otherwise. */
void outcome_look_job(gpointer migration, gpointer unused);
/** What is left to do at a source where libvirt has ended the domain by itself: what the
 * destination is to have is carried there. */
void outcome_leave_job(gpointer migration, gpointer unused);
/** The same, and the domain is forgotten. */
void outcome_forget_job(gpointer migration, gpointer unused);

/** Whether the domain runs or is stopped in memory on this host. FALSE with no error set. */
gboolean outcome_is_active(Migration *migration, virConnectPtr connection);

/**
 * outcome_settle_source: Confirm's part for a migration that nobody confirms
 *
 * Has the destination asked whether it has started the guest; then, on a thread of the pool, either
 * destroys the domain here or lets it run on. Returns at once; not on the engine thread.
 */
void outcome_settle_source(Migration *migration);
/** The rest of it, for one whose outcome is known: after a restart. */
void outcome_settle_restored(Migration *migration);

/** Forgets a domain that does not run, and has run on or stayed elsewhere. May block. */
void outcome_undefine(Migration *migration, virDomainPtr dom);
/** Forgets the domain on the source, once libvirt has ended the migration there. May block. */
void outcome_undefine_source(Migration *migration);

/**
 * outcome_end_job: at the source, of a Perform that is refused before libvirt's
 *
 * libvirt's own Perform, when it fails, has ended the job of Begin; the client calls no Confirm
 * then (virDomainMigrateVersion3Full(), src/libvirt-domain.c, 11.3.0). Resets the thread's libvirt
 * error.
 */
void outcome_end_job(Migration *migration, virDomainPtr dom, unsigned int flags);
