/*
 * stage.c: a service on a bus of its own, and a listener beside it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stage.h"

#include <string.h>

#define START_US 1700000000000000
#define STEP_US  1000000

GPtrArray *stage_warnings;

static void
on_warning(const char *domain, GLogLevelFlags level, const char *message, gpointer user_data)
{
    g_ptr_array_add(stage_warnings, g_strdup(message));
}

int
stage_main(int *argc, char ***argv, void (*add_tests)(void))
{
    static const char *const others[] = {"GLib", "GLib-GObject", "GLib-GIO"};
    int result;

    g_test_init(argc, argv, NULL);
    /* Warnings of ours are what some tests are about; those of others end the test, as ever. */
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
    for (guint i = 0; i < G_N_ELEMENTS(others); i++)
        g_log_set_fatal_mask(others[i], G_LOG_LEVEL_WARNING | G_LOG_LEVEL_CRITICAL);
    stage_warnings = g_ptr_array_new_with_free_func(g_free);
    g_log_set_handler(G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, on_warning, NULL);
    add_tests();
    result = g_test_run();
    g_ptr_array_unref(stage_warnings);
    return result;
}

void
story_step(Story *story, MigrationState state, PauseReason reason)
{
    guint n = story->n_steps++;

    story->steps[n] = (StatusStep){state, reason, START_US + n * STEP_US};
}

/* The same each time, as the snapshots of a migration have it. */
static Verdict *
get_verdict(guint i)
{
    static Verdict *verdicts[4];
    g_autofree char *name = g_strdup_printf("%u", i);

    g_assert_cmpuint(i, <, G_N_ELEMENTS(verdicts));
    if (!verdicts[i])
        verdicts[i] = verdict_new(VERDICT_BITMAP, "vda", name, "drop", "caf\xc3\xa9", START_US);
    return verdict_ref(verdicts[i]);
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
    for (guint i = 0; i < story->verdicts; i++)
        g_ptr_array_add(status->verdicts, get_verdict(i));
    status->pauses = story->pauses;
    status->recoveries = story->recoveries;
    status->attempts = story->attempts;
    status->paused_at_usec = last->state == STATE_POSTCOPY_PAUSED ? last->at_usec : 0;
    status->recovers_itself = last->state == STATE_POSTCOPY_PAUSED;
    status->last_outage_usec = story->recoveries * 2500000;
    status->paused_usec = story->recoveries * 2500000;
    status->message = g_strdup(story->message);
    g_array_append_vals(status->history, story->steps, story->n_steps);
    return status;
}

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
    return count_fds() <= ((Stage *)data)->fds;
}

/* GLib's threads close sockets when they come to it, and tell nobody: look now and then. */
static gboolean
on_tick(gpointer user_data)
{
    return G_SOURCE_CONTINUE;
}

static void
check_fds(Stage *s)
{
    static gboolean warm; /* the first time, GLib's threads take some for good */
    g_autoptr(GSource) tick = g_timeout_source_new(5);

    g_source_set_callback(tick, on_tick, NULL, NULL);
    g_source_attach(tick, s->context);
    if (warm)
        test_wait_until("no more file descriptors than before", has_closed_fds, s, NULL);
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
    Stage *s = user_data;
    g_autofree char *text = g_variant_print(parameters, FALSE);

    if (g_str_has_prefix(text, "('" SERVICE_NAME "', ") && g_str_equal(signal, "NameOwnerChanged"))
        s->named = !g_str_has_suffix(text, "'')");
    if (g_str_has_prefix(path, SERVICE_PATH) || strstr(text, SERVICE_NAME))
        g_ptr_array_add(s->heard, g_strdup_printf("%s %s", signal, text));
}

void
stage_listen(Stage *s)
{
    s->listener = test_bus_connect(s->bus);
    s->subscription = g_dbus_connection_signal_subscribe(
        s->listener, NULL, NULL, NULL, NULL, NULL, G_DBUS_SIGNAL_FLAGS_NONE, on_signal, s, NULL);
}

void
stage_stop_listening(Stage *s)
{
    g_dbus_connection_signal_unsubscribe(s->listener, s->subscription);
    g_dbus_connection_close_sync(s->listener, NULL, NULL);
    g_clear_object(&s->listener);
    s->named = FALSE;
}

static void
answer(Stage *s, ServiceReply *reply)
{
    if (s->keep_reply)
        s->reply = reply;
    else
        service_reply_finish(reply, s->answer);
}

