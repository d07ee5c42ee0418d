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
 * Blocks while the name of a host is looked up; not on the engine thread. Errors: MIGRATION_ERROR.
 */
gboolean requests_recover(Migration *migration, const char *uri, guint *recoveries, GError **error);

typedef enum {
    REQUESTS_PAUSED,      /* done */
    REQUESTS_PAUSE_STOCK, /* stock libvirt is to do it, or has the words for why it cannot be done
                           */
    REQUESTS_PAUSE_FAILED,
} RequestsPause;

/**
 * requests_pause_begin: a person's pause that came through libvirt's API
 * @migration: on its source, in any state
 *
 * May block for some seconds, while a recovery is being paused; not on the engine thread. Errors:
 * MIGRATION_ERROR.
 */
RequestsPause requests_pause_begin(Migration *migration, GError **error);

/** When stock libvirt has refused it after REQUESTS_PAUSE_STOCK: whether it is paused all the same,
 * by that person; otherwise no pause is awaited any more. May block like the above. */
gboolean requests_pause_end(Migration *migration);

/**
 * requests_pause: pauses a migration in postcopy until a person recovers it
 * @migration: on its source
 *
 * Any thread, never blocks. Errors: MIGRATION_ERROR.
 */
gboolean requests_pause(Migration *migration, GError **error);
