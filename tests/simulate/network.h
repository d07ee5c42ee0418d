/*
 * network.h: the migration network's paths, and the connection between the two QEMUs
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "world.h"

void network_init(World *world);
/** Whether what @from sends arrives, over @path. */
gboolean network_carries(const World *world, guint path, MigrationRole from);
gboolean network_is_whole(const World *world, guint path);
/** Since when one direction or the other has been down; NEVER: it is not. */
gint64 network_down_since(const World *world, guint path);
void network_set(World *world, guint path, MigrationRole from, gboolean up);
/** Every connection over @path is reset: at both ends, or at one. */
void network_reset(World *world, guint path, gboolean source, gboolean destination);
gint64 network_latency(World *world);

/** A new connection takes the old one's place. */
void link_open(World *world, guint path, guint port);
void link_send(World *world, MigrationRole from, ChannelMessage message);
/** @host shuts its end down, or the process that has it ends. FALSE when it was not open. */
gboolean link_shut(World *world, MigrationRole host, Cause cause);
