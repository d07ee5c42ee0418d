/*
 * service.h: org.holdfast.Migration1 on D-Bus
 *
 * Shows what the engine says, and hands it what a caller asks for. The bus is never a reason for
 * anything to fail or to wait: without one, or while it restarts, sessions are remembered, and
 * shown when it is back.
 *
 * A service belongs to the thread that makes it, the engine's: all functions are called there, and
 * everything happens in that thread's default GMainContext (g_main_context_push_thread_default()),
 * method calls included. A thread of GLib's does the socket's work.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gio/gio.h>

#include "dbus/reply.h"
#include "model/status.h"

#define SERVICE_NAME "org.holdfast.Migration1"
#define SERVICE_PATH "/org/holdfast/Migration1"

/**
 * ServiceCalls:
 * @recover: a person wants the domain's paused migration taken up now, over @uri or, if that is
 * NULL, its own network; done when it goes on
 * @pause: a person wants the domain's migration paused; done when it is
 *
 * What may be asked for from outside. The caller has been authorised; that there is such a
 * migration, and in a state for it, is the engine's to say. Each gets @reply (transfer full) and
 * finishes it later, or at once; neither may block. Errors: SERVICE_ERROR (dbus/error.h).
 */
typedef struct {
    void (*recover)(const char *uuid, const char *uri, ServiceReply *reply, gpointer user_data);
    void (*pause)(const char *uuid, ServiceReply *reply, gpointer user_data);
} ServiceCalls;

typedef struct Service Service;

/**
 * service_bus_address:
 * @privileged: whether this is the daemon of qemu:///system rather than of qemu:///session
 *
 * Returns: (transfer full): where the system's, or the user's, bus is. Starts none.
 */
char *service_bus_address(gboolean privileged);

/**
 * service_new:
 * @address: of the bus, as service_bus_address() has it
 * @calls: copied
 * @user_data: for @calls; must outlive the service
 *
 * Returns at once; the connection is made, and made again whenever it is lost, in the background.
 */
Service *service_new(const char *address, const ServiceCalls *calls, gpointer user_data);

/** Everything goes off the bus. Replies that are still out are to be finished all the same. */
void service_free(Service *service);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Service, service_free)

/**
 * service_publish:
 * @status: the session of its domain, after a change
 *
 * Tells the bus what is new in it. One session a domain: another migration of the same domain takes
 * the older one's place, and the older one's late end is passed over.
 */
void service_publish(Service *service, Status *status);

/**
 * service_withdraw:
 * @uuid: of a domain
 * @role: of the session meant: nothing happens if the domain's session has the other role
 *
 * Takes the session's object off the bus. A finished one can be left there to be read.
 */
void service_withdraw(Service *service, const char *uuid, MigrationRole role);
