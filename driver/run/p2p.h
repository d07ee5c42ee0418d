/*
 * p2p.h: a peer-to-peer migration, driven by ourselves
 *
 * In stock libvirt the source runs all phases inside one call that owns the migration's job, and
 * the first failure of the connection to the destination ends it: in postcopy the source then stays
 * paused, and what --undefinesource asked for is forgotten; at the end of precopy the guest goes on
 * at the source, also when the destination runs it already. Run as the client-driven protocol over
 * a connection that we hold, the same phases pass through phases.c on both hosts.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

/**
 * p2p_is_ours: whether this is one to drive
 *
 * A tunnelled one cannot be: its memory goes through libvirt's own connection, and only the stock
 * driver's one call can open that stream for QEMU (qemuMigrationSrcPerformTunnel(),
 * src/qemu/qemu_migration.c, 11.3.0). An offline one need not be: no guest runs.
 */
gboolean p2p_is_ours(unsigned int flags);

/** Perform with VIR_MIGRATE_PEER2PEER; returns the true outcome. */
int p2p_perform(virDomainPtr dom,
                const char *dconnuri,
                virTypedParameterPtr params,
                int nparams,
                unsigned int flags);

/** The same without typed parameters: from a client as of libvirt before 1.1.0, or one that speaks
 * the protocol by itself. Newer ones come with parameters whatever API they were asked with
 * (virDomainMigrateUnmanagedParams(), src/libvirt-domain.c, 11.3.0). */
int p2p_perform_old(virDomainPtr dom,
                    const char *xml,
                    const char *dconnuri,
                    const char *uri,
                    unsigned int flags,
                    const char *dname,
                    unsigned long bandwidth_mib);
