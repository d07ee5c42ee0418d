/*
 * bus.c: a connection to a message bus that comes back
 *
 * How it works: three states. *Connecting*: `attempt` is set, and a timer ends it. *Waiting*: only
 * the timer is set, until the next attempt. *Connected*: `connection` is set. What is under way is
 * cancelled when its state is left; a callback that finds itself cancelled touches nothing, for
 * there may be no Bus any more.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dbus/bus.h"

/* Between attempts: a bus that restarts is back soon, one that is not there costs little. */
#define BACKOFF_MIN_S 1
#define BACKOFF_MAX_S 30
/* A bus that takes connections and says nothing. */
#define CONNECT_DEADLINE_S 10
#define REQUEST_TIMEOUT_MS (10 * 1000)

/* Answers to RequestName (D-Bus specification, "Message Bus Messages"). */
#define REQUEST_NAME_REPLY_PRIMARY_OWNER 1u
#define REQUEST_NAME_REPLY_IN_QUEUE      2u

struct Bus {
    char *address;
    char *name;
    BusEvents events;
    gpointer user_data;

    GMainContext *context;
    GSource *timer;
    GCancellable *attempt; /* connecting, or asking for the name */
    GDBusConnection *connection;
    guint subscription;
    gulong closed_handler;
    guint backoff_s;
    gboolean complained_connection; /* and not since then been connected */
    gboolean complained_name;       /* and not since then had the name */
};

static void bus_connect(Bus *bus);

static void
stop_timer(Bus *bus)
{
    if (!bus->timer)
        return;
    g_source_destroy(bus->timer);
    g_clear_pointer(&bus->timer, g_source_unref);
}

static void
start_timer(Bus *bus, guint seconds, GSourceFunc function)
{
    stop_timer(bus);
    bus->timer = g_timeout_source_new_seconds(seconds);
    g_source_set_callback(bus->timer, function, bus, NULL);
    g_source_attach(bus->timer, bus->context);
}

static void
cancel_attempt(Bus *bus)
{
    if (!bus->attempt)
        return;
    g_cancellable_cancel(bus->attempt);
    g_clear_object(&bus->attempt);
}

static gboolean
on_retry(gpointer user_data)
{
    bus_connect(user_data);
    return G_SOURCE_REMOVE;
}

static void
retry_later(Bus *bus, const char *why)
{
    if (!bus->complained_connection)
        g_warning(
            "D-Bus: no connection to %s (%s): migrations are not shown there until it is back",
            bus->address, why);
    bus->complained_connection = TRUE;
    cancel_attempt(bus);
    start_timer(bus, bus->backoff_s, on_retry);
    bus->backoff_s = MIN(bus->backoff_s * 2, BACKOFF_MAX_S);
}

static gboolean
on_deadline(gpointer user_data)
{
    retry_later(user_data, "it does not answer");
    return G_SOURCE_REMOVE;
}

static void
on_flushed(GObject *source, GAsyncResult *result, gpointer user_data)
{
    g_dbus_connection_close(G_DBUS_CONNECTION(source), NULL, NULL, NULL);
}

static void
drop_connection(Bus *bus)
{
    if (!bus->connection)
        return;
    bus->events.down(bus->user_data);
    g_dbus_connection_signal_unsubscribe(bus->connection, bus->subscription);
    g_signal_handler_disconnect(bus->connection, bus->closed_handler);
    if (!g_dbus_connection_is_closed(bus->connection))
        g_dbus_connection_flush(bus->connection, NULL, on_flushed,
                                NULL); /* a close drops what waits */
    g_clear_object(&bus->connection);
}

static void
on_closed(GDBusConnection *connection,
          gboolean remote_peer_vanished,
          GError *error,
          gpointer user_data)
{
    Bus *bus = user_data;

    drop_connection(bus);
    retry_later(bus, error ? error->message : "it was closed");
}

static void
on_name_acquired(Bus *bus)
{
    if (bus->complained_name)
        g_info("D-Bus: the name %s is ours now", bus->name);
    bus->complained_name = FALSE;
}

