/*
 * dbus-methods.c: what a caller on a real bus asks for, and the answers
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "dbus/error.h"
#include "stage.h"

static void
show_paused(Stage *s)
{
    Story story = {.pauses = 1};

    story_step(&story, STATE_POSTCOPY_PAUSED, REASON_NETWORK);
    stage_publish(s, &story);
    stage_wait_name(s);
}

static void
check_call(Stage *s, const char *method, const char *parameters, const char *expected_error)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *name = NULL;
    g_autoptr(GVariant) answer = NULL;

    g_test_message("%s%.100s", method, parameters);
    answer = stage_call(s, PATH, SESSION, method, g_variant_new_parsed(parameters), &error);
    if (error)
        name = g_dbus_error_get_remote_error(error);
    g_assert_cmpstr(name, ==, expected_error);
    if (error)
        g_assert_cmpuint(strlen(error->message), <, STAGE_PRINT_MAX);
}

static void
test_methods(Stage *s, gconstpointer data)
{
    static const char *const asked[] = {
        ("recover " UUID " -"),
        ("recover " UUID " tcp://10.0.1.2"),
        ("recover " UUID " -"),
        ("pause " UUID),
    };

    show_paused(s);
    check_call(s, "Recover", "(@a{sv} {},)", NULL);
    check_call(s, "Recover", "({'uri': <'tcp://10.0.1.2'>, 'timeout': <uint64 86400>},)", NULL);
    check_call(s, "Recover", "({'uri': <''>},)", NULL);
    check_call(s, "Pause", "()", NULL);
    g_assert_cmpuint(s->asked->len, ==, G_N_ELEMENTS(asked));
    for (guint i = 0; i < G_N_ELEMENTS(asked); i++)
        g_assert_cmpstr(s->asked->pdata[i], ==, asked[i]);
}

static void
test_bad_arguments(Stage *s, gconstpointer data)
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

    show_paused(s);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        check_call(s, "Recover", cases[i], invalid);
    check_call(s, "Recover", "('tcp://10.0.1.2',)", "org.freedesktop.DBus.Error.InvalidArgs");
    check_call(s, "Resume", "()", "org.freedesktop.DBus.Error.UnknownMethod");
    g_assert_cmpuint(s->asked->len, ==, 0);
}

static void
test_errors(Stage *s, gconstpointer data)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GError) foreign = g_error_new(G_FILE_ERROR, G_FILE_ERROR_IO, "caf\xe9");

    show_paused(s);
    for (guint code = 0; code < SERVICE_ERROR_LAST; code++) {
        g_autoptr(GError) error = g_error_new(SERVICE_ERROR, code, "why");
        const char *name = service_error_dbus_name(error);

        g_assert_true(g_dbus_is_interface_name(name));
        g_assert_true(g_hash_table_add(seen, (gpointer)name));
        s->answer = error;
        check_call(s, "Recover", "(@a{sv} {},)", name);
        check_call(s, "Pause", "()", name);
    }
    s->answer = foreign;
    check_call(s, "Pause", "()", SERVICE_NAME ".Error.Failed");
}

/* The caller is told in time; the engine may answer later, or after the service is gone. */
static void
test_late_answers(Stage *s, gconstpointer data)
{
    ServiceReply *late;

    show_paused(s);
    s->keep_reply = TRUE;
    check_call(s, "Recover", "({'timeout': <uint64 1>},)", SERVICE_NAME ".Error.Timeout");
    late = g_steal_pointer(&s->reply);
    check_call(s, "Recover", "({'timeout': <uint64 1>},)", SERVICE_NAME ".Error.Timeout");
    service_reply_finish(late, NULL);
    service_free(g_steal_pointer(&s->service));
    service_reply_finish(s->reply, NULL);
}

static void
add_tests(void)
{
#define ADD(name, function)                                                                        \
    g_test_add("/dbus-methods/" name, Stage, NULL, stage_set_up, function, stage_tear_down)
    ADD("success", test_methods);
    ADD("bad-arguments", test_bad_arguments);
    ADD("errors", test_errors);
    ADD("late-answers", test_late_answers);
#undef ADD
}

int
main(int argc, char **argv)
{
    return stage_main(&argc, &argv, add_tests);
}
