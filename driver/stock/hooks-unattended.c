/*
 * hooks-unattended.c: a source that libvirt would let go of by itself
 *
 * The signatures are the same in libvirt 9.0.0 and 11.3.0, src/qemu/qemu_migration.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <dlfcn.h>
#include <glib-object.h>

#include "stock/domain-priv.h"
#include "stock/hooks.h"
#include "stock/symbols.h"
#include "stock/table.h"

#define EXPORT __attribute__((visibility("default")))

/* The stock module calls these; nothing of ours does. */
EXPORT void qemuMigrationProcessUnattended(gpointer driver, gpointer vm, int job, int status);
EXPORT void qemuMigrationSrcComplete(gpointer driver, gpointer vm, int job);

static struct {
    void (*process_unattended)(gpointer driver, gpointer vm, int job, int status);
    void (*source_complete)(gpointer driver, gpointer vm, int job);
} stock_functions;

static GMutex listener_lock;
static HooksUnattendedFn listener;

/** libvirt's call, to be made later. */
struct HooksUnattended {
    gpointer driver; /* lives as long as the process */
    gpointer vm;     /* a reference */
    int status;
};

void
hooks_unattended_bind(gpointer stock)
{
    *(gpointer *)&stock_functions.process_unattended =
        dlsym(stock, "qemuMigrationProcessUnattended");
    *(gpointer *)&stock_functions.source_complete = dlsym(stock, "qemuMigrationSrcComplete");
}

void
hooks_set_unattended_listener(HooksUnattendedFn fn)
{
    g_mutex_lock(&listener_lock);
    listener = fn;
    g_mutex_unlock(&listener_lock);
}

/* Whether somebody has taken the call over. @vm: locked by the caller */
static gboolean
is_held(gpointer driver, gpointer vm, const AbiRow *row)
{
    HooksUnattended *held;
    HooksUnattendedFn to;

    g_mutex_lock(&listener_lock);
    to = listener;
    g_mutex_unlock(&listener_lock);
    if (!to || !stock_domain_is_active(vm))
        return FALSE;
    held = g_new(HooksUnattended, 1);
    *held =
        (HooksUnattended){driver, g_object_ref(vm), abi_find_migration_status(row, "completed")};
    if (to(stock_domain_uuid(vm), held))
        return TRUE;
    hooks_unattended_drop(held);
    return FALSE;
}

void
hooks_unattended_drop(HooksUnattended *held)
{
    g_object_unref(held->vm);
    g_free(held);
}

void
hooks_unattended_go_on(HooksUnattended *held)
{
    /* Looks itself whether the domain is still what it was. */
    symbols.virObjectLock(held->vm);
    stock_functions.process_unattended(held->driver, held->vm, table_row()->async_migration_out,
                                       held->status);
    symbols.virObjectUnlock(held->vm);
    hooks_unattended_drop(held);
}

/* On the one thread that deals with the events of all QEMUs, with the domain locked. */
void
qemuMigrationProcessUnattended(gpointer driver, gpointer vm, int job, int status)
{
    const AbiRow *row = table_row();

    if (row && job == row->async_migration_out &&
        status == abi_find_migration_status(row, "completed") && is_held(driver, vm, row))
        return;
    stock_functions.process_unattended(driver, vm, job, status);
}

/* Of a domain that is found completed after a restart (qemuProcessRecoverMigration(),
 * src/qemu/qemu_process.c, 9.0.0 and 11.3.0) it is called without a job. Not called, the domain is
 * as one whose migration completes a moment later: its job is there, and nobody's. */
void
qemuMigrationSrcComplete(gpointer driver, gpointer vm, int job)
{
    const AbiRow *row = table_row();

    if (row && job == 0 && is_held(driver, vm, row))
        return;
    stock_functions.source_complete(driver, vm, job);
}
