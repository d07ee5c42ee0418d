/*
 * secret.h: what only the two hosts of a migration know
 *
 * Made on one host, carried to the other by libvirt's own protocol, which knows who it talks to.
 * Never logged, never shown.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

#define SECRET_BYTES 16

/** All zero: none. */
typedef struct {
    guint8 bytes[SECRET_BYTES];
} Secret;

/** From the kernel, not from GLib, whose numbers tell the next ones. FALSE, with none, when the
 * kernel has none to give. */
gboolean secret_make(Secret *secret);

gboolean secret_is_none(const Secret *secret);

/** Takes as long for any two. None is equal to nothing. */
gboolean secret_equal(const Secret *a, const Secret *b);

/** 32 hexadecimal digits; free with g_free(). */
char *secret_format(const Secret *secret);

/** FALSE, with @secret untouched, for anything else, and for none. */
gboolean secret_parse(const char *text, Secret *secret);
