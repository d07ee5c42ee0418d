/*
 * parcel.h: what the source hands over to the destination when the guest has arrived there
 *
 * Not in libvirt's cookie: that is bounded by the RPC's messages, and is sent before the end. Over
 * our own connection (run/peer.h), on the migration's network or another of the known addresses;
 * the migration's secret says who sends. A parcel whose answer was lost is sent again: to take it
 * twice must do no harm.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "run/migration.h"
#include "run/peer.h"

#define PARCEL_ERROR (parcel_error_quark())
GQuark parcel_error_quark(void);
typedef enum {
    PARCEL_ERROR_UNREACHABLE, /* nobody has answered in time */
    PARCEL_ERROR_UNKNOWN,     /* it closes the connection: a build from before there were parcels */
    PARCEL_ERROR_REFUSED,     /* the message is the destination's */
    PARCEL_ERROR_TOO_LARGE,
    PARCEL_ERROR_STOPPED, /* the daemon stops */
} ParcelError;

/**
 * parcel_send: hands something over to the destination, at the source
 * @type: a MESSAGE_PARCEL_ one
 * @deadline_ms: for how long it is tried, over all addresses. A destination that has it by then and
 *   is at work on it is waited for, while its host answers, for PARCEL_WORK_MS at most
 * @reply: (out) (optional): what the destination has answered; may be empty
 *
 * Says in the log what it waits for when that takes longer than seconds. Blocks, and ends when the
 * daemon stops; not on the engine thread. Errors: PARCEL_ERROR.
 */
gboolean parcel_send(Migration *migration,
                     MessageType type,
                     GBytes *body,
                     guint deadline_ms,
                     GBytes **reply,
                     GError **error);

/* Of a destination's work on a parcel. */
#define PARCEL_WORK_MS (10 * 60 * 1000)

/** parcel_release_all: ends all waits of now and later; the daemon stops. Any thread. */
void parcel_release_all(void);

/* --- the destination --- */

/**
 * ParcelFn: takes a parcel of a migration to this host
 * @uuid: of the domain, VIR_UUID_BUFLEN bytes; the migration may be one that the daemon has
 *   forgotten when it was restarted
 * @reply: (out): for the source; may be left alone. MESSAGE_BODY_MAX bytes at most.
 *
 * On a thread that may block; never two at a time for one migration and type. The same parcel may
 * come again. FALSE with @error, one sentence that the source's person is shown.
 */
typedef gboolean (*ParcelFn)(const unsigned char *uuid,
                             GBytes *body,
                             GBytes **reply,
                             GError **error);

/** Whoever takes the parcels of a type; before any can come. */
void parcel_set_taker(MessageType type, ParcelFn fn);

/** parcel_take: a question that is a parcel. @question: (transfer full). Engine thread. */
void parcel_take(PeerQuestion *question);
