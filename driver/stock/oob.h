/*
 * oob.h: out-of-band commands past whatever libvirt's monitor is waiting for
 *
 * libvirt sends a monitor one command at a time. The main loop of a destination that waits for a
 * missing page answers none, so that one in-band command under way (the `cont` of the switchover)
 * would keep `migrate-recover`, the very command that brings the page, waiting for ever. QEMU
 * itself reads and answers out-of-band commands on another thread.
 *
 * How it works. A command gets an id of our own and goes straight to the monitor's socket, under
 * the monitor's lock and between two messages of libvirt's. Its answer comes in by the thread that
 * reads the monitor, which offers every line to oob_take_line() (hooks.c) before libvirt sees it:
 * libvirt does not compare ids, and would take our answer for that of its own command. Hence
 * nothing may be sent this way before such a line was seen to come by: oob_is_bound().
 *
 *     oob_execute() --- lock, write, unlock ----> QEMU's monitor thread
 *         | waits                                        |
 *     oob_take_line() <-- qemuMonitorJSONIOProcessLine <-+--> libvirt: its answers, and events
 *
 * Locks: the monitor's before ours, never the other way; none while waiting. Source of what is
 * known of the monitor: src/qemu/qemu_monitor.c and qemu_monitor_json.c, libvirt 9.0.0 and 11.3.0.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

#include "stock/abi.h"

/**
 * oob_execute:
 * @monitor: a qemuMonitor with out-of-band commands; the caller has a reference and not its lock
 * @command: "migrate-recover", ...: one that QEMU allows out of band
 * @arguments: (nullable): a JSON object
 * @timeout_ms: for sending and the answer together
 *
 * Blocks at most that long; any number of threads at once. Without an answer in time the command
 * may still be carried out later, and its answer is then dropped.
 *
 * Returns: (transfer full): the answer as QEMU gave it; NULL with QMP_ERROR_BUSY when it could
 * not be sent or was not answered in time, QMP_ERROR_MONITOR when the monitor is or was closed or
 * this is no command.
 */
char *oob_execute(const AbiRow *row,
                  gpointer monitor,
                  const char *command,
                  const char *arguments,
                  guint timeout_ms,
                  GError **error);

/**
 * oob_take_line:
 * @line: one whole line from QEMU
 *
 * TRUE when it answers a command of ours (also one that nobody waits for any more): libvirt must
 * then not see it. With @monitor locked, on the thread that reads it.
 */
gboolean oob_take_line(gpointer monitor, const char *line);

/** Whether lines come by oob_take_line(): without that oob_execute() must not be called. All
 * monitors' lines come from one place, so that one line of any of them proves it. */
gboolean oob_is_bound(void);
