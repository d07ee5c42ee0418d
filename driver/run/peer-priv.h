/*
 * peer-priv.h: deadlines of connections between hosts, and the bodies of messages
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "run/peer.h"

/** On the context of the calling thread. */
GSource *peer_deadline_start(guint milliseconds, GSourceFunc fn, gpointer opaque);
/** Whether it has passed or not; the source is let go, and set to NULL. */
void peer_deadline_stop(GSource **source);
/** A GSourceFunc that cancels the GCancellable it is given. */
gboolean peer_cancel_cb(gpointer opaque);

/**
 * PeerBodyFn:
 * @body: (transfer full): NULL when it did not come
 * @error: why not
 */
typedef void (*PeerBodyFn)(GBytes *body, const GError *error, gpointer opaque);

/**
 * peer_body_read: the body of a message, as it arrives
 * @length: as its header says, checked; only what has arrived takes memory
 * @cancellable: ends it; also cancelled by this when nothing arrives for seconds
 *
 * @done is called later, once.
 */
void peer_body_read(GInputStream *stream,
                    gsize length,
                    GCancellable *cancellable,
                    PeerBodyFn done,
                    gpointer opaque);
