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

/* Up to a minute on a host under load; some milliseconds on any other. libvirt tells nobody when a
 * job ends, so it is looked for. */
#define POLL_MS  20
#define POLL_MAX 3000

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
is_job_over(virDomainPtr dom)
{
    StockJob job = {0};

    return !stock_domain_job(dom, &job) || job.async == STOCK_ASYNC_NONE;
}

virDomainPtr
outcome_get_destination(Migration *migration, virConnectPtr dconn)
{
    virDomainPtr dom = TABLE_STOCK(domainLookupByUUID)(dconn, migration_get_uuid(migration));

    for (guint i = 0; dom && i < POLL_MAX && !is_job_over(dom); i++)
        g_usleep(POLL_MS * 1000);
    return dom;
}

static gboolean
is_source_over(Migration *migration)
{
    virConnectPtr connection = host_connect();
    virDomainPtr dom =
        connection ? TABLE_STOCK(domainLookupByUUID)(connection, migration_get_uuid(migration))
                   : NULL;
    StockJob job = {0};
    gboolean over = !dom;

    if (dom && stock_domain_job(dom, &job))
        over = !job.active && job.async == STOCK_ASYNC_NONE && !migration_is_to_undefine(migration);
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
    for (guint i = 0; i < POLL_MAX && !is_source_over(migration); i++)
        g_usleep(POLL_MS * 1000);
}
