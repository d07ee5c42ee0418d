/*
 * message.c: messages between hosts survive the wire, and nothing else gets through
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/message.h"

#include <string.h>

#include "util/uuid.h"

static const Secret secret = {.bytes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255}};

static const MessageType all_types[] = {
    MESSAGE_RECOVER, MESSAGE_PAUSED, MESSAGE_ASK_RUNNING, MESSAGE_RETURN,  MESSAGE_ENDING,
    MESSAGE_ENDED,   MESSAGE_ARMED,  MESSAGE_COMPLETED,   MESSAGE_REFUSED, MESSAGE_NOTED,
    MESSAGE_RUNNING, MESSAGE_OVER,   MESSAGE_RETURNED,
};

/* With a body, of a known kind or not. */
static const MessageType with_body[] = {
    MESSAGE_PARCEL_BITMAPS,
    MESSAGE_PARCEL_CHECKPOINTS,
    MESSAGE_PARCEL_LAST,
    MESSAGE_TAKEN,
};

static void
test_round_trip(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(all_types); i++) {
        Message out = {.type = all_types[i], .number = 0xdeadbeef};
        Message in;
        gsize length, size;
        g_autoptr(GError) error = NULL;
        g_autoptr(GBytes) bytes = NULL;
        const guint8 *data;

        out.secret = secret;
        message_set_text(&out, i % 2 ? "" : "the disk is büsy");
        bytes = message_encode(&out);
        data = g_bytes_get_data(bytes, &size);
        g_assert_true(message_decode_header(data, &in, &length, &error));
        g_assert_cmpuint(size, ==, MESSAGE_HEADER_SIZE + length);
        g_assert_true(message_decode_text(&in, data + MESSAGE_HEADER_SIZE, length, &error));
        g_assert_cmpint(in.type, ==, out.type);
        g_assert_cmpuint(in.number, ==, 0xdeadbeef);
        g_assert_cmpstr(in.text, ==, out.text);
        g_assert_true(secret_equal(&in.secret, &secret));
    }
}

/* Every single byte of the header, set to every value: accepted only where it may vary. */
static void
test_header_bytes(void)
{
    Message out = {.type = MESSAGE_RECOVER};
    g_autoptr(GBytes) bytes = NULL;
    guint8 header[MESSAGE_HEADER_SIZE];

    out.secret = secret;
    bytes = message_encode(&out);
    for (gsize at = 0; at < MESSAGE_HEADER_SIZE; at++) {
        for (guint value = 0; value < 256; value++) {
            Message in = {.number = 77};
            gsize length = 99;
            gboolean ok;

            memcpy(header, g_bytes_get_data(bytes, NULL), sizeof(header));
            header[at] = (guint8)value;
            ok = message_decode_header(header, &in, &length, NULL);
            if (at < 4)
                g_assert_cmpint(ok, ==, header[at] == "HFPM"[at]);
            if (at == 4)
                g_assert_true(ok);
            if (at == 5)
                g_assert_cmpint(ok, ==, value >= MESSAGE_OLDEST);
            if (at == 6)
                g_assert_cmpint(ok, ==, value == 0);
            if (at == 7)
                g_assert_cmpint(ok, ==, value <= MESSAGE_VERSION);
            if (at == 10)
                g_assert_cmpint(ok, ==, value <= MESSAGE_TEXT_MAX >> 8);
            if (!ok) {
                g_assert_cmpuint(in.number, ==, 77);
                g_assert_cmpuint(length, ==, 99);
            }
        }
    }
}

