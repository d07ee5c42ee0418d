/*
 * jobs.h: work that may block, on threads of its own, and its end
 *
 * A job may use libvirt, which frees its QEMU driver with the list of domains when the daemon ends,
 * whoever looks for a domain in it (qemuStateCleanup(), src/qemu/qemu_driver.c, 9.0.0 and 11.3.0).
 * Of the threads of libvirt's own calls all are through by then.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

/** Once; starts no thread. */
gboolean jobs_init(GError **error);

/** Runs @fn on a thread that acts as the daemon itself, of a pool. Any thread. */
void jobs_run(GFunc fn, gpointer opaque);

/** The same on a thread of the job's own, for what lasts long. FALSE: there is no thread to be had,
 * and @opaque stays the caller's. Any thread. */
gboolean jobs_run_long(GFunc fn, gpointer opaque, GError **error);

/**
 * jobs_end: before libvirt frees what jobs use
 *
 * Begins no further job, of those either that have been handed over already: nobody waits for one
 * when the daemon ends. Returns when those at work are through, or the time is up.
 *
 * Returns: how many are still at work.
 */
guint jobs_end(guint timeout_ms);

/** Whether jobs_end() has been called. Any thread. */
gboolean jobs_are_over(void);
