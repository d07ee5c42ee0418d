/*
 * rebuild.h: the destination makes those dirty bitmaps anew that a pause has cut off on their way
 *
 * The rules and the QMP are driver/bitmap/rebuild.h's; the source's part is run/halves.h's. All of
 * it may block, and leaves the thread's libvirt error as it was; not on the engine thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

#include "run/migration.h"

/**
 * rebuild_track: before a guest that comes in postcopy with its storage runs here
 *
 * From now on what is written to its disks is recorded. In-band: a QEMU whose main loop waits for a
 * page answers this as late as the `cont` that is due next, and nothing else is waiting for it.
 * What cannot be recorded is logged, and its bitmaps are dropped if it comes to a pause.
 */
void rebuild_track(Migration *migration, virDomainPtr dom);

/** rebuild_settle_job: when a migration to this host has completed, for host_run(); takes over a
 * reference to a Migration. The record goes where nothing is missing; else the source is waited
 * for, some minutes. */
void rebuild_settle_job(gpointer migration, gpointer unused);

/** rebuild_take_up: a guest that runs here as any other, after a restart of the daemon. */
void rebuild_take_up(virDomainPtr dom);

/** rebuild_take: a ParcelFn, for what halves_send() sends */
gboolean rebuild_take(const unsigned char *uuid, GBytes *body, GBytes **reply, GError **error);
