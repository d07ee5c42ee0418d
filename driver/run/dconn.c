/*
 * dconn.c: the connection to the destination that a peer-to-peer migration holds
 *
 * How it works. libvirt tells of the loss on its event loop's thread, which may not wait for a
 * domain: the abort is left to a thread of ours. That thread may come late, so it looks under the
 * lock whether the job is still the one that was guarded, and dconn_unguard() waits for it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/dconn.h"

#include <libintl.h>

#include "run/host.h"
#include "run/remote.h"
#include "stock/config.h"
#include "stock/domain.h"
#include "stock/error.h"
#include "stock/symbols.h"
#include "stock/table.h"

/* VIR_DRV_FEATURE_MIGRATION_..., src/libvirt_internal.h; numbers of libvirt's protocol. */
#define FEATURE_MIGRATION_P2P    4
#define FEATURE_MIGRATION_PARAMS 13

struct Dconn {
    gatomicrefcount refs;
    virConnectPtr connection;
    virDomainPtr dom;
    char *uri;
    gboolean open;
    gboolean takes_params;

    GMutex lock;
    GCond idle;
    gboolean lost;
    gboolean guarded;
    gboolean aborting;
};

static void
unref(gpointer opaque)
{
    Dconn *dconn = opaque;

    if (!g_atomic_ref_count_dec(&dconn->refs))
        return;
    virDomainFree(dconn->dom);
    g_free(dconn->uri);
    g_mutex_clear(&dconn->lock);
    g_cond_clear(&dconn->idle);
    g_free(dconn);
}

static Dconn *
ref(Dconn *dconn)
{
    g_atomic_ref_count_inc(&dconn->refs);
    return dconn;
}

/* --- when it is lost --- */

/* In postcopy libvirt refuses it, as it should. */
static void
abort_job(gpointer opaque, gpointer unused)
{
    Dconn *dconn = opaque;
    const char *name = virDomainGetName(dconn->dom); /* it resets the error */

    g_mutex_lock(&dconn->lock);
    dconn->aborting = dconn->guarded;
    g_mutex_unlock(&dconn->lock);
    if (dconn->aborting) {
        if (TABLE_STOCK(domainAbortJobFlags)(dconn->dom, 0) < 0)
            g_info("domain %s: the connection to the destination is lost: %s", name,
                   virGetLastErrorMessage());
        g_mutex_lock(&dconn->lock);
        dconn->aborting = FALSE;
        g_cond_broadcast(&dconn->idle);
        g_mutex_unlock(&dconn->lock);
    }
    unref(dconn);
}

/* @flag: lost or guarded; the one that makes them both has the job aborted. */
static void
set_flag(Dconn *dconn, gboolean *flag)
{
    gboolean due;

    g_mutex_lock(&dconn->lock);
    *flag = TRUE;
    due = dconn->lost && dconn->guarded;
    g_mutex_unlock(&dconn->lock);
    if (due)
        host_run(abort_job, ref(dconn));
}

static void
closed_cb(virConnectPtr connection, int reason, void *opaque)
{
    Dconn *dconn = opaque;

    set_flag(dconn, &dconn->lost);
}

void
dconn_guard(Dconn *dconn)
{
    set_flag(dconn, &dconn->guarded);
}

gboolean
dconn_unguard(Dconn *dconn)
{
    gboolean lost;

    g_mutex_lock(&dconn->lock);
    dconn->guarded = FALSE;
    /* As long as libvirt waits for another call's job on the domain: half a minute at most. */
    while (dconn->aborting)
        g_cond_wait(&dconn->idle, &dconn->lock);
    lost = dconn->lost;
    g_mutex_unlock(&dconn->lock);
    return lost;
}

/* --- as stock libvirt opens it: qemuMigrationSrcPerformPeer2Peer(), src/qemu/qemu_migration.c,
 * 11.3.0; the messages are its, in its translation --- */

static virConnectPtr
connect_to(const char *uri)
{
    /* Credentials come from auth.conf, and nobody is asked. */
    static int types[] = {VIR_CRED_AUTHNAME, VIR_CRED_PASSPHRASE};
    static virConnectAuth auth = {.credtype = types, .ncredtype = G_N_ELEMENTS(types)};

    return virConnectOpenAuth(uri, &auth, 0);
}

static gboolean
is_still_running(virDomainPtr dom)
{
    StockJob job = {0};

    if (stock_domain_job(dom, &job) && job.active)
        return TRUE;
    stock_error_raise(VIR_ERR_OPERATION_FAILED, dgettext("libvirt", "domain '%1$s' is not running"),
                      virDomainGetName(dom));
    return FALSE;
}

static gboolean
watch(Dconn *dconn)
{
    StockKeepalive keepalive = stock_config_get_keepalive(virDomainGetConnect(dconn->dom));

    if (virConnectSetKeepAlive(dconn->connection, keepalive.interval_s, keepalive.count) < 0)
        return FALSE;
    if (virConnectRegisterCloseCallback(dconn->connection, closed_cb, ref(dconn), unref) < 0) {
        unref(dconn);
        return FALSE;
    }
    return TRUE;
}

static gboolean
takes_p2p(Dconn *dconn)
{
    int takes = symbols.virConnectSupportsFeature(dconn->connection, FEATURE_MIGRATION_P2P);

    if (takes == 0)
        stock_error_raise(
            VIR_ERR_OPERATION_FAILED, "%s",
            dgettext("libvirt",
                     "Destination libvirt does not support peer-to-peer migration protocol"));
    if (takes <= 0)
        return FALSE;
    takes = symbols.virConnectSupportsFeature(dconn->connection, FEATURE_MIGRATION_PARAMS);
    dconn->takes_params = takes > 0;
    return takes >= 0;
}

static void
open_call(gpointer opaque)
{
    Dconn *dconn = opaque;

    dconn->connection = connect_to(dconn->uri);
    dconn->open =
        is_still_running(dconn->dom) && dconn->connection && watch(dconn) && takes_p2p(dconn);
}

static void
close_left(gpointer dconn)
{
    dconn_leave(dconn);
}

Dconn *
dconn_open(virDomainPtr dom, const char *uri)
{
    g_autoptr(Dconn) dconn = g_new0(Dconn, 1);

    g_atomic_ref_count_init(&dconn->refs);
    g_mutex_init(&dconn->lock);
    g_cond_init(&dconn->idle);
    virDomainRef(dom);
    dconn->dom = dom;
    dconn->uri = g_strdup(uri);
    if (!remote_call(open_call, dconn, close_left)) {
        dconn = NULL; /* the call's */
        return NULL;
    }
    return dconn->open ? g_steal_pointer(&dconn) : NULL;
}

void
dconn_close(Dconn *dconn)
{
    virErrorPtr saved;

    if (!dconn)
        return;
    saved = stock_error_save();
    if (dconn->connection && virConnectIsAlive(dconn->connection) == 1)
        virConnectUnregisterCloseCallback(dconn->connection, closed_cb);
    dconn_leave(dconn);
    stock_error_restore(saved);
}

void
dconn_leave(Dconn *dconn)
{
    if (dconn->connection)
        virConnectClose(dconn->connection);
    unref(dconn);
}

virConnectPtr
dconn_get(const Dconn *dconn)
{
    return dconn->connection;
}

gboolean
dconn_takes_params(const Dconn *dconn)
{
    return dconn->takes_params;
}
