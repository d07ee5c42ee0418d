/*
 * qmp.c: QMP commands over libvirt's own monitor
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/qmp.h"

#include <glib/gi18n-lib.h>

#include "stock/domain-priv.h"
#include "stock/error.h"
#include "stock/hooks.h"
#include "stock/symbols.h"
#include "stock/table.h"

G_DEFINE_QUARK(holdfast - qmp - error - quark, qmp_error)

/* A virJSONValue. */
typedef void Json;

static void
json_free(Json *json)
{
    symbols.virJSONValueFree(json);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Json, json_free)

/* The domain, locked and in a job that may use its monitor; end() undoes it. */
static gpointer
begin(virDomainPtr dom, GError **error)
{
    gpointer vm = symbols.qemuDomainObjFromDomain(dom);

    if (!vm) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_GONE, _("domain %1$s is gone"),
                    virDomainGetName(dom));
        return NULL;
    }
    if (symbols.virDomainObjBeginJob(vm, table_row()->job_modify_migration_safe) < 0) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_BUSY, _("domain %1$s is busy: %2$s"),
                    virDomainGetName(dom), virGetLastErrorMessage());
        symbols.virDomainObjEndAPI(&vm);
        return NULL;
    }
    /* It may have stopped while we waited for the job, or be only about to start. */
    if (!stock_domain_is_active(vm) || !symbols.qemuDomainGetMonitor(vm)) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_INACTIVE, _("domain %1$s does not run"),
                    virDomainGetName(dom));
        symbols.virDomainObjEndJob(vm);
        symbols.virDomainObjEndAPI(&vm);
        return NULL;
    }
    return vm;
}

static void
end(gpointer vm)
{
    symbols.virDomainObjEndJob(vm);
    symbols.virDomainObjEndAPI(&vm);
}

/* @oob_json: what to send where the monitor has out-of-band commands, or NULL. */
static char *
send(virDomainPtr dom, const char *json, const char *oob_json, GError **error)
{
    gpointer vm = begin(dom, error);
    char *reply = NULL;
    gpointer monitor;
    int result;

    if (!vm)
        return NULL;
    /* The monitor stays: only a job may close it, and ours is the one that runs. */
    symbols.qemuDomainObjEnterMonitor(vm);
    monitor = symbols.qemuDomainGetMonitor(vm);
    if (oob_json && hooks_monitor_has_oob(monitor))
        json = oob_json;
    result = symbols.qemuMonitorArbitraryCommand(monitor, json, -1, &reply, false);
    symbols.qemuDomainObjExitMonitor(vm);
    if (result < 0)
        g_set_error(error, QMP_ERROR, QMP_ERROR_MONITOR,
                    _("QEMU's monitor of domain %1$s failed: %2$s"), virDomainGetName(dom),
                    virGetLastErrorMessage());
    end(vm);
    return result < 0 ? NULL : reply;
}

static char *
send_and_check(virDomainPtr dom, const char *json, const char *oob_json, GError **error)
{
    virErrorPtr saved = stock_error_save();
    g_autofree char *reply = send(dom, json, oob_json, error);
    gboolean ok = reply && qmp_parse_reply(reply, error);

    stock_error_restore(saved);
    return ok ? g_steal_pointer(&reply) : NULL;
}

char *
qmp_execute(virDomainPtr dom, const char *json, GError **error)
{
    return send_and_check(dom, json, NULL, error);
}

char *
qmp_execute_oob(virDomainPtr dom, const char *command, const char *arguments, GError **error)
{
    g_autofree char *name = qmp_quote(command);
    g_autofree char *rest =
        arguments ? g_strdup_printf(", \"arguments\": %s}", arguments) : g_strdup("}");
    g_autofree char *json = g_strdup_printf("{\"execute\": %s%s", name, rest);
    g_autofree char *oob_json = g_strdup_printf("{\"exec-oob\": %s%s", name, rest);

    return send_and_check(dom, json, oob_json, error);
}

gboolean
qmp_has_oob(virDomainPtr dom)
{
    virErrorPtr saved = stock_error_save();
    gpointer vm = symbols.qemuDomainObjFromDomain(dom);
    gboolean oob = FALSE;

    if (vm) {
        gpointer monitor = stock_domain_is_active(vm) ? symbols.qemuDomainGetMonitor(vm) : NULL;

        oob = monitor && hooks_monitor_has_oob(monitor);
        symbols.virDomainObjEndAPI(&vm);
    }
    stock_error_restore(saved);
    return oob;
}

char *
qmp_quote(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *quoted = g_string_new("\"");

    for (const char *c = valid; *c; c++) {
        if (*c == '"' || *c == '\\')
            g_string_append_printf(quoted, "\\%c", *c);
        else if ((guchar)*c < 0x20)
            g_string_append_printf(quoted, "\\u%04x", (guchar)*c);
        else
            g_string_append_c(quoted, *c);
    }
    g_string_append_c(quoted, '"');
    return g_string_free(quoted, FALSE);
}

static Json *
parse(const char *reply)
{
    virErrorPtr saved = stock_error_save();
    Json *json = symbols.virJSONValueFromString(reply);

    stock_error_restore(saved);
    return json;
}

gboolean
qmp_parse_reply(const char *reply, GError **error)
{
    g_autoptr(Json) json = parse(reply);
    Json *failure = json ? symbols.virJSONValueObjectGetObject(json, "error") : NULL;

    if (failure) {
        const char *class = symbols.virJSONValueObjectGetString(failure, "class");
        const char *desc = symbols.virJSONValueObjectGetString(failure, "desc");

        g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND, "%s: %s", class ? class : "GenericError",
                    desc ? desc : _("QEMU gives no reason"));
        return FALSE;
    }
    if (!json || !symbols.virJSONValueObjectGet(json, "return")) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_REPLY, _("QEMU's answer is no QMP: %1$.200s"),
                    reply);
        return FALSE;
    }
    return TRUE;
}

char *
qmp_reply_string(const char *reply, const char *member)
{
    g_autoptr(Json) json = parse(reply);
    Json *result = json ? symbols.virJSONValueObjectGetObject(json, "return") : NULL;

    return result ? g_strdup(symbols.virJSONValueObjectGetString(result, member)) : NULL;
}
