/*
 * uuid.c: UUIDs as bytes and as text
 *
 * GLib makes and checks them in text alone, and libvirt's own functions are private.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/uuid.h"

#include <string.h>

gboolean
uuid_parse(const char *text, guint8 uuid[UUID_BYTES])
{
    gsize n = 0;

    if (!g_uuid_string_is_valid(text))
        return FALSE;
    memset(uuid, 0, UUID_BYTES);
    for (const char *c = text; *c; c++) {
        if (*c == '-')
            continue;
        uuid[n / 2] = (guint8)(uuid[n / 2] << 4 | g_ascii_xdigit_value(*c));
        n++;
    }
    return TRUE;
}

char *
uuid_format(const guint8 uuid[UUID_BYTES])
{
    GString *text = g_string_sized_new(36);

    for (gsize i = 0; i < UUID_BYTES; i++)
        g_string_append_printf(text, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                               uuid[i]);
    return g_string_free(text, FALSE);
}
