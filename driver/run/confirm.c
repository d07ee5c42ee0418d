/*
 * confirm.c: Confirm, which ends the guest on the source or lets it run there again
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/confirm.h"

#include <glib/gi18n-lib.h>

#include "run/carry.h"
#include "run/halves.h"
#include "run/handback.h"
#include "run/outcome.h"
#include "run/takeback.h"
#include "stock/domain.h"
#include "stock/error.h"
#include "stock/table.h"

/* Finish failed, or its answer was lost: then libvirt would run the guest here again, also while
 * the destination runs it. FALSE when the daemon stops before that is known. */
static gboolean
confirm_return(Migration *migration, int *cancelled)
{
    g_autoptr(Status) status = NULL;

    g_message("migration %s: Confirm is held until the destination has said whether it has started "
              "the guest",
              migration_get_id(migration));
    migration_tell(migration, EVENT_RETURN_REQUESTED, 0, NULL);
    migration_wait(migration, MIGRATION_SETTLED, 0, 0, NULL);
    /* An answer that was just being taken in. */
    migration_sync(migration);
    status = migration_get_status(migration);
    if (!migration_state_is_terminal(status->state)) {
        stock_error_raise(VIR_ERR_OPERATION_FAILED,
                          _("the daemon stops before it is known whether domain '%1$s' runs on the "
                            "destination: it is asked when the daemon is back"),
                          status->name);
        return FALSE;
    }
    *cancelled = status->state != STATE_COMPLETED;
    return TRUE;
}

typedef struct {
    virDomainPtr dom;
    gboolean confirmed; /* a Confirm is at work on it */
} Return;

static gboolean
is_running(virDomainPtr dom)
{
    int state = VIR_DOMAIN_NOSTATE;

    return virDomainGetState(dom, &state, NULL, 0) == 0 && state == VIR_DOMAIN_RUNNING;
}

/* Confirm leaves a guest stopped that a person had stopped before the migration
 * (qemuMigrationSrcRestoreDomainState(), src/qemu/qemu_migration.c, 11.3.0). */
static gboolean
is_back_stopped(virDomainPtr dom)
{
    int state = VIR_DOMAIN_NOSTATE, reason = 0;
    StockJob job = {0};

    return virDomainGetState(dom, &state, &reason, 0) == 0 &&
           reason != VIR_DOMAIN_PAUSED_MIGRATION && stock_domain_job(dom, &job) &&
           job.async == STOCK_ASYNC_NONE;
}

/* It runs, or Confirm has left it stopped, or could not have it run. */
static gboolean
is_over(Migration *migration, gpointer opaque)
{
    const Return *guest = opaque;

    if (is_running(guest->dom))
        return TRUE;
    return guest->confirmed ? !migration_is_confirmed(migration) : is_back_stopped(guest->dom);
}

gboolean
confirm_resume(virDomainPtr dom, int *rc)
{
    unsigned char uuid[VIR_UUID_BUFLEN] = {0};
    g_autoptr(Migration) migration = virDomainGetUUID(dom, uuid) == 0 ? migration_find(uuid) : NULL;
    Return guest = {.dom = dom};

    if (!migration || migration_get_role(migration) != ROLE_SOURCE ||
        !migration_wants_return(migration))
        return FALSE;
    guest.confirmed = migration_is_confirmed(migration);
    g_warning("migration %s: domain %s goes on here on a person's word, without the destination's",
              migration_get_id(migration), migration_get_name(migration));
    migration_tell(migration, EVENT_CALL_CANCELLED, 0,
                   _("a person had the guest go on at the source"));
    /* Confirm, which was held, lets it run. */
    migration_poll(migration, is_over, &guest);
    if (is_running(dom)) {
        *rc = 0;
        return TRUE;
    }
    if (is_back_stopped(dom))
        return FALSE; /* it is as any other stopped guest now */
    *rc = -1;
    stock_error_raise(VIR_ERR_OPERATION_FAILED,
                      _("domain '%1$s' does not run again: see the daemon's log, and try again"),
                      migration_get_name(migration));
    return TRUE;
}

/* What is still needed of the source before libvirt lets go of it. FALSE when the daemon stops
 * before it is done. */
static gboolean
hand_over(Migration *migration, virDomainPtr dom)
{
    if (!halves_send(migration, dom)) {
        stock_error_raise(
            VIR_ERR_OPERATION_FAILED,
            _("the daemon stops before the dirty bitmaps of domain '%1$s', which runs "
              "on the destination, are there as well: it goes on when it is back"),
            migration_get_name(migration));
        return FALSE;
    }
    /* After the bitmaps that they name. */
    carry_source(migration, dom);
    return TRUE;
}

int
confirm_call(virDomainPtr dom,
             virTypedParameterPtr params,
             int nparams,
             const char *cookiein,
             int cookieinlen,
             unsigned int flags,
             int cancelled)
{
    unsigned char uuid[VIR_UUID_BUFLEN] = {0};
    g_autoptr(Migration) migration = virDomainGetUUID(dom, uuid) == 0 ? migration_find(uuid) : NULL;
    g_autoptr(Status) status = NULL;
    g_autoptr(GError) error = NULL;
    HandbackStep step = HANDBACK_NOT_DUE;
    int rc;

    if (!migration || migration_get_role(migration) != ROLE_SOURCE || (flags & VIR_MIGRATE_OFFLINE))
        return TABLE_STOCK(domainMigrateConfirm3Params)(dom, params, nparams, cookiein, cookieinlen,
                                                        flags, cancelled);
    migration_begin_confirm(migration);
    /* Finish failed or got lost on its way; in postcopy that says nothing about the guest. */
    if (cancelled && migration_state_is_postcopy(outcome_fetch_state(migration))) {
        g_message("migration %s: Confirm is held until it is known how it ends",
                  migration_get_id(migration));
        migration_wait(migration, MIGRATION_SETTLED, 0, 0, &status);
        cancelled = status->state != STATE_COMPLETED;
    } else if (cancelled && outcome_fetch_state(migration) == STATE_SWITCHOVER &&
               migration_can_ask(migration)) {
        if (!confirm_return(migration, &cancelled)) {
            migration_end_confirm(migration);
            return -1;
        }
    } else if (cancelled && outcome_fetch_state(migration) == STATE_COMPLETED) {
        cancelled = 0;
    }
    /* libvirt's job has ended with that. */
    if (cancelled && takeback_wait(migration)) {
        migration_end_confirm(migration);
        return 0;
    }
    if (!cancelled && !hand_over(migration, dom)) {
        migration_end_confirm(migration);
        return -1;
    }
    if (cancelled)
        step = handback_begin(dom, &error);
    if (error)
        g_warning("migration %s: %s", migration_get_id(migration), error->message);
    /* It has to be called: it ends libvirt's job, and cannot have the guest run without its images.
     */
    rc = TABLE_STOCK(domainMigrateConfirm3Params)(dom, params, nparams, cookiein, cookieinlen,
                                                  flags, cancelled);
    handback_end(dom, step);
    migration_end_confirm(migration);
    if (!cancelled && rc == 0)
        outcome_tell(migration, EVENT_CALL_COMPLETED);
    else if (!migration_state_is_postcopy(outcome_fetch_state(migration)))
        outcome_tell(migration, EVENT_CALL_FAILED);
    if (rc == 0)
        migration_post(migration, EVENT_SETTLED, 0, NULL);
    return rc;
}
