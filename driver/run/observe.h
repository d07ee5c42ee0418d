/*
 * observe.h: what happened, told to the engine
 *
 * The counterpart of execute.h: one thing that happens in the world, one event.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

#include "run/peer.h"

/** QEMU's MIGRATION events, from the hook in front of the stock driver's handler. */
void observe_migration_events(void);

/** The end of domains. On a fresh connection of our own; called by host_connect(). */
void observe_domains(virConnectPtr connection);

/** A question of another host's Holdfast (a PeerServerFn); on the engine thread. */
void observe_question(PeerQuestion *question, gpointer opaque);
