/*
 * json.h: JSON text through libvirt's parser, and written so that every parser agrees on it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

/** A virJSONValue. */
typedef void Json;

void json_free(Json *json);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Json, json_free)

/** NULL for what is no JSON. The thread's libvirt error is left as it was. */
Json *json_parse(const char *text);

/**
 * json_quote:
 *
 * A string literal with its quotes, in ASCII: libvirt's parser may refuse other characters as they
 * are (json-c 0.18 with its STRICT flag does), and QEMU takes no noncharacters (util/unicode.c of
 * QEMU 10.0). Those, and invalid UTF-8, are replaced. Free with g_free().
 */
char *json_quote(const char *text);

/** JSON text with every character outside ASCII, which only strings have, escaped as
 * json_quote() does it. Free with g_free(). */
char *json_to_ascii(const char *text);
