/*
 * daemon.h: the life of the daemon we are in
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

/** What the daemon does, as it happens; each may be NULL. None but end may wait for a domain or
 * QEMU. */
typedef struct {
    /* Every driver is up, the QEMU driver too: connections can be opened. On the thread that
     * initialises the drivers. @privileged: qemu:///system is served, else qemu:///session. */
    void (*start)(gboolean privileged);
    /* SIGHUP: read the configuration again. On a thread of its own. */
    void (*reload)(void);
    /* It shuts down, and waits at most 30 s for calls under way: let go of those we hold. On the
     * main loop's thread, while others still run. May come without start. */
    void (*stop)(void);
    /* No call is under way any more, and every driver is about to be freed. On the main thread,
     * which runs no loop any more. May come without start and stop, and does not when libvirt has
     * waited in vain. May wait a little. */
    void (*end)(void);
} DaemonLifecycle;

/**
 * daemon_register:
 * @lifecycle: static
 *
 * A state driver of ours. Once, after the stock driver registered its own, so that start() comes
 * after it is up. Not called for an embedded driver (qemu:///embed).
 */
gboolean daemon_register(const DaemonLifecycle *lifecycle, GError **error);

/**
 * daemon_inhibit: whether the daemon stays when it has no client and no running guest
 *
 * Else it leaves after a while then (--timeout; virNetDaemonAutoShutdownTimer(),
 * src/rpc/virnetdaemon.c, 9.0.0 and 11.3.0). From then on until the opposite is said; it counts
 * also before the drivers are initialised. Whoever tells the daemon to stop stops it all the same.
 *
 * Any thread, but with nothing locked and before end() has returned. May wait for the daemon's
 * main loop, and in 9.0.0 for logind, which libvirt asks to delay a shutdown of the host, as it
 * does for a guest.
 */
void daemon_inhibit(gboolean inhibit);
