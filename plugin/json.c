/*
 * json.c: JSON (RFC 8259) as the commands print it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "json.h"

#include <string.h>

static void
append_quoted(GString *json, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);

    g_string_append_c(json, '"');
    for (const char *c = valid; *c; c++) {
        if (*c == '"' || *c == '\\')
            g_string_append_c(json, '\\');
        if ((guchar)*c < 0x20)
            g_string_append_printf(json, "\\u%04x", (guint)*c);
        else
            g_string_append_c(json, *c);
    }
    g_string_append_c(json, '"');
}

static void
begin(GString *json, const char *name)
{
    if (json->len > 0 && !strchr("{[", json->str[json->len - 1]))
        g_string_append(json, ", ");
    if (name) {
        append_quoted(json, name);
        g_string_append(json, ": ");
    }
}

void
json_open(GString *json, const char *name, char bracket)
{
    begin(json, name);
    g_string_append_c(json, bracket);
}

void
json_close(GString *json, char bracket)
{
    g_string_append_c(json, bracket);
}

void
json_add_text(GString *json, const char *name, const char *text)
{
    begin(json, name);
    append_quoted(json, text);
}

void
json_add_number(GString *json, const char *name, guint64 number)
{
    begin(json, name);
    g_string_append_printf(json, "%" G_GUINT64_FORMAT, number);
}

void
json_add_boolean(GString *json, const char *name, gboolean value)
{
    begin(json, name);
    g_string_append(json, value ? "true" : "false");
}
