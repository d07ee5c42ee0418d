/*
 * testbus.c: a message bus of a test's own, at an address that stays through restarts
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "testbus.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <sys/prctl.h>

/* Far longer than anything takes, and shorter than what meson gives a test. */
#define DEADLINE_S 20

static const char allow_all[] = "<policy context='default'><allow user='*'/><allow own='*'/>"
                                "<allow send_destination='*' eavesdrop='true'/>"
                                "<allow receive_sender='*'/></policy>";

TestBus *
test_bus_new(const char *policy)
{
    TestBus *bus = g_new0(TestBus, 1);
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;

    bus->dir = g_dir_make_tmp("holdfast-bus-XXXXXX", &error);
    g_assert_no_error(error);
    g_assert_cmpint(g_chmod(bus->dir, 0711), ==, 0);
    bus->address = g_strdup_printf("unix:path=%s/bus", bus->dir);
    bus->config = g_build_filename(bus->dir, "bus.conf", NULL);
    text = g_strdup_printf("<busconfig><listen>%s</listen>"
                           "<auth>EXTERNAL</auth>%s</busconfig>",
                           bus->address, policy ? policy : allow_all);
    g_file_set_contents(bus->config, text, -1, &error);
    g_assert_no_error(error);
    return bus;
}

void
test_bus_free(TestBus *bus)
{
    if (!bus)
        return;
    if (bus->daemon)
        test_bus_down(bus);
    g_unlink(bus->config);
    g_rmdir(bus->dir);
    g_free(bus->dir);
    g_free(bus->address);
    g_free(bus->config);
    g_free(bus);
}

/* The bus goes with a test that is aborted. */
static void
die_with_parent(gpointer user_data)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
}

void
test_bus_up(TestBus *bus)
{
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE);
    g_autofree char *config = g_strconcat("--config-file=", bus->config, NULL);
    g_autoptr(GError) error = NULL;
    char printed[8];

    g_subprocess_launcher_set_child_setup(launcher, die_with_parent, NULL, NULL);
    bus->daemon = g_subprocess_launcher_spawn(launcher, &error, "dbus-daemon", "--nofork",
                                              "--nopidfile", "--print-address=1", config, NULL);
    g_assert_no_error(error);
    /* The address is printed once the bus listens on it. */
    g_assert_cmpint(g_input_stream_read(g_subprocess_get_stdout_pipe(bus->daemon), printed,
                                        sizeof(printed), NULL, &error),
                    >, 0);
    g_assert_no_error(error);
}

void
test_bus_down(TestBus *bus)
{
    g_autofree char *path = g_build_filename(bus->dir, "bus", NULL);

    g_subprocess_send_signal(bus->daemon, SIGTERM);
    g_subprocess_wait(bus->daemon, NULL, NULL);
    g_clear_object(&bus->daemon);
    g_unlink(path);
}

GDBusConnection *
test_bus_connect(TestBus *bus)
{
    g_autoptr(GError) error = NULL;
    GDBusConnection *connection =
        g_dbus_connection_new_for_address_sync(bus->address,
                                               G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                                   G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                               NULL, NULL, &error);

    g_assert_no_error(error);
    return connection;
}

static gboolean
on_deadline(gpointer user_data)
{
    *(gboolean *)user_data = TRUE;
    return G_SOURCE_REMOVE;
}

void
test_wait_until(const char *what,
                TestCondition condition,
                gpointer data,
                char *(*describe)(gpointer data))
{
    g_autoptr(GMainContext) context = g_main_context_ref_thread_default();
    g_autoptr(GSource) timer = g_timeout_source_new_seconds(DEADLINE_S);
    gboolean late = FALSE;

    g_source_set_callback(timer, on_deadline, &late, NULL);
    g_source_attach(timer, context);
    while (!condition(data) && !late)
        g_main_context_iteration(context, TRUE);
    g_source_destroy(timer);
    if (late) {
        g_autofree char *state = describe ? describe(data) : NULL;

        g_test_message("waited %d s for: %s\n%s", DEADLINE_S, what, state ? state : "");
        g_assert_not_reached();
    }
}

static void
on_answer(GObject *source, GAsyncResult *result, gpointer user_data)
{
    *(GAsyncResult **)user_data = g_object_ref(result);
}

static gboolean
is_set(gpointer data)
{
    return *(gpointer *)data != NULL;
}

GVariant *
test_call(GDBusConnection *connection,
          const char *dest,
          const char *path,
          const char *interface,
          const char *method,
          GVariant *parameters,
          GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;

    g_dbus_connection_call(connection, dest, path, interface, method, parameters, NULL,
                           G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, NULL, on_answer, &result);
    test_wait_until(method, is_set, &result, NULL);
    return g_dbus_connection_call_finish(connection, result, error);
}
