/*
 * requests.h: what a person asks of a migration, from virsh or over D-Bus
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "run/migration.h"

/** Whether there is something to recover, and from here; changes nothing. Errors as below. */
gboolean requests_check_recover(Migration *migration, GError **error);

/**
 * requests_recover: takes a paused migration up now
 * @migration: on its source
 * @uri: tcp://HOST or tcp://HOST:PORT, another address of the destination and the port that its
 * QEMU is to listen on; NULL: the addresses that are known
 * @recoveries: (out): to wait for with MIGRATION_RECOVERED
 *
 * Any thread, never blocks. Errors: MIGRATION_ERROR.
 */
gboolean requests_recover(Migration *migration, const char *uri, guint *recoveries, GError **error);

/**
 * requests_pause: pauses a migration in postcopy until a person recovers it
 * @migration: on its source
 *
 * Any thread, never blocks. Errors: MIGRATION_ERROR.
 */
gboolean requests_pause(Migration *migration, GError **error);
