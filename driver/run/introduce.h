/*
 * introduce.h: two hosts learn of each other, when a migration begins
 *
 * What they say travels in libvirt's cookies: the source's in Begin's and Perform's, the
 * destination's in Prepare's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "model/cookie.h"
#include "run/migration.h"

/** tcp:HOST:PORT as libvirt's Prepare makes it, or tcp://HOST:PORT as a person gives it; FALSE,
 * with the outputs untouched, for anything else, or NULL. */
gboolean introduce_parse_uri(const char *uri, char **host, guint16 *port);

/** Adds what the source says to libvirt's cookie, as cookie_add() does. */
gboolean introduce_source(Migration *migration, char **cookie, int *length, GError **error);

/**
 * introduce_destination: adds what the destination says to libvirt's cookie
 * @uri: where QEMU listens, as libvirt has it
 * @listen: the address that it alone is to listen on, or NULL; also kept for recoveries
 * @taken: (nullable) (element-type CookieBitmap): of departure_prepare()
 */
gboolean introduce_destination(Migration *migration,
                               const char *uri,
                               const char *listen,
                               GPtrArray *taken,
                               char **cookie,
                               int *length,
                               GError **error);

/** The migration has started here, and its source has no Holdfast that we can talk to: keeps what
 * is known of the source, and why, for a person. @cookie: what it sent; @error: what was wrong with
 * that, or NULL. */
void introduce_foreign(Migration *migration, const Cookie *cookie, const GError *error);

/** Has the source of a Holdfast that we do not understand, or it us, know our version. */
void introduce_version(char **cookie, int *length);

/**
 * introduce_learn_destination: what the source is to know before it sends anything
 * @uri: where it sends the memory to
 * @cookie: the destination's
 *
 * Returns: what it has made of the policy's postcopy.
 *
 * May block while the name in @uri is looked up, which QEMU does next anyway; not on the engine
 * thread.
 */
CookiePostcopy
introduce_learn_destination(Migration *migration, const char *uri, const char *cookie, int length);
