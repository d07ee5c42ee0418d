/*
 * dbus.c: the service on a real bus, seen by a listener and a caller beside it
 *
 * The service, the listener and the test share one thread and one context, as the engine would.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dbus/service.h"

#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <string.h>

#include "dbus/error.h"
#include "testbus.h"

#define UUID      "6b0e3f5c-0c5c-4d0a-9f0e-2d0c6c1f0a11"
#define PATH      SERVICE_PATH "/domain/_6b0e3f5c_0c5c_4d0a_9f0e_2d0c6c1f0a11"
#define SESSION   SERVICE_NAME ".Session"
#define MANAGER   SERVICE_NAME ".Manager"
#define START_US  1700000000000000
#define STEP_US   1000000
#define ID        "8f5e3f5c-0000-4d0a-9f0e-2d0c6c1f0a11"
#define PRINT_MAX 400

static GPtrArray *logged; /* warnings of ours */

static GLogWriterOutput
log_writer(GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer user_data)
{
    const char *domain = NULL;
    const char *message = NULL;

    for (gsize i = 0; i < n_fields; i++) {
        if (g_str_equal(fields[i].key, "GLIB_DOMAIN"))
            domain = fields[i].value;
        if (g_str_equal(fields[i].key, "MESSAGE"))
            message = fields[i].value;
    }
    if (g_strcmp0(domain, "holdfast") != 0)
        return g_log_writer_default(level, fields, n_fields, user_data);
    if (level & G_LOG_LEVEL_WARNING)
        g_ptr_array_add(logged, g_strdup(message));
    return G_LOG_WRITER_HANDLED;
}

/* --- A migration to show --- */

typedef struct {
    const char *id;
    guint n_steps;
    StatusStep steps[80];
    guint pauses, recoveries, attempts;
    const char *message;
} Story;

static void
story_step(Story *story, MigrationState state, PauseReason reason)
{
    guint n = story->n_steps++;

    story->steps[n] = (StatusStep){state, reason, START_US + n * STEP_US};
}

static Status *
story_status(const Story *story)
{
    Status *status = status_new();
    const StatusStep *last = &story->steps[story->n_steps - 1];

    status->id = g_strdup(story->id ? story->id : ID);
    status->uuid = g_strdup(UUID);
    status->name = g_strdup("guest");
    status->peer = g_strdup("tcp://10.0.0.2");
    status->role = ROLE_SOURCE;
    status->state = last->state;
    status->reason = last->reason;
    status->started_at_usec = START_US;
    status->pauses = story->pauses;
    status->recoveries = story->recoveries;
    status->attempts = story->attempts;
    status->last_outage_usec = story->recoveries * 2500000;
    status->paused_usec = story->recoveries * 2500000;
    status->message = g_strdup(story->message);
    g_array_append_vals(status->history, story->steps, story->n_steps);
    return status;
}

/* --- The service and what is heard of it --- */

typedef struct {
    TestBus *bus;
    GMainContext *context;
    Service *service;
    GDBusConnection *listener;
    guint subscription;
    GPtrArray *heard; /* `Member arguments` */
    const char *wanted;
    gboolean named; /* the listener knows of an owner of the name */

    GPtrArray *asked; /* what the engine was asked for */
    ServiceReply *reply;
    gboolean keep_reply;
    const GError *answer;

    guint fds; /* open before */
} Fixture;

static guint
count_fds(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    guint n = 0;

    while (g_dir_read_name(dir))
        n++;
    return n;
}

static gboolean
has_closed_fds(gpointer data)
{
    return count_fds() <= ((Fixture *)data)->fds;
}

/* GLib's threads close sockets when they come to it, and tell nobody: look now and then. */
static gboolean
on_tick(gpointer user_data)
{
    return G_SOURCE_CONTINUE;
}

static void
check_fds(Fixture *f)
{
    static gboolean warm; /* the first time, GLib's threads take some for good */
    g_autoptr(GSource) tick = g_timeout_source_new(5);

    g_source_set_callback(tick, on_tick, NULL, NULL);
    g_source_attach(tick, f->context);
    if (warm)
        test_wait_until("no more file descriptors than before", has_closed_fds, f, NULL);
    warm = TRUE;
    g_source_destroy(tick);
}

