/*
 * testbus.h: a message bus of a test's own, at an address that stays through restarts
 *
 * GTestDBus would do, but for the restart: it takes a new address each time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gio/gio.h>

typedef struct {
    char *dir;     /* reachable for all users, writable for us */
    char *address; /* of a bus that is up or not */
    char *config;
    GSubprocess *daemon; /* NULL: down */
} TestBus;

/** @policy: what goes into the bus's <busconfig> besides its address; NULL: everything is allowed.
 */
TestBus *test_bus_new(const char *policy);
void test_bus_free(TestBus *bus);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestBus, test_bus_free)

/** Returns when it takes connections. */
void test_bus_up(TestBus *bus);
/** Returns when it is gone. */
void test_bus_down(TestBus *bus);

/** A connection of its own, that delivers to the thread's default context. */
GDBusConnection *test_bus_connect(TestBus *bus);

/**
 * test_wait_until: runs the thread's default context until @condition, which must not run it, holds
 * @describe: (nullable): says how far it came when it never does
 */
typedef gboolean (*TestCondition)(gpointer data);
void test_wait_until(const char *what,
                     TestCondition condition,
                     gpointer data,
                     char *(*describe)(gpointer data));

/** Calls a method while the context runs; NULL and @error if it fails. */
GVariant *test_call(GDBusConnection *connection,
                    const char *dest,
                    const char *path,
                    const char *interface,
                    const char *method,
                    GVariant *parameters,
                    GError **error);
