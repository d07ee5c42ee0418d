/*
 * qmp.c: QMP commands over libvirt's own monitor
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/qmp.h"

#include <glib-object.h>
#include <glib/gi18n-lib.h>

#include "stock/domain-priv.h"
#include "stock/error.h"
#include "stock/hooks.h"
#include "stock/json.h"
#include "stock/oob.h"
#include "stock/symbols.h"
#include "stock/table.h"

/* An answer takes about a millisecond, also of a QEMU whose main loop hangs. What does not answer
 * in this time is a QEMU that is stopped, or a host without a processor to spare. */
#define OOB_TIMEOUT_MS 10000

G_DEFINE_QUARK(holdfast - qmp - error - quark, qmp_error)

gboolean
qmp_error_is_gone(const GError *error)
{
    return g_error_matches(error, QMP_ERROR, QMP_ERROR_GONE) ||
           g_error_matches(error, QMP_ERROR, QMP_ERROR_INACTIVE);
}

static void
set_gone_error(virDomainPtr dom, GError **error)
{
    g_set_error(error, QMP_ERROR, QMP_ERROR_GONE, _("domain %1$s is gone"), virDomainGetName(dom));
}

static void
set_inactive_error(virDomainPtr dom, GError **error)
{
    g_set_error(error, QMP_ERROR, QMP_ERROR_INACTIVE, _("domain %1$s does not run"),
                virDomainGetName(dom));
}

/* What libvirt says went wrong; a copy, since virDomainGetName() and its like forget it. */
static char *
copy_libvirt_message(void)
{
    return g_strdup(virGetLastErrorMessage());
}

