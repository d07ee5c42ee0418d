/*
 * dbus.c: what the service shows on a real bus, as a listener beside it sees it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <string.h>

#include "stage.h"

/* Published before there is a connection: it is there when the name is, and no signal was sent that
 * anybody might have heard. */
static void
test_properties(Stage *s, gconstpointer data)
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
        {"PausedAt", "1700000001000000"},
        {"PausedUSec", "0"},
        {"LastOutageUSec", "0"},
        {"Attempts", "3"},
        {"RecoversItself", "true"},
        {"NextAttemptAt", "0"},
        {"Message", "''"},
        {"Bitmaps", "[]"},
        {"History", "[(1700000000000000, 1000000, 'postcopy-active', ''), "
                    "(1700000001000000, 0, 'postcopy-paused', 'network')]"},
    };
    Story story = {.pauses = 1, .attempts = 3};
    g_autofree char *objects = NULL;
    g_autofree char *version = NULL;

    story_step(&story, STATE_POSTCOPY_ACTIVE, REASON_NONE);
    story_step(&story, STATE_POSTCOPY_PAUSED, REASON_NETWORK);
    stage_publish(s, &story);
    stage_wait_name(s);
    for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
        g_autofree char *value = stage_get_property(s, PATH, SESSION, expected[i].name);

        g_assert_cmpstr(value, ==, expected[i].value);
    }
    s->wanted = "InterfacesAdded";
    g_assert_false(stage_has_heard(s));
    objects = stage_managed_objects(s);
    g_assert_nonnull(strstr(objects, PATH));
    version = stage_get_property(s, SERVICE_PATH, MANAGER, "Version");
    g_assert_cmpstr(version, !=, "''");
}

/* Text that is not UTF-8 must not cost us the connection; a history is bounded. */
static void
test_odd_values(Stage *s, gconstpointer data)
{
    Story story = {.message = "caf\xe9"};
    g_autofree char *message = NULL;
    g_autofree char *history = NULL;
    g_autoptr(GVariant) steps = NULL;

    for (guint i = 0; i < 39; i++) {
        story_step(&story, STATE_POSTCOPY_PAUSED, REASON_NETWORK);
        story_step(&story, STATE_POSTCOPY_RECOVER_SETUP, REASON_NONE);
    }
    story.steps[77].at_usec = story.steps[0].at_usec; /* the clock was put back */
    stage_publish(s, &story);
    stage_wait_name(s);
    message = stage_get_property(s, PATH, SESSION, "Message");
    g_assert_cmpstr(message, ==, "'caf\xef\xbf\xbd'");
    history = stage_get_property(s, PATH, SESSION, "History");
    steps = g_variant_parse(G_VARIANT_TYPE("a(ttss)"), history, NULL, NULL, NULL);
    g_assert_cmpuint(g_variant_n_children(steps), ==, 64);
    g_assert_nonnull(strstr(history, ", 0, 'postcopy-paused', 'network'), (1700000000000000, 0,"));
}

static void
check_heard(Stage *s, const char *const *expected, guint n)
{
    for (guint i = 0; i < n && i < s->heard->len; i++) {
        if (!g_str_has_prefix(s->heard->pdata[i], expected[i])) {
            g_autofree char *text = stage_describe(s);

            g_test_message("signal %u should begin with: %s\n%s", i, expected[i], text);
            g_test_fail();
            return;
        }
    }
    g_assert_cmpuint(s->heard->len, ==, n);
}

