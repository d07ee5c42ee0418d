/*
 * texts.h: a list of texts as bytes, for one host to send to the other
 *
 * Big endian: a version, the oldest version that can be read by who can read this, how many; then
 * each, its length first:
 *
 *      0       2       4               8               12
 *      +-------+-------+---------------+---------------+-------- - -
 *      |version|oldest |     number    |    length     | UTF-8, ...
 *      +-------+-------+---------------+---------------+-------- - -
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

#define TEXTS_VERSION 1
#define TEXTS_OLDEST  1
/* A list whose texts are empty would take many times its bytes in memory. */
#define TEXTS_MAX 100000

#define TEXTS_ERROR (texts_error_quark())
GQuark texts_error_quark(void);
typedef enum {
    TEXTS_ERROR_VERSION, /* that we cannot read */
    TEXTS_ERROR_INVALID, /* cut short, too long, or no text */
} TextsError;

/** @texts: (element-type utf8): TEXTS_MAX at most */
GBytes *texts_encode(const GPtrArray *texts);

/** Returns: (element-type utf8) (transfer full): NULL with @error set; nothing may follow the last.
 */
GPtrArray *texts_decode(GBytes *bytes, GError **error);
