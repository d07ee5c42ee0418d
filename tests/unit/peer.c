/*
 * peer.c: a host answers questions, and whatever else is sent to it
 *
 * Both ends are real, and so is the time: where a deadline is what is tested, the test lasts as
 * long as it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/peer.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "doubles/ends.h"
#include "doubles/loop.h"
#include "peers.h"

/* As in run/peer.c: how many questions it takes at once. */
#define QUESTIONS_MAX 512

/* --- the destination's side, hostile askers --- */

static gboolean
is_closed(gpointer fd)
{
    return ends_is_closed(GPOINTER_TO_INT(fd));
}

/* Sends bytes and nothing more; the server is to close the connection. */
static void
send_question(Destination *destination, gconstpointer data, gsize size, gboolean finished)
{
    int fd = ends_connect(AF_INET, peer_server_get_port(destination->server));

    g_assert_no_errno(fd);
    ends_write(fd, data, size);
    if (finished)
        g_assert_no_errno(shutdown(fd, SHUT_WR));
    loop_until(is_closed, GINT_TO_POINTER(fd), "the server closes the connection");
    close(fd);
}

static void
test_bad_questions(void)
{
    g_autoptr(GBytes) question = make_message(MESSAGE_RECOVER, "it is paused");
    gsize size;
    const guint8 *good = g_bytes_get_data(question, &size);
    Destination destination;
    guint fds;

    destination_init(&destination, PORT_MAX);
    fds = loop_count_fds();
    for (gsize i = 0; i < n_spoilt; i++) {
        g_autofree guint8 *data = g_memdup2(good, size);

        g_test_message("%s", spoilt[i].what);
        memcpy(data + spoilt[i].at, spoilt[i].bytes, sizeof(spoilt[i].bytes));
        send_question(&destination, data, size, FALSE);
    }
    for (gsize cut = 0; cut < size; cut++)
        send_question(&destination, good, cut, TRUE);
    g_assert_cmpuint(destination.asked, ==, 0);
    loop_until_fds(fds);
    destination_clear(&destination);
}

/* Who needs another version of the protocol is told ours, in ours. */
static void
test_other_version(void)
{
    g_autoptr(GBytes) question = make_message(MESSAGE_RECOVER, "it is paused");
    gsize size;
    g_autofree guint8 *data = NULL;
    g_autoptr(GByteArray) answer = g_byte_array_new();
    g_autoptr(GError) error = NULL;
    Destination destination;
    Message message;
    gsize length;
    int fd;

    data = g_memdup2(g_bytes_get_data(question, &size), g_bytes_get_size(question));
    data[5] = data[7] = MESSAGE_VERSION + 1;
    destination_init(&destination, PORT_MAX);
    fd = ends_connect(AF_INET, peer_server_get_port(destination.server));
    ends_write(fd, data, MESSAGE_HEADER_SIZE);
    while (ends_read(fd, answer))
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpuint(answer->len, >, MESSAGE_HEADER_SIZE);
    g_assert_true(message_decode_header(answer->data, &message, &length, &error));
    g_assert_true(
        message_decode_text(&message, answer->data + MESSAGE_HEADER_SIZE, length, &error));
    g_assert_cmpint(message.type, ==, MESSAGE_REFUSED);
    g_assert_nonnull(strstr(message.text, "version 1"));
    g_assert_true(secret_is_none(&message.secret));
    g_assert_cmpuint(destination.asked, ==, 0);
    close(fd);
    destination_clear(&destination);
}

/* Half a question is not waited for. */
static void
test_slow_talker(void)
{
    g_autoptr(GBytes) question = make_message(MESSAGE_RECOVER, "it is paused");
    gint64 begin = g_get_monotonic_time();
    Destination destination;

    destination_init(&destination, PORT_MAX);
    send_question(&destination, g_bytes_get_data(question, NULL), MESSAGE_HEADER_SIZE + 1, FALSE);
    g_assert_cmpint(g_get_monotonic_time() - begin, >=, G_USEC_PER_SEC * 9 / 10);
    g_assert_cmpuint(destination.asked, ==, 0);
    destination_clear(&destination);
}

