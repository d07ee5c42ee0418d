/*
 * bus.h: a connection to a message bus that comes back
 *
 * Made in the background, with our name on it; made again when it is lost, for as long as this
 * lives. There is no giving up, nothing waits for it, and each trouble is logged once.
 *
 * Not g_bus_get(): that keeps one connection for the whole process, even a dead one, and ends the
 * process with the bus. Not g_bus_own_name(): giving up the name waits for the bus's answer.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gio/gio.h>

/**
 * BusEvents:
 * @up: there is a connection (borrowed until @down); called before the name is asked for, so that
 *   objects put up here are there when the name is
 * @down: it is gone, or bus_free() ends it
 */
typedef struct {
    void (*up)(GDBusConnection *connection, gpointer user_data);
    void (*down)(gpointer user_data);
} BusEvents;

typedef struct Bus Bus;

/** bus_new: everything happens in the thread-default context of the caller. Returns at once. */
Bus *bus_new(const char *address, const char *name, const BusEvents *events, gpointer user_data);
void bus_free(Bus *bus);
