/*
 * json.c: JSON text
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/json.h"

#include "stock/error.h"
#include "stock/symbols.h"

#define REPLACEMENT 0xFFFD

void
json_free(Json *json)
{
    symbols.virJSONValueFree(json);
}

Json *
json_parse(const char *text)
{
    virErrorPtr saved = stock_error_save();
    /* json-c 0.18, which libvirt 11 uses, refuses other characters than ASCII when it is strict. */
    g_autofree char *ascii = json_to_ascii(text);
    Json *json = symbols.virJSONValueFromString(ascii);

    stock_error_restore(saved);
    return json;
}

static gboolean
is_noncharacter(gunichar c)
{
    return (c >= 0xFDD0 && c <= 0xFDEF) || (c & 0xFFFE) == 0xFFFE;
}

/* JSON's escapes are UTF-16. */
static void
append_escape(GString *to, gunichar c)
{
    if (is_noncharacter(c))
        c = REPLACEMENT;
    if (c > 0xFFFF)
        g_string_append_printf(to, "\\u%04x\\u%04x", 0xD800 + ((c - 0x10000) >> 10),
                               0xDC00 + ((c - 0x10000) & 0x3FF));
    else
        g_string_append_printf(to, "\\u%04x", c);
}

char *
json_quote(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *quoted = g_string_new("\"");

    for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        if (c == '"' || c == '\\')
            g_string_append_printf(quoted, "\\%c", (char)c);
        else if (c < 0x20 || c >= 0x7f)
            append_escape(quoted, c);
        else
            g_string_append_c(quoted, (char)c);
    }
    g_string_append_c(quoted, '"');
    return g_string_free(quoted, FALSE);
}

char *
json_to_ascii(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *ascii = g_string_new(NULL);

    for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        if (c >= 0x7f)
            append_escape(ascii, c);
        else
            g_string_append_c(ascii, (char)c);
    }
    return g_string_free(ascii, FALSE);
}