static void
on_signal(GDBusConnection *connection,
          const char *sender,
          const char *path,
          const char *interface,
          const char *signal,
          GVariant *parameters,
          gpointer user_data)
{
    Fixture *f = user_data;
    g_autofree char *text = g_variant_print(parameters, FALSE);

    if (g_str_has_prefix(text, "('" SERVICE_NAME "', ") && g_str_equal(signal, "NameOwnerChanged"))
        f->named = !g_str_has_suffix(text, "'')");
    if (g_str_has_prefix(path, SERVICE_PATH) || strstr(text, SERVICE_NAME))
        g_ptr_array_add(f->heard, g_strdup_printf("%s %s", signal, text));
}

static void
listen_to_bus(Fixture *f)
{
    f->listener = test_bus_connect(f->bus);
    f->subscription = g_dbus_connection_signal_subscribe(
        f->listener, NULL, NULL, NULL, NULL, NULL, G_DBUS_SIGNAL_FLAGS_NONE, on_signal, f, NULL);
}

static void
stop_listening(Fixture *f)
{
    g_dbus_connection_signal_unsubscribe(f->listener, f->subscription);
    g_dbus_connection_close_sync(f->listener, NULL, NULL);
    g_clear_object(&f->listener);
    f->named = FALSE;
}

static void
answer(Fixture *f, ServiceReply *reply)
{
    if (f->keep_reply)
        f->reply = reply;
    else
        service_reply_finish(reply, f->answer);
}

static void
engine_recover(const char *uuid, const char *uri, ServiceReply *reply, gpointer user_data)
{
    Fixture *f = user_data;

    g_ptr_array_add(f->asked, g_strdup_printf("recover %s %s", uuid, uri ? uri : "-"));
    answer(f, reply);
}

static void
engine_pause(const char *uuid, ServiceReply *reply, gpointer user_data)
{
    Fixture *f = user_data;

    g_ptr_array_add(f->asked, g_strdup_printf("pause %s", uuid));
    answer(f, reply);
}

static void
start_service(Fixture *f)
{
    static const ServiceCalls calls = {engine_recover, engine_pause};

    f->service = service_new(f->bus->address, &calls, f);
}

static void
set_up(Fixture *f, gconstpointer data)
{
    f->context = g_main_context_new();
    g_main_context_push_thread_default(f->context);
    f->fds = count_fds();
    f->heard = g_ptr_array_new_with_free_func(g_free);
    f->asked = g_ptr_array_new_with_free_func(g_free);
    f->bus = test_bus_new(NULL);
    test_bus_up(f->bus);
    listen_to_bus(f);
    start_service(f);
    g_ptr_array_set_size(logged, 0);
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    service_free(f->service);
    if (f->listener)
        stop_listening(f);
    test_bus_free(f->bus);
    check_fds(f);
    g_ptr_array_unref(f->heard);
    g_ptr_array_unref(f->asked);
    g_main_context_pop_thread_default(f->context);
    g_main_context_unref(f->context);
}

static void
publish(Fixture *f, const Story *story)
{
    g_autoptr(Status) status = story_status(story);

    service_publish(f->service, status);
}

static GVariant *
call(Fixture *f,
     const char *path,
     const char *interface,
     const char *method,
     GVariant *parameters,
     GError **error)
{
    return test_call(f->listener, SERVICE_NAME, path, interface, method, parameters, error);
}

