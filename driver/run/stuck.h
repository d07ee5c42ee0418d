/*
 * stuck.h: a source's QEMU that a failed switch to postcopy has left behind
 *
 * How it works. A switch to postcopy that fails when QEMU is in `device` already (the channel
 * breaks, an image cannot be given up, a device does not tell its state) ends in that state:
 * postcopy_start() would go from postcopy-active to failed, migration_iteration_finish() knows no
 * such end, and the migration's thread is over (migration/migration.c, QEMU 10.0). The images are
 * the source's again, the guest is stopped in finish-migrate, where qmp_cont() refuses to let it
 * run (monitor/qmp-cmds.c); migrate_cancel leads to `cancelling` for good, and another migration is
 * refused as long as this QEMU lives. libvirt waits for an end that never comes, and with it the
 * client.
 *
 * The destination may have everything it needs by then. So it is asked, as after a precopy that
 * nobody confirms, and only when it has said that the guest did not and never will run there, it
 * runs here again: by the way out that is left, which is QEMU's stub for a debugger, where "detach"
 * is vm_start() and nothing else (handle_detach(), gdbstub/gdbstub.c; gdb_continue(),
 * gdbstub/system.c). Nobody ever is on the other end of it but we, on a socket without a name.
 * Then libvirt hears that the migration is cancelled, and does what it does then.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

#include "run/migration.h"

/** What is known of it; of Migration. */
typedef enum {
    STUCK_NOT,
    STUCK_FOUND,  /* the destination is being asked */
    STUCK_RUNS,   /* the guest runs here again */
    STUCK_STANDS, /* it does not, and never will in this QEMU */
} Stuck;

Stuck stuck_get(const Migration *migration);

/**
 * stuck_look: at the source, at the switchover: whether its QEMU is
 *
 * The first time it is found so the rest is set going, and the client's call ends with it. May
 * block.
 */
void stuck_look(Migration *migration, virDomainPtr dom);

/**
 * stuck_let_run: lets the guest run again, if that is what keeps it from it
 *
 * Only where it is certain that it did not and never will run on the destination. May block; with
 * no job of the domain that admits none. Returns: FALSE: QEMU is not stuck, and does what it is
 * told; or the guest does not run, which is in the log.
 */
gboolean stuck_let_run(Migration *migration, virDomainPtr dom);

/**
 * stuck_end_wait: libvirt no longer waits for the end of a migration that QEMU has ended
 *
 * A daemon that was restarted cancels it, and has the domain's job until it hears of that
 * (qemuMigrationSrcCancelUnattended(), src/qemu/qemu_migration.c, 11.3.0); where nobody waits it is
 * nothing. Only where the guest is known to stay. May block.
 */
void stuck_end_wait(Migration *migration, virDomainPtr dom);

/** TRUE, with the thread's libvirt error set, when the domain's QEMU is one of which it is known
 * that it takes no other migration; QEMU's own words would be that one is in progress. */
gboolean stuck_refuse(virDomainPtr dom);

/** The thread's libvirt error of a Perform that has failed says what has become of the guest, if
 * its QEMU was. May block. */
void stuck_explain(Migration *migration, virDomainPtr dom);
