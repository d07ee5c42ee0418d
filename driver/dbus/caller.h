/*
 * caller.h: may the caller of a method do what it asks for?
 *
 * The bus policy has already kept out everybody but root and the group libvirt. Here polkit is
 * asked for the single action, so that an administrator can grant or refuse it by rule; where there
 * is no polkit on the bus, the bus policy alone decides. Root, and on a session bus the user, may
 * always.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gio/gio.h>

#define CALLER_ACTION_RECOVER "org.holdfast.Migration1.recover"
#define CALLER_ACTION_PAUSE   "org.holdfast.Migration1.pause"

/**
 * caller_authorize_async:
 * @invocation: the method call; the result's source object
 * @action: polkit's name of what is asked for
 *
 * Never blocks; polkit may ask a person for a password if the caller allowed that.
 */
void caller_authorize_async(GDBusMethodInvocation *invocation,
                            const char *action,
                            GCancellable *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer user_data);

/** Returns: TRUE if the caller may; FALSE with SERVICE_ERROR_NOT_AUTHORIZED, or
 * G_IO_ERROR_CANCELLED. */
gboolean
caller_authorize_finish(GDBusMethodInvocation *invocation, GAsyncResult *result, GError **error);
