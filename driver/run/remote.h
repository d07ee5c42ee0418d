/*
 * remote.h: a call to the libvirt of another host, which may never answer
 *
 * A daemon that stops waits half a minute for its clients' calls
 * (virNetDaemonRun(), src/rpc/virnetdaemon.c, 11.3.0), and nothing takes a thread out of an RPC
 * before the connection's keepalive does: the RPC is made on a thread that can be left behind.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

typedef void (*RemoteFn)(gpointer opaque);

/**
 * remote_call: runs @fn on a thread of its own, and waits for it
 * @opaque: for @fn, and all that it uses
 * @free_left: frees @opaque when @fn ends after the caller has left
 *
 * The libvirt error that @fn leaves is then this thread's. Blocks; not on the engine thread.
 *
 * Returns: FALSE when the daemon stops before, with the thread's libvirt error set: @fn is still at
 * it, and @opaque is its.
 */
gboolean remote_call(RemoteFn fn, gpointer opaque, GDestroyNotify free_left);

/** remote_release_all: ends all waits of now and later; the daemon stops. Any thread. */
void remote_release_all(void);
