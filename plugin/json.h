/*
 * json.h: JSON (RFC 8259) as the commands print it
 *
 * A text grows from left to right: open an object, add members, close it. An array's elements and
 * an object's members are separated by the functions; nothing is checked beyond that.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

/** json_open, json_close: '{' or '['; NAME: of the member, NULL in an array or at the top. */
void json_open(GString *json, const char *name, char bracket);
void json_close(GString *json, char bracket);

/** json_add_text: what is no UTF-8 in TEXT is replaced. */
void json_add_text(GString *json, const char *name, const char *text);
void json_add_number(GString *json, const char *name, guint64 number);
void json_add_boolean(GString *json, const char *name, gboolean value);
