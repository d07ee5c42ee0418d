/*
 * oob.c: tests of the way past libvirt's own commands, on a monitor made of a pair of sockets
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <libvirt/virterror.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "doubles/libvirt.h"
#include "stock/json.h"
#include "stock/oob.h"
#include "stock/qmp.h"
#include "stock/symbols.h"

#define SHORT_MS 50
#define LONG_MS  20000
#define OTHERS   "somebody else's"

/* What oob.c knows of libvirt's structures, in an order of our own. */
typedef struct {
    int sent;
    int length;
} Message;

typedef struct {
    GMutex lock;
    int error;
    bool eof;
    Message *message;
    int fd;
    int qemu; /* the other end */
} Monitor;

static const AbiRow row = {
    .monitor_fd = G_STRUCT_OFFSET(Monitor, fd),
    .monitor_message = G_STRUCT_OFFSET(Monitor, message),
    .monitor_last_error_code = G_STRUCT_OFFSET(Monitor, error),
    .monitor_eof = G_STRUCT_OFFSET(Monitor, eof),
    .message_sent = G_STRUCT_OFFSET(Message, sent),
    .message_length = G_STRUCT_OFFSET(Message, length),
};

static void
lock(void *monitor)
{
    g_mutex_lock(&((Monitor *)monitor)->lock);
}

static void
unlock(void *monitor)
{
    g_mutex_unlock(&((Monitor *)monitor)->lock);
}

static void
open_monitor(Monitor *monitor)
{
    int fds[2];

    memset(monitor, 0, sizeof(*monitor));
    g_mutex_init(&monitor->lock);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    g_assert_cmpint(fcntl(fds[0], F_SETFL, O_NONBLOCK), ==, 0);
    monitor->fd = fds[0];
    monitor->qemu = fds[1];
}

static void
close_monitor(Monitor *monitor)
{
    if (monitor->fd >= 0)
        close(monitor->fd);
    close(monitor->qemu);
    g_mutex_clear(&monitor->lock);
}

/* The next line that QEMU gets, without its end; NULL when there is none at all. */
static char *
read_line(Monitor *monitor, gboolean wait)
{
    GString *line = g_string_new(NULL);
    char c;

    while (recv(monitor->qemu, &c, 1, wait ? 0 : MSG_DONTWAIT) == 1) {
        g_string_append_c(line, c);
        if (c == '\n') {
            g_assert_true(g_str_has_suffix(line->str, "\r\n"));
            g_string_truncate(line, line->len - 2);
            return g_string_free(line, FALSE);
        }
    }
    g_assert_cmpuint(line->len, ==, 0);
    g_string_free(line, TRUE);
    return NULL;
}

static char *
id_of(const char *line)
{
    g_autoptr(Json) json = json_parse(line);

    g_assert_nonnull(json);
    return g_strdup(symbols.virJSONValueObjectGetString(json, "id"));
}

/* As the thread that reads the monitor does. */
static gboolean
arrives(Monitor *monitor, const char *line)
{
    gboolean taken;

    lock(monitor);
    taken = oob_take_line(monitor, line);
    unlock(monitor);
    return taken;
}

typedef struct {
    Monitor *monitor;
    const char *command;
    guint timeout_ms;
    char *answer;
    GError *error;
} Call;

static gpointer
call(gpointer opaque)
{
    Call *call = opaque;

    call->answer =
        oob_execute(&row, call->monitor, call->command, NULL, call->timeout_ms, &call->error);
    return NULL;
}

