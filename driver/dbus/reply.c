/*
 * reply.c: the answer that a caller on D-Bus waits for
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dbus/reply.h"

#include <glib/gi18n-lib.h>

#include "dbus/error.h"

struct ServiceReply {
    GDBusMethodInvocation *invocation; /* NULL: answered */
    GSource *timer;
};

static gboolean
on_timeout(gpointer user_data)
{
    ServiceReply *reply = user_data;
    g_autoptr(GError) error = NULL;

    g_set_error_literal(&error, SERVICE_ERROR, SERVICE_ERROR_TIMEOUT,
                        _("The migration has not got there in the time given; it is still being "
                          "tried, so watch its state or call again with a longer timeout"));
    service_reply_refuse(g_steal_pointer(&reply->invocation), error);
    return G_SOURCE_REMOVE;
}

ServiceReply *
service_reply_new(GDBusMethodInvocation *invocation, guint timeout_s)
{
    ServiceReply *reply = g_new0(ServiceReply, 1);
    g_autoptr(GMainContext) context = g_main_context_ref_thread_default();

    reply->invocation = invocation;
    reply->timer = g_timeout_source_new_seconds(timeout_s);
    g_source_set_callback(reply->timer, on_timeout, reply, NULL);
    g_source_attach(reply->timer, context);
    return reply;
}

void
service_reply_finish(ServiceReply *reply, const GError *error)
{
    g_source_destroy(reply->timer);
    g_source_unref(reply->timer);
    if (reply->invocation && error)
        service_reply_refuse(reply->invocation, error);
    else if (reply->invocation)
        g_dbus_method_invocation_return_value(reply->invocation, NULL);
    g_free(reply);
}

void
service_reply_refuse(GDBusMethodInvocation *invocation, const GError *error)
{
    g_autofree char *message = g_utf8_make_valid(error->message, -1);

    g_dbus_method_invocation_return_dbus_error(invocation, service_error_dbus_name(error), message);
}