static char *
describe(gpointer data)
{
    Fixture *f = data;
    g_autoptr(GString) text = g_string_new("heard:\n");

    for (guint i = 0; i < f->heard->len; i++)
        g_string_append_printf(text, "  %.*s\n", PRINT_MAX, (char *)f->heard->pdata[i]);
    for (guint i = 0; i < logged->len; i++)
        g_string_append_printf(text, "logged: %s\n", (char *)logged->pdata[i]);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static gboolean
has_wanted(gpointer data)
{
    Fixture *f = data;

    for (guint i = 0; i < f->heard->len; i++) {
        if (g_str_has_prefix(f->heard->pdata[i], f->wanted))
            return TRUE;
    }
    return FALSE;
}

static void
wait_heard(Fixture *f, const char *beginning)
{
    f->wanted = beginning;
    test_wait_until(beginning, has_wanted, f, describe);
}

static gboolean
is_named(gpointer data)
{
    return ((Fixture *)data)->named;
}

static gboolean
is_unnamed(gpointer data)
{
    return !is_named(data);
}

static void
wait_no_name(Fixture *f)
{
    test_wait_until("the name has no owner", is_unnamed, f, describe);
}

/* The listener may have come after the name did, so it asks too. */
static void
wait_name(Fixture *f)
{
    g_autoptr(GVariant) answer =
        test_call(f->listener, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                  "org.freedesktop.DBus", "NameHasOwner", g_variant_new("(s)", SERVICE_NAME), NULL);
    gboolean owned;

    g_variant_get(answer, "(b)", &owned);
    f->named |= owned;
    test_wait_until("the name has an owner", is_named, f, describe);
}

static char *
managed_objects(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer = call(f, SERVICE_PATH, "org.freedesktop.DBus.ObjectManager",
                                      "GetManagedObjects", NULL, &error);

    g_assert_no_error(error);
    return g_variant_print(answer, FALSE);
}

static char *
get_property(Fixture *f, const char *path, const char *interface, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer = NULL;
    g_autoptr(GVariant) value = NULL;

    answer = call(f, path, "org.freedesktop.DBus.Properties", "Get",
                  g_variant_new("(ss)", interface, name), &error);
    g_assert_no_error(error);
    g_variant_get(answer, "(v)", &value);
    return g_variant_print(value, FALSE);
}

/* --- Tests --- */

/* Published before there is a connection: it is there when the name is, and no signal was sent that
 * anybody might have heard. */
static void
test_properties(Fixture *f, gconstpointer data)
{
    static const struct {
        const char *name;
        const char *value;
    } expected[] = {
        {"MigrationId", "'" ID "'"},
        {"DomainName", "'guest'"},
        {"UUID", "'" UUID "'"},
        {"Role", "'source'"},
        {"State", "'postcopy-paused'"},
        {"Reason", "'network'"},
        {"Peer", "'tcp://10.0.0.2'"},
        {"StartedAt", "1700000000000000"},
        {"Pauses", "1"},
        {"Recoveries", "0"},
        {"PausedUSec", "0"},
        {"LastOutageUSec", "0"},
        {"Attempts", "3"},
        {"NextAttemptAt", "0"},
        {"Message", "''"},
        {"History", "[(1700000000000000, 1000000, 'postcopy-active', ''), "
                    "(1700000001000000, 0, 'postcopy-paused', 'network')]"},
    };
    Story story = {.pauses = 1, .attempts = 3};
    g_autofree char *objects = NULL;
    g_autofree char *version = NULL;

    story_step(&story, STATE_POSTCOPY_ACTIVE, REASON_NONE);
    story_step(&story, STATE_POSTCOPY_PAUSED, REASON_NETWORK);
    publish(f, &story);
    wait_name(f);
    for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
        g_autofree char *value = get_property(f, PATH, SESSION, expected[i].name);

        g_assert_cmpstr(value, ==, expected[i].value);
    }
    f->wanted = "InterfacesAdded";
    g_assert_false(has_wanted(f));
    objects = managed_objects(f);
    g_assert_nonnull(strstr(objects, PATH));
    version = get_property(f, SERVICE_PATH, MANAGER, "Version");
    g_assert_cmpstr(version, !=, "''");
}