static void
call_clear(Call *call)
{
    g_free(call->answer);
    g_clear_error(&call->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Call, call_clear)

/* Nothing is sent before a line has come by: first of all tests. */
static void
test_bound(void)
{
    Monitor monitor;

    open_monitor(&monitor);
    g_assert_false(oob_is_bound());
    g_assert_false(arrives(&monitor, "{\"QMP\": {\"capabilities\": [\"oob\"]}}"));
    g_assert_true(oob_is_bound());
    close_monitor(&monitor);
}

static void
test_lines(void)
{
    static const struct {
        const char *line;
        gboolean ours;
    } cases[] = {
        {"{\"return\": {}, \"id\": \"holdfast-1-1\"}", TRUE},
        {"{\"id\": \"holdfast-1-1\", \"return\": {}}", TRUE},
        {"{\"id\":\"holdfast-1-1\",\"error\":{\"class\":\"GenericError\",\"desc\":\"\"}}", TRUE},
        {"{\"return\": [], \"id\": \"holdfast-\"}", TRUE},
        {"{\"return\": {}, \"id\": \"libvirt-1\"}", FALSE},
        {"{\"return\": {}, \"id\": \"libvirt-holdfast-1\"}", FALSE},
        {"{\"return\": {}}", FALSE},
        {"{\"return\": {}, \"id\": 7}", FALSE},
        {"{\"return\": {}, \"id\": {\"id\": \"holdfast-1-1\"}}", FALSE},
        {"{\"return\": {\"id\": \"holdfast-1-1\"}, \"id\": \"libvirt-1\"}", FALSE},
        {"{\"return\": {\"id\": \"holdfast-1-1\"}}", FALSE},
        {"{\"return\": \"\\\"id\\\": \\\"holdfast-1-1\\\"\", \"id\": \"libvirt-2\"}", FALSE},
        {"{\"return\": {\"x\": \"\\\"holdfast-\"}, \"id\": \"libvirt-2\"}", FALSE},
        {"{\"return\": {\"holdfast-1-1\": 0}, \"id\": \"libvirt-2\"}", FALSE},
        {"{\"error\": {\"class\": \"holdfast-1-1\"}, \"id\": \"libvirt-2\"}", FALSE},
        {"{\"event\": \"holdfast-1-1\", \"data\": {}}", FALSE},
        {"{\"event\": \"STOP\", \"id\": \"holdfast-1-1\", \"return\": {}}", FALSE},
        {"{\"event\": \"STOP\", \"data\": {\"id\": \"holdfast-1-1\", \"return\": {}}}", FALSE},
        {"{\"QMP\": {\"version\": {\"package\": \"holdfast-1-1\"}}}", FALSE},
        {"{\"id\": \"holdfast-1-1\"}", FALSE},
        {"[{\"return\": {}, \"id\": \"holdfast-1-1\"}]", FALSE},
        {"\"holdfast-1-1\"", FALSE},
        {"holdfast-1-1", FALSE},
        {"", FALSE},
    };
    Monitor monitor;

    open_monitor(&monitor);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("%s", cases[i].line);
        g_assert_cmpint(arrives(&monitor, cases[i].line), ==, cases[i].ours);
    }
    g_assert_null(virGetLastError());
    close_monitor(&monitor);
}

/* A line cut short is libvirt's to complain about. */
static void
test_cut_lines(void)
{
    static const char line[] = "{\"return\": {\"a\": [1, {}]}, \"id\": \"holdfast-1-1\"}";
    Monitor monitor;

    open_monitor(&monitor);
    g_assert_true(arrives(&monitor, line));
    for (gsize length = 0; length < strlen(line); length++) {
        g_autofree char *start = g_strndup(line, length);

        g_assert_false(arrives(&monitor, start));
        if (length > 0)
            g_assert_false(arrives(&monitor, line + length));
    }
    g_assert_null(virGetLastError());
    close_monitor(&monitor);
}

/* Only one line of ASCII goes out, whatever the arguments; what is no JSON does not. */
static void
test_commands(void)
{
    static const struct {
        const char *command;
        const char *arguments;
        const char *sent; /* before the id; NULL: refused */
    } cases[] = {
        {"migrate-pause", NULL, "{\"exec-oob\":\"migrate-pause\",\"id\":"},
        {"migrate-recover", "{\"uri\": \"tcp:[::]:1\"}",
         "{\"exec-oob\":\"migrate-recover\",\"arguments\":{\"uri\":\"tcp:[::]:1\"},\"id\":"},
        {"a\"b", "{\n\"x\":\t7}", "{\"exec-oob\":\"a\\\"b\",\"arguments\":{\"x\":7},\"id\":"},
        {"x", "{\"y\": \"\\u00e9\\ud83d\\ude00\\uffff\"}",
         "{\"exec-oob\":\"x\",\"arguments\":{\"y\":\"\\u00e9\\ud83d\\ude00\\ufffd\"},\"id\":"},
        {"x", "{\"y\": \"a\\n\\u0001\"}",
         "{\"exec-oob\":\"x\",\"arguments\":{\"y\":\"a\\n\\u0001\"},\"id\":"},
        {"x", "{", NULL},
        {"x", "", NULL},
        {"x", "{\"y\": 'z'}", NULL},
        {"x", "{}} {\"y\": 1", NULL},
        {"x", "{}}", NULL},
    };
    Monitor monitor;

    open_monitor(&monitor);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *line = NULL;
        int code = cases[i].sent ? QMP_ERROR_BUSY : QMP_ERROR_MONITOR;

        g_test_message("%s %s", cases[i].command, cases[i].arguments);
        g_assert_null(oob_execute(&row, &monitor, cases[i].command, cases[i].arguments, 0, &error));
        g_assert_true(g_error_matches(error, QMP_ERROR, code));
        line = read_line(&monitor, FALSE);
        if (!cases[i].sent)
            g_assert_null(line);
        else if (!g_str_has_prefix(line, cases[i].sent))
            g_error("sent: %s", line);
        g_assert_null(read_line(&monitor, FALSE));
    }
    close_monitor(&monitor);
}

