/*
 * peer.c: a question and its answer between two hosts, and everything that can go wrong with them
 *
 * Both ends are real, on the loopback of this machine, and so is the time: where a deadline is what
 * is tested, the test lasts as long as it.
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

/* Below the ports that the kernel gives away. */
#define PORT_MIN 20000
#define PORT_MAX 20063
/* Longer than any connection on a loopback takes, shorter than a person waits. */
#define CONNECT_MS 10000
/* As in run/peer.c: how many questions it takes at once. */
#define QUESTIONS_MAX 512

static const Secret secret = {.bytes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255}};

/* A server that keeps its questions, or answers them at once. */
typedef struct {
    PeerServer *server;
    gboolean at_once;
    const char *text;
    GPtrArray *questions; /* of PeerQuestion, those that are not answered */
    guint asked;
} Destination;

static void
on_question(PeerQuestion *question, gpointer opaque)
{
    Destination *destination = opaque;
    const Message *message = peer_question_get(question);

    g_assert_true(secret_equal(&message->secret, &secret));
    g_assert_cmpint(message->type, ==, MESSAGE_RECOVER);
    destination->asked++;
    if (destination->at_once)
        peer_question_answer(question, MESSAGE_ARMED, message->number + 1, destination->text);
    else
        g_ptr_array_add(destination->questions, question);
}

static void
destination_init(Destination *destination)
{
    g_autoptr(GError) error = NULL;

    memset(destination, 0, sizeof(*destination));
    destination->questions = g_ptr_array_new();
    destination->server = peer_server_new(PORT_MIN, PORT_MAX, on_question, destination, &error);
    g_assert_no_error(error);
}

/* Answers what is open, so that nothing of it stays. */
static void
destination_clear(Destination *destination)
{
    for (guint i = 0; i < destination->questions->len; i++)
        peer_question_answer(destination->questions->pdata[i], MESSAGE_REFUSED, 0, "too late");
    loop_drain();
    g_clear_pointer(&destination->server, peer_server_free);
    g_ptr_array_unref(destination->questions);
}

static gboolean
has_asked(gpointer opaque)
{
    return ((Destination *)opaque)->asked > 0;
}

/* What became of a call. */
typedef struct {
    gboolean done;
    gboolean answered;
    gboolean reached;
    Message answer;
    GError *error;
    PeerCall *call; /* NULL once it is done */
} Outcome;

static void
on_done(const Message *answer, gboolean reached, const GError *error, gpointer opaque)
{
    Outcome *outcome = opaque;

    g_assert_false(outcome->done);
    g_assert_true(answer ? !error : error != NULL);
    outcome->done = TRUE;
    outcome->reached = reached;
    outcome->answered = answer != NULL;
    if (answer)
        outcome->answer = *answer;
    else
        outcome->error = g_error_copy(error);
    outcome->call = NULL;
}

static void
ask(Outcome *outcome, const char *host, guint16 port, guint connect_ms)
{
    Message question = {.type = MESSAGE_RECOVER, .number = 49200, .secret = secret};

    g_clear_error(&outcome->error);
    memset(outcome, 0, sizeof(*outcome));
    outcome->call = peer_call_new(host, port, &question, connect_ms, on_done, outcome);
}

