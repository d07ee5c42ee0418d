/*
 * service.c: org.holdfast.Migration1 on D-Bus
 *
 * How it works: the latest Status of each session is the whole truth and outlives every connection.
 * A Bus comes and goes; while there is one, a Tree of objects stands on it, made from those
 * Statuses.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dbus/service.h"

#include <unistd.h>

#include "dbus/announce.h"
#include "dbus/bus.h"
#include "dbus/methods.h"
#include "dbus/tree.h"

struct Service {
    GHashTable *sessions; /* UUID -> Status */
    Methods *methods;
    Bus *bus;
    Tree *tree; /* NULL: there is no bus now */
};

static void
on_bus_up(GDBusConnection *connection, gpointer user_data)
{
    Service *service = user_data;
    GHashTableIter iter;
    gpointer status;

    service->tree = tree_new(service->methods);
    g_hash_table_iter_init(&iter, service->sessions);
    while (g_hash_table_iter_next(&iter, NULL, &status))
        tree_add(service->tree, status);
    tree_show(service->tree, connection);
}

static void
on_bus_down(gpointer user_data)
{
    Service *service = user_data;

    g_clear_pointer(&service->tree, tree_free);
}

char *
service_bus_address(gboolean privileged)
{
    const char *known =
        g_getenv(privileged ? "DBUS_SYSTEM_BUS_ADDRESS" : "DBUS_SESSION_BUS_ADDRESS");

    if (known && *known)
        return g_strdup(known);
    if (privileged)
        return g_strdup("unix:path=/run/dbus/system_bus_socket");
    return g_strdup_printf("unix:path=%s/bus", g_get_user_runtime_dir());
}

Service *
service_new(const char *address, const ServiceCalls *calls, gpointer user_data)
{
    static const BusEvents events = {.up = on_bus_up, .down = on_bus_down};
    Service *service = g_new0(Service, 1);

    service->sessions =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)status_unref);
    service->methods = methods_new(calls, user_data);
    service->bus = bus_new(address, SERVICE_NAME, &events, service);
    return service;
}

void
service_free(Service *service)
{
    if (!service)
        return;
    bus_free(service->bus); /* on_bus_down() takes the tree */
    methods_free(service->methods);
    g_hash_table_unref(service->sessions);
    g_free(service);
}

void
service_publish(Service *service, Status *status)
{
    Status *previous = g_hash_table_lookup(service->sessions, status->uuid);

    if (announce_is_late(previous, status))
        return;
    if (service->tree) {
        g_autoptr(GArray) announcements = announce(previous, status);

        tree_tell(service->tree, status, announcements);
    }
    g_hash_table_replace(service->sessions, g_strdup(status->uuid), status_ref(status));
}

void
service_withdraw(Service *service, const char *uuid, MigrationRole role)
{
    const Status *status = g_hash_table_lookup(service->sessions, uuid);

    if (!status || status->role != role)
        return;
    if (service->tree)
        tree_remove(service->tree, uuid);
    g_hash_table_remove(service->sessions, uuid);
}