static void
test_long_command(void)
{
    g_autofree char *text = g_strnfill(20000, 'a');
    g_autofree char *arguments = g_strdup_printf("{\"x\": \"%s\"}", text);
    g_autoptr(GError) error = NULL;
    Monitor monitor;

    open_monitor(&monitor);
    g_assert_null(oob_execute(&row, &monitor, "x", arguments, LONG_MS, &error));
    g_assert_error(error, QMP_ERROR, QMP_ERROR_MONITOR);
    g_assert_null(read_line(&monitor, FALSE));
    close_monitor(&monitor);
}

/* Two at once, answered the other way round, with others' lines in between. */
static void
test_answers(void)
{
    Monitor monitor;
    g_auto(Call) first = {&monitor, "first", LONG_MS, NULL, NULL};
    g_auto(Call) second = {&monitor, "second", LONG_MS, NULL, NULL};
    char *lines[2];
    GThread *threads[2];

    open_monitor(&monitor);
    threads[0] = g_thread_new("first", call, &first);
    lines[0] = read_line(&monitor, TRUE);
    threads[1] = g_thread_new("second", call, &second);
    lines[1] = read_line(&monitor, TRUE);
    g_assert_nonnull(strstr(lines[0], "first"));
    g_assert_nonnull(strstr(lines[1], "second"));

    for (int i = 1; i >= 0; i--) {
        g_autofree char *id = id_of(lines[i]);
        g_autofree char *answer =
            i ? g_strdup_printf("{\"return\": {}, \"id\": \"%s\"}", id)
              : g_strdup_printf("{\"id\": \"%s\", \"error\": {\"class\": \"GenericError\"}}", id);
        const Call *asked = i ? &second : &first;

        g_assert_false(arrives(&monitor, "{\"event\": \"STOP\"}"));
        g_assert_false(arrives(&monitor, "{\"return\": {}, \"id\": \"libvirt-9\"}"));
        g_assert_true(arrives(&monitor, answer));
        g_thread_join(threads[i]);
        g_assert_no_error(asked->error);
        g_assert_cmpstr(asked->answer, ==, answer);
        /* Once more it has no owner, and is still not libvirt's. */
        g_assert_true(arrives(&monitor, answer));
        g_free(lines[i]);
    }
    close_monitor(&monitor);
}

/* Between libvirt's messages, never within one. */
static void
test_between_messages(void)
{
    static const struct {
        Message message;
        gboolean sent;
    } cases[] = {
        {{0, 10}, TRUE}, {{10, 10}, TRUE}, {{0, 0}, TRUE}, {{1, 10}, FALSE}, {{9, 10}, FALSE},
    };
    Monitor monitor;

    open_monitor(&monitor);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *line = NULL;
        Message message = cases[i].message;

        g_test_message("%d of %d", message.sent, message.length);
        monitor.message = &message;
        g_assert_null(oob_execute(&row, &monitor, "x", NULL, SHORT_MS, &error));
        g_assert_error(error, QMP_ERROR, QMP_ERROR_BUSY);
        line = read_line(&monitor, FALSE);
        g_assert_cmpint(line != NULL, ==, cases[i].sent);
    }
    close_monitor(&monitor);
}

static void
test_goes_out_after_the_message(void)
{
    Monitor monitor;
    g_auto(Call) later = {&monitor, "later", LONG_MS, NULL, NULL};
    g_autofree char *line = NULL;
    g_autofree char *answer = NULL;
    g_autofree char *id = NULL;
    Message message = {3, 10};
    GThread *thread;

    open_monitor(&monitor);
    monitor.message = &message;
    thread = g_thread_new("later", call, &later);
    lock(&monitor);
    g_assert_null(read_line(&monitor, FALSE));
    g_assert_cmpint(write(monitor.fd, OTHERS "\r\n", strlen(OTHERS) + 2), ==, strlen(OTHERS) + 2);
    message.sent = message.length;
    unlock(&monitor);
    line = read_line(&monitor, TRUE);
    g_assert_cmpstr(line, ==, OTHERS);
    g_free(line);
    line = read_line(&monitor, TRUE);
    id = id_of(line);
    answer = g_strdup_printf("{\"return\": {}, \"id\": \"%s\"}", id);
    g_assert_true(arrives(&monitor, answer));
    g_thread_join(thread);
    g_assert_cmpstr(later.answer, ==, answer);
    close_monitor(&monitor);
}

