/*
 * ends.h: a bare end of a TCP connection, for tests that speak to the other end byte by byte
 *
 * All on the loopback of this machine; nothing here runs a main context.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

/** A listening socket on a port that the kernel chose; the caller closes it. @family: AF_INET or
 * AF_INET6. -1 when the machine has no such loopback. */
int ends_listen(int family, int backlog, guint16 *port);

/** Connects, blocking; -1 when that is refused. */
int ends_connect(int family, guint16 port);

/** Connects without waiting for it. */
int ends_begin_connect(int family, guint16 port);

/** The next connection that is there to be accepted; -1 while there is none. */
int ends_accept(int listening);

/** Both ends of a new connection to a fresh listening port, which is closed again. */
void ends_pair(int family, int *connecting, int *accepted, guint16 *port);

/** Writes it all. */
void ends_write(int fd, gconstpointer data, gsize size);

/** Whether the other end has closed the connection, or reset it. Reads away what comes before. */
gboolean ends_is_closed(int fd);

/** Appends what has come so far. Returns: FALSE once the other end has closed the connection. */
gboolean ends_read(int fd, GByteArray *into);

/** Closes the connection so that the other end meets an error rather than its end. */
void ends_reset(int fd);

/** What is sent to this end is lost from now on, as in a network that drops everything: not even
 * TCP answers. And back again. */
void ends_deafen(int fd);
void ends_heal(int fd);

/** Whether a process can look into itself: not under valgrind before 3.21, which does not know
 * pidfd_open(). */
gboolean ends_has_pidfd(void);