static void
engine_recover(const char *uuid, const char *uri, ServiceReply *reply, gpointer user_data)
{
    Stage *s = user_data;

    g_ptr_array_add(s->asked, g_strdup_printf("recover %s %s", uuid, uri ? uri : "-"));
    answer(s, reply);
}

static void
engine_pause(const char *uuid, ServiceReply *reply, gpointer user_data)
{
    Stage *s = user_data;

    g_ptr_array_add(s->asked, g_strdup_printf("pause %s", uuid));
    answer(s, reply);
}

void
stage_start_service(Stage *s)
{
    static const ServiceCalls calls = {engine_recover, engine_pause};

    s->service = service_new(s->bus->address, &calls, s);
}

void
stage_set_up(Stage *s, gconstpointer data)
{
    s->context = g_main_context_new();
    g_main_context_push_thread_default(s->context);
    s->fds = count_fds();
    s->heard = g_ptr_array_new_with_free_func(g_free);
    s->asked = g_ptr_array_new_with_free_func(g_free);
    s->bus = test_bus_new(NULL);
    test_bus_up(s->bus);
    stage_listen(s);
    stage_start_service(s);
    g_ptr_array_set_size(stage_warnings, 0);
}

void
stage_tear_down(Stage *s, gconstpointer data)
{
    service_free(s->service);
    if (s->listener)
        stage_stop_listening(s);
    test_bus_free(s->bus);
    check_fds(s);
    g_ptr_array_unref(s->heard);
    g_ptr_array_unref(s->asked);
    g_main_context_pop_thread_default(s->context);
    g_main_context_unref(s->context);
}

void
stage_publish(Stage *s, const Story *story)
{
    g_autoptr(Status) status = story_status(story);

    service_publish(s->service, status);
}

GVariant *
stage_call(Stage *s,
           const char *path,
           const char *interface,
           const char *method,
           GVariant *parameters,
           GError **error)
{
    return test_call(s->listener, SERVICE_NAME, path, interface, method, parameters, error);
}

char *
stage_describe(gpointer data)
{
    Stage *s = data;
    g_autoptr(GString) text = g_string_new("heard:\n");

    for (guint i = 0; i < s->heard->len; i++)
        g_string_append_printf(text, "  %.*s\n", STAGE_PRINT_MAX, (char *)s->heard->pdata[i]);
    for (guint i = 0; i < stage_warnings->len; i++)
        g_string_append_printf(text, "stage_warnings: %s\n", (char *)stage_warnings->pdata[i]);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

gboolean
stage_has_heard(gpointer data)
{
    Stage *s = data;

    for (guint i = 0; i < s->heard->len; i++) {
        if (g_str_has_prefix(s->heard->pdata[i], s->wanted))
            return TRUE;
    }
    return FALSE;
}

void
stage_wait_heard(Stage *s, const char *beginning)
{
    s->wanted = beginning;
    test_wait_until(beginning, stage_has_heard, s, stage_describe);
}

static gboolean
is_named(gpointer data)
{
    return ((Stage *)data)->named;
}

static gboolean
is_unnamed(gpointer data)
{
    return !is_named(data);
}

void
stage_wait_no_name(Stage *s)
{
    test_wait_until("the name has no owner", is_unnamed, s, stage_describe);
}

/* The listener may have come after the name did, so it asks too. */
void
stage_wait_name(Stage *s)
{
    g_autoptr(GVariant) answer =
        test_call(s->listener, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                  "org.freedesktop.DBus", "NameHasOwner", g_variant_new("(s)", SERVICE_NAME), NULL);
    gboolean owned;

    g_variant_get(answer, "(b)", &owned);
    s->named |= owned;
    test_wait_until("the name has an owner", is_named, s, stage_describe);
}

char *
stage_managed_objects(Stage *s)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer = stage_call(s, SERVICE_PATH, "org.freedesktop.DBus.ObjectManager",
                                            "GetManagedObjects", NULL, &error);

    g_assert_no_error(error);
    return g_variant_print(answer, FALSE);
}

char *
stage_get_property(Stage *s, const char *path, const char *interface, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer = NULL;
    g_autoptr(GVariant) value = NULL;

    answer = stage_call(s, path, "org.freedesktop.DBus.Properties", "Get",
                        g_variant_new("(ss)", interface, name), &error);
    g_assert_no_error(error);
    g_variant_get(answer, "(v)", &value);
    return g_variant_print(value, FALSE);
}
