/*
 * loop.h: waiting for a condition on the thread's main context, with a deadline
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

typedef gboolean (*LoopCondition)(gpointer opaque);

/** Runs the thread's main context until @condition holds; fails the test, naming @what, when that
 * takes longer than a slow machine needs. */
void loop_until(LoopCondition condition, gpointer opaque, const char *what);

/** The same for a gboolean that a callback sets. */
void loop_until_set(const gboolean *flag, const char *what);

/** Runs everything that is ready now. */
void loop_drain(void);

/** How many descriptors this process has open. */
guint loop_count_fds(void);

/** Waits until the process has no more than @before descriptors: what was closed may be closed by
 * a callback, and a worker thread of GLib's may hold one for a moment. */
void loop_until_fds(guint before);
