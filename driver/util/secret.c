/*
 * secret.c: what only the two hosts of a migration know
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/secret.h"

#include <string.h>
#include <sys/random.h>

gboolean
secret_make(Secret *secret)
{
    /* So few bytes are never given in part, nor interrupted (getrandom(2)). */
    if (getrandom(secret->bytes, SECRET_BYTES, 0) == SECRET_BYTES && !secret_is_none(secret))
        return TRUE;
    memset(secret, 0, sizeof(*secret));
    return FALSE;
}

gboolean
secret_is_none(const Secret *secret)
{
    guint8 any = 0;

    for (gsize i = 0; i < SECRET_BYTES; i++)
        any |= secret->bytes[i];
    return any == 0;
}

gboolean
secret_equal(const Secret *a, const Secret *b)
{
    guint8 different = 0;

    for (gsize i = 0; i < SECRET_BYTES; i++)
        different |= a->bytes[i] ^ b->bytes[i];
    return different == 0 && !secret_is_none(a);
}

char *
secret_format(const Secret *secret)
{
    GString *text = g_string_sized_new(2 * SECRET_BYTES);

    for (gsize i = 0; i < SECRET_BYTES; i++)
        g_string_append_printf(text, "%02x", secret->bytes[i]);
    return g_string_free(text, FALSE);
}

gboolean
secret_parse(const char *text, Secret *secret)
{
    Secret read = {0};

    if (strlen(text) != (gsize)2 * SECRET_BYTES)
        return FALSE;
    for (gsize i = 0; i < (gsize)2 * SECRET_BYTES; i++) {
        if (!g_ascii_isxdigit(text[i]))
            return FALSE;
        read.bytes[i / 2] = (guint8)(read.bytes[i / 2] << 4 | g_ascii_xdigit_value(text[i]));
    }
    if (secret_is_none(&read))
        return FALSE;
    *secret = read;
    return TRUE;
}
