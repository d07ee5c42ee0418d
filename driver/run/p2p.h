/*
 * p2p.h: a peer-to-peer migration with postcopy, driven by ourselves
 *
 * In stock libvirt the source runs all phases inside one call that owns the migration's job, and
 * the first failure of the connection to the destination ends it: the source then stays paused, and
 * what --undefinesource asked for is forgotten. Run as the client-driven protocol over a connection
 * that we hold, the same phases pass through phases.c on both hosts.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

/** Whether this is one to drive: with postcopy, not tunnelled, not offline. */
gboolean p2p_is_ours(unsigned int flags);

/** Perform with VIR_MIGRATE_PEER2PEER; returns the true outcome. */
int p2p_perform(virDomainPtr dom,
                const char *dconnuri,
                virTypedParameterPtr params,
                int nparams,
                unsigned int flags);