/* The number of others may be anything; that of these says how much follows. */
static void
test_body(void)
{
    static const struct {
        guint32 number;
        gboolean valid;
    } cases[] = {
        {0, TRUE},
        {1, TRUE},
        {MESSAGE_BODY_MAX, TRUE},
        {MESSAGE_BODY_MAX + 1, FALSE},
        {G_MAXINT32, FALSE},
        {G_MAXUINT32, FALSE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(with_body); i++) {
        for (gsize j = 0; j < G_N_ELEMENTS(cases); j++) {
            Message out = {.type = with_body[i], .number = cases[j].number, .secret = secret};
            Message in = {.number = 77};
            g_autoptr(GBytes) bytes = message_encode(&out);
            g_autoptr(GError) error = NULL;
            gsize length = 99;
            gboolean ok =
                message_decode_header(g_bytes_get_data(bytes, NULL), &in, &length, &error);

            g_assert_cmpint(ok, ==, cases[j].valid);
            g_assert_cmpuint(in.number, ==, ok ? cases[j].number : 77);
            g_assert_cmpuint(length, ==, ok ? 0 : 99);
            if (ok)
                g_assert_cmpuint(message_get_body_length(&in), ==, cases[j].number);
            else
                g_assert_error(error, MESSAGE_ERROR, MESSAGE_ERROR_INVALID);
        }
        g_assert_cmpint(message_is_parcel(with_body[i]), ==, with_body[i] != MESSAGE_TAKEN);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(all_types); i++) {
        Message message = {.type = all_types[i], .number = G_MAXUINT32};

        g_assert_false(message_is_parcel(all_types[i]));
        g_assert_cmpuint(message_get_body_length(&message), ==, 0);
    }
}

static void
test_text(void)
{
    g_autofree char *longer = g_strnfill(MESSAGE_TEXT_MAX * 2, 'x');
    Message message = {0};
    g_autoptr(GError) error = NULL;

    message_set_text(&message, longer);
    g_assert_cmpuint(strlen(message.text), ==, MESSAGE_TEXT_MAX);
    /* a character of two bytes over the edge is left out whole */
    memcpy(longer + MESSAGE_TEXT_MAX - 1, "ü", 2);
    message_set_text(&message, longer);
    g_assert_true(g_utf8_validate(message.text, -1, NULL));
    g_assert_cmpuint(strlen(message.text), ==, MESSAGE_TEXT_MAX - 1);

    g_assert_false(message_decode_text(&message, (const guint8 *)"a\0b", 3, &error));
    g_assert_error(error, MESSAGE_ERROR, MESSAGE_ERROR_INVALID);
    g_clear_error(&error);
    g_assert_false(message_decode_text(&message, (const guint8 *)"\xff\xfe", 2, &error));
    g_assert_error(error, MESSAGE_ERROR, MESSAGE_ERROR_INVALID);
}

/* What a question is about; also as an older build says it. */
static void
test_subject(void)
{
    static const char uuid[] = "0b6a3c2c-5a6e-4c53-8b0e-bd3a7bd1c001";
    static const struct {
        const char *text;
        gboolean valid;
        gboolean has_uuid;
        guint32 sequence;
    } cases[] = {
        {"", TRUE, FALSE, 0},
        {"0b6a3c2c-5a6e-4c53-8b0e-bd3a7bd1c001", TRUE, TRUE, 0},
        {"0b6a3c2c-5a6e-4c53-8b0e-bd3a7bd1c001 7", TRUE, TRUE, 7},
        {"0b6a3c2c-5a6e-4c53-8b0e-bd3a7bd1c001 4294967295", TRUE, TRUE, G_MAXUINT32},
        {"0b6a3c2c-5a6e-4c53-8b0e-bd3a7bd1c001 4294967296", FALSE, FALSE, 0},
        {"0b6a3c2c-5a6e-4c53-8b0e-bd3a7bd1c001 0", FALSE, FALSE, 0},
        {"0b6a3c2c-5a6e-4c53-8b0e-bd3a7bd1c001 -1", FALSE, FALSE, 0},
        {"0b6a3c2c-5a6e-4c53-8b0e-bd3a7bd1c001 7 8", FALSE, FALSE, 0},
        {"it is paused", FALSE, FALSE, 0},
        {" 7", FALSE, FALSE, 0},
    };
    Message message = {0};

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        guint8 bytes[UUID_BYTES] = {1};
        g_autofree char *text = NULL;
        guint32 sequence = 99;

        message_set_text(&message, cases[i].text);
        g_assert_cmpint(message_get_subject(&message, bytes, &sequence), ==, cases[i].valid);
        g_assert_cmpuint(sequence, ==, cases[i].sequence);
        text = uuid_format(bytes);
        g_assert_cmpint(g_str_equal(text, uuid), ==, cases[i].has_uuid);
        if (!cases[i].valid || !cases[i].has_uuid)
            continue;
        message_set_subject(&message, uuid, sequence);
        g_assert_cmpstr(message.text, ==, cases[i].text);
    }
}

/* It grows, whatever the clock does, and over its end. */
static void
test_sequence(void)
{
    static const gint64 times_ms[] = {4294967290, 4294967290, 4294967000, 4294967295};
    guint32 last = 0;

    for (gsize i = 0; i < G_N_ELEMENTS(times_ms); i++) {
        guint32 next = message_next_sequence(last, times_ms[i] * 1000);

        g_assert_cmpuint(next, !=, 0);
        g_assert_cmpint(message_is_overtaken(last, next), ==, last != 0);
        g_assert_false(message_is_overtaken(next, last));
        g_assert_false(message_is_overtaken(next, next));
        last = next;
    }
    g_assert_cmpuint(last, ==, G_MAXUINT32);
    last = message_next_sequence(last, (gint64)4294967295 * 1000);
    g_assert_cmpuint(last, ==, 1);
    g_assert_true(message_is_overtaken(G_MAXUINT32, last));
    /* an older build's, which has none */
    g_assert_false(message_is_overtaken(0, last));
    g_assert_false(message_is_overtaken(last, 0));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/message/round-trip", test_round_trip);
    g_test_add_func("/message/header-bytes", test_header_bytes);
    g_test_add_func("/message/body", test_body);
    g_test_add_func("/message/text", test_text);
    g_test_add_func("/message/subject", test_subject);
    g_test_add_func("/message/sequence", test_sequence);
    return g_test_run();
}
