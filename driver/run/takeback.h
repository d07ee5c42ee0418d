/*
 * takeback.h: a guest that has never run on its destination goes on at the source, from postcopy
 *
 * How it works. Of a destination that has ended before it ran the guest, and has said so, nothing
 * is left; the source has all memory, its devices and its images, and its QEMU is paused in
 * postcopy, from where QEMU and libvirt know no way back. The images are taken up again. Then
 * QEMU's migration is brought to its end, which is a failure, by a stand-in for the destination
 * (standin.h), and the guest runs, unless it was stopped before the switch. At last libvirt's own
 * job is ended as Confirm ends one that was cancelled, which also resumes a guest that was
 * suspended during the migration; one that was before it has no postcopy
 * (qemuMigrationSrcBeginPhase(), src/qemu/qemu_migration.c, 11.3.0). A client who still has a call
 * under way hears of it by that.
 *
 * Nothing is done that could not be done again: each step looks at what QEMU and libvirt say, after
 * a restart of the daemon, too.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "run/migration.h"

/** What has become of it; of Migration. */
typedef enum {
    TAKEBACK_UNDER_WAY, /* if it is one at all */
    TAKEBACK_DONE,
    TAKEBACK_FAILED, /* it stays stopped, until the daemon is restarted at least */
} Takeback;

/** For host_run(): takes over a reference to the Migration. Ends in EVENT_TAKEN_BACK. */
void takeback_job(gpointer migration, gpointer unused);

/** Whether the guest is on its way back, and what stock libvirt says of it not the end. Any thread.
 */
gboolean takeback_is_under_way(Migration *migration);

/**
 * takeback_wait: of a client's call, until it has come to its end
 *
 * TRUE: the guest goes on here, and libvirt's job of it has ended. FALSE at once for a guest that
 * is not taken back. May block, for a minute; not on the engine thread.
 */
gboolean takeback_wait(Migration *migration);

/** Sets the thread's libvirt error of a call that ends with it; @why: (nullable): what the call has
 * met. Returns: -1. */
int takeback_raise(Migration *migration, const char *why);