/* The domain, locked and in a job that may use its monitor; end() undoes it. */
static gpointer
begin(virDomainPtr dom, GError **error)
{
    gpointer vm = symbols.qemuDomainObjFromDomain(dom);

    if (!vm) {
        set_gone_error(dom, error);
        return NULL;
    }
    if (symbols.virDomainObjBeginJob(vm, table_row()->job_modify_migration_safe) < 0) {
        g_autofree char *message = copy_libvirt_message();

        g_set_error(error, QMP_ERROR, QMP_ERROR_BUSY, _("domain %1$s is busy: %2$s"),
                    virDomainGetName(dom), message);
        symbols.virDomainObjEndAPI(&vm);
        return NULL;
    }
    /* It may have stopped while we waited for the job, or be only about to start. */
    if (!stock_domain_is_active(vm) || !symbols.qemuDomainGetMonitor(vm)) {
        set_inactive_error(dom, error);
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

/* @oob_json: what to send where the monitor has out-of-band commands, or NULL. @fd: to be passed
 * with it, or -1. In a job. */
static char *
send(virDomainPtr dom, gpointer vm, const char *json, const char *oob_json, int fd, GError **error)
{
    char *reply = NULL;
    gpointer monitor;
    int result;

    /* The monitor stays: only a job may close it, and ours is the one that runs. */
    symbols.qemuDomainObjEnterMonitor(vm);
    monitor = symbols.qemuDomainGetMonitor(vm);
    if (oob_json && hooks_monitor_has_oob(monitor))
        json = oob_json;
    result = symbols.qemuMonitorArbitraryCommand(monitor, json, fd, &reply, false);
    symbols.qemuDomainObjExitMonitor(vm);
    if (result < 0) {
        g_autofree char *message = copy_libvirt_message();

        g_set_error(error, QMP_ERROR, QMP_ERROR_MONITOR,
                    _("QEMU's monitor of domain %1$s failed: %2$s"), virDomainGetName(dom),
                    message);
    }
    return result < 0 ? NULL : reply;
}

/* A job for one command. */
static char *
send_alone(virDomainPtr dom, const char *json, const char *oob_json, GError **error)
{
    gpointer vm = begin(dom, error);
    char *reply;

    if (!vm)
        return NULL;
    reply = send(dom, vm, json, oob_json, -1, error);
    end(vm);
    return reply;
}

char *
qmp_execute(virDomainPtr dom, const char *json, GError **error)
{
    virErrorPtr saved = stock_error_save();
    g_autofree char *reply = send_alone(dom, json, NULL, error);
    gboolean ok = reply && qmp_parse_reply(reply, error);

    stock_error_restore(saved);
    return ok ? g_steal_pointer(&reply) : NULL;
}

/* --- several commands --- */

struct QmpJob {
    virDomainPtr dom;
    gpointer vm; /* locked, but while a command is under way */
};

QmpJob *
qmp_job_begin(virDomainPtr dom, GError **error)
{
    virErrorPtr saved = stock_error_save();
    gpointer vm = begin(dom, error);
    QmpJob *job = NULL;

    if (vm) {
        job = g_new(QmpJob, 1);
        job->dom = dom;
        job->vm = vm;
        virDomainRef(dom);
    }
    stock_error_restore(saved);
    return job;
}

static char *
job_execute(QmpJob *job, const char *json, int fd, GError **error)
{
    virErrorPtr saved = stock_error_save();
    g_autofree char *reply = NULL;
    gboolean ok;

    if (stock_domain_is_active(job->vm) && symbols.qemuDomainGetMonitor(job->vm))
        reply = send(job->dom, job->vm, json, NULL, fd, error);
    else
        set_inactive_error(job->dom, error);
    ok = reply && qmp_parse_reply(reply, error);
    stock_error_restore(saved);
    return ok ? g_steal_pointer(&reply) : NULL;
}

char *
qmp_job_execute(QmpJob *job, const char *json, GError **error)
{
    return job_execute(job, json, -1, error);
}

gboolean
qmp_job_pass_fd(QmpJob *job, const char *name, int fd, GError **error)
{
    g_autofree char *quoted = json_quote(name);
    g_autofree char *json =
        g_strdup_printf("{\"execute\":\"getfd\",\"arguments\":{\"fdname\":%s}}", quoted);
    g_autofree char *reply = job_execute(job, json, fd, error);

    return reply != NULL;
}

void
qmp_job_end(QmpJob *job)
{
    virErrorPtr saved;

    if (!job)
        return;
    saved = stock_error_save();
    end(job->vm);
    virDomainFree(job->dom);
    g_free(job);
    stock_error_restore(saved);
}

gpointer
qmp_get_monitor(virDomainPtr dom, GError **error)
{
    gpointer vm = symbols.qemuDomainObjFromDomain(dom);
    gpointer monitor;

    if (!vm) {
        set_gone_error(dom, error);
        return NULL;
    }
    monitor = stock_domain_is_active(vm) ? symbols.qemuDomainGetMonitor(vm) : NULL;
    if (monitor)
        g_object_ref(monitor);
    else
        set_inactive_error(dom, error);
    symbols.virDomainObjEndAPI(&vm);
    return monitor;
}

/* In a job like any other command: waits behind one that hangs. */
static char *
execute_oob_in_job(virDomainPtr dom, const char *command, const char *arguments, GError **error)
{
    g_autofree char *name = qmp_quote(command);
    g_autofree char *rest =
        arguments ? g_strdup_printf(", \"arguments\": %s}", arguments) : g_strdup("}");
    g_autofree char *json = g_strdup_printf("{\"execute\": %s%s", name, rest);
    g_autofree char *oob_json = g_strdup_printf("{\"exec-oob\": %s%s", name, rest);

    return send_alone(dom, json, oob_json, error);
}

char *
qmp_execute_oob(virDomainPtr dom, const char *command, const char *arguments, GError **error)
{
    virErrorPtr saved = stock_error_save();
    g_autoptr(GObject) monitor = qmp_get_monitor(dom, error);
    g_autofree char *reply = NULL;
    gboolean ok;

    if (monitor && oob_is_bound() && hooks_monitor_has_oob(monitor)) {
        reply = oob_execute(table_row(), monitor, command, arguments, OOB_TIMEOUT_MS, error);
        if (!reply)
            g_prefix_error(error, _("domain %1$s: "), virDomainGetName(dom));
    } else if (monitor) {
        reply = execute_oob_in_job(dom, command, arguments, error);
    }
    ok = reply && qmp_parse_reply(reply, error);
    stock_error_restore(saved);
    return ok ? g_steal_pointer(&reply) : NULL;
}

gboolean
qmp_has_oob(virDomainPtr dom)
{
    virErrorPtr saved = stock_error_save();
    g_autoptr(GObject) monitor = qmp_get_monitor(dom, NULL);
    gboolean oob = monitor && hooks_monitor_has_oob(monitor);

    stock_error_restore(saved);
    return oob;
}

char *
qmp_quote(const char *text)
{
    return json_quote(text);
}

gboolean
qmp_parse_reply(const char *reply, GError **error)
{
    g_autoptr(Json) json = json_parse(reply);
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
    g_autoptr(Json) json = json_parse(reply);
    Json *result = json ? symbols.virJSONValueObjectGetObject(json, "return") : NULL;

    return result ? g_strdup(symbols.virJSONValueObjectGetString(result, member)) : NULL;
}

gboolean
qmp_reply_number(const char *reply, const char *object, const char *member, guint64 *value)
{
    g_autoptr(Json) json = json_parse(reply);
    Json *result = json ? symbols.virJSONValueObjectGetObject(json, "return") : NULL;
    Json *within = result && object ? symbols.virJSONValueObjectGetObject(result, object) : result;
    unsigned long long number;

    if (!within || symbols.virJSONValueObjectGetNumberUlong(within, member, &number) < 0)
        return FALSE;
    *value = number;
    return TRUE;
}