/* Text that is not UTF-8 must not cost us the connection; a history is bounded. */
static void
test_odd_values(Fixture *f, gconstpointer data)
{
    Story story = {.message = "caf\xe9"};
    g_autofree char *message = NULL;
    g_autofree char *history = NULL;
    g_autoptr(GVariant) steps = NULL;

    for (guint i = 0; i < 39; i++) {
        story_step(&story, STATE_POSTCOPY_PAUSED, REASON_NETWORK);
        story_step(&story, STATE_POSTCOPY_RECOVER_SETUP, REASON_NONE);
    }
    story.steps[77].at_usec = START_US; /* the clock was put back */
    publish(f, &story);
    wait_name(f);
    message = get_property(f, PATH, SESSION, "Message");
    g_assert_cmpstr(message, ==, "'caf\xef\xbf\xbd'");
    history = get_property(f, PATH, SESSION, "History");
    steps = g_variant_parse(G_VARIANT_TYPE("a(ttss)"), history, NULL, NULL, NULL);
    g_assert_cmpuint(g_variant_n_children(steps), ==, 64);
    g_assert_nonnull(strstr(history, ", 0, 'postcopy-paused', 'network'), (1700000000000000, 0,"));
}

static void
check_heard(Fixture *f, const char *const *expected, guint n)
{
    for (guint i = 0; i < n && i < f->heard->len; i++) {
        if (!g_str_has_prefix(f->heard->pdata[i], expected[i])) {
            g_autofree char *text = describe(f);

            g_test_message("signal %u should begin with: %s\n%s", i, expected[i], text);
            g_test_fail();
            return;
        }
    }
    g_assert_cmpuint(f->heard->len, ==, n);
}

static void
test_signals(Fixture *f, gconstpointer data)
{
    static const char *const expected[] = {
        "InterfacesAdded ('" PATH "', {'" SESSION "': ",
        "PropertiesChanged ('" SESSION "', {",
        "StateChanged ('postcopy-active', 'postcopy-paused', 'network')",
        "Paused ('network', {",
        "MigrationPaused ('" PATH "', '" UUID "', 'guest', 'source', {",
        "PropertiesChanged ('" SESSION "', {",
        "StateChanged ('postcopy-paused', 'postcopy-recover-setup', '')",
        "StateChanged ('postcopy-recover-setup', 'postcopy-active', '')",
        "Recovered (2500000, 1, {",
        "MigrationRecovered ('" PATH "', '" UUID "', 'guest', 'source', {",
        "PropertiesChanged ('" SESSION "', {",
        "StateChanged ('postcopy-active', 'completed', '')",
        "Finished ('completed', '')",
        "InterfacesRemoved ('" PATH "', ['" SESSION "'])",
    };
    Story story = {0};
    const char *paused;

    wait_name(f);
    g_ptr_array_set_size(f->heard, 0);
    story_step(&story, STATE_POSTCOPY_ACTIVE, REASON_NONE);
    publish(f, &story);
    publish(f, &story); /* nothing new: nothing said */
    story_step(&story, STATE_POSTCOPY_PAUSED, REASON_NETWORK);
    story.pauses = 1;
    publish(f, &story);
    story_step(&story, STATE_POSTCOPY_RECOVER_SETUP, REASON_NONE);
    story_step(&story, STATE_POSTCOPY_ACTIVE, REASON_NONE);
    story.recoveries = story.attempts = 1;
    publish(f, &story);
    story_step(&story, STATE_COMPLETED, REASON_NONE);
    publish(f, &story);
    service_withdraw(f->service, UUID, ROLE_DESTINATION); /* not this one */
    service_withdraw(f->service, UUID, ROLE_SOURCE);
    service_withdraw(f->service, UUID, ROLE_SOURCE);
    wait_heard(f, "InterfacesRemoved");
    check_heard(f, expected, G_N_ELEMENTS(expected));

    g_assert_nonnull(strstr(f->heard->pdata[1], "'State': <'postcopy-paused'>"));
    g_assert_nonnull(strstr(f->heard->pdata[1], "'Pauses': <"));
    g_assert_null(strstr(f->heard->pdata[1], "'DomainName'"));
    paused = f->heard->pdata[4];
    g_assert_nonnull(strstr(paused, "'reason': <'network'>"));
    g_assert_nonnull(strstr(paused, "'migration': <'" ID "'>"));
    g_assert_nonnull(strstr(paused, "'at': <uint64 1700000001000000>"));
}