static void
complain_name(Bus *bus, const char *why)
{
    if (!bus->complained_name)
        g_warning("D-Bus: the name %s is not ours: %s", bus->name, why);
    bus->complained_name = TRUE;
}

/* Sent to us alone by the bus, when another owner has left and we were in the queue. */
static void
on_name_signal(GDBusConnection *connection,
               const char *sender,
               const char *path,
               const char *interface,
               const char *signal,
               GVariant *parameters,
               gpointer user_data)
{
    on_name_acquired(user_data);
}

static void
on_name_requested(GObject *source, GAsyncResult *result, gpointer user_data)
{
    Bus *bus = user_data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer =
        g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
    guint32 code;

    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return;
    g_clear_object(&bus->attempt);
    if (g_dbus_connection_is_closed(bus->connection))
        return; /* on_closed() is on its way */
    /* Only now is it a bus that works. */
    bus->backoff_s = BACKOFF_MIN_S;
    if (!answer) {
        complain_name(bus, error->message);
        return;
    }
    g_variant_get(answer, "(u)", &code);
    if (code == REQUEST_NAME_REPLY_IN_QUEUE)
        complain_name(bus, "another process has it, and we are next");
    else if (code == REQUEST_NAME_REPLY_PRIMARY_OWNER)
        on_name_acquired(bus);
}

static void
request_name(Bus *bus)
{
    bus->subscription = g_dbus_connection_signal_subscribe(
        bus->connection, "org.freedesktop.DBus", "org.freedesktop.DBus", "NameAcquired",
        "/org/freedesktop/DBus", bus->name, G_DBUS_SIGNAL_FLAGS_NONE, on_name_signal, bus, NULL);
    bus->attempt = g_cancellable_new();
    g_dbus_connection_call(
        bus->connection, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
        "RequestName", g_variant_new("(su)", bus->name, 0u), G_VARIANT_TYPE("(u)"),
        G_DBUS_CALL_FLAGS_NONE, REQUEST_TIMEOUT_MS, bus->attempt, on_name_requested, bus);
}

static void
on_connected(GObject *source, GAsyncResult *result, gpointer user_data)
{
    Bus *bus = user_data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GDBusConnection) connection =
        g_dbus_connection_new_for_address_finish(result, &error);

    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return;
    if (!connection || g_dbus_connection_is_closed(connection)) {
        retry_later(bus, error ? error->message : "it was closed");
        return;
    }
    g_clear_object(&bus->attempt);
    stop_timer(bus);
    if (bus->complained_connection)
        g_info("D-Bus: connected to %s again", bus->address);
    bus->complained_connection = FALSE;

    bus->connection = g_steal_pointer(&connection);
    g_dbus_connection_set_exit_on_close(bus->connection, FALSE);
    bus->closed_handler = g_signal_connect(bus->connection, "closed", G_CALLBACK(on_closed), bus);
    bus->events.up(bus->connection, bus->user_data);
    request_name(bus);
}

static void
bus_connect(Bus *bus)
{
    start_timer(bus, CONNECT_DEADLINE_S, on_deadline);
    bus->attempt = g_cancellable_new();
    g_dbus_connection_new_for_address(bus->address,
                                      G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                          G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                      NULL, bus->attempt, on_connected, bus);
}

Bus *
bus_new(const char *address, const char *name, const BusEvents *events, gpointer user_data)
{
    Bus *bus = g_new0(Bus, 1);

    bus->address = g_strdup(address);
    bus->name = g_strdup(name);
    bus->events = *events;
    bus->user_data = user_data;
    bus->context = g_main_context_ref_thread_default();
    bus->backoff_s = BACKOFF_MIN_S;
    bus_connect(bus);
    return bus;
}

void
bus_free(Bus *bus)
{
    if (!bus)
        return;
    stop_timer(bus);
    cancel_attempt(bus);
    drop_connection(bus);
    g_main_context_unref(bus->context);
    g_free(bus->address);
    g_free(bus->name);
    g_free(bus);
}
