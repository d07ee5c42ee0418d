/*
 * watchdog.h: tells when a migration's channel has fallen silent
 *
 * TCP itself gives up after a quarter of an hour, and its user timeout takes a peer that is merely
 * stopped (a zero window) for dead. What is looked at instead: something is on its way, and nothing
 * at all has been heard for as long as the policy allows. A stopped peer's kernel still
 * acknowledges.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "run/channel.h"

typedef struct Watchdog Watchdog;

/** On the engine thread; may free the watchdog. */
typedef void (*WatchdogFn)(gpointer opaque);

/** watchdog_new: tells, on the engine thread, each time @channel was silent for @detect_ms. */
Watchdog *watchdog_new(const Channel *channel, guint detect_ms, WatchdogFn silent, gpointer opaque);
void watchdog_free(Watchdog *watchdog);

/** Since when something waits on a connection, on the caller's clock. */
typedef struct {
    guint64 connection;
    gint64 since_ms;
} WatchdogWait;

/**
 * watchdog_judge: the decision alone: whether one of the connections has fallen silent
 * @samples: (element-type ChannelSample): of all connections, taken now
 * @waits: (element-type WatchdogWait): what is remembered from one look to the next; empty at first
 * @now_ms: on a clock that does not jump
 *
 * A connection that was idle for long has heard nothing for long: its silence counts from when
 * something was first seen to wait on it, at the earliest.
 */
gboolean watchdog_judge(const GArray *samples, GArray *waits, gint64 now_ms, guint detect_ms);
