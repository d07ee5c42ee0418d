/*
 * peers.c: two hosts that ask and answer, both on the loopback of this machine
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "peers.h"

#include <string.h>

#include "doubles/loop.h"

static const Secret secret = {.bytes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255}};

const Spoilt spoilt[] = {
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
const gsize n_spoilt = G_N_ELEMENTS(spoilt);

void
destination_ask(PeerQuestion *question, gpointer opaque)
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

void
destination_init(Destination *destination, guint16 port_max)
{
    g_autoptr(GError) error = NULL;

    memset(destination, 0, sizeof(*destination));
    destination->questions = g_ptr_array_new();
    destination->server =
        peer_server_new(NULL, PORT_MIN, port_max, destination_ask, destination, &error);
    g_assert_no_error(error);
}

void
destination_clear(Destination *destination)
{
    for (guint i = 0; i < destination->questions->len; i++)
        peer_question_answer(destination->questions->pdata[i], MESSAGE_REFUSED, 0, "too late");
    loop_drain();
    g_clear_pointer(&destination->server, peer_server_free);
    g_ptr_array_unref(destination->questions);
}

gboolean
destination_was_asked(gpointer opaque)
{
    return ((Destination *)opaque)->asked > 0;
}

static void
on_done(
    const Message *answer, const char *host, gboolean reached, const GError *error, gpointer opaque)
{
    Outcome *outcome = opaque;

    g_assert_false(outcome->done);
    g_assert_true(answer ? !error : error != NULL);
    outcome->done = TRUE;
    outcome->reached = reached;
    g_strlcpy(outcome->host, host ? host : "", sizeof(outcome->host));
    outcome->answered = answer != NULL;
    if (answer)
        outcome->answer = *answer;
    else
        outcome->error = g_error_copy(error);
    outcome->call = NULL;
}

static void
start(Outcome *outcome,
      const PeerWay *ways,
      guint n_ways,
      guint16 port,
      guint connect_ms,
      guint again_ms)
{
    Message question = {.type = MESSAGE_RECOVER, .secret = secret};

    g_clear_error(&outcome->error);
    memset(outcome, 0, sizeof(*outcome));
    outcome->call =
        peer_call_new(ways, n_ways, port, &question, connect_ms, again_ms, on_done, outcome);
}

void
ask_over(Outcome *outcome, const PeerWay *ways, guint n_ways, guint16 port, guint connect_ms)
{
    start(outcome, ways, n_ways, port, connect_ms, AGAIN_MS);
}

void
ask_again(Outcome *outcome, const char *host, guint16 port, guint connect_ms, guint again_ms)
{
    start(outcome, &(PeerWay){.host = host, .number = 49200}, 1, port, connect_ms, again_ms);
}

void
ask(Outcome *outcome, const char *host, guint16 port, guint connect_ms)
{
    ask_over(outcome, &(PeerWay){.host = host, .number = 49200}, 1, port, connect_ms);
}

void
ask_and_wait(Outcome *outcome, const char *host, guint16 port, guint connect_ms)
{
    ask(outcome, host, port, connect_ms);
    loop_until_set(&outcome->done, "the call is done");
}

GBytes *
make_message(MessageType type, const char *text)
{
    Message message = {.type = type, .number = 49200, .secret = secret};

    message_set_text(&message, text);
    return message_encode(&message);
}
