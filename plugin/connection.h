/*
 * connection.h: a virsh-COMMAND's connection to a libvirt daemon
 *
 * Uses libvirt's public API alone, so a daemon on another host is as good as the one here. Failures
 * are reported to the person in virsh's words by the function that meets them: a command that gets
 * FALSE or NULL has nothing to add.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

/** virsh's own options, from the environment (handover.h). The string is the environment's. */
typedef struct {
    const char *uri; /* NULL: libvirt chooses (LIBVIRT_DEFAULT_URI, its configuration) */
    gboolean readonly;
    gboolean quiet;
    gboolean timing;
    int keepalive_interval; /* seconds; -1: not given */
    int keepalive_count;    /* -1: not given */
} ConnectionOptions;

void connection_options_init(ConnectionOptions *options);

/**
 * connection_open: the caller closes it with virConnectClose().
 *
 * Registers libvirt's default event loop first: the caller runs it (virEventRunDefaultImpl(), or
 * connection_start_events()) while a call may take long, or keepalive cannot tell a dead
 * connection.
 */
virConnectPtr connection_open(const ConnectionOptions *options);

/** connection_start_events, connection_stop_events: libvirt's event loop on a thread of its own, so
 * that keepalive can tell a dead connection while the caller is in a call. Once a process. */
void connection_start_events(void);
void connection_stop_events(void);

/** connection_lookup_domain: as connection_find_domain(), and reports nothing. */
virDomainPtr connection_lookup_domain(virConnectPtr conn, const char *which);

/** connection_find_domain: by id, UUID or name, in this order, as virsh; freed by the caller. */
virDomainPtr connection_find_domain(virConnectPtr conn, const char *which);

/** connection_print_domains: the names of running domains, one a line; nothing is ever asked of a
 * person and nothing reported. */
void connection_print_domains(const ConnectionOptions *options);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(virDomain, virDomainFree)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virConnect, virConnectClose)
