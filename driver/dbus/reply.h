/*
 * reply.h: the answer that a caller on D-Bus waits for
 *
 * Handed to the engine with a call and given back by it, once, whenever it knows the outcome. The
 * caller does not wait for ever: after its timeout it is told so, and what the engine says later
 * is dropped. A reply outlives the service and the caller; it belongs to the thread it was made on.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gio/gio.h>

typedef struct ServiceReply ServiceReply;

/**
 * service_reply_new:
 * @invocation: (transfer full): of a method that returns nothing
 * @timeout_s: seconds until the caller is answered with SERVICE_ERROR_TIMEOUT
 */
ServiceReply *service_reply_new(GDBusMethodInvocation *invocation, guint timeout_s);

/**
 * service_reply_finish:
 * @reply: (transfer full): the reply
 * @error: (nullable): why it failed, with a message for a person; NULL for success
 *
 * Answers the caller. Exactly once for each reply, on its thread; from within the call or later.
 */
void service_reply_finish(ServiceReply *reply, const GError *error);

/** Answers @invocation (transfer full) with the error @error, at once. */
void service_reply_refuse(GDBusMethodInvocation *invocation, const GError *error);
