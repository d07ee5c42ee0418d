/*
 * texts.c: a list of texts as bytes, for one host to send to the other
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/texts.h"

#include <string.h>

#define HEADER_SIZE 8
#define LENGTH_SIZE 4

G_DEFINE_QUARK(holdfast - texts - error - quark, texts_error)

static void
append16(GByteArray *bytes, guint16 value)
{
    value = GUINT16_TO_BE(value);
    g_byte_array_append(bytes, (const guint8 *)&value, sizeof(value));
}

static void
append32(GByteArray *bytes, guint32 value)
{
    value = GUINT32_TO_BE(value);
    g_byte_array_append(bytes, (const guint8 *)&value, sizeof(value));
}

GBytes *
texts_encode(const GPtrArray *texts)
{
    GByteArray *bytes = g_byte_array_new();

    append16(bytes, TEXTS_VERSION);
    append16(bytes, TEXTS_OLDEST);
    append32(bytes, texts->len);
    for (guint i = 0; i < texts->len; i++) {
        guint32 length = (guint32)strlen(texts->pdata[i]);

        append32(bytes, length);
        g_byte_array_append(bytes, texts->pdata[i], length);
    }
    return g_byte_array_free_to_bytes(bytes);
}

typedef struct {
    const guint8 *data;
    gsize left;
} Reader;

static gboolean
read_bytes(Reader *reader, gpointer into, gsize size)
{
    if (reader->left < size)
        return FALSE;
    memcpy(into, reader->data, size);
    reader->data += size;
    reader->left -= size;
    return TRUE;
}

static gboolean
read16(Reader *reader, guint16 *value)
{
    gboolean read = read_bytes(reader, value, sizeof(*value));

    *value = GUINT16_FROM_BE(*value);
    return read;
}

static gboolean
read32(Reader *reader, guint32 *value)
{
    gboolean read = read_bytes(reader, value, sizeof(*value));

    *value = GUINT32_FROM_BE(*value);
    return read;
}

/* NULL for none. */
static char *
read_text(Reader *reader)
{
    guint32 length = 0;
    char *text;

    if (!read32(reader, &length) || length > reader->left ||
        !g_utf8_validate_len((const char *)reader->data, length, NULL))
        return NULL;
    text = g_strndup((const char *)reader->data, length);
    reader->data += length;
    reader->left -= length;
    return text;
}

GPtrArray *
texts_decode(GBytes *bytes, GError **error)
{
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
    Reader reader = {.data = g_bytes_get_data(bytes, NULL), .left = g_bytes_get_size(bytes)};
    guint16 version = 0, oldest = 0;
    guint32 number = 0;
    char *text;

    if (read16(&reader, &version) && read16(&reader, &oldest) &&
        (oldest > TEXTS_VERSION || version < TEXTS_OLDEST)) {
        g_set_error(error, TEXTS_ERROR, TEXTS_ERROR_VERSION,
                    "the other host's list is of version %u and needs at least %u, this one reads "
                    "%u and %u",
                    version, oldest, TEXTS_VERSION, TEXTS_OLDEST);
        return NULL;
    }
    if (read32(&reader, &number) && number <= TEXTS_MAX) {
        while (texts->len < number && (text = read_text(&reader)))
            g_ptr_array_add(texts, text);
        if (texts->len == number && reader.left == 0)
            return g_steal_pointer(&texts);
    }
    g_set_error_literal(error, TEXTS_ERROR, TEXTS_ERROR_INVALID,
                        "the other host's list makes no sense");
    return NULL;
}
