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

/**
 * watchdog_judge: the decision alone
 * @waiting_since_ms: (inout): when something began to wait, on the caller's clock; -1: nothing does
 * @now_ms: on the same clock
 *
 * A connection that was idle for long has heard nothing for long: the silence counts from when
 * something was first seen to wait, at the earliest.
 */
gboolean watchdog_judge(const ChannelSample *sample,
                        gint64 *waiting_since_ms,
                        gint64 now_ms,
                        guint detect_ms);
