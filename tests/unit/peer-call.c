/*
 * peer-call.c: a host asks another, and what can go wrong with that
 *
 * Both ends are real, and so is the time: where a deadline is what is tested, the test lasts as
 * long as it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/peer.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "doubles/ends.h"
#include "doubles/loop.h"
#include "peers.h"

/* Apart from those of tests/unit/peer.c. */
#define PORT_MIDDLE (PORT_MAX - 32)

static gboolean
has_ipv6(void)
{
    guint16 port;
    int fd = ends_listen(AF_INET6, 1, &port);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* --- answered --- */

static void
test_answered(void)
{
    static const char *const hosts[] = {"127.0.0.1", "127.0.0.2", "::1"};
    g_autofree char *longest = g_strnfill(MESSAGE_TEXT_MAX, 'x');
    const char *texts[] = {NULL, "", "the disk is büsy", longest};
    Outcome outcome = {0};
    Destination destination;

    destination_init(&destination, PORT_MIDDLE);
    destination.at_once = TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(hosts) * G_N_ELEMENTS(texts); i++) {
        const char *host = hosts[i / G_N_ELEMENTS(texts)];

        if (g_str_equal(host, "::1") && !has_ipv6())
            continue;
        destination.text = texts[i % G_N_ELEMENTS(texts)];
        ask_and_wait(&outcome, host, peer_server_get_port(destination.server), CONNECT_MS);
        g_assert_no_error(outcome.error);
        g_assert_true(outcome.reached);
        g_assert_cmpstr(outcome.host, ==, host);
        g_assert_cmpint(outcome.answer.type, ==, MESSAGE_ARMED);
        g_assert_cmpuint(outcome.answer.number, ==, 49201);
        g_assert_cmpstr(outcome.answer.text, ==, destination.text ? destination.text : "");
    }
    destination_clear(&destination);
}

/* Many at once, answered later and in another order. */
static void
test_answered_later(void)
{
    Outcome outcomes[32] = {0};
    Destination destination;

    destination_init(&destination, PORT_MIDDLE);
    for (guint i = 0; i < G_N_ELEMENTS(outcomes); i++)
        ask(&outcomes[i], "127.0.0.1", peer_server_get_port(destination.server), CONNECT_MS);
    while (destination.asked < G_N_ELEMENTS(outcomes))
        g_main_context_iteration(NULL, TRUE);
    for (guint i = destination.questions->len; i-- > 0;)
        peer_question_answer(g_ptr_array_steal_index(destination.questions, i), MESSAGE_ARMED, i,
                             NULL);
    for (guint i = 0, seen = 0; i < G_N_ELEMENTS(outcomes); i++) {
        loop_until_set(&outcomes[i].done, "every call is done");
        g_assert_true(outcomes[i].answered);
        /* Each got one, and no two the same. */
        g_assert_cmpuint(outcomes[i].answer.number, <, G_N_ELEMENTS(outcomes));
        g_assert_cmpuint(seen & (1u << outcomes[i].answer.number), ==, 0);
        seen |= 1u << outcomes[i].answer.number;
    }
    destination_clear(&destination);
}

/* --- not answered --- */

