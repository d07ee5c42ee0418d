/*
 * hooks-finish.c: Finish of a domain that is not the one it is meant for
 *
 * libvirt finds the domain of a Finish by its name, and takes the incoming job that it finds there
 * for the one that is to be ended, also one whose Prepare is at work still
 * (qemuDomainMigrateFinish3Params(), src/qemu/qemu_driver.c, and qemuMigrationDstFinish(),
 * src/qemu/qemu_migration.c, 9.0.0 and 11.3.0). Between the two the domain is locked, and is the
 * one that Finish will end: no look at it from outside can know that.
 *
 * The signature is the same in libvirt 9.0.0 and 11.3.0, src/qemu/qemu_migration.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <dlfcn.h>

#include "stock/domain-priv.h"
#include "stock/hooks-finish-priv.h"
#include "stock/hooks.h"
#include "stock/symbols.h"
#include "stock/table.h"

static __typeof__(qemuMigrationDstFinish) *stock_function;

static GMutex listener_lock;
static HooksFinishFn listener;

void
hooks_finish_bind(gpointer stock)
{
    *(gpointer *)&stock_function = dlsym(stock, "qemuMigrationDstFinish");
}

void
hooks_set_finish_listener(HooksFinishFn fn)
{
    g_mutex_lock(&listener_lock);
    listener = fn;
    g_mutex_unlock(&listener_lock);
}

/* @vm: locked by the caller. One without an incoming job is refused by libvirt itself. */
static gboolean
is_let_through(virConnectPtr dconn, gconstpointer vm, const char *data, int length, unsigned flags)
{
    StockJob job = {0};
    HooksFinishFn to;

    g_mutex_lock(&listener_lock);
    to = listener;
    g_mutex_unlock(&listener_lock);
    if (!to || !table_row())
        return TRUE;
    stock_domain_read_job(vm, &job);
    if (job.async != STOCK_ASYNC_IN)
        return TRUE;
    return to(&(HooksFinish){
        .dconn = dconn,
        .uuid = stock_domain_uuid(vm),
        .name = stock_domain_name_of(vm),
        .id = stock_domain_id(vm),
        .driven = job.owner != 0,
        .cookie = data,
        .cookie_length = length,
        .flags = flags,
    });
}

virDomainPtr
qemuMigrationDstFinish(gpointer driver,
                       virConnectPtr dconn,
                       gpointer vm,
                       const char *cookiein,
                       int cookieinlen,
                       char **cookieout,
                       int *cookieoutlen,
                       unsigned int flags,
                       int retcode,
                       bool v3proto)
{
    if (is_let_through(dconn, vm, cookiein, cookieinlen, flags))
        return stock_function(driver, dconn, vm, cookiein, cookieinlen, cookieout, cookieoutlen,
                              flags, retcode, v3proto);
    /* As the stock function, which takes its caller's lock and reference over. */
    symbols.virDomainObjEndAPI(&vm);
    return NULL;
}