static void
test_replaced(Fixture *f, gconstpointer data)
{
    static const char *const expected[] = {
        "InterfacesAdded",   "InterfacesRemoved", "InterfacesAdded",
        "InterfacesRemoved", /* the service goes, and what it has said is heard */
        "NameOwnerChanged",
    };
    Story old = {0};
    Story new = {.id = "another"};

    wait_name(f);
    g_ptr_array_set_size(f->heard, 0);
    story_step(&old, STATE_COMPLETED, REASON_NONE);
    story_step(&new, STATE_SETUP, REASON_NONE);
    publish(f, &old);
    publish(f, &new);
    service_free(g_steal_pointer(&f->service));
    wait_no_name(f);
    check_heard(f, expected, G_N_ELEMENTS(expected));
    g_assert_nonnull(strstr(f->heard->pdata[2], "'MigrationId': <'another'>"));
}

/* The session changes while there is no bus; afterwards it is there, as it is then. */
static void
test_restart(Fixture *f, gconstpointer data)
{
    Story story = {0};

    story_step(&story, STATE_POSTCOPY_ACTIVE, REASON_NONE);
    publish(f, &story);
    wait_name(f);
    for (guint round = 0; round < 2; round++) {
        g_autofree char *state = NULL;

        stop_listening(f);
        g_ptr_array_set_size(logged, 0);
        test_bus_down(f->bus);
        story_step(&story, round ? STATE_POSTCOPY_ACTIVE : STATE_POSTCOPY_PAUSED, REASON_NONE);
        publish(f, &story);
        test_bus_up(f->bus);
        listen_to_bus(f);
        wait_name(f);
        state = get_property(f, PATH, SESSION, "State");
        g_assert_cmpstr(state, ==, round ? "'postcopy-active'" : "'postcopy-paused'");
        g_assert_cmpuint(logged->len, ==, 1);
    }
    g_ptr_array_set_size(f->heard, 0);
    story_step(&story, STATE_COMPLETED, REASON_NONE);
    publish(f, &story);
    wait_heard(f, "Finished");
}

typedef struct {
    GSocketService *service;
    guint count;
    gboolean hang_up;
    GPtrArray *kept;
} FakeBus;

static gboolean
on_fake_connection(GSocketService *service,
                   GSocketConnection *connection,
                   GObject *source,
                   gpointer user_data)
{
    FakeBus *fake = user_data;

    fake->count++;
    if (fake->hang_up)
        g_io_stream_close(G_IO_STREAM(connection), NULL, NULL);
    else
        g_ptr_array_add(fake->kept, g_object_ref(connection));
    return TRUE;
}

static void
fake_bus_up(FakeBus *fake, TestBus *bus)
{
    g_autofree char *path = g_build_filename(bus->dir, "bus", NULL);
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GError) error = NULL;

    fake->service = g_socket_service_new();
    fake->kept = g_ptr_array_new_with_free_func(g_object_unref);
    g_socket_listener_add_address(G_SOCKET_LISTENER(fake->service), address, G_SOCKET_TYPE_STREAM,
                                  G_SOCKET_PROTOCOL_DEFAULT, NULL, NULL, &error);
    g_assert_no_error(error);
    g_signal_connect(fake->service, "incoming", G_CALLBACK(on_fake_connection), fake);
}

static void
fake_bus_down(FakeBus *fake, TestBus *bus)
{
    g_autofree char *path = g_build_filename(bus->dir, "bus", NULL);

    g_socket_service_stop(fake->service);
    g_socket_listener_close(G_SOCKET_LISTENER(fake->service));
    g_object_unref(fake->service);
    g_ptr_array_unref(fake->kept);
    g_unlink(path);
}

static gboolean
had_two(gpointer data)
{
    return ((FakeBus *)data)->count >= 2;
}

static gboolean
had_one(gpointer data)
{
    return ((FakeBus *)data)->count >= 1;
}

/* Attempts go on, one warning is enough, and a bus that is there in the end is used. */
static void
test_bad_bus(Fixture *f, gconstpointer data)
{
    FakeBus fake = {.hang_up = TRUE};

    wait_name(f);
    stop_listening(f);
    test_bus_down(f->bus);
    fake_bus_up(&fake, f->bus);
    test_wait_until("two attempts", had_two, &fake, NULL);
    fake_bus_down(&fake, f->bus);
    test_bus_up(f->bus);
    listen_to_bus(f);
    wait_name(f);
    g_assert_cmpuint(logged->len, ==, 1);
}

