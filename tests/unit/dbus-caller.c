/*
 * dbus-caller.c: who gets through to the engine, under the bus policy that we install
 *
 * On a bus that refuses what the system bus refuses, callers of other users: one in the group that
 * the policy names (here that of the user `daemon`, which every system has) and one who is not.
 * polkit is played by the test itself. Needs root, to be those users.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>
#include <unistd.h>

#include "dbus/service.h"
#include "testbus.h"

#define UUID         "6b0e3f5c-0c5c-4d0a-9f0e-2d0c6c1f0a11"
#define PATH         SERVICE_PATH "/domain/_6b0e3f5c_0c5c_4d0a_9f0e_2d0c6c1f0a11"
#define SESSION      SERVICE_NAME ".Session"
#define POLKIT_NAME  "org.freedesktop.PolicyKit1"
#define POLKIT_PATH  "/org/freedesktop/PolicyKit1/Authority"
#define DENIED       "org.freedesktop.DBus.Error.AccessDenied"
#define UNAUTHORIZED SERVICE_NAME ".Error.NotAuthorized"

/* What /usr/share/dbus-1/system.conf says to begin with. */
static const char system_policy[] =
    "<policy context='default'><allow user='*'/><deny own='*'/>"
    "<deny send_type='method_call'/><allow send_type='signal'/>"
    "<allow send_requested_reply='true' send_type='method_return'/>"
    "<allow send_requested_reply='true' send_type='error'/>"
    "<allow receive_type='method_call'/><allow receive_type='method_return'/>"
    "<allow receive_type='error'/><allow receive_type='signal'/>"
    "<allow send_destination='org.freedesktop.DBus'/></policy>"
    "<policy user='root'><allow own='" POLKIT_NAME "'/>"
    "<allow send_destination='" POLKIT_NAME "'/></policy>"
    "<include>%s</include>";

typedef enum {
    POLKIT_ABSENT,
    POLKIT_YES,
    POLKIT_NO,
    POLKIT_CHALLENGE,
    POLKIT_BROKEN,
} Polkit;

typedef struct {
    char *policy_path;
    TestBus *bus;
    GMainContext *context;
    Service *service;
    GDBusConnection *polkit;
    Polkit polkit_says;
    char *polkit_asked;
    guint calls;
} Fixture;

static void
engine_recover(const char *uuid, const char *uri, ServiceReply *reply, gpointer user_data)
{
    ((Fixture *)user_data)->calls++;
    service_reply_finish(reply, NULL);
}

static void
engine_pause(const char *uuid, ServiceReply *reply, gpointer user_data)
{
    engine_recover(uuid, NULL, reply, user_data);
}

/* The installed policy with the group replaced by one whose only member we know. */
static char *
write_policy(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    g_autoptr(GString) policy = NULL;
    char *path = NULL;
    int fd;

    g_file_get_contents(BUS_POLICY, &text, NULL, &error);
    g_assert_no_error(error);
    policy = g_string_new(text);
    g_assert_cmpuint(g_string_replace(policy, "group=\"libvirt\"", "group=\"daemon\"", 0), ==, 1);
    fd = g_file_open_tmp("holdfast-policy-XXXXXX.conf", &path, &error);
    g_assert_no_error(error);
    close(fd);
    g_file_set_contents(path, policy->str, -1, &error);
    g_assert_no_error(error);
    return path;
}

static void
on_polkit_call(GDBusConnection *connection,
               const char *sender,
               const char *path,
               const char *interface,
               const char *method,
               GVariant *parameters,
               GDBusMethodInvocation *invocation,
               gpointer user_data)
{
    Fixture *f = user_data;

    g_free(f->polkit_asked);
    g_variant_get_child(parameters, 1, "s", &f->polkit_asked);
    if (f->polkit_says == POLKIT_BROKEN)
        g_dbus_method_invocation_return_dbus_error(invocation, POLKIT_NAME ".Error.Failed", "no");
    else
        g_dbus_method_invocation_return_value(
            invocation, g_variant_new("((bba{ss}))", f->polkit_says == POLKIT_YES,
                                      f->polkit_says == POLKIT_CHALLENGE, NULL));
}

static void
play_polkit(Fixture *f, Polkit says)
{
    static const char xml[] = "<node><interface name='" POLKIT_NAME ".Authority'>"
                              "<method name='CheckAuthorization'>"
                              "<arg type='(sa{sv})' direction='in'/>"
                              "<arg type='s' direction='in'/><arg type='a{ss}' direction='in'/>"
                              "<arg type='u' direction='in'/><arg type='s' direction='in'/>"
                              "<arg type='(bba{ss})' direction='out'/>"
                              "</method></interface></node>";
    static const GDBusInterfaceVTable vtable = {.method_call = on_polkit_call};
    g_autoptr(GDBusNodeInfo) node = g_dbus_node_info_new_for_xml(xml, NULL);
    g_autoptr(GVariant) answer = NULL;

    f->polkit_says = says;
    if (says == POLKIT_ABSENT)
        return;
    f->polkit = test_bus_connect(f->bus);
    g_dbus_connection_register_object(f->polkit, POLKIT_PATH, node->interfaces[0], &vtable, f, NULL,
                                      NULL);
    answer = test_call(f->polkit, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                       "org.freedesktop.DBus", "RequestName",
                       g_variant_new("(su)", POLKIT_NAME, 0u), NULL);
    g_assert_nonnull(answer);
}

static gboolean
is_there(gpointer data)
{
    return *(gboolean *)data;
}

