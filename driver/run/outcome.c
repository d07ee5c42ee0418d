/*
 * outcome.c: how a migration ended, and that libvirt has drawn the line under it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/outcome.h"

#include <glib/gi18n-lib.h>

#include "run/carry.h"
#include "run/host.h"
#include "run/stuck.h"
#include "stock/domain.h"
#include "stock/error.h"
#include "stock/qmp.h"
#include "stock/table.h"

gboolean
outcome_is_lost(const Status *status)
{
    return status->state != STATE_COMPLETED &&
           (migration_state_is_terminal(status->state) || status->state == STATE_POSTCOPY_PAUSED);
}

void
outcome_tell(Migration *migration, EventType type)
{
    /* A cancelled Confirm ends well, and libvirt's message would be "no error". */
    gboolean has_error = type != EVENT_CALL_COMPLETED && virGetLastErrorCode() != VIR_ERR_OK;

    migration_tell(migration, type, 0, has_error ? virGetLastErrorMessage() : NULL);
}

MigrationState
outcome_fetch_state(Migration *migration)
{
    g_autoptr(Status) status = NULL;

    migration_sync(migration);
    status = migration_get_status(migration);
    return status->state;
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

gboolean
outcome_wait_job(virDomainPtr dom)
{
    return migration_poll(NULL, is_job_over, dom);
}

virDomainPtr
outcome_get_destination(Migration *migration, virConnectPtr dconn)
{
    virDomainPtr dom = TABLE_STOCK(domainLookupByUUID)(dconn, migration_get_uuid(migration));

    if (dom)
        outcome_wait_job(dom);
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

gboolean
outcome_is_active(Migration *migration, virConnectPtr connection)
{
    virDomainPtr dom = TABLE_STOCK(domainLookupByUUID)(connection, migration_get_uuid(migration));
    StockJob job = {0};
    gboolean active = dom && stock_domain_job(dom, &job) && job.active;

    if (dom)
        virDomainFree(dom);
    virResetLastError();
    return active;
}

virDomainPtr
outcome_find_own(Migration *migration)
{
    virConnectPtr connection = host_connect();
    virDomainPtr dom =
        connection ? virDomainLookupByUUID(connection, migration_get_uuid(migration)) : NULL;

    if (connection)
        virConnectClose(connection);
    return dom;
}

void
outcome_abort_job(gpointer opaque, gpointer unused)
{
    g_autoptr(Migration) migration = opaque;
    virDomainPtr dom = outcome_find_own(migration);

    if (dom && virDomainAbortJob(dom) < 0)
        g_message("migration %s: cannot cancel it: %s", migration_get_id(migration),
                  virGetLastErrorMessage());
    if (dom)
        virDomainFree(dom);
}

static gboolean
ran(const char *reply)
{
    g_autofree char *status = qmp_reply_string(reply, "status");

    return g_strcmp0(status, "running") == 0;
}

void
outcome_stop_job(gpointer opaque, gpointer unused)
{
    g_autoptr(Migration) migration = opaque;
    g_autoptr(GError) error = NULL;
    g_autofree char *status = NULL;
    g_autofree char *reply = NULL;
    virDomainPtr dom = outcome_find_own(migration);

    if (dom) {
        status = qmp_execute(dom, "{\"execute\":\"query-status\"}", &error);
        reply = status ? qmp_execute(dom, "{\"execute\":\"stop\"}", &error) : NULL;
        virDomainFree(dom);
    }
    if (dom && !reply && !g_error_matches(error, QMP_ERROR, QMP_ERROR_INACTIVE))
        g_warning("migration %s: cannot stop domain %s, which has run on the destination: %s; "
                  "destroy it here with virsh destroy",
                  migration_get_id(migration), migration_get_name(migration), error->message);
    else
        migration_post(migration, EVENT_KEPT_STOPPED, reply && ran(status), NULL);
}

static gboolean
is_abandoned(Migration *migration)
{
    virDomainPtr dom = outcome_find_own(migration);
    StockJob job = {0};
    int state = VIR_DOMAIN_NOSTATE;
    gboolean abandoned = dom && !migration_is_confirmed(migration) &&
                         virDomainGetState(dom, &state, NULL, 0) == 0 &&
                         state == VIR_DOMAIN_PAUSED && stock_domain_job(dom, &job) && job.active &&
                         job.async == STOCK_ASYNC_NONE;

    if (dom)
        virDomainFree(dom);
    return abandoned;
}

static void
settle(Migration *migration, virDomainPtr dom, MigrationState outcome)
{
    int state = VIR_DOMAIN_NOSTATE, reason = 0;

    if (virDomainGetState(dom, &state, &reason, 0) < 0 || state != VIR_DOMAIN_PAUSED)
        return;
    if (outcome == STATE_COMPLETED) {
        g_message("migration %s: domain %s runs on the destination; its remains here are destroyed",
                  migration_get_id(migration), migration_get_name(migration));
        carry_source(migration, dom);
        if (virDomainDestroy(dom) < 0)
            g_warning("migration %s: cannot destroy domain %s, which runs on the destination: %s; "
                      "do it with virsh destroy, and do not resume it",
                      migration_get_id(migration), migration_get_name(migration),
                      virGetLastErrorMessage());
        else if (migration_take_undefine(migration))
            outcome_undefine_source(migration);
    } else if (outcome == STATE_CANCELLED && reason == VIR_DOMAIN_PAUSED_MIGRATION) {
        g_message("migration %s: domain %s does not run on the destination and goes on here",
                  migration_get_id(migration), migration_get_name(migration));
        stuck_end_wait(migration, dom);
        if (!stuck_let_run(migration, dom) && virDomainResume(dom) < 0)
            g_warning("migration %s: domain %s does not go on: %s; try it with virsh resume",
                      migration_get_id(migration), migration_get_name(migration),
                      virGetLastErrorMessage());
    }
}

/* In postcopy libvirt ends the source itself, also after a restart. */
static gboolean
is_unattended(virDomainPtr dom)
{
    int state = VIR_DOMAIN_NOSTATE, reason = 0;

    return virDomainGetState(dom, &state, &reason, 0) == 0 && state == VIR_DOMAIN_PAUSED &&
           (reason == VIR_DOMAIN_PAUSED_POSTCOPY || reason == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED);
}

static void
settle_job(gpointer opaque, gpointer unused)
{
    g_autoptr(Migration) migration = opaque;
    g_autoptr(Status) status = migration_get_status(migration);
    virDomainPtr dom = outcome_find_own(migration);
    gboolean unattended = dom && is_unattended(dom);

    if (dom && !unattended)
        settle(migration, dom, status->state);
    if (dom)
        virDomainFree(dom);
    if (!unattended)
        migration_post(migration, EVENT_SETTLED, 0, NULL);
}

static void
settled_cb(const Status *status, gpointer migration)
{
    if (migration_state_is_terminal(status->state))
        host_run(settle_job, migration);
    else
        migration_unref(migration); /* the daemon stops */
}

static gboolean
settle_cb(gpointer migration)
{
    migration_when(migration, MIGRATION_SETTLED, 0, settled_cb, migration);
    return G_SOURCE_REMOVE;
}

void
outcome_settle_restored(Migration *migration)
{
    host_post(settle_cb, migration_ref(migration));
}

void
outcome_settle_source(Migration *migration)
{
    g_message("migration %s of domain %s: nobody confirms it; the destination is asked whether it "
              "has started the guest",
              migration_get_id(migration), migration_get_name(migration));
    migration_tell(migration, EVENT_RETURN_REQUESTED, 0, NULL);
    outcome_settle_restored(migration);
}

void
outcome_look_job(gpointer opaque, gpointer unused)
{
    g_autoptr(Migration) migration = opaque;
    virDomainPtr dom = NULL;

    if (is_abandoned(migration))
        outcome_settle_source(migration);
    else if ((dom = outcome_find_own(migration)))
        stuck_look(migration, dom);
    if (dom)
        virDomainFree(dom);
    virResetLastError();
}

void
outcome_leave_job(gpointer opaque, gpointer unused)
{
    g_autoptr(Migration) migration = opaque;
    virDomainPtr dom = outcome_find_own(migration);

    if (dom) {
        carry_source(migration, dom);
        virDomainFree(dom);
    }
}

void
outcome_forget_job(gpointer opaque, gpointer unused)
{
    Migration *migration = opaque;

    outcome_leave_job(migration_ref(migration), NULL);
    outcome_undefine_source(migration);
    migration_unref(migration);
}

/* What belongs to a guest that lives on elsewhere stays: it may be on shared storage. */
void
outcome_undefine(Migration *migration, virDomainPtr dom)
{
    const unsigned int flags =
        VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
        VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | VIR_DOMAIN_UNDEFINE_KEEP_TPM;

    if (virDomainIsPersistent(dom) != 1)
        return;
    if (virDomainUndefineFlags(dom, flags) < 0)
        g_warning("migration %s: cannot undefine domain %s: %s", migration_get_id(migration),
                  migration_get_name(migration), virGetLastErrorMessage());
    else
        g_message("migration %s: undefined domain %s", migration_get_id(migration),
                  migration_get_name(migration));
}

/* The client asked for --undefinesource, but there is no client any more: stock libvirt, which
 * completes such a migration by itself, forgets that. */
void
outcome_undefine_source(Migration *migration)
{
    gboolean forgotten = FALSE;
    virDomainPtr dom;

    migration_poll(migration, is_source_over, &forgotten);
    dom = outcome_find_own(migration);
    if (dom && virDomainIsActive(dom) == 0)
        outcome_undefine(migration, dom);
    if (dom)
        virDomainFree(dom);
}

void
outcome_end_job(Migration *migration, virDomainPtr dom, unsigned int flags)
{
    if ((flags & VIR_MIGRATE_CHANGE_PROTECTION) &&
        TABLE_STOCK(domainMigrateConfirm3Params)(dom, NULL, 0, NULL, 0, flags, 1) < 0)
        g_warning("migration %s of domain %s: the source could not end it: %s",
                  migration_get_id(migration), migration_get_name(migration),
                  virGetLastErrorMessage());
    virResetLastError();
}
