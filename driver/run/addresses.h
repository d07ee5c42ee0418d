/*
 * addresses.h: the addresses of hosts, in numbers
 *
 * A name is looked up when a migration begins: in an outage the servers that know it may be as far
 * away as the other host, and whoever asks them hangs.
 *
 * In text an address is as getnameinfo() has it; an IPv4 address that was met over IPv6 is IPv4.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <sys/socket.h>

/** NULL for what is no address of IPv4 or IPv6. Free with g_free(). */
char *addresses_format(const struct sockaddr *address, socklen_t length);

/** Whether it is an address, and not a name. */
gboolean addresses_is_numeric(const char *host);

/** Whether it stands for all addresses of a host. */
gboolean addresses_is_any(const char *host);

/**
 * addresses_lookup: all addresses of a host, a name or an address, a handful at most
 *
 * May block, as long as the resolver is patient; not on the engine thread. NULL with @error set, or
 * at least one.
 */
char **addresses_lookup(const char *host, GError **error);

/**
 * addresses_list_local: the addresses of this host that other hosts may reach it at
 * @first: one of them that is to be the first, or NULL
 *
 * Those of interfaces that are up, without loopback and link-local ones. Never NULL.
 */
char **addresses_list_local(const char *first);
