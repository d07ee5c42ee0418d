/*
 * hooks-incoming.h: the library of the one hook whose signature differs between versions
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

/** Gives the hook the stock qemuProcessIncomingDefNew; found with dlsym(), once, before its use. */
void holdfast_hooks_incoming_bind(gpointer function);
