/*
 * channel.h: the TCP connections that carry a migration, which belong to QEMU
 *
 * They are reached through duplicates (pidfd_getfd) that live for one look only: a duplicate that
 * were kept would hold a connection open that QEMU has closed. Needs what the daemon has over QEMU
 * anyway (ptrace access). Never blocks. Any thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

#include "model/state.h"

/** Which connections of a QEMU: those to (source) or at (destination) this port. */
typedef struct {
    pid_t pid;
    guint64 started; /* when, as the kernel counts: numbers are given again; 0: unknown */
    MigrationRole role;
    guint16 port;
} Channel;

/** This host's address on the first connection that is made; NULL if there is none. Free with
 * g_free(). */
char *channel_find_local(const Channel *channel);

/** Which process's it is, while that is known to be QEMU. */
void channel_set_process(Channel *channel, pid_t pid);

/** What TCP knows of one of the connections. */
typedef struct {
    guint64 connection; /* which it is: no other ever has the same */
    gboolean waiting;   /* something is on its way and not acknowledged */
    gboolean probing;   /* ... and it is a probe alone: nothing of QEMU's */
    guint silent_ms;    /* since anything was acknowledged */
} ChannelSample;

/**
 * channel_sample:
 * @samples: (element-type ChannelSample): one of each established connection is appended
 *
 * Also turns keepalive on where it is not, so that an idle connection has something to be heard of.
 * FALSE when QEMU is gone or cannot be looked into.
 */
gboolean channel_sample(const Channel *channel, GArray *samples, GError **error);

/**
 * channel_break: shuts the connections down, so that QEMU sees an error on them at once
 *
 * Includes those that are still being made, as QEMU's blocking connect() has no other end than
 * TCP's own after minutes. Returns: how many.
 */
guint channel_break(const Channel *channel);

/**
 * channel_hasten: has the destination accept the connections of a recovery at once, or as ever
 *
 * QEMU 10.0's destination aborts, and the guest is lost with it, when it reads the source's order
 * to go on before it has accepted the second connection, for urgent pages; but for a semaphore that
 * keeps a stale count after a recovery that broke off (loadvm_postcopy_handle_resume(),
 * migration/savevm.c). The monitors' thread accepts, since migrate-recover came out of band, and
 * runs before all others for as long as a recovery lasts. Where that is not allowed it does not.
 */
void channel_hasten(const Channel *channel, gboolean hasten);

/** Whether QEMU's process is there still, or has yet to be reaped; FALSE also where none is known.
 */
gboolean channel_has_process(const Channel *channel);

/** How many bytes have come in over the connections that are there. */
guint64 channel_count_received(const Channel *channel);

/**
 * channel_may_listen: whether QEMU at the destination listens where it was told to
 *
 * Returns: FALSE when it certainly does not: somebody else may have the port, and the source's
 * QEMU, which makes sure of nothing when it resumes (postcopy_do_resume(),
 * migration/migration.c, 10.0), would send the guest's memory there. TRUE also where QEMU cannot be
 * looked into.
 */
gboolean channel_may_listen(const Channel *channel, guint16 port);

/**
 * channel_find_obstacle: why the source is not to be sent to the port now
 *
 * QEMU does not listen there, see channel_may_listen(), or has not done with all that has come
 * there: a connection waits to be accepted, or one is left of which QEMU has not taken in the end.
 * The first of a further attempt would be taken for the second, for urgent pages, of the one before
 * (migration_ioc_process_incoming(), migration/migration.c, QEMU 10.0); QEMU counts such second
 * connections, and may abort in a later recovery (loadvm_postcopy_handle_resume(),
 * migration/savevm.c).
 *
 * Returns: a static text for the log; NULL if there is none, or nothing can be seen.
 */
const char *channel_find_obstacle(const Channel *channel, guint16 port);

/** channel_bear: nor may the kernel break it for its silence, while there is nothing to send. */
void channel_bear(const Channel *channel);
