/*
 * methods.c: a method call on its way from the bus to the engine
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dbus/methods.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "dbus/caller.h"
#include "dbus/error.h"

/* Callers that do not say otherwise wait 25 s for an answer on D-Bus (libdbus, GDBus and sd-bus
 * alike): to be told something they must be told before that. */
#define DEFAULT_TIMEOUT_S 20
#define MAX_TIMEOUT_S     (24 * 60 * 60)

/* Longer than any URI that names a host and a port, or a socket (108 bytes). */
#define URI_MAX_BYTES 1024
/* Of what a caller sent, as it is quoted back in a message. */
#define QUOTE_MAX_BYTES 64

struct Methods {
    ServiceCalls calls;
    gpointer user_data;
    GCancellable *cancellable; /* cancelled: we are gone */
};

typedef struct {
    Methods *methods; /* valid unless methods->cancellable is cancelled */
    GDBusMethodInvocation *invocation;
    char *uuid;
    char *uri; /* NULL: the migration's own */
    guint timeout_s;
    gboolean recover; /* else pause */
} Call;

static void
call_free(Call *call)
{
    g_clear_object(&call->invocation);
    g_free(call->uuid);
    g_free(call->uri);
    g_free(call);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Call, call_free)

Methods *
methods_new(const ServiceCalls *calls, gpointer user_data)
{
    Methods *methods = g_new0(Methods, 1);

    methods->calls = *calls;
    methods->user_data = user_data;
    methods->cancellable = g_cancellable_new();
    return methods;
}

void
methods_free(Methods *methods)
{
    if (!methods)
        return;
    g_cancellable_cancel(methods->cancellable);
    g_object_unref(methods->cancellable);
    g_free(methods);
}

static gboolean
parse_uri(GVariant *value, char **uri, GError **error)
{
    gsize len;
    const char *text;

    if (!g_variant_is_of_type(value, G_VARIANT_TYPE_STRING)) {
        g_set_error(error, SERVICE_ERROR, SERVICE_ERROR_INVALID_ARGUMENT,
                    _("The option 'uri' is of type '%1$s': give it as a string ('s')"),
                    g_variant_get_type_string(value));
        return FALSE;
    }
    text = g_variant_get_string(value, &len);
    if (len > URI_MAX_BYTES) {
        g_set_error(error, SERVICE_ERROR, SERVICE_ERROR_INVALID_ARGUMENT,
                    _("The option 'uri' is %1$zu bytes long: give at most %2$d"), len,
                    URI_MAX_BYTES);
        return FALSE;
    }
    g_free(*uri);
    *uri = len ? g_strdup(text) : NULL;
    return TRUE;
}

static gboolean
parse_timeout(GVariant *value, guint *timeout_s, GError **error)
{
    guint64 seconds;

    if (!g_variant_is_of_type(value, G_VARIANT_TYPE_UINT64)) {
        g_set_error(error, SERVICE_ERROR, SERVICE_ERROR_INVALID_ARGUMENT,
                    _("The option 'timeout' is of type '%1$s': give seconds as an unsigned 64-bit "
                      "number ('t')"),
                    g_variant_get_type_string(value));
        return FALSE;
    }
    seconds = g_variant_get_uint64(value);
    if (seconds < 1 || seconds > MAX_TIMEOUT_S) {
        g_set_error(error, SERVICE_ERROR, SERVICE_ERROR_INVALID_ARGUMENT,
                    _("The option 'timeout' is %1$llu seconds: give 1 to %2$d"),
                    (unsigned long long)seconds, MAX_TIMEOUT_S);
        return FALSE;
    }
    *timeout_s = seconds;
    return TRUE;
}

static gboolean
parse_options(Call *call, GVariant *options, GError **error)
{
    GVariantIter iter;

    g_variant_iter_init(&iter, options);
    for (;;) {
        g_autoptr(GVariant) value = NULL;
        g_autofree char *quoted = NULL;
        const char *key;
        gboolean ok;

        if (!g_variant_iter_next(&iter, "{&sv}", &key, &value))
            return TRUE;
        if (g_str_equal(key, "uri")) {
            ok = parse_uri(value, &call->uri, error);
        } else if (g_str_equal(key, "timeout")) {
            ok = parse_timeout(value, &call->timeout_s, error);
        } else {
            quoted = g_utf8_make_valid(key, strnlen(key, QUOTE_MAX_BYTES));
            g_set_error(error, SERVICE_ERROR, SERVICE_ERROR_INVALID_ARGUMENT,
                        _("There is no option '%1$s': give 'uri' or 'timeout'"), quoted);
            ok = FALSE;
        }
        if (!ok)
            return FALSE;
    }
}

static void
refuse(Call *call, const GError *error)
{
    service_reply_refuse(g_steal_pointer(&call->invocation), error);
}

static void
on_authorized(GObject *source, GAsyncResult *result, gpointer user_data)
{
    g_autoptr(Call) call = user_data;
    g_autoptr(GError) error = NULL;
    const ServiceCalls *calls;
    gpointer calls_data;
    ServiceReply *reply;

    if (!caller_authorize_finish(call->invocation, result, &error)) {
        refuse(call, error);
        return;
    }
    /* Not cancelled, so there still is a Methods; the engine may free it in what follows. */
    calls = &call->methods->calls;
    calls_data = call->methods->user_data;
    reply = service_reply_new(g_steal_pointer(&call->invocation), call->timeout_s);
    if (call->recover)
        calls->recover(call->uuid, call->uri, reply, calls_data);
    else
        calls->pause(call->uuid, reply, calls_data);
}

static Call *
call_new(Methods *methods, const char *uuid, GDBusMethodInvocation *invocation)
{
    Call *call = g_new0(Call, 1);

    call->methods = methods;
    call->invocation = invocation;
    call->uuid = g_strdup(uuid);
    call->timeout_s = DEFAULT_TIMEOUT_S;
    return call;
}

static void
call_authorize(Call *call, const char *action)
{
    caller_authorize_async(call->invocation, action, call->methods->cancellable, on_authorized,
                           call);
}

void
methods_recover(Methods *methods,
                const char *uuid,
                GVariant *options,
                GDBusMethodInvocation *invocation)
{
    g_autoptr(Call) call = call_new(methods, uuid, invocation);
    g_autoptr(GError) error = NULL;

    call->recover = TRUE;
    if (parse_options(call, options, &error))
        call_authorize(g_steal_pointer(&call), CALLER_ACTION_RECOVER);
    else
        refuse(call, error);
}

void
methods_pause(Methods *methods, const char *uuid, GDBusMethodInvocation *invocation)
{
    call_authorize(call_new(methods, uuid, invocation), CALLER_ACTION_PAUSE);
}
