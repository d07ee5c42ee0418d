/*
 * message.c: what two hosts say to each other about a migration, as bytes
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/message.h"

#include <string.h>

#define MAGIC 0x4846504du /* "HFPM" */

G_DEFINE_QUARK(holdfast - message - error - quark, message_error)

static const MessageType types[] = {
    MESSAGE_RECOVER, MESSAGE_PAUSED,    MESSAGE_ASK_RUNNING, MESSAGE_RETURN,
    MESSAGE_ARMED,   MESSAGE_COMPLETED, MESSAGE_REFUSED,     MESSAGE_NOTED,
    MESSAGE_RUNNING, MESSAGE_OVER,      MESSAGE_RETURNED,
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

static gboolean
is_known_type(guint type)
{
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
        if (types[i] == type)
            return TRUE;
    }
    return FALSE;
}

gboolean
message_decode_header(const guint8 *header, Message *message, gsize *text_length, GError **error)
{
    guint type = get16(header + 8);
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
    if (!is_known_type(type) || length > MESSAGE_TEXT_MAX) {
        g_set_error(error, MESSAGE_ERROR, MESSAGE_ERROR_INVALID,
                    "a message of type %u with %zu bytes of text", type, length);
        return FALSE;
    }
    memset(message, 0, sizeof(*message));
    message->type = type;
    message->number = get32(header + 12);
    memcpy(message->secret.bytes, header + 16, SECRET_BYTES);
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
