/*
 * standin.h: stands in for a destination that is gone, so that QEMU ends a migration in postcopy
 *
 * How it works. A source that is paused in postcopy can be resumed, and nothing else: it is not to
 * be cancelled, and its guest cannot run on (qmp_migrate_cancel(), migration/migration.c, and
 * qmp_cont(), monitor/qmp-cmds.c, QEMU 10.0). So it is resumed, with ourselves at the other end,
 * who answer as a destination that has all memory. Nothing is left to be sent but the end, and to
 * that the answer is that it has failed. From then on QEMU does by itself what it does when a
 * migration fails: the images are the source's, the guest runs if it ran before, the dirty bitmaps
 * are let go of, and another migration may begin (migration_completion() and
 * migration_iteration_finish()).
 *
 *   QEMU                                          we
 *   RECV_BITMAP NAME, for each block of memory -> all of its pages are here
 *   POSTCOPY_RESUME                            -> RESUME_ACK; QEMU is postcopy-active
 *   what is left, and the end                  -> SHUT 1; QEMU has failed, and closes
 *
 * This is what QEMUs of different releases speak among each other (enum qemu_vm_cmd,
 * migration/savevm.c, and enum mig_rp_message_type, migration/migration.c). A channel that breaks
 * before RESUME_ACK is a pause again. After it, and also when the daemon is killed there, it ends
 * with a reset, which QEMU takes for the failure too.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gio/gio.h>

typedef struct StandIn StandIn;

/**
 * standin_new: listens where this host's QEMU can connect to, and nobody else's
 * @blocks: what QEMU's `info ramblock` says
 * @page_bytes: of the guest's pages, as query-migrate gives it
 *
 * NULL with @error set.
 */
StandIn *standin_new(const char *blocks, guint64 page_bytes, GError **error);
void standin_free(StandIn *standin);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StandIn, standin_free)

/** For QEMU's `migrate`, "tcp:127.0.0.1:PORT". */
const char *standin_get_uri(const StandIn *standin);

/**
 * standin_serve: from QEMU's connection to the end
 * @deadline_us: CLOCK_MONOTONIC
 *
 * FALSE with @error set when it has not come to that: what QEMU says counts. Blocks.
 */
gboolean standin_serve(StandIn *standin, gint64 deadline_us, GError **error);
