/*
 * message.c: what two hosts say to each other about a migration, as bytes
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/message.h"

#include <string.h>

#include "util/uuid.h"

#define MAGIC 0x4846504du /* "HFPM" */

G_DEFINE_QUARK(holdfast - message - error - quark, message_error)

static const MessageType types[] = {
    MESSAGE_RECOVER, MESSAGE_PAUSED, MESSAGE_ASK_RUNNING, MESSAGE_RETURN,  MESSAGE_ENDING,
    MESSAGE_ENDED,   MESSAGE_ARMED,  MESSAGE_COMPLETED,   MESSAGE_REFUSED, MESSAGE_NOTED,
    MESSAGE_RUNNING, MESSAGE_OVER,   MESSAGE_RETURNED,    MESSAGE_TAKEN,
};

static guint16
get16(const guint8 *bytes)
{
    return (guint16)(bytes[0] << 8 | bytes[1]);
}

static guint32
get32(const guint8 *bytes)
{
    return (guint32)get16(bytes) << 16 | get16(bytes + 2);
}

static void
put16(guint8 *bytes, guint value)
{
    bytes[0] = (guint8)(value >> 8);
    bytes[1] = (guint8)value;
}

static void
put32(guint8 *bytes, guint32 value)
{
    put16(bytes, value >> 16);
    put16(bytes + 2, value & 0xffff);
}

void
message_set_text(Message *message, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    gsize length = strlen(valid);
    const char *end = valid + length;

    if (length > MESSAGE_TEXT_MAX)
        end = g_utf8_find_prev_char(valid, valid + MESSAGE_TEXT_MAX + 1);
    memcpy(message->text, valid, end - valid);
    message->text[end - valid] = '\0';
}

void
message_set_subject(Message *message, const char *uuid, guint32 sequence)
{
    g_autofree char *text =
        sequence ? g_strdup_printf("%s %" G_GUINT32_FORMAT, uuid, sequence) : g_strdup(uuid);

    message_set_text(message, text);
}

gboolean
message_get_subject(const Message *message, guint8 *uuid, guint32 *sequence)
{
    g_auto(GStrv) words = g_strsplit(message->text, " ", 3);
    guint n = g_strv_length(words);
    guint64 number = 0;
    guint8 parsed[UUID_BYTES] = {0};
    gboolean valid = n == 0 || (n < 3 && uuid_parse(words[0], parsed));

    if (n == 2)
        valid = valid && g_ascii_string_to_unsigned(words[1], 10, 1, G_MAXUINT32, &number, NULL);
    memset(uuid, 0, UUID_BYTES);
    *sequence = 0;
    if (!valid)
        return FALSE;
    memcpy(uuid, parsed, UUID_BYTES);
    *sequence = (guint32)number;
    return TRUE;
}

/* Milliseconds; they begin anew after 49 days, so numbers are compared by their distance, as RFC
 * 1982 has it. */
gboolean
message_is_overtaken(guint32 sequence, guint32 other)
{
    return sequence && other && (gint32)(sequence - other) < 0;
}

guint32
message_next_sequence(guint32 last, gint64 now_usec)
{
    guint32 next = (guint32)(now_usec / 1000);

    if (last && (gint32)(next - last) <= 0)
        next = last + 1;
    return next ? next : 1;
}

GBytes *
message_encode(const Message *message)
{
    gsize length = strlen(message->text);
    guint8 *bytes = g_malloc0(MESSAGE_HEADER_SIZE + length);

    put32(bytes, MAGIC);
    put16(bytes + 4, MESSAGE_VERSION);
    put16(bytes + 6, MESSAGE_OLDEST);
    put16(bytes + 8, message->type);
    put16(bytes + 10, (guint)length);
    put32(bytes + 12, message->number);
    memcpy(bytes + 16, message->secret.bytes, SECRET_BYTES);
    memcpy(bytes + MESSAGE_HEADER_SIZE, message->text, length);
    return g_bytes_new_take(bytes, MESSAGE_HEADER_SIZE + length);
}

gboolean
message_is_parcel(MessageType type)
{
    return type >= MESSAGE_PARCEL && type <= MESSAGE_PARCEL_LAST;
}

gsize
message_get_body_length(const Message *message)
{
    return message_is_parcel(message->type) || message->type == MESSAGE_TAKEN ? message->number : 0;
}

static gboolean
is_known_type(guint type)
{
    if (message_is_parcel(type))
        return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
        if (types[i] == type)
            return TRUE;
    }
    return FALSE;
}

gboolean
message_decode_header(const guint8 *header, Message *message, gsize *text_length, GError **error)
{
    Message read = {.type = get16(header + 8), .number = get32(header + 12)};
    gsize length = get16(header + 10);

    if (get32(header) != MAGIC) {
        g_set_error_literal(error, MESSAGE_ERROR, MESSAGE_ERROR_FOREIGN,
                            "not a message about a migration");
        return FALSE;
    }
    if (get16(header + 6) > MESSAGE_VERSION || get16(header + 4) < MESSAGE_OLDEST) {
        g_set_error(error, MESSAGE_ERROR, MESSAGE_ERROR_VERSION,
                    "the other host speaks version %u and needs at least %u, this one %u and %u",
                    get16(header + 4), get16(header + 6), MESSAGE_VERSION, MESSAGE_OLDEST);
        return FALSE;
    }
    if (!is_known_type(read.type) || length > MESSAGE_TEXT_MAX ||
        message_get_body_length(&read) > MESSAGE_BODY_MAX) {
        g_set_error(error, MESSAGE_ERROR, MESSAGE_ERROR_INVALID,
                    "a message of type %u with %zu bytes of text and %zu behind it", read.type,
                    length, message_get_body_length(&read));
        return FALSE;
    }
    memcpy(read.secret.bytes, header + 16, SECRET_BYTES);
    *message = read;
    *text_length = length;
    return TRUE;
}

gboolean
message_decode_text(Message *message, const guint8 *text, gsize length, GError **error)
{
    if (length > MESSAGE_TEXT_MAX || !g_utf8_validate_len((const char *)text, length, NULL)) {
        g_set_error_literal(error, MESSAGE_ERROR, MESSAGE_ERROR_INVALID,
                            "a message whose text is no text");
        return FALSE;
    }
    memcpy(message->text, text, length);
    message->text[length] = '\0';
    return TRUE;
}