static void
test_refused(void)
{
    Outcome outcome = {0};
    guint16 port;
    int fd = ends_listen(AF_INET, 1, &port);

    close(fd);
    ask_and_wait(&outcome, "127.0.0.1", port, CONNECT_MS);
    g_assert_error(outcome.error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
    /* The host itself says no: the network is there. */
    g_assert_true(outcome.reached);
    g_clear_error(&outcome.error);
}

/* A listening socket whose queue is full answers no SYN, as a host that is not there. */
static void
test_unreachable(void)
{
    guint fds = loop_count_fds();
    Outcome outcome = {0};
    guint16 port;
    int listening = ends_listen(AF_INET, 0, &port);
    int filling = ends_connect(AF_INET, port);

    ask_and_wait(&outcome, "127.0.0.1", port, 50);
    g_assert_false(outcome.answered);
    g_assert_false(outcome.reached);
    g_clear_error(&outcome.error);
    close(filling);
    close(listening);
    loop_until_fds(fds);
}

/* A name is looked up by nobody here, and no address at all is no address. */
static void
test_no_address(void)
{
    static const PeerWay names[] = {{.host = "localhost"}, {.host = "no-such-host.invalid"}};
    Outcome outcome = {0};

    for (guint n = 0; n <= G_N_ELEMENTS(names); n++) {
        ask_over(&outcome, names, n, 49215, CONNECT_MS);
        g_assert_false(outcome.done);
        loop_until_set(&outcome.done, "the call is done");
        g_assert_false(outcome.answered);
        g_assert_false(outcome.reached);
    }
    g_clear_error(&outcome.error);
}

/* --- several addresses --- */

/* Nobody listens at the first two. */
static void
test_next_address(void)
{
    static const PeerWay ways[] = {
        {.host = "a name", .number = 7},
        {.host = "127.0.0.2", .number = 8},
        {.host = "127.0.0.1", .number = 9},
    };
    guint fds = loop_count_fds();
    g_autoptr(GByteArray) question = g_byte_array_new();
    Outcome outcome = {0};
    guint16 port;
    int listening = ends_listen(AF_INET, 1, &port);
    int fd;

    ask_over(&outcome, ways, G_N_ELEMENTS(ways), port, CONNECT_MS);
    while ((fd = ends_accept(listening)) < 0)
        g_main_context_iteration(NULL, TRUE);
    while (question->len < MESSAGE_HEADER_SIZE) {
        g_main_context_iteration(NULL, FALSE);
        g_assert_true(ends_read(fd, question));
    }
    /* What is asked is the way's own. */
    g_assert_cmpuint(question->data[15], ==, 9);
    close(fd);
    loop_until_set(&outcome.done, "the call is done");
    g_assert_cmpstr(outcome.host, ==, "127.0.0.1");
    g_assert_true(outcome.reached);
    close(listening);
    loop_until_fds(fds);
    g_clear_error(&outcome.error);
}

static void
test_all_refuse(void)
{
    static const PeerWay ways[] = {{.host = "127.0.0.1"}, {.host = "127.0.0.2"}};
    Outcome outcome = {0};
    guint16 port;

    close(ends_listen(AF_INET, 1, &port));
    ask_over(&outcome, ways, G_N_ELEMENTS(ways), port, CONNECT_MS);
    loop_until_set(&outcome.done, "the call is done");
    g_assert_error(outcome.error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
    g_assert_true(outcome.reached);
    g_assert_cmpstr(outcome.host, ==, "");
    g_clear_error(&outcome.error);
}

/* One says no, another swallows everything: there may be a way yet. */
static void
test_one_refuses(void)
{
    static const PeerWay ways[] = {{.host = "127.0.0.2"}, {.host = "127.0.0.1"}};
    guint fds = loop_count_fds();
    Outcome outcome = {0};
    guint16 port;
    int listening = ends_listen(AF_INET, 0, &port);
    int filling = ends_connect(AF_INET, port);

    ask_over(&outcome, ways, G_N_ELEMENTS(ways), port, 50);
    loop_until_set(&outcome.done, "the call is done");
    g_assert_false(outcome.reached);
    g_clear_error(&outcome.error);
    close(filling);
    close(listening);
    loop_until_fds(fds);
}

/* The first SYN is lost; TCP's own next one would come after a second. */
static void
test_noticed_soon(void)
{
    guint fds = loop_count_fds();
    gint64 begin = g_get_monotonic_time();
    Outcome outcome = {0};
    guint16 port;
    int listening = ends_listen(AF_INET, 0, &port);
    int filling = ends_connect(AF_INET, port);
    int fd;

    ask(&outcome, "127.0.0.1", port, CONNECT_MS);
    while (g_get_monotonic_time() - begin < 100 * 1000)
        g_main_context_iteration(NULL, FALSE);
    close(ends_accept(listening));
    while ((fd = ends_accept(listening)) < 0)
        g_main_context_iteration(NULL, FALSE);
    g_assert_cmpint((g_get_monotonic_time() - begin) / 1000, <, 1000);
    close(fd);
    loop_until_set(&outcome.done, "the call is done");
    g_assert_true(outcome.reached);
    close(filling);
    close(listening);
    loop_until_fds(fds);
    g_clear_error(&outcome.error);
}

/* What one finds out the others use: it is not their own turn for seconds. */
static void
test_noticed_by_another(void)
{
    enum { FILLING = 8, ASKERS = 3 };
    guint fds = loop_count_fds();
    gint64 begin = g_get_monotonic_time();
    Outcome outcomes[ASKERS] = {0};
    int filling[FILLING], accepted[ASKERS];
    guint16 port;
    int listening = ends_listen(AF_INET, FILLING - 1, &port);

    for (guint i = 0; i < FILLING; i++)
        filling[i] = ends_connect(AF_INET, port);
    for (guint i = 0; i < ASKERS; i++)
        ask_again(&outcomes[i], "127.0.0.1", port, CONNECT_MS, i == 1 ? AGAIN_MS : CONNECT_MS);
    while (g_get_monotonic_time() - begin < 100 * 1000)
        g_main_context_iteration(NULL, FALSE);
    for (guint i = 0; i < FILLING; i++)
        close(ends_accept(listening));
    for (guint i = 0; i < ASKERS; i++)
        while ((accepted[i] = ends_accept(listening)) < 0)
            g_main_context_iteration(NULL, FALSE);
    /* TCP's own second SYN. */
    g_assert_cmpint((g_get_monotonic_time() - begin) / 1000, <, 1000);
    for (guint i = 0; i < ASKERS; i++) {
        close(accepted[i]);
        peer_call_cancel(outcomes[i].call);
        g_clear_error(&outcomes[i].error);
    }
    for (guint i = 0; i < FILLING; i++)
        close(filling[i]);
    close(listening);
    loop_until_fds(fds);
}

/* At another address than ends_listen(), with the same port. */
static int
listen_beside(guint16 port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
    g_assert_no_errno(bind(fd, (struct sockaddr *)&address, sizeof(address)));
    g_assert_no_errno(listen(fd, 0));
    return fd;
}

static int
fill(int listening)
{
    struct sockaddr_in address;
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_no_errno(getsockname(listening, (struct sockaddr *)&address, &length));
    g_assert_no_errno(connect(fd, (struct sockaddr *)&address, length));
    return fd;
}

/* Networks that are back at the same time; and one that stays away. */
static void
test_first_is_preferred(void)
{
    static const PeerWay ways[] = {
        {.host = "127.0.0.2", .number = 7},
        {.host = "127.0.0.1", .number = 8},
    };

    for (guint back = 0; back < 2; back++) {
        guint fds = loop_count_fds();
        gint64 begin = g_get_monotonic_time();
        Outcome outcome = {0};
        guint16 port;
        int second = ends_listen(AF_INET, 0, &port);
        int first = listen_beside(port);
        int filling[2] = {fill(first), fill(second)};
        int fd;

        ask_over(&outcome, ways, G_N_ELEMENTS(ways), port, CONNECT_MS);
        while (g_get_monotonic_time() - begin < 100 * 1000)
            g_main_context_iteration(NULL, FALSE);
        close(ends_accept(second));
        if (back)
            close(ends_accept(first));
        while (!outcome.done) {
            g_main_context_iteration(NULL, FALSE);
            if ((fd = ends_accept(back ? first : second)) >= 0)
                close(fd);
        }
        g_assert_true(outcome.reached);
        g_assert_cmpstr(outcome.host, ==, ways[back ? 0 : 1].host);
        close(filling[0]);
        close(filling[1]);
        close(first);
        close(second);
        loop_until_fds(fds);
        g_clear_error(&outcome.error);
    }
}

/* A host that takes the question and says nothing. */
static void
test_silent(void)
{
    guint fds = loop_count_fds();
    gint64 begin = g_get_monotonic_time();
    Outcome outcome = {0};
    guint16 port;
    int listening = ends_listen(AF_INET, 1, &port);

    ask_and_wait(&outcome, "127.0.0.1", port, CONNECT_MS);
    g_assert_false(outcome.answered);
    g_assert_true(outcome.reached);
    g_assert_cmpint((g_get_monotonic_time() - begin) / 1000, >=, PEER_ANSWER_MS - 1);
    g_clear_error(&outcome.error);
    close(listening);
    loop_until_fds(fds);
}

/* Asks a destination that sends @size bytes and ends the connection. */
static void
ask_bytes(Outcome *outcome, gconstpointer data, gsize size, End end)
{
    g_autoptr(GByteArray) question = g_byte_array_new();
    guint16 port;
    int listening = ends_listen(AF_INET, 1, &port);
    int fd;

    ask(outcome, "127.0.0.1", port, CONNECT_MS);
    while ((fd = ends_accept(listening)) < 0)
        g_main_context_iteration(NULL, TRUE);
    while (question->len < MESSAGE_HEADER_SIZE) {
        g_main_context_iteration(NULL, FALSE);
        g_assert_true(ends_read(fd, question));
    }
    ends_write(fd, data, size);
    if (end == END_CLOSED)
        g_assert_no_errno(shutdown(fd, SHUT_WR));
    else
        ends_reset(fd);
    loop_until_set(&outcome->done, "the call is done");
    if (end == END_CLOSED)
        close(fd);
    close(listening);
}

static void
test_cut_short(void)
{
    g_autoptr(GBytes) answer = make_message(MESSAGE_ARMED, "it listens");
    guint fds = loop_count_fds();
    Outcome outcome = {0};
    gsize size;
    const guint8 *data = g_bytes_get_data(answer, &size);

    for (gsize cut = 0; cut < size; cut++) {
        for (End end = END_CLOSED; end <= END_RESET; end++) {
            ask_bytes(&outcome, data, cut, end);
            g_assert_false(outcome.answered);
            g_assert_true(outcome.reached);
        }
    }
    ask_bytes(&outcome, data, size, END_CLOSED);
    g_assert_true(outcome.answered);
    loop_until_fds(fds);
    g_clear_error(&outcome.error);
}

static void
test_bad_answers(void)
{
    g_autoptr(GBytes) answer = make_message(MESSAGE_ARMED, "it listens");
    Outcome outcome = {0};

    for (gsize i = 0; i < n_spoilt; i++) {
        gsize size = g_bytes_get_size(answer);
        g_autofree guint8 *data = g_memdup2(g_bytes_get_data(answer, NULL), size);

        g_test_message("%s", spoilt[i].what);
        memcpy(data + spoilt[i].at, spoilt[i].bytes, sizeof(spoilt[i].bytes));
        ask_bytes(&outcome, data, size, END_CLOSED);
        g_assert_error(outcome.error, MESSAGE_ERROR, (int)spoilt[i].code);
        g_assert_true(outcome.reached);
    }
    g_clear_error(&outcome.error);
}

/* --- given up --- */

/* At every moment of a call's life: after so many turns of the main loop. */
static void
test_cancelled(void)
{
    Destination destination;
    guint fds, turns = 0;
    gboolean done = FALSE;

    destination_init(&destination, PORT_MIDDLE);
    destination.at_once = TRUE;
    fds = loop_count_fds();
    while (!done) {
        Outcome outcome = {0};
        gint64 end = g_get_monotonic_time() + G_USEC_PER_SEC / 100;

        ask(&outcome, "127.0.0.1", peer_server_get_port(destination.server), CONNECT_MS);
        for (guint turn = 0; turn < turns && !outcome.done && g_get_monotonic_time() < end;)
            turn += g_main_context_iteration(NULL, FALSE);
        done = outcome.done;
        peer_call_cancel(outcome.call);
        outcome.done = FALSE;
        loop_until_fds(fds);
        loop_drain();
        /* Whoever cancels is not called any more. */
        g_assert_false(outcome.done);
        turns++;
    }
    g_assert_cmpuint(turns, >, 3);
    peer_call_cancel(NULL);
    destination_clear(&destination);
}

static void
test_cancelled_while_unreachable(void)
{
    guint fds = loop_count_fds();
    Outcome outcome = {0};
    guint16 port;
    int listening = ends_listen(AF_INET, 0, &port);
    int filling = ends_connect(AF_INET, port);

    ask(&outcome, "127.0.0.1", port, CONNECT_MS);
    loop_drain();
    peer_call_cancel(outcome.call);
    close(filling);
    close(listening);
    loop_until_fds(fds);
    g_assert_false(outcome.done);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    /* First, so that what GLib opens once and keeps is open when descriptors are counted. */
    g_test_add_func("/peer-call/answered", test_answered);
    g_test_add_func("/peer-call/answered-later", test_answered_later);
    g_test_add_func("/peer-call/refused", test_refused);
    g_test_add_func("/peer-call/unreachable", test_unreachable);
    g_test_add_func("/peer-call/no-address", test_no_address);
    g_test_add_func("/peer-call/next-address", test_next_address);
    g_test_add_func("/peer-call/all-refuse", test_all_refuse);
    g_test_add_func("/peer-call/one-refuses", test_one_refuses);
    g_test_add_func("/peer-call/noticed-soon", test_noticed_soon);
    g_test_add_func("/peer-call/noticed-by-another", test_noticed_by_another);
    g_test_add_func("/peer-call/first-is-preferred", test_first_is_preferred);
    g_test_add_func("/peer-call/silent", test_silent);
    g_test_add_func("/peer-call/cut-short", test_cut_short);
    g_test_add_func("/peer-call/bad-answers", test_bad_answers);
    g_test_add_func("/peer-call/cancelled", test_cancelled);
    g_test_add_func("/peer-call/cancelled-while-unreachable", test_cancelled_while_unreachable);
    return g_test_run();
}
