/*
 * p2p.c: a peer-to-peer migration, driven by ourselves
 *
 * How it works. libvirt's migration protocol, version 3 with parameters, as its client library runs
 * it (virDomainMigrateVersion3Full(), src/libvirt-domain.c, 11.3.0), but that the destination is
 * connected to after Begin: as in stock peer-to-peer migrations there is a job from the
 * beginning, which keeps others off the domain and can be aborted while the destination does not
 * answer. One that has no such protocol (libvirt before 1.1.0) is the stock driver's, which has
 * older ones: the job is given back then, before anything was done.
 *
 *   Begin (here)  [connect]  Prepare (there)  Perform (here)  Finish (there)  Confirm (here)
 *
 * One difference to the stock call is left, of libvirt's own making: a TPM's state that
 * persistent_state would keep does not stay behind at a source that forgets the domain
 * (VIR_DOMAIN_UNDEFINE_TPM in qemuMigrationSrcConfirm(), src/qemu/qemu_migration.c, 11.3.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/p2p.h"

#include <libintl.h>
#include <stdlib.h>

#include "run/dconn.h"
#include "run/confirm.h"
#include "run/host.h"
#include "run/migration.h"
#include "run/outcome.h"
#include "run/params.h"
#include "run/phases.h"
#include "run/remote.h"
#include "run/takeback.h"
#include "stock/error.h"
#include "stock/symbols.h"
#include "stock/table.h"

/** One run of the protocol, and what each phase leaves to the next. */
typedef struct {
    virDomainPtr dom; /* on a connection of our own */
    Dconn *dconn;
    Params params;
    unsigned int flags;      /* for the source */
    unsigned int dest_flags; /* for the destination */
    char *cookie;            /* from the phase before */
    int cookielen;
    virErrorPtr error; /* the first one: what follows from it must not replace it */
    gboolean too_old;  /* the destination has no such protocol */
    gboolean left;     /* a call to the destination is still at it */
} Run;

/** A phase on the destination: what is given to it, and what it gives. */
typedef struct {
    virConnectPtr dconn;
    Params params;
    char *cookie;
    int cookielen;
    unsigned int flags;
    int cancelled;

    char *cookieout; /* each is taken from here */
    int cookieoutlen;
    char *uri_out;
    virDomainPtr dom;
    int rc;
} There;

gboolean
p2p_is_ours(unsigned int flags)
{
    return !(flags & (VIR_MIGRATE_TUNNELLED | VIR_MIGRATE_OFFLINE));
}

/* --- the protocol --- */

static void
keep_error(Run *run)
{
    if (!run->error)
        run->error = stock_error_save();
}

/* Takes what a phase has given for the next. */
static void
pass_on(Run *run, char *cookie, int cookielen)
{
    free(run->cookie);
    run->cookie = cookie;
    run->cookielen = cookielen;
}

static gboolean
begin(Run *run)
{
    char *cookie = NULL;
    int cookielen = 0, state = 0;
    char *xml =
        phases_begin(run->dom, run->params.list, run->params.n, &cookie, &cookielen, run->flags);

    if (!xml)
        return FALSE;
    pass_on(run, cookie, cookielen);
    if (virDomainGetState(run->dom, &state, NULL, 0) == 0 && state == VIR_DOMAIN_PAUSED) {
        run->flags |= VIR_MIGRATE_PAUSED;
        run->dest_flags |= VIR_MIGRATE_PAUSED;
    }
    params_set_string(&run->params, VIR_MIGRATE_PARAM_DEST_XML, xml);
    free(xml);
    return TRUE;
}

/* The destination has no use for these, and an older libvirt may refuse one that it does not know:
 * stock peer-to-peer migrations keep them to themselves (qemuMigrationSrcPerformPeer2Peer3() and
 * qemuMigrationParamsDump(), src/qemu, 11.3.0). */