static void
ask_and_wait(Outcome *outcome, const char *host, guint16 port, guint connect_ms)
{
    ask(outcome, host, port, connect_ms);
    loop_until_set(&outcome->done, "the call is done");
}

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
    static const char *const hosts[] = {"127.0.0.1", "localhost", "::1"};
    g_autofree char *longest = g_strnfill(MESSAGE_TEXT_MAX, 'x');
    const char *texts[] = {NULL, "", "the disk is büsy", longest};
    Outcome outcome = {0};
    Destination destination;

    destination_init(&destination);
    destination.at_once = TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(hosts) * G_N_ELEMENTS(texts); i++) {
        const char *host = hosts[i / G_N_ELEMENTS(texts)];

        if (g_str_equal(host, "::1") && !has_ipv6())
            continue;
        destination.text = texts[i % G_N_ELEMENTS(texts)];
        ask_and_wait(&outcome, host, peer_server_get_port(destination.server), CONNECT_MS);
        g_assert_no_error(outcome.error);
        g_assert_true(outcome.reached);
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

    destination_init(&destination);
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

static void
test_no_such_host(void)
{
    Outcome outcome = {0};

    /* Reserved: never resolves (RFC 6761), whatever resolver there is. */
    ask_and_wait(&outcome, "no-such-host.invalid", 49215, CONNECT_MS);
    g_assert_false(outcome.answered);
    g_assert_false(outcome.reached);
    g_clear_error(&outcome.error);
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

/* What a destination of the test's own sends back, instead of an answer. */
static GBytes *
make_answer(const char *text)
{
    Message message = {.type = MESSAGE_ARMED, .number = 49200, .secret = secret};

    message_set_text(&message, text);
    return message_encode(&message);
}

typedef enum { END_CLOSED, END_RESET } End;

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
    g_autoptr(GBytes) answer = make_answer("it listens");
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

static const struct {
    const char *what;
    gsize at;
    guint8 bytes[2];
    MessageError code;
} spoilt[] = {
    {"not ours", 0, {'X', 'F'}, MESSAGE_ERROR_FOREIGN},
    {"another protocol", 2, {0, 0}, MESSAGE_ERROR_FOREIGN},
    {"of a version to come", 6, {0, MESSAGE_VERSION + 1}, MESSAGE_ERROR_VERSION},
    {"of no type", 8, {0, 0}, MESSAGE_ERROR_INVALID},
    {"of an unknown type", 8, {0x7f, 0xff}, MESSAGE_ERROR_INVALID},
    {"one byte too long",
     10,
     {(MESSAGE_TEXT_MAX + 1) >> 8, (MESSAGE_TEXT_MAX + 1) & 0xff},
     MESSAGE_ERROR_INVALID},
    {"far too long", 10, {0xff, 0xff}, MESSAGE_ERROR_INVALID},
    {"text that is not UTF-8", MESSAGE_HEADER_SIZE, {0xc3, 0x28}, MESSAGE_ERROR_INVALID},
    {"a NUL in the text", MESSAGE_HEADER_SIZE, {'i', 0}, MESSAGE_ERROR_INVALID},
};

static void
test_bad_answers(void)
{
    g_autoptr(GBytes) answer = make_answer("it listens");
    Outcome outcome = {0};

    for (gsize i = 0; i < G_N_ELEMENTS(spoilt); i++) {
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

    destination_init(&destination);
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

/* --- the destination's side, hostile askers --- */

static GBytes *
make_question(const char *text)
{
    Message message = {.type = MESSAGE_RECOVER, .number = 49200, .secret = secret};

    message_set_text(&message, text);
    return message_encode(&message);
}

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
    g_autoptr(GBytes) question = make_question("it is paused");
    gsize size;
    const guint8 *good = g_bytes_get_data(question, &size);
    Destination destination;
    guint fds;

    destination_init(&destination);
    fds = loop_count_fds();
    for (gsize i = 0; i < G_N_ELEMENTS(spoilt); i++) {
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

/* Half a question is not waited for. */
static void
test_slow_talker(void)
{
    g_autoptr(GBytes) question = make_question("it is paused");
    gint64 begin = g_get_monotonic_time();
    Destination destination;

    destination_init(&destination);
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
    g_autoptr(GBytes) question = make_question("");
    g_autoptr(GArray) askers = g_array_new(FALSE, FALSE, sizeof(int));
    Outcome outcome = {0};
    Destination destination;
    guint fds;
    int late;

    if (!can_open(4 * QUESTIONS_MAX)) {
        g_test_skip("this process may not open enough files");
        return;
    }
    destination_init(&destination);
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
    g_autoptr(GBytes) question = make_question("");
    guint fds = loop_count_fds();
    Destination destination;
    g_autoptr(GByteArray) got = g_byte_array_new();
    int half, whole;

    destination_init(&destination);
    half = ends_connect(AF_INET, peer_server_get_port(destination.server));
    ends_write(half, g_bytes_get_data(question, NULL), MESSAGE_HEADER_SIZE - 1);
    whole = ends_connect(AF_INET, peer_server_get_port(destination.server));
    ends_write(whole, g_bytes_get_data(question, NULL), g_bytes_get_size(question));
    loop_until(has_asked, &destination, "the whole question has arrived");

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
    g_autoptr(GBytes) question = make_question("");
    Destination destination;
    guint fds;

    destination_init(&destination);
    fds = loop_count_fds();
    for (End end = END_CLOSED; end <= END_RESET; end++) {
        int fd = ends_connect(AF_INET, peer_server_get_port(destination.server));

        destination.asked = 0;
        ends_write(fd, g_bytes_get_data(question, NULL), g_bytes_get_size(question));
        loop_until(has_asked, &destination, "the question has arrived");
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

/* --- ports --- */

static void
test_port_taken(void)
{
    g_autoptr(GError) error = NULL;
    Destination first;
    PeerServer *second, *third;
    guint16 port;

    destination_init(&first);
    port = peer_server_get_port(first.server);
    second = peer_server_new(PORT_MIN, port, on_question, &first, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(peer_server_get_port(second), <, port);
    third = peer_server_new(peer_server_get_port(second), port, on_question, &first, &error);
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
        destination_init(&destination);
        destination.at_once = TRUE;
        port = peer_server_get_port(destination.server);
        ask_and_wait(&outcome, "127.0.0.1", port, CONNECT_MS);
        destination_clear(&destination);
        destination.server = peer_server_new(port, port, on_question, &destination, &error);
        g_assert_no_error(error);
        g_clear_pointer(&destination.server, peer_server_free);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    /* First, so that what GLib opens once and keeps is open when descriptors are counted. */
    g_test_add_func("/peer/answered", test_answered);
    g_test_add_func("/peer/answered-later", test_answered_later);
    g_test_add_func("/peer/refused", test_refused);
    g_test_add_func("/peer/unreachable", test_unreachable);
    g_test_add_func("/peer/no-such-host", test_no_such_host);
    g_test_add_func("/peer/silent", test_silent);
    g_test_add_func("/peer/cut-short", test_cut_short);
    g_test_add_func("/peer/bad-answers", test_bad_answers);
    g_test_add_func("/peer/cancelled", test_cancelled);
    g_test_add_func("/peer/cancelled-while-unreachable", test_cancelled_while_unreachable);
    g_test_add_func("/peer/bad-questions", test_bad_questions);
    g_test_add_func("/peer/slow-talker", test_slow_talker);
    g_test_add_func("/peer/too-many", test_too_many);
    g_test_add_func("/peer/freed-with-questions", test_freed_with_questions);
    g_test_add_func("/peer/asker-gone", test_asker_gone);
    g_test_add_func("/peer/port-taken", test_port_taken);
    g_test_add_func("/peer/port-again", test_port_again);
    return g_test_run();
}
