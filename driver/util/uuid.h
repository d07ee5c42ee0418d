/*
 * uuid.h: UUIDs as bytes and as text
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

#define UUID_BYTES 16

/** FALSE, with @uuid untouched, for what is not a UUID in its usual form. */
gboolean uuid_parse(const char *text, guint8 uuid[UUID_BYTES]);

/** In lower case; free with g_free(). */
char *uuid_format(const guint8 uuid[UUID_BYTES]);
