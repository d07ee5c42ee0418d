/*
 * nbdio.h: an export of QEMU's NBD server, read and written by extents
 *
 * libnbd, and not our own: the protocol's options and its replies in pieces are its business, it is
 * small, LGPL, and made to be driven by a caller who sets the deadlines. It sends without SIGPIPE
 * and starts no thread or process, so that a daemon can have it (lib/socket.c of libnbd 1.14).
 *
 * Each call connects, and blocks until it is done, the deadline has passed, or nbdio_release_all()
 * was called. Any thread that may block.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "util/extent.h"

#define NBDIO_ERROR (nbdio_error_quark())
GQuark nbdio_error_quark(void);
typedef enum {
    NBDIO_ERROR_FAILED,   /* the server, or the connection to it */
    NBDIO_ERROR_DEADLINE, /* it did not answer in time */
    NBDIO_ERROR_MANY,     /* more extents than were to be taken */
    NBDIO_ERROR_STOPPED,  /* nbdio_release_all() */
} NbdioError;

/** Where an export is. */
typedef struct {
    const char *socket; /* path of a UNIX socket */
    const char *name;   /* of the export */
    gint64 deadline_us; /* CLOCK_MONOTONIC */
} Nbdio;

/**
 * nbdio_fetch_dirty: what a dirty bitmap of the export marks
 * @context: its metadata context, "qemu:dirty-bitmap:NAME"
 * @max: of extents
 * @extents: of Extent; they are appended, ascending, neighbours joined. Undefined on failure.
 */
gboolean nbdio_fetch_dirty(
    const Nbdio *nbd, const char *context, guint max, GArray *extents, GError **error);

/** nbdio_write_zeroes: to all of the extents */
gboolean nbdio_write_zeroes(const Nbdio *nbd, const GArray *extents, GError **error);

/** Ends all calls of now and later; the daemon stops. Any thread. */
void nbdio_release_all(void);
