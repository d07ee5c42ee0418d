/*
 * qemu.h: the two QEMUs of a migration, as QEMU 10.0 has them in migration/
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "world.h"

void qemu_init(World *world);
/** libvirt's Perform: the source starts to migrate. */
void qemu_start(World *world);
const char *qemu_status_to_string(QemuStatus status);
gboolean qemu_is_postcopy(QemuStatus status);

/* QMP. Each that returns something returns FALSE for an error. */
gboolean qemu_migrate_continue(World *world);
void qemu_start_postcopy(World *world);
gboolean qemu_migrate_cancel(World *world);
gboolean qemu_migrate_pause(World *world, MigrationRole host);
gboolean qemu_migrate_recover(World *world, guint port);
gboolean qemu_migrate_resume(World *world, guint path, guint port);
/** cont, stop */
void qemu_run(World *world, MigrationRole host);
void qemu_stop(World *world, MigrationRole host);
/** The source's guest goes on, out of a migration that is paused, or was; FALSE: it is neither. */
gboolean qemu_take_back(World *world);
/** query-migrate at the source: KiB of memory that have yet to be sent. */
guint qemu_get_remaining_kib(const World *world);

/** Shuts the sockets of the channel at @port down, as another process can; how many. */
guint qemu_break_sockets(World *world, MigrationRole host, guint port);
/** The process ends. */
void qemu_end(World *world, MigrationRole host, const char *why);

/* the network's */
void qemu_receive(World *world, MigrationRole host, ChannelMessage message);
void qemu_channel_ended(World *world, MigrationRole host);
void qemu_network_changed(World *world);
