/*
 * hooks.c: the hooks whose signatures are the same in every version we know
 *
 * The functions with the stock names are exported from holdfast-driver.so. Each was checked in
 * libvirt 9.0.0 and 11.3.0, src/qemu/qemu_monitor.h and qemu_monitor_json.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/hooks.h"

#include <dlfcn.h>
#include <glib-object.h>
#include <stdbool.h>

#include "stock/domain-priv.h"
#include "stock/error.h"
#include "stock/oob.h"
#include "stock/qmp.h"
#include "stock/symbols.h"
#include "stock/table.h"

#define EXPORT __attribute__((visibility("default")))

/* The stock module calls these; nothing of ours does. */
EXPORT void qemuMonitorEmitMigrationStatus(gpointer monitor, int status);
EXPORT void qemuMonitorEmitResume(gpointer monitor);
EXPORT int qemuMonitorJSONSetCapabilities(gpointer monitor);
EXPORT int qemuMonitorJSONIOProcessLine(gpointer monitor, const char *line, gpointer message);
EXPORT int qemuMonitorMigrateStartPostCopy(gpointer monitor);
EXPORT int qemuMonitorMigrateContinue(gpointer monitor, int status);

/* Apart from `symbols`, because these must work even when that could not be loaded. */
static struct {
    void (*emit_migration_status)(gpointer monitor, int status);
    void (*emit_resume)(gpointer monitor);
    int (*set_capabilities)(gpointer monitor);
    int (*process_line)(gpointer monitor, const char *line, gpointer message);
    int (*start_postcopy)(gpointer monitor);
    int (*migrate_continue)(gpointer monitor, int status);
} stock_functions;

typedef struct {
    HooksMigrationFn fn;
    gpointer opaque;
} Listener;

typedef struct {
    HooksContinueFn fn;
    gpointer opaque;
} ContinueListener;

static GMutex listener_lock;
static Listener listener;
static HooksResumeFn resume_listener;
static ContinueListener continue_listener;

void
hooks_bind(gpointer stock)
{
    *(gpointer *)&stock_functions.emit_migration_status =
        dlsym(stock, "qemuMonitorEmitMigrationStatus");
    *(gpointer *)&stock_functions.emit_resume = dlsym(stock, "qemuMonitorEmitResume");
    *(gpointer *)&stock_functions.set_capabilities = dlsym(stock, "qemuMonitorJSONSetCapabilities");
    *(gpointer *)&stock_functions.process_line = dlsym(stock, "qemuMonitorJSONIOProcessLine");
    *(gpointer *)&stock_functions.start_postcopy = dlsym(stock, "qemuMonitorMigrateStartPostCopy");
    *(gpointer *)&stock_functions.migrate_continue = dlsym(stock, "qemuMonitorMigrateContinue");
    hooks_finish_bind(stock);
    hooks_unattended_bind(stock);
}

void
hooks_set_migration_listener(HooksMigrationFn fn, gpointer opaque)
{
    g_mutex_lock(&listener_lock);
    listener = (Listener){fn, opaque};
    g_mutex_unlock(&listener_lock);
}

void
hooks_set_resume_listener(HooksResumeFn fn)
{
    g_mutex_lock(&listener_lock);
    resume_listener = fn;
    g_mutex_unlock(&listener_lock);
}

void
hooks_set_continue_listener(HooksContinueFn fn, gpointer opaque)
{
    g_mutex_lock(&listener_lock);
    continue_listener = (ContinueListener){fn, opaque};
    g_mutex_unlock(&listener_lock);
}

void
qemuMonitorEmitMigrationStatus(gpointer monitor, int status)
{
    const AbiRow *row = table_row();
    const char *name = row ? abi_migration_status(row, status) : NULL;
    Listener to;

    g_mutex_lock(&listener_lock);
    to = listener;
    g_mutex_unlock(&listener_lock);
    if (to.fn && name)
        to.fn(stock_domain_uuid_of_monitor(monitor), name, to.opaque);
    stock_functions.emit_migration_status(monitor, status);
}

void
qemuMonitorEmitResume(gpointer monitor)
{
    HooksResumeFn to;

    g_mutex_lock(&listener_lock);
    to = resume_listener;
    g_mutex_unlock(&listener_lock);
    if (to && table_row())
        to(stock_domain_uuid_of_monitor(monitor));
    stock_functions.emit_resume(monitor);
}

