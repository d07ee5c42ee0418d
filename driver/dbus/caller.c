/*
 * caller.c: may the caller of a method do what it asks for?
 *
 * How it works: the bus is asked for the caller's user; root and our own user may. Anybody else is
 * polkit's decision. Whatever goes wrong on the way is a refusal, except that there is no polkit.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dbus/caller.h"

#include <glib/gi18n-lib.h>
#include <unistd.h>

#include "dbus/error.h"

/* The bus answers at once or is in trouble. */
#define BUS_TIMEOUT_MS (10 * 1000)
/* A person may have to find a password; then the call is refused rather than kept for ever. */
#define POLKIT_TIMEOUT_MS (120 * 1000)

/* PolicyKit's CheckAuthorizationFlags (org.freedesktop.PolicyKit1.Authority). */
#define POLKIT_ALLOW_USER_INTERACTION 1u

static void
refuse(GTask *task, const char *why)
{
    g_task_return_new_error(task, SERVICE_ERROR, SERVICE_ERROR_NOT_AUTHORIZED,
                            _("You may not do this (%1$s): ask as root, or have the "
                              "administrator grant you %2$s in polkit"),
                            why, (const char *)g_task_get_task_data(task));
}

/* Whether the error says that no polkit is there, rather than that it did not answer well. */
static gboolean
is_absent(const GError *error)
{
    static const char *const names[] = {
        "org.freedesktop.DBus.Error.ServiceUnknown",
        "org.freedesktop.DBus.Error.NameHasNoOwner",
        "org.freedesktop.DBus.Error.Spawn.ServiceNotFound",
        "org.freedesktop.systemd1.NoSuchUnit",
        NULL,
    };
    g_autofree char *name = g_dbus_error_get_remote_error(error);

    return name && g_strv_contains(names, name);
}

static void
on_polkit(GObject *source, GAsyncResult *result, gpointer user_data)
{
    g_autoptr(GTask) task = user_data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer =
        g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
    gboolean authorized, challenge;

    if (!answer) {
        if (is_absent(error)) {
            g_task_return_boolean(task, TRUE);
        } else {
            g_dbus_error_strip_remote_error(error);
            refuse(task, error->message);
        }
        return;
    }
    g_variant_get(answer, "((bba{ss}))", &authorized, &challenge, NULL);
    if (authorized)
        g_task_return_boolean(task, TRUE);
    else if (challenge)
        refuse(task, _("polkit wants a password, and the call did not allow it to ask"));
    else
        refuse(task, _("polkit said no"));
}

static void
ask_polkit(GTask *task)
{
    GDBusMethodInvocation *invocation = g_task_get_source_object(task);
    GDBusMessageFlags flags =
        g_dbus_message_get_flags(g_dbus_method_invocation_get_message(invocation));
    gboolean interactive = flags & G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION;
    GVariantBuilder subject;

    g_variant_builder_init(&subject, G_VARIANT_TYPE("a{sv}"));
    g_variant_builder_add(&subject, "{sv}", "name",
                          g_variant_new_string(g_dbus_method_invocation_get_sender(invocation)));
    g_dbus_connection_call(g_dbus_method_invocation_get_connection(invocation),
                           "org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority",
                           "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization",
                           g_variant_new("((sa{sv})sa{ss}us)", "system-bus-name", &subject,
                                         (const char *)g_task_get_task_data(task), NULL,
                                         interactive ? POLKIT_ALLOW_USER_INTERACTION : 0u, ""),
                           G_VARIANT_TYPE("((bba{ss}))"), G_DBUS_CALL_FLAGS_NONE, POLKIT_TIMEOUT_MS,
                           g_task_get_cancellable(task), on_polkit, g_object_ref(task));
}

static void
on_user(GObject *source, GAsyncResult *result, gpointer user_data)
{
    g_autoptr(GTask) task = user_data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer =
        g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
    guint32 uid;

    if (!answer) {
        g_dbus_error_strip_remote_error(error);
        refuse(task, error->message);
        return;
    }
    g_variant_get(answer, "(u)", &uid);
    if (uid == 0 || uid == geteuid())
        g_task_return_boolean(task, TRUE);
    else
        ask_polkit(task);
}

void
caller_authorize_async(GDBusMethodInvocation *invocation,
                       const char *action,
                       GCancellable *cancellable,
                       GAsyncReadyCallback callback,
                       gpointer user_data)
{
    g_autoptr(GTask) task = g_task_new(invocation, cancellable, callback, user_data);

    g_task_set_task_data(task, g_strdup(action), g_free);
    g_dbus_connection_call(g_dbus_method_invocation_get_connection(invocation),
                           "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                           "GetConnectionUnixUser",
                           g_variant_new("(s)", g_dbus_method_invocation_get_sender(invocation)),
                           G_VARIANT_TYPE("(u)"), G_DBUS_CALL_FLAGS_NONE, BUS_TIMEOUT_MS,
                           cancellable, on_user, g_object_ref(task));
}

gboolean
caller_authorize_finish(GDBusMethodInvocation *invocation, GAsyncResult *result, GError **error)
{
    g_return_val_if_fail(g_task_is_valid(result, invocation), FALSE);
    return g_task_propagate_boolean(G_TASK(result), error);
}