static gboolean
can_open(rlim_t fds)
{
    struct rlimit limit;

    g_assert_no_errno(getrlimit(RLIMIT_NOFILE, &limit));
    if (limit.rlim_cur < fds && limit.rlim_max >= fds) {
        limit.rlim_cur = fds;
        g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &limit));
    }
    return limit.rlim_cur >= fds;
}

static void
test_too_many(void)
{
    g_autoptr(GBytes) question = make_message(MESSAGE_RECOVER, "");
    g_autoptr(GArray) askers = g_array_new(FALSE, FALSE, sizeof(int));
    Outcome outcome = {0};
    Destination destination;
    guint fds;
    int late;

    if (!can_open(4 * QUESTIONS_MAX)) {
        g_test_skip("this process may not open enough files");
        return;
    }
    destination_init(&destination, PORT_MAX);
    fds = loop_count_fds();
    for (guint i = 0; i < QUESTIONS_MAX; i++) {
        int fd = ends_connect(AF_INET, peer_server_get_port(destination.server));

        ends_write(fd, g_bytes_get_data(question, NULL), g_bytes_get_size(question));
        g_array_append_val(askers, fd);
        while (destination.asked <= i)
            g_main_context_iteration(NULL, TRUE);
    }
    late = ends_connect(AF_INET, peer_server_get_port(destination.server));
    loop_until(is_closed, GINT_TO_POINTER(late), "one too many is closed");
    close(late);
    g_assert_cmpuint(destination.asked, ==, QUESTIONS_MAX);
    for (guint i = 0; i < askers->len; i++)
        g_assert_false(ends_is_closed(g_array_index(askers, int, i)));

    /* One that is answered makes room for another. */
    peer_question_answer(g_ptr_array_steal_index(destination.questions, 0), MESSAGE_NOTED, 0, "");
    loop_until(is_closed, GINT_TO_POINTER(g_array_index(askers, int, 0)), "it is answered");
    destination.at_once = TRUE;
    ask_and_wait(&outcome, "127.0.0.1", peer_server_get_port(destination.server), CONNECT_MS);
    g_assert_true(outcome.answered);

    for (guint i = 0; i < askers->len; i++)
        close(g_array_index(askers, int, i));
    while (destination.questions->len > 0)
        peer_question_answer(g_ptr_array_steal_index(destination.questions, 0), MESSAGE_NOTED, 0,
                             "");
    loop_until_fds(fds);
    destination_clear(&destination);
}

/* The server goes while one question is half there and another waits for its answer. */
static void
test_freed_with_questions(void)
{
    g_autoptr(GBytes) question = make_message(MESSAGE_RECOVER, "");
    guint fds = loop_count_fds();
    Destination destination;
    g_autoptr(GByteArray) got = g_byte_array_new();
    int half, whole;

    destination_init(&destination, PORT_MAX);
    half = ends_connect(AF_INET, peer_server_get_port(destination.server));
    ends_write(half, g_bytes_get_data(question, NULL), MESSAGE_HEADER_SIZE - 1);
    whole = ends_connect(AF_INET, peer_server_get_port(destination.server));
    ends_write(whole, g_bytes_get_data(question, NULL), g_bytes_get_size(question));
    loop_until(destination_was_asked, &destination, "the whole question has arrived");

    g_clear_pointer(&destination.server, peer_server_free);
    loop_until(is_closed, GINT_TO_POINTER(half), "the half question is let go");
    /* It is the engine's, which answers as ever; nobody hears it. */
    peer_question_answer(g_ptr_array_steal_index(destination.questions, 0), MESSAGE_ARMED, 49200,
                         "it listens");
    while (ends_read(whole, got))
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpuint(got->len, ==, 0);
    close(half);
    close(whole);
    destination_clear(&destination);
    loop_until_fds(fds);
}