static void
test_signals(Stage *s, gconstpointer data)
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

    stage_wait_name(s);
    g_ptr_array_set_size(s->heard, 0);
    story_step(&story, STATE_POSTCOPY_ACTIVE, REASON_NONE);
    stage_publish(s, &story);
    stage_publish(s, &story); /* nothing new: nothing said */
    story_step(&story, STATE_POSTCOPY_PAUSED, REASON_NETWORK);
    story.pauses = 1;
    stage_publish(s, &story);
    story_step(&story, STATE_POSTCOPY_RECOVER_SETUP, REASON_NONE);
    story_step(&story, STATE_POSTCOPY_ACTIVE, REASON_NONE);
    story.recoveries = story.attempts = 1;
    stage_publish(s, &story);
    story_step(&story, STATE_COMPLETED, REASON_NONE);
    stage_publish(s, &story);
    service_withdraw(s->service, UUID, ROLE_DESTINATION); /* not this one */
    service_withdraw(s->service, UUID, ROLE_SOURCE);
    service_withdraw(s->service, UUID, ROLE_SOURCE);
    stage_wait_heard(s, "InterfacesRemoved");
    check_heard(s, expected, G_N_ELEMENTS(expected));

    g_assert_nonnull(strstr(s->heard->pdata[1], "'State': <'postcopy-paused'>"));
    g_assert_nonnull(strstr(s->heard->pdata[1], "'Pauses': <"));
    g_assert_null(strstr(s->heard->pdata[1], "'DomainName'"));
    paused = s->heard->pdata[4];
    g_assert_nonnull(strstr(paused, "'reason': <'network'>"));
    g_assert_nonnull(strstr(paused, "'migration': <'" ID "'>"));
    g_assert_nonnull(strstr(paused, "'at': <uint64 1700000001000000>"));
}

#define ENTRY(name)                                                                                \
    "{'kind': <'bitmap'>, 'disk': <'vda'>, 'name': <'" name "'>, 'decision': <'drop'>, "           \
    "'reason': <'caf\xc3\xa9'>, 'at': <uint64 1700000000000000>}"

/* Those that are new, on the session and on the manager; all of them are the property. */
static void
test_bitmaps(Stage *s, gconstpointer data)
{
    static const char *const expected[] = {
        "InterfacesAdded ('" PATH "', {'" SESSION "': ",
        "PropertiesChanged ('" SESSION "', {",
        "StateChanged ('setup', 'failed', '')",
        "Finished ('failed', '')",
        "BitmapsDecided ([{",
        "MigrationBitmapsDecided ('" PATH "', '" UUID "', 'guest', 'source', [{",
    };
    Story story = {.verdicts = 1};
    g_autofree char *all = NULL;

    stage_wait_name(s);
    g_ptr_array_set_size(s->heard, 0);
    story_step(&story, STATE_SETUP, REASON_NONE);
    stage_publish(s, &story);
    story_step(&story, STATE_FAILED, REASON_NONE);
    story.verdicts = 3;
    stage_publish(s, &story);
    stage_wait_heard(s, "MigrationBitmapsDecided");
    check_heard(s, expected, G_N_ELEMENTS(expected));

    g_assert_cmpstr(s->heard->pdata[4], ==, "BitmapsDecided ([" ENTRY("1") ", " ENTRY("2") "],)");
    all = stage_get_property(s, PATH, SESSION, "Bitmaps");
    g_assert_cmpstr(all, ==, "[" ENTRY("0") ", " ENTRY("1") ", " ENTRY("2") "]");
}

static void
test_replaced(Stage *s, gconstpointer data)
{
    static const char *const expected[] = {
        "InterfacesAdded",   "InterfacesRemoved", "InterfacesAdded",
        "InterfacesRemoved", /* the service goes, and what it has said is heard */
        "NameOwnerChanged",
    };
    Story old = {0};
    Story new = {.id = "another"};

    stage_wait_name(s);
    g_ptr_array_set_size(s->heard, 0);
    story_step(&old, STATE_COMPLETED, REASON_NONE);
    story_step(&new, STATE_SETUP, REASON_NONE);
    stage_publish(s, &old);
    stage_publish(s, &new);
    service_free(g_steal_pointer(&s->service));
    stage_wait_no_name(s);
    check_heard(s, expected, G_N_ELEMENTS(expected));
    g_assert_nonnull(strstr(s->heard->pdata[2], "'MigrationId': <'another'>"));
}

