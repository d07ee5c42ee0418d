/*
 * stats.h: what a migration is like, among the statistics of its domain
 *
 * `virsh domstats` and whoever collects virConnectGetAllDomainStats() get `holdfast.*` of a domain
 * that has, or had, a migration here; docs/status.md describes each. They come with all statistics
 * (a mask of 0) and with a bit of our own, never with a client's choice of libvirt's groups.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

#include "model/status.h"

/** Our group in the mask of virDomainStatsTypes. A stock daemon passes over bits that it does not
 * know, or refuses them with VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS, so a client can tell.
 * libvirt counts from the other end: 11.3.0 has ten. */
#define STATS_HOLDFAST (1u << 31)

/**
 * stats_add:
 * @params: an array of libvirt's, allocated for @n_params at least; grows
 * @now_usec: CLOCK_REALTIME, for readers on hosts with another
 *
 * Adds what @status says, the history's latest 64 steps at most: well below the 262144 parameters
 * that a record may have (remote_protocol.x, libvirt 9.0.0 and 11.3.0).
 */
void stats_add(virTypedParameterPtr *params, int *n_params, const Status *status, gint64 now_usec);

/**
 * stats_get_all: in front of the stock driver's connectGetAllDomainStats
 *
 * Asked for our group alone it takes no job and never waits for QEMU. Asked for it of all domains,
 * or of some, and not for some kind of domains, it also has what is remembered of the ended
 * migrations of domains that are not on this host any more, for clients who may read them. On the
 * thread of the client's call.
 */
int stats_get_all(virConnectPtr conn,
                  virDomainPtr *doms,
                  unsigned int ndoms,
                  unsigned int stats,
                  virDomainStatsRecordPtr **records,
                  unsigned int flags);