/* Neither a bus that says nothing nor an attempt under way holds service_free() up. */
static void
test_silent_bus(Fixture *f, gconstpointer data)
{
    FakeBus fake = {0};

    service_free(g_steal_pointer(&f->service));
    stop_listening(f);
    test_bus_down(f->bus);
    fake_bus_up(&fake, f->bus);
    start_service(f);
    test_wait_until("an attempt", had_one, &fake, NULL);
    service_free(g_steal_pointer(&f->service));
    fake_bus_down(&fake, f->bus);
}

static gboolean
has_logged(gpointer data)
{
    return logged->len > 0;
}

static void
test_name_taken(Fixture *f, gconstpointer data)
{
    g_autoptr(GDBusConnection) other = NULL;
    g_autoptr(GVariant) answer = NULL;
    Story story = {0};
    g_autofree char *state = NULL;
    g_autofree char *handed_over = NULL;

    wait_name(f);
    service_free(g_steal_pointer(&f->service));
    wait_no_name(f);
    other = test_bus_connect(f->bus);
    answer =
        test_call(other, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                  "RequestName", g_variant_new("(su)", SERVICE_NAME, 0u), NULL);
    handed_over = g_strdup_printf("NameOwnerChanged ('" SERVICE_NAME "', '%s', ':",
                                  g_dbus_connection_get_unique_name(other));
    start_service(f);
    story_step(&story, STATE_SETUP, REASON_NONE);
    publish(f, &story);
    test_wait_until("a warning", has_logged, f, describe);
    g_assert_nonnull(strstr(logged->pdata[0], "another process has it"));

    g_dbus_connection_close_sync(other, NULL, NULL);
    wait_heard(f, handed_over);
    state = get_property(f, PATH, SESSION, "State");
    g_assert_cmpstr(state, ==, "'setup'");
    g_assert_cmpuint(logged->len, ==, 1);
}

static void
show_paused(Fixture *f)
{
    Story story = {.pauses = 1};

    story_step(&story, STATE_POSTCOPY_PAUSED, REASON_NETWORK);
    publish(f, &story);
    wait_name(f);
}

static void
check_call(Fixture *f, const char *method, const char *parameters, const char *expected_error)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *name = NULL;
    g_autoptr(GVariant) answer = NULL;

    g_test_message("%s%.100s", method, parameters);
    answer = call(f, PATH, SESSION, method, g_variant_new_parsed(parameters), &error); /* NOLINT */
    if (error)
        name = g_dbus_error_get_remote_error(error);
    g_assert_cmpstr(name, ==, expected_error);
    if (error)
        g_assert_cmpuint(strlen(error->message), <, PRINT_MAX);
}

static void
test_methods(Fixture *f, gconstpointer data)
{
    static const char *const asked[] = {
        "recover " UUID " -",
        "recover " UUID " tcp://10.0.1.2",
        "recover " UUID " -",
        "pause " UUID,
    };

    show_paused(f);
    check_call(f, "Recover", "(@a{sv} {},)", NULL);
    check_call(f, "Recover", "({'uri': <'tcp://10.0.1.2'>, 'timeout': <uint64 86400>},)", NULL);
    check_call(f, "Recover", "({'uri': <''>},)", NULL);
    check_call(f, "Pause", "()", NULL);
    g_assert_cmpuint(f->asked->len, ==, G_N_ELEMENTS(asked));
    for (guint i = 0; i < G_N_ELEMENTS(asked); i++)
        g_assert_cmpstr(f->asked->pdata[i], ==, asked[i]);
}

