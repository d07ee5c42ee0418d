/*
 * tree.h: the objects on one connection to a bus
 *
 * SERVICE_PATH with the ObjectManager and the Manager, and an object for each session under it.
 * Made when a connection is, and thrown away with it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gio/gio.h>

#include "dbus/methods.h"
#include "model/status.h"

typedef struct Tree Tree;

/** @methods (borrowed) gets the method calls; it must outlive the tree. */
Tree *tree_new(Methods *methods);
void tree_free(Tree *tree);

/** Puts up the session's object, in place of an older one of the domain; nothing else is said. */
void tree_add(Tree *tree, const Status *status);
/** Puts the tree, with what has been added so far, on a connection, without a signal: listeners
 * look when our name appears, and before it does the bus policy does not cover what we send. */
void tree_show(Tree *tree, GDBusConnection *connection);
/** Says the @announcements (dbus/announce.h) of a new @status, in their order. */
void tree_tell(Tree *tree, const Status *status, const GArray *announcements);
void tree_remove(Tree *tree, const char *uuid);
