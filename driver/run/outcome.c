/*
 * outcome.c: how a migration ended, and that libvirt has drawn the line under it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/outcome.h"

#include <glib/gi18n-lib.h>

#include "run/host.h"
#include "stock/domain.h"
#include "stock/error.h"
#include "stock/table.h"

gboolean
outcome_is_lost(const Status *status)
{
    return status->state != STATE_COMPLETED &&
           (migration_state_is_terminal(status->state) || status->state == STATE_POSTCOPY_PAUSED);
}

int
outcome_raise(const Status *status)
{
    if (migration_state_is_terminal(status->state))
        stock_error_raise(VIR_ERR_OPERATION_FAILED,
                          _("the migration of domain '%1$s' has %2$s: %3$s"), status->name,
                          migration_state_to_string(status->state), status->message);
    else
        stock_error_raise(
            VIR_ERR_OPERATION_FAILED,
            _("the migration of domain '%1$s' is paused (%2$s): recover it with virsh "
              "migrate-recover"),
            status->name, pause_reason_to_string(status->reason));
    return -1;
}

static gboolean
is_job_over(Migration *migration, gpointer opaque)
{
    virDomainPtr dom = opaque;
    StockJob job = {0};

    return !stock_domain_job(dom, &job) || job.async == STOCK_ASYNC_NONE;
}

virDomainPtr
outcome_get_destination(Migration *migration, virConnectPtr dconn)
{
    virDomainPtr dom = TABLE_STOCK(domainLookupByUUID)(dconn, migration_get_uuid(migration));

    if (dom)
        migration_poll(migration, is_job_over, dom);
    return dom;
}

static gboolean
is_source_over(Migration *migration, gpointer opaque)
{
    const gboolean *forgotten = opaque;
    virConnectPtr connection = host_connect();
    virDomainPtr dom =
        connection ? TABLE_STOCK(domainLookupByUUID)(connection, migration_get_uuid(migration))
                   : NULL;
    StockJob job = {0};
    gboolean over = !dom;

    if (dom && stock_domain_job(dom, &job))
        over = !job.active && job.async == STOCK_ASYNC_NONE && !*forgotten;
    if (dom)
        virDomainFree(dom);
    if (connection)
        virConnectClose(connection);
    virResetLastError();
    return over;
}

void
outcome_wait_source(Migration *migration)
{
    gboolean forgotten = migration_is_to_undefine(migration);

    migration_poll(migration, is_source_over, &forgotten);
}

/* The client asked for --undefinesource, but there is no client any more: stock libvirt, which
 * completes such a migration by itself, forgets that. */
void
outcome_undefine_source(Migration *migration)
{
    const unsigned int flags = VIR_DOMAIN_UNDEFINE_KEEP_NVRAM |
                               VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
                               VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA |
                               VIR_DOMAIN_UNDEFINE_KEEP_TPM; /* it may be on shared storage */
    gboolean forgotten = FALSE;
    virConnectPtr connection;
    virDomainPtr dom;

    migration_poll(migration, is_source_over, &forgotten);
    connection = host_connect();
    dom = connection ? virDomainLookupByUUID(connection, migration_get_uuid(migration)) : NULL;
    if (dom && virDomainIsActive(dom) == 0 && virDomainIsPersistent(dom) == 1) {
        if (virDomainUndefineFlags(dom, flags) < 0)
            g_warning("migration %s: cannot undefine domain %s on the source as was asked: %s",
                      migration_get_id(migration), migration_get_name(migration),
                      virGetLastErrorMessage());
        else
            g_message("migration %s: undefined domain %s on the source as was asked",
                      migration_get_id(migration), migration_get_name(migration));
    }
    if (dom)
        virDomainFree(dom);
    if (connection)
        virConnectClose(connection);
}
