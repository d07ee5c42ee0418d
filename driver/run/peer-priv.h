/*
 * peer-priv.h: deadlines of connections between hosts
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
