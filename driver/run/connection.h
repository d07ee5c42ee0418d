/*
 * connection.h: the client's connection, kept open while the guest depends on it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "run/migration.h"

/** connection_is_another: whether one is kept for the migration, and it is not @dconn. Any thread.
 */
gboolean connection_is_another(Migration *migration, virConnectPtr dconn);

/** connection_drop: lets it close; on the engine thread, does not block. */
void connection_drop(Migration *migration);

/** connection_follow: the session may have changed its state; on the engine thread. */
void connection_follow(Migration *migration);