/* A QEMU that does not read: what goes out before the socket is full are whole lines. */
static void
test_full_socket(void)
{
    Monitor monitor;
    guint sent = 0, received = 0;
    gboolean full = FALSE;

    open_monitor(&monitor);
    while (!full) {
        g_autoptr(GError) error = NULL;

        g_assert_cmpuint(sent, <, 100000);
        g_assert_null(oob_execute(&row, &monitor, "x", NULL, 0, &error));
        g_assert_error(error, QMP_ERROR, QMP_ERROR_BUSY);
        full = strstr(error->message, "does not read") != NULL;
        sent += !full;
    }
    for (;;) {
        g_autofree char *line = read_line(&monitor, FALSE);
        g_autofree char *id = line ? id_of(line) : NULL;

        if (!line)
            break;
        received++;
    }
    g_test_message("%u lines", sent);
    g_assert_cmpuint(received, ==, sent);
    close_monitor(&monitor);
}

static void
test_closed(void)
{
    enum { CLOSED, END_OF_FILE, FAILED, PEER_GONE, N_WAYS };

    for (guint way = 0; way < N_WAYS; way++) {
        g_autoptr(GError) error = NULL;
        Monitor monitor;
        int fd;

        open_monitor(&monitor);
        fd = monitor.fd;
        monitor.eof = way == END_OF_FILE;
        monitor.error = way == FAILED ? VIR_ERR_INTERNAL_ERROR : VIR_ERR_OK;
        if (way == CLOSED)
            monitor.fd = -1;
        if (way == PEER_GONE)
            shutdown(monitor.qemu, SHUT_RDWR);
        g_assert_null(oob_execute(&row, &monitor, "x", NULL, LONG_MS, &error));
        g_assert_error(error, QMP_ERROR, QMP_ERROR_MONITOR);
        g_assert_null(read_line(&monitor, FALSE));
        monitor.fd = fd;
        close_monitor(&monitor);
    }
}

/* Long before the time is over. */
static void
test_closes_while_we_wait(void)
{
    gint64 start = g_get_monotonic_time();
    Monitor monitor;
    g_auto(Call) waiting = {&monitor, "x", LONG_MS, NULL, NULL};
    g_autofree char *line = NULL;
    GThread *thread;

    open_monitor(&monitor);
    thread = g_thread_new("waiting", call, &waiting);
    line = read_line(&monitor, TRUE);
    lock(&monitor);
    close(monitor.fd);
    monitor.fd = -1;
    unlock(&monitor);
    g_thread_join(thread);
    g_assert_null(waiting.answer);
    g_assert_error(waiting.error, QMP_ERROR, QMP_ERROR_MONITOR);
    g_assert_cmpint(g_get_monotonic_time() - start, <, LONG_MS * G_TIME_SPAN_MILLISECOND / 2);
    close_monitor(&monitor);
}

/* The answer that comes too late is not taken for the next one's, nor for libvirt's. */
static void
test_late_answer(void)
{
    Monitor monitor;
    g_auto(Call) late = {&monitor, "late", SHORT_MS, NULL, NULL};
    g_auto(Call) next = {&monitor, "next", LONG_MS, NULL, NULL};
    g_autofree char *answer = NULL;
    char *lines[2];
    GThread *thread;

    open_monitor(&monitor);
    call(&late);
    g_assert_error(late.error, QMP_ERROR, QMP_ERROR_BUSY);
    lines[0] = read_line(&monitor, FALSE);
    thread = g_thread_new("next", call, &next);
    lines[1] = read_line(&monitor, TRUE);
    for (guint i = 0; i < 2; i++) {
        g_autofree char *id = id_of(lines[i]);

        g_free(answer);
        answer = g_strdup_printf("{\"return\": {}, \"id\": \"%s\"}", id);
        g_assert_true(arrives(&monitor, answer));
        g_free(lines[i]);
    }
    g_thread_join(thread);
    g_assert_cmpstr(next.answer, ==, answer);
    close_monitor(&monitor);
}

int
main(int argc, char **argv)
{
    libvirt_init(&argc, &argv);
    symbols.virObjectLock = lock;
    symbols.virObjectUnlock = unlock;
    g_test_add_func("/oob/bound", test_bound);
    g_test_add_func("/oob/lines", test_lines);
    g_test_add_func("/oob/cut-lines", test_cut_lines);
    g_test_add_func("/oob/commands", test_commands);
    g_test_add_func("/oob/long-command", test_long_command);
    g_test_add_func("/oob/answers", test_answers);
    g_test_add_func("/oob/between-messages", test_between_messages);
    g_test_add_func("/oob/after-the-message", test_goes_out_after_the_message);
    g_test_add_func("/oob/full-socket", test_full_socket);
    g_test_add_func("/oob/closed", test_closed);
    g_test_add_func("/oob/closes-while-we-wait", test_closes_while_we_wait);
    g_test_add_func("/oob/late-answer", test_late_answer);
    return g_test_run();
}