/* The session changes while there is no bus; afterwards it is there, as it is then. */
static void
test_restart(Stage *s, gconstpointer data)
{
    Story story = {0};

    story_step(&story, STATE_POSTCOPY_ACTIVE, REASON_NONE);
    stage_publish(s, &story);
    stage_wait_name(s);
    for (guint round = 0; round < 2; round++) {
        g_autofree char *state = NULL;

        stage_stop_listening(s);
        g_ptr_array_set_size(stage_warnings, 0);
        test_bus_down(s->bus);
        story_step(&story, round ? STATE_POSTCOPY_ACTIVE : STATE_POSTCOPY_PAUSED, REASON_NONE);
        stage_publish(s, &story);
        test_bus_up(s->bus);
        stage_listen(s);
        stage_wait_name(s);
        state = stage_get_property(s, PATH, SESSION, "State");
        g_assert_cmpstr(state, ==, round ? "'postcopy-active'" : "'postcopy-paused'");
        g_assert_cmpuint(stage_warnings->len, ==, 1);
    }
    g_ptr_array_set_size(s->heard, 0);
    story_step(&story, STATE_COMPLETED, REASON_NONE);
    stage_publish(s, &story);
    stage_wait_heard(s, "Finished");
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
test_bad_bus(Stage *s, gconstpointer data)
{
    FakeBus fake = {.hang_up = TRUE};

    stage_wait_name(s);
    stage_stop_listening(s);
    test_bus_down(s->bus);
    fake_bus_up(&fake, s->bus);
    test_wait_until("two attempts", had_two, &fake, NULL);
    fake_bus_down(&fake, s->bus);
    test_bus_up(s->bus);
    stage_listen(s);
    stage_wait_name(s);
    g_assert_cmpuint(stage_warnings->len, ==, 1);
}

/* Neither a bus that says nothing nor an attempt under way holds service_free() up. */
static void
test_silent_bus(Stage *s, gconstpointer data)
{
    FakeBus fake = {0};

    service_free(g_steal_pointer(&s->service));
    stage_stop_listening(s);
    test_bus_down(s->bus);
    fake_bus_up(&fake, s->bus);
    stage_start_service(s);
    test_wait_until("an attempt", had_one, &fake, NULL);
    service_free(g_steal_pointer(&s->service));
    fake_bus_down(&fake, s->bus);
}

static gboolean
has_stage_warnings(gpointer data)
{
    return stage_warnings->len > 0;
}

static void
test_name_taken(Stage *s, gconstpointer data)
{
    g_autoptr(GDBusConnection) other = NULL;
    g_autoptr(GVariant) answer = NULL;
    Story story = {0};
    g_autofree char *state = NULL;
    g_autofree char *handed_over = NULL;

    stage_wait_name(s);
    service_free(g_steal_pointer(&s->service));
    stage_wait_no_name(s);
    other = test_bus_connect(s->bus);
    answer =
        test_call(other, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                  "RequestName", g_variant_new("(su)", SERVICE_NAME, 0u), NULL);
    handed_over = g_strdup_printf("NameOwnerChanged ('" SERVICE_NAME "', '%s', ':",
                                  g_dbus_connection_get_unique_name(other));
    stage_start_service(s);
    story_step(&story, STATE_SETUP, REASON_NONE);
    stage_publish(s, &story);
    test_wait_until("a warning", has_stage_warnings, s, stage_describe);
    g_assert_nonnull(strstr(stage_warnings->pdata[0], "another process has it"));

    g_dbus_connection_close_sync(other, NULL, NULL);
    stage_wait_heard(s, handed_over);
    state = stage_get_property(s, PATH, SESSION, "State");
    g_assert_cmpstr(state, ==, "'setup'");
    g_assert_cmpuint(stage_warnings->len, ==, 1);
}

static void
test_addresses(void)
{
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

static void
add_tests(void)
{
    /* First: it changes the environment, which threads might read. */
    g_test_add_func("/dbus/addresses", test_addresses);
#define ADD(name, function)                                                                        \
    g_test_add("/dbus/" name, Stage, NULL, stage_set_up, function, stage_tear_down)
    ADD("properties", test_properties);
    ADD("odd-values", test_odd_values);
    ADD("signals", test_signals);
    ADD("bitmaps", test_bitmaps);
    ADD("replaced", test_replaced);
    ADD("restart", test_restart);
    ADD("bad-bus", test_bad_bus);
    ADD("silent-bus", test_silent_bus);
    ADD("name-taken", test_name_taken);
#undef ADD
}

int
main(int argc, char **argv)
{
    return stage_main(&argc, &argv, add_tests);
}
