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

/** Sets the thread's libvirt error to what became of the migration. Returns: -1. */
int outcome_raise(const Status *status);

/** The domain on the destination once libvirt's incoming job has ended; NULL with an error. */
virDomainPtr outcome_get_destination(Migration *migration, virConnectPtr dconn);

/** Until the domain is no longer active on the source, and forgotten if that was asked for. */
void outcome_wait_source(Migration *migration);

/** Forgets the domain on the source, once libvirt has ended the migration there. May block. */
void outcome_undefine_source(Migration *migration);