static void
test_bad_arguments(Fixture *f, gconstpointer data)
{
    static const char invalid[] = SERVICE_NAME ".Error.InvalidArgument";
    g_autofree char *x = g_strnfill(1025, 'x');
    g_autofree char *long_uri = g_strdup_printf("({'uri': <'%s'>},)", x);
    g_autofree char *long_key = g_strdup_printf("({'\xc3\xa9%s': <1>},)", x);
    const char *const cases[] = {
        "({'url': <'tcp://10.0.1.2'>},)",
        "({'': <''>},)",
        "({'uri': <1>},)",
        "({'uri': <<'tcp://10.0.1.2'>>},)",
        "({'timeout': <10>},)",
        "({'timeout': <uint64 0>},)",
        "({'timeout': <uint64 86401>},)",
        "({'timeout': <'10'>},)",
        "({'uri': <'tcp://10.0.1.2'>, 'flags': <1>},)",
        long_uri,
        long_key,
    };

    show_paused(f);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        check_call(f, "Recover", cases[i], invalid);
    check_call(f, "Recover", "('tcp://10.0.1.2',)", "org.freedesktop.DBus.Error.InvalidArgs");
    check_call(f, "Resume", "()", "org.freedesktop.DBus.Error.UnknownMethod");
    g_assert_cmpuint(f->asked->len, ==, 0);
}

static void
test_errors(Fixture *f, gconstpointer data)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GError) foreign = g_error_new(G_FILE_ERROR, G_FILE_ERROR_IO, "caf\xe9");

    show_paused(f);
    for (guint code = 0; code < SERVICE_ERROR_LAST; code++) {
        g_autoptr(GError) error = g_error_new(SERVICE_ERROR, code, "why");
        const char *name = service_error_dbus_name(error);

        g_assert_true(g_dbus_is_interface_name(name));
        g_assert_true(g_hash_table_add(seen, (gpointer)name));
        f->answer = error;
        check_call(f, "Recover", "(@a{sv} {},)", name);
        check_call(f, "Pause", "()", name);
    }
    f->answer = foreign;
    check_call(f, "Pause", "()", SERVICE_NAME ".Error.Failed");
}

/* The caller is told in time; the engine may answer later, or after the service is gone. */
static void
test_late_answers(Fixture *f, gconstpointer data)
{
    ServiceReply *late;

    show_paused(f);
    f->keep_reply = TRUE;
    check_call(f, "Recover", "({'timeout': <uint64 1>},)", SERVICE_NAME ".Error.Timeout");
    late = g_steal_pointer(&f->reply);
    check_call(f, "Recover", "({'timeout': <uint64 1>},)", SERVICE_NAME ".Error.Timeout");
    service_reply_finish(late, NULL);
    service_free(g_steal_pointer(&f->service));
    service_reply_finish(f->reply, NULL);
}

static void
test_addresses(void)
{
    g_autofree char *known = g_strdup(g_getenv("DBUS_SYSTEM_BUS_ADDRESS"));
    g_autofree char *system = NULL;
    g_autofree char *session = NULL;

    g_unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
    g_unsetenv("DBUS_SESSION_BUS_ADDRESS");
    system = service_bus_address(TRUE);
    session = service_bus_address(FALSE);
    g_assert_cmpstr(system, ==, "unix:path=/run/dbus/system_bus_socket");
    g_assert_true(g_str_has_suffix(session, "/bus"));
    g_assert_true(g_dbus_is_address(session));
}

int
main(int argc, char **argv)
{
    int result;

    g_test_init(&argc, &argv, NULL);
    logged = g_ptr_array_new_with_free_func(g_free);
    g_log_set_writer_func(log_writer, NULL, NULL);
    /* First: it changes the environment, which threads might read. */
    g_test_add_func("/dbus/addresses", test_addresses);
#define ADD(name, function) g_test_add("/dbus/" name, Fixture, NULL, set_up, function, tear_down)
    ADD("properties", test_properties);
    ADD("odd-values", test_odd_values);
    ADD("signals", test_signals);
    ADD("replaced", test_replaced);
    ADD("restart", test_restart);
    ADD("bad-bus", test_bad_bus);
    ADD("silent-bus", test_silent_bus);
    ADD("name-taken", test_name_taken);
    ADD("methods", test_methods);
    ADD("bad-arguments", test_bad_arguments);
    ADD("errors", test_errors);
    ADD("late-answers", test_late_answers);
#undef ADD
    result = g_test_run();
    g_ptr_array_unref(logged);
    return result;
}
