/*
 * domain.c: reads of libvirt's own domain object
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/domain.h"

#include <string.h>

#include "stock/domain-priv.h"
#include "stock/error.h"
#include "stock/symbols.h"
#include "stock/table.h"

static StockAsync
async_of(const AbiRow *row, int async)
{
    if (async == 0)
        return STOCK_ASYNC_NONE;
    if (async == row->async_migration_out)
        return STOCK_ASYNC_OUT;
    if (async == row->async_migration_in)
        return STOCK_ASYNC_IN;
    return STOCK_ASYNC_OTHER;
}

void
stock_domain_read_job(gconstpointer vm, StockJob *out)
{
    const AbiRow *row = table_row();
    unsigned long long owner;
    gconstpointer job;
    int async;

    ABI_READ(&job, vm, row->domain_job);
    ABI_READ(&async, job, row->job_async);
    ABI_READ(&owner, job, row->job_async_owner);
    ABI_READ(&out->phase, job, row->job_phase);
    ABI_READ(&out->pid, vm, row->domain_pid);
    out->async = async_of(row, async);
    out->owner = owner;
    out->perform_done = out->phase == row->phase_perform3_done;
    out->postcopy_failed = out->phase == row->phase_postcopy_failed;
    out->active = stock_domain_is_active(vm);
}

int
stock_domain_id(gconstpointer vm)
{
    const AbiRow *row = table_row();
    gconstpointer def;
    int id;

    ABI_READ(&def, vm, row->domain_def);
    ABI_READ(&id, def, row->def_id);
    return id;
}

gboolean
stock_domain_is_active(gconstpointer vm)
{
    return stock_domain_id(vm) != -1;
}

const char *
stock_domain_name_of(gconstpointer vm)
{
    const AbiRow *row = table_row();
    gconstpointer def;
    const char *name;

    ABI_READ(&def, vm, row->domain_def);
    ABI_READ(&name, def, row->def_name);
    return name;
}

const unsigned char *
stock_domain_uuid(gconstpointer vm)
{
    const AbiRow *row = table_row();
    gconstpointer def;

    ABI_READ(&def, vm, row->domain_def);
    return (const unsigned char *)def + row->def_uuid;
}

const unsigned char *
stock_domain_uuid_of_monitor(gconstpointer monitor)
{
    gconstpointer vm;

    ABI_READ(&vm, monitor, table_row()->monitor_vm);
    return stock_domain_uuid(vm);
}

virDomainPtr
stock_domain_name(virConnectPtr conn, const char *name, const unsigned char *uuid, int id)
{
    return symbols.virGetDomain(conn, name, uuid, id);
}

/* A guest that runs was let run by QEMU; one that does not was stopped before the switch, and is
 * resumed by Confirm. */
static void
leave_postcopy(gpointer vm, gboolean io_error)
{
    int reason = 0;
    int state = symbols.virDomainObjGetState(vm, &reason);

    if (state == VIR_DOMAIN_RUNNING &&
        (reason == VIR_DOMAIN_RUNNING_POSTCOPY || reason == VIR_DOMAIN_RUNNING_POSTCOPY_FAILED))
        symbols.virDomainObjSetState(vm, state, VIR_DOMAIN_RUNNING_MIGRATION_CANCELED);
    else if (state == VIR_DOMAIN_PAUSED &&
             (reason == VIR_DOMAIN_PAUSED_POSTCOPY || reason == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED))
        symbols.virDomainObjSetState(
            vm, state, io_error ? VIR_DOMAIN_PAUSED_IOERROR : VIR_DOMAIN_PAUSED_MIGRATION);
    /* It also writes both to libvirt's status file. */
    symbols.qemuDomainObjSetJobPhase(vm, table_row()->phase_perform3_done);
}

void
stock_domain_leave_postcopy(virDomainPtr dom, gboolean io_error)
{
    virErrorPtr saved = stock_error_save();
    gpointer vm = symbols.qemuDomainObjFromDomain(dom);
    StockJob job = {0};

    if (vm) {
        stock_domain_read_job(vm, &job);
        if (job.active && job.async == STOCK_ASYNC_OUT && job.owner == 0)
            leave_postcopy(vm, io_error);
        symbols.virDomainObjEndAPI(&vm);
    }
    stock_error_restore(saved);
}

gboolean
stock_domain_job(virDomainPtr dom, StockJob *out)
{
    virErrorPtr saved = stock_error_save();
    gpointer vm = symbols.qemuDomainObjFromDomain(dom);
    gboolean found = vm != NULL;

    if (vm) {
        stock_domain_read_job(vm, out);
        symbols.virDomainObjEndAPI(&vm);
    }
    stock_error_restore(saved);
    return found;
}