/* As qemuMonitorIOProcess() does, with a reference and locked (src/qemu/qemu_monitor.c, 9.0.0 and
 * 11.3.0). */
gboolean
hooks_emit_migration_status(virDomainPtr dom, const char *status, GError **error)
{
    g_autoptr(GObject) monitor = qmp_get_monitor(dom, error);

    if (!monitor)
        return FALSE;
    symbols.virObjectLock(monitor);
    stock_functions.emit_migration_status(monitor, abi_find_migration_status(table_row(), status));
    symbols.virObjectUnlock(monitor);
    return TRUE;
}

/* A property of the monitor, which is a GObject, so that it is gone with it. */
static GQuark
oob_quark(void)
{
    return g_quark_from_static_string("holdfast-oob");
}

gboolean
hooks_monitor_has_oob(gpointer monitor)
{
    return g_object_get_qdata(monitor, oob_quark()) != NULL;
}

char *
hooks_ask(gpointer monitor, const char *json, GError **error)
{
    virErrorPtr saved = stock_error_save();
    g_autofree char *reply = NULL;
    gboolean ok = FALSE;

    if (symbols.qemuMonitorArbitraryCommand(monitor, json, -1, &reply, false) < 0)
        g_set_error(error, QMP_ERROR, QMP_ERROR_MONITOR, "the monitor has failed");
    else
        ok = qmp_parse_reply(reply, error);
    stock_error_restore(saved);
    return ok ? g_steal_pointer(&reply) : NULL;
}

/* A command within a call of libvirt's, which has the monitor. */
static gboolean
send(gpointer monitor, const char *json, GError **error)
{
    g_autofree char *reply = hooks_ask(monitor, json, error);

    return reply != NULL;
}

static gboolean
enable_oob(gpointer monitor)
{
    g_autoptr(GError) error = NULL;

    if (send(monitor, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}",
             &error))
        return TRUE;
    g_info("this QEMU has no out-of-band commands: %s", error->message);
    return FALSE;
}

/* Called once a monitor connection, with the monitor locked, before any other command. A refusal
 * leaves QEMU waiting for the capabilities, so that the stock call then does its work. */
int
qemuMonitorJSONSetCapabilities(gpointer monitor)
{
    if (table_row() && enable_oob(monitor)) {
        g_object_set_qdata(monitor, oob_quark(), GINT_TO_POINTER(TRUE));
        return 0;
    }
    return stock_functions.set_capabilities(monitor);
}

/* Called for every line from QEMU, with the monitor locked, on the thread that reads it. */
int
qemuMonitorJSONIOProcessLine(gpointer monitor, const char *line, gpointer message)
{
    if (table_row() && oob_take_line(monitor, line))
        return 0;
    return stock_functions.process_line(monitor, line, message);
}

/* QEMU believes to be at the end when the rest would take no longer than a switch may: in postcopy
 * too, where it means that it sends the rest with its main loop locked, and that a channel which
 * breaks is no pause any more but a failure (migration_iteration_run() and migration_completion(),
 * migration/migration.c, QEMU 10.0). With no time for a switch it is at the end when nothing
 * remains. libvirt restores the parameter when the migration ends without having moved the guest
 * (qemuMigrationParamsReset(), src/qemu/qemu_migration_params.c, 9.0.0 and 11.3.0). */
int
qemuMonitorMigrateStartPostCopy(gpointer monitor)
{
    g_autoptr(GError) error = NULL;

    if (table_row() &&
        !send(monitor,
              "{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"downtime-limit\":0}}",
              &error))
        g_warning("QEMU keeps its limit for the switch: %s", error->message);
    return stock_functions.start_postcopy(monitor);
}

/* In pre-switchover, where libvirt has waited for the end of its storage copies; @status says so.
 * When it fails libvirt cancels the migration, which QEMU still can (qemuMigrationSrcRun(),
 * src/qemu/qemu_migration.c, 9.0.0 and 11.3.0). */
int
qemuMonitorMigrateContinue(gpointer monitor, int status)
{
    ContinueListener to;

    g_mutex_lock(&listener_lock);
    to = continue_listener;
    g_mutex_unlock(&listener_lock);
    if (to.fn && table_row() && !to.fn(stock_domain_uuid_of_monitor(monitor), monitor, to.opaque))
        return -1;
    return stock_functions.migrate_continue(monitor, status);
}