static void
on_appeared(GDBusConnection *connection, const char *name, const char *owner, gpointer user_data)
{
    *(gboolean *)user_data = TRUE;
}

static void
show_session(Fixture *f)
{
    static const ServiceCalls calls = {engine_recover, engine_pause};
    StatusStep step = {STATE_POSTCOPY_PAUSED, REASON_NETWORK, 1};
    g_autoptr(Status) status = status_new();
    g_autoptr(GDBusConnection) watcher = test_bus_connect(f->bus);
    gboolean there = FALSE;
    guint watch =
        g_bus_watch_name_on_connection(watcher, SERVICE_NAME, 0, on_appeared, NULL, &there, NULL);

    status->uuid = g_strdup(UUID);
    status->state = step.state;
    g_array_append_val(status->history, step);
    f->service = service_new(f->bus->address, &calls, f);
    service_publish(f->service, status);
    test_wait_until("the name has an owner", is_there, &there, NULL);
    g_bus_unwatch_name(watch);
}

static void
set_up(Fixture *f, gconstpointer data)
{
    g_autofree char *policy = NULL;

    f->context = g_main_context_new();
    g_main_context_push_thread_default(f->context);
    f->policy_path = write_policy();
    policy = g_strdup_printf(system_policy, f->policy_path);
    f->bus = test_bus_new(policy);
    test_bus_up(f->bus);
    show_session(f);
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    service_free(f->service);
    g_clear_object(&f->polkit);
    while (g_main_context_iteration(f->context, FALSE))
        ;
    test_bus_free(f->bus);
    unlink(f->policy_path);
    g_free(f->policy_path);
    g_free(f->polkit_asked);
    g_main_context_pop_thread_default(f->context);
    g_main_context_unref(f->context);
}

typedef struct {
    gboolean done;
    char *output;
} Child;

static void
on_child(GObject *source, GAsyncResult *result, gpointer user_data)
{
    Child *child = user_data;

    g_subprocess_communicate_utf8_finish(G_SUBPROCESS(source), result, NULL, &child->output, NULL);
    child->done = TRUE;
}

/* Returns what `gdbus call` says on its stderr, empty for success. */
static char *
call_as(Fixture *f, const char *user, const char *method, const char *argument)
{
    g_autofree char *uid = g_strconcat("--reuid=", user, NULL);
    /* The group of `nobody` has another name on every distribution. */
    g_autofree char *gid =
        g_strconcat("--regid=", g_str_equal(user, "nobody") ? "65534" : user, NULL);
    g_autoptr(GSubprocess) process = NULL;
    g_autoptr(GError) error = NULL;
    Child child = {0};

    process = g_subprocess_new(G_SUBPROCESS_FLAGS_STDERR_PIPE | G_SUBPROCESS_FLAGS_STDOUT_SILENCE,
                               &error, "setpriv", uid, gid, "--clear-groups", "gdbus", "call",
                               "--address", f->bus->address, "--dest", SERVICE_NAME,
                               "--object-path", PATH, "--method", method, argument, NULL);
    g_assert_no_error(error);
    g_subprocess_communicate_utf8_async(process, NULL, NULL, on_child, &child);
    test_wait_until("the caller has its answer", is_there, &child.done, NULL);
    return child.output;
}

/* clang-format off */
static const struct {
    const char *user;
    Polkit polkit;
    const char *read_error; /* NULL: may */
    const char *call_error;
} cases[] = {
    {"root",   POLKIT_NO,        NULL,   NULL},
    {"daemon", POLKIT_ABSENT,    NULL,   NULL},
    {"daemon", POLKIT_YES,       NULL,   NULL},
    {"daemon", POLKIT_NO,        NULL,   UNAUTHORIZED},
    {"daemon", POLKIT_CHALLENGE, NULL,   UNAUTHORIZED},
    {"daemon", POLKIT_BROKEN,    NULL,   UNAUTHORIZED},
    {"nobody", POLKIT_ABSENT,    DENIED, DENIED},
    {"nobody", POLKIT_YES,       DENIED, DENIED},
};
/* clang-format on */

static void
check(const char *output, const char *expected_error)
{
    if (expected_error)
        g_assert_nonnull(strstr(output, expected_error));
    else
        g_assert_cmpstr(output, ==, "");
}

static void
test_users(gconstpointer data)
{
    guint i = GPOINTER_TO_UINT(data);
    Fixture f = {0};
    g_autofree char *got = NULL;
    g_autofree char *read = NULL;

    if (geteuid() != 0) {
        g_test_skip("needs root, to be other users");
        return;
    }
    set_up(&f, NULL);
    play_polkit(&f, cases[i].polkit);
    read = call_as(&f, cases[i].user, "org.freedesktop.DBus.Properties.GetAll", SESSION);
    check(read, cases[i].read_error);
    got = call_as(&f, cases[i].user, SESSION ".Recover", "{}");
    check(got, cases[i].call_error);
    if (f.polkit_asked)
        g_assert_cmpstr(f.polkit_asked, ==, SERVICE_NAME ".recover");
    g_assert_cmpuint(f.calls, ==, cases[i].call_error ? 0 : 1);
    g_assert_cmpint(f.polkit_asked != NULL, ==,
                    g_str_equal(cases[i].user, "daemon") && cases[i].polkit != POLKIT_ABSENT);
    tear_down(&f, NULL);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path =
            g_strdup_printf("/dbus-caller/%s-%d", cases[i].user, cases[i].polkit);

        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_users);
    }
    return g_test_run();
}