/* The asker does not wait for the answer. */
static void
test_asker_gone(void)
{
    g_autoptr(GBytes) question = make_message(MESSAGE_RECOVER, "");
    Destination destination;
    guint fds;

    destination_init(&destination, PORT_MAX);
    fds = loop_count_fds();
    for (End end = END_CLOSED; end <= END_RESET; end++) {
        int fd = ends_connect(AF_INET, peer_server_get_port(destination.server));

        destination.asked = 0;
        ends_write(fd, g_bytes_get_data(question, NULL), g_bytes_get_size(question));
        loop_until(destination_was_asked, &destination, "the question has arrived");
        if (end == END_CLOSED)
            close(fd);
        else
            ends_reset(fd);
        peer_question_answer(g_ptr_array_steal_index(destination.questions, 0), MESSAGE_ARMED,
                             49200, "it listens");
        loop_until_fds(fds);
    }
    destination_clear(&destination);
}

/* No descriptor is left for a connection: it waits, without a processor for itself. */
static void
test_no_descriptors(void)
{
    struct rlimit before, none;
    g_autoptr(GBytes) question = make_message(MESSAGE_RECOVER, "");
    Destination destination;
    gint64 end;
    guint turns = 0;
    int fd, free_fd;

    if (g_getenv("HOLDFAST_VALGRIND")) {
        g_test_skip("valgrind does the limit itself, and closes a connection beyond it");
        return;
    }
    destination_init(&destination, PORT_MAX);
    fd = ends_connect(AF_INET, peer_server_get_port(destination.server));
    ends_write(fd, g_bytes_get_data(question, NULL), g_bytes_get_size(question));
    g_assert_no_errno(getrlimit(RLIMIT_NOFILE, &before));
    none = before;
    free_fd = dup(fd);
    close(free_fd);
    none.rlim_cur = free_fd;
    g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &none));
    end = g_get_monotonic_time() + G_USEC_PER_SEC / 2;
    while (g_get_monotonic_time() < end) {
        g_main_context_iteration(NULL, TRUE);
        turns++;
    }
    g_assert_cmpuint(turns, <, 50);
    g_assert_cmpuint(destination.asked, ==, 0);
    g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &before));
    loop_until(destination_was_asked, &destination, "the question has arrived");
    close(fd);
    destination_clear(&destination);
}

/* --- ports --- */

static void
test_port_taken(void)
{
    g_autoptr(GError) error = NULL;
    Destination first;
    PeerServer *second, *third;
    guint16 port;

    destination_init(&first, PORT_MAX);
    port = peer_server_get_port(first.server);
    second = peer_server_new(NULL, PORT_MIN, port, destination_ask, &first, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(peer_server_get_port(second), <, port);
    third =
        peer_server_new(NULL, peer_server_get_port(second), port, destination_ask, &first, &error);
    g_assert_null(third);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE);
    peer_server_free(second);
    destination_clear(&first);
    peer_server_free(NULL);
}

/* A port that was just in use, with its connections still lingering, can be used again. */
static void
test_port_again(void)
{
    Outcome outcome = {0};
    Destination destination;
    g_autoptr(GError) error = NULL;
    guint16 port;

    for (guint i = 0; i < 2; i++) {
        destination_init(&destination, PORT_MAX);
        destination.at_once = TRUE;
        port = peer_server_get_port(destination.server);
        ask_and_wait(&outcome, "127.0.0.1", port, CONNECT_MS);
        destination_clear(&destination);
        destination.server =
            peer_server_new(NULL, port, port, destination_ask, &destination, &error);
        g_assert_no_error(error);
        g_clear_pointer(&destination.server, peer_server_free);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/peer/bad-questions", test_bad_questions);
    g_test_add_func("/peer/other-version", test_other_version);
    g_test_add_func("/peer/slow-talker", test_slow_talker);
    g_test_add_func("/peer/too-many", test_too_many);
    g_test_add_func("/peer/freed-with-questions", test_freed_with_questions);
    g_test_add_func("/peer/asker-gone", test_asker_gone);
    g_test_add_func("/peer/no-descriptors", test_no_descriptors);
    g_test_add_func("/peer/port-taken", test_port_taken);
    g_test_add_func("/peer/port-again", test_port_again);
    return g_test_run();
}