static const char *const source_only[] = {
    VIR_MIGRATE_PARAM_PERSIST_XML,
    VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL,
    VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT,
    VIR_MIGRATE_PARAM_TLS_DESTINATION,
    "bandwidth.avail.switchover", /* VIR_MIGRATE_PARAM_BANDWIDTH_AVAIL_SWITCHOVER, since 11.1.0 */
    NULL,
};

static void
there_free(There *there)
{
    virErrorPtr saved = stock_error_save();

    params_clear(&there->params);
    free(there->cookie);
    free(there->cookieout);
    free(there->uri_out);
    if (there->dom)
        virDomainFree(there->dom);
    virConnectClose(there->dconn);
    g_free(there);
    stock_error_restore(saved);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(There, there_free)

static void
free_left(gpointer there)
{
    there_free(there);
}

/* NULL when the daemon stops before the destination has answered. */
static There *
call_there(Run *run, RemoteFn phase, gboolean cancelled)
{
    There *there = g_new0(There, 1);

    there->dconn = dconn_get(run->dconn);
    virConnectRef(there->dconn);
    params_copy_without(&there->params, run->params.list, run->params.n, source_only);
    there->cookie = run->cookie;
    there->cookielen = run->cookielen;
    there->flags = run->dest_flags;
    there->cancelled = cancelled;
    run->cookie = NULL;
    run->left = !remote_call(phase, there, free_left);
    if (run->left)
        return NULL;
    pass_on(run, g_steal_pointer(&there->cookieout), there->cookieoutlen);
    return there;
}

static void
prepare_call(gpointer opaque)
{
    There *there = opaque;

    there->rc = symbols.virDomainMigratePrepare3Params(
        there->dconn, there->params.list, there->params.n, there->cookie, there->cookielen,
        &there->cookieout, &there->cookieoutlen, &there->uri_out, there->flags);
}

static void
finish_call(gpointer opaque)
{
    There *there = opaque;

    there->dom = symbols.virDomainMigrateFinish3Params(
        there->dconn, there->params.list, there->params.n, there->cookie, there->cookielen,
        &there->cookieout, &there->cookieoutlen, there->flags, there->cancelled);
}

/* FALSE when there is nothing to clean up on the destination. */
static gboolean
prepare(Run *run, const char *uri)
{
    g_autoptr(There) there = NULL;

    run->dconn = dconn_open(run->dom, uri);
    run->too_old = run->dconn && !dconn_takes_params(run->dconn);
    if (!run->dconn || run->too_old) {
        pass_on(run, NULL, 0); /* Confirm takes the destination's alone */
        return FALSE;
    }
    there = call_there(run, prepare_call, FALSE);
    if (!there || there->rc < 0)
        return FALSE;
    if (there->uri_out) {
        params_set_string(&run->params, VIR_MIGRATE_PARAM_URI, there->uri_out);
    } else if (!params_get_string(run->params.list, run->params.n, VIR_MIGRATE_PARAM_URI)) {
        stock_error_raise(VIR_ERR_INTERNAL_ERROR, "%s",
                          dgettext("libvirt", "domainMigratePrepare3 did not set uri"));
        keep_error(run);
    }
    return TRUE;
}

static Migration *
find_migration(virDomainPtr dom)
{
    unsigned char uuid[VIR_UUID_BUFLEN];

    return virDomainGetUUID(dom, uuid) == 0 ? migration_find(uuid) : NULL;
}

/* Not the client, we have cancelled it: libvirt's message, in its translation, and the status says
 * why too. */
static void
raise_lost(Run *run)
{
    g_autoptr(Migration) migration = find_migration(run->dom); /* it resets the error */

    stock_error_raise(VIR_ERR_OPERATION_FAILED, "%s",
                      dgettext("libvirt", "Lost connection to destination host"));
    if (migration)
        outcome_tell(migration, EVENT_CALL_FAILED);
}

static gboolean
perform(Run *run)
{
    char *cookie = NULL;
    int cookielen = 0, rc;
    gboolean lost;

    dconn_guard(run->dconn);
    rc = phases_perform(run->dom, run->params.list, run->params.n, run->cookie, run->cookielen,
                        &cookie, &cookielen, run->flags);
    lost = dconn_unguard(run->dconn);
    pass_on(run, cookie, cookielen);
    if (rc == 0)
        return TRUE;
    if (lost && virGetLastErrorCode() == VIR_ERR_OPERATION_ABORTED)
        raise_lost(run);
    keep_error(run);
    return FALSE;
}

/* Both hosts saw a failure of QEMU, and either may be the cause: both are told. */
static void
join_errors(Run *run)
{
    virErrorPtr there = virGetLastError();

    if (!run->error || run->error->domain != VIR_FROM_QEMU ||
        run->error->code != VIR_ERR_OPERATION_FAILED || !there || there->domain != VIR_FROM_QEMU ||
        there->code == VIR_ERR_MIGRATE_FINISH_OK)
        return;
    stock_error_raise(VIR_ERR_OPERATION_FAILED,
                      dgettext("libvirt", "migration failed. Message from the source host: %1$s. "
                                          "Message from the destination host: %2$s"),
                      run->error->message, there->message);
    g_clear_pointer(&run->error, virFreeError);
}

static virDomainPtr
finish(Run *run, gboolean cancelled)
{
    g_autoptr(There) there = NULL;
    virDomainPtr moved = NULL;

    if (!params_get_string(run->params.list, run->params.n, VIR_MIGRATE_PARAM_DEST_NAME))
        params_set_string(&run->params, VIR_MIGRATE_PARAM_DEST_NAME, virDomainGetName(run->dom));
    there = call_there(run, finish_call, cancelled);
    if (there)
        moved = g_steal_pointer(&there->dom);
    if (cancelled && there && !moved)
        join_errors(run);
    if (!moved)
        keep_error(run);
    return moved;
}

static void
confirm(Run *run, gboolean cancelled)
{
    const char *name = virDomainGetName(run->dom); /* it resets the error */

    if (confirm_call(run->dom, run->params.list, run->params.n, run->cookie, run->cookielen,
                     run->flags, cancelled) < 0)
        g_warning("domain %s: the source could not end its migration: %s", name,
                  virGetLastErrorMessage());
}

static gboolean
run_phases(Run *run, const char *uri)
{
    virDomainPtr moved;
    gboolean performed = FALSE, failed_here = FALSE;

    if (!begin(run))
        return FALSE;
    if (!prepare(run, uri)) {
        keep_error(run);
        confirm(run, TRUE);
        return FALSE;
    }
    if (!run->error) {
        performed = perform(run);
        failed_here = !performed;
    }
    moved = finish(run, !performed);
    /* A Perform that failed has ended the job. */
    if (!failed_here)
        confirm(run, !moved);
    if (!moved)
        return FALSE;
    virDomainFree(moved);
    return TRUE;
}

static void
run_clear(Run *run)
{
    if (run->left)
        dconn_leave(run->dconn);
    else
        dconn_close(run->dconn);
    params_clear(&run->params);
    free(run->cookie);
    if (run->error)
        virFreeError(run->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, run_clear)

/* --- what it is called for --- */

/* The domain on a connection of our own: the client's may close in the middle, which would end the
 * migration where stock libvirt goes on. */
static virDomainPtr
get_own_domain(virDomainPtr dom)
{
    unsigned char uuid[VIR_UUID_BUFLEN];
    virConnectPtr connection = host_connect();
    virDomainPtr own = NULL;

    if (connection && virDomainGetUUID(dom, uuid) == 0)
        own = virDomainLookupByUUID(connection, uuid);
    if (connection)
        virConnectClose(connection);
    return own;
}

/* The client's answer when libvirt's protocol has failed: what counts is where the guest is.
 * @before: what was known before; that is some earlier migration, or one under way that libvirt let
 * no other begin beside, and says nothing about this one. */
static int
settle(virDomainPtr dom, const Migration *before)
{
    virErrorPtr saved = stock_error_save();
    g_autoptr(Migration) migration = find_migration(dom);
    g_autoptr(Status) status = NULL;

    if (migration && migration != before) {
        migration_sync(migration);
        migration_wait(migration, MIGRATION_SETTLED, 0, 0, &status);
    }
    if (status && status->role == ROLE_SOURCE && status->state == STATE_COMPLETED) {
        g_message("migration %s: completed, although libvirt's protocol met an error: %s",
                  status->id, saved ? saved->message : "");
        outcome_wait_source(migration);
        if (saved)
            virFreeError(saved);
        virResetLastError();
        return 0;
    }
    if (migration && migration != before && takeback_wait(migration)) {
        takeback_raise(migration, saved ? saved->message : NULL);
        if (saved)
            virFreeError(saved);
        return -1;
    }
    stock_error_restore(saved);
    return -1;
}

static int
perform_stock(virDomainPtr dom,
              const char *dconnuri,
              virTypedParameterPtr params,
              int nparams,
              unsigned int flags)
{
    if (!phases_check_stock(dom, params, nparams, flags))
        return -1;
    return TABLE_STOCK(domainMigratePerform3Params)(dom, dconnuri, params, nparams, NULL, 0, NULL,
                                                    NULL, flags);
}

static int
perform_own(virDomainPtr own,
            const char *dconnuri,
            virTypedParameterPtr params,
            int nparams,
            unsigned int flags)
{
    /* As stock libvirt passes them on: what is for the source alone is kept from the destination.
     * The job lasts from Begin on. */
    g_auto(Run) run = {
        .dom = own,
        .flags = (flags & ~(unsigned int)VIR_MIGRATE_PEER2PEER) | VIR_MIGRATE_CHANGE_PROTECTION,
        .dest_flags =
            flags & ~(unsigned int)(VIR_MIGRATE_CHANGE_PROTECTION | VIR_MIGRATE_ABORT_ON_ERROR |
                                    VIR_MIGRATE_AUTO_CONVERGE),
    };
    g_autoptr(Migration) before = find_migration(own);

    params_copy(&run.params, params, nparams);
    if (run_phases(&run, dconnuri))
        return 0;
    if (run.too_old)
        return perform_stock(own, dconnuri, params, nparams, flags);
    if (run.error)
        stock_error_restore(g_steal_pointer(&run.error));
    return settle(own, before);
}

int
p2p_perform(virDomainPtr dom,
            const char *dconnuri,
            virTypedParameterPtr params,
            int nparams,
            unsigned int flags)
{
    virDomainPtr own = get_own_domain(dom);
    virErrorPtr saved;
    int rc;

    if (!own) {
        g_warning("a migration is libvirt's alone, without a connection of our own: %s",
                  virGetLastErrorMessage());
        virResetLastError();
        return perform_stock(dom, dconnuri, params, nparams, flags);
    }
    rc = perform_own(own, dconnuri, params, nparams, flags);
    saved = stock_error_save();
    virDomainFree(own);
    stock_error_restore(saved);
    return rc;
}

int
p2p_perform_old(virDomainPtr dom,
                const char *xml,
                const char *dconnuri,
                const char *uri,
                unsigned int flags,
                const char *dname,
                unsigned long bandwidth_mib)
{
    g_auto(Params) params = {0};

    if (xml)
        params_set_string(&params, VIR_MIGRATE_PARAM_DEST_XML, xml);
    if (uri)
        params_set_string(&params, VIR_MIGRATE_PARAM_URI, uri);
    if (dname)
        params_set_string(&params, VIR_MIGRATE_PARAM_DEST_NAME, dname);
    if (bandwidth_mib > 0)
        virTypedParamsAddULLong(&params.list, &params.n, &params.max, VIR_MIGRATE_PARAM_BANDWIDTH,
                                bandwidth_mib);
    return p2p_perform(dom, dconnuri, params.list, params.n, flags);
}
