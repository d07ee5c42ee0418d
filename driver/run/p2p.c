/*
 * p2p.c: a peer-to-peer migration with postcopy, driven by ourselves
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/p2p.h"

#include "run/host.h"
#include "run/migration.h"
#include "run/outcome.h"
#include "stock/error.h"

/* The defaults of keepalive_interval and keepalive_count in qemu.conf (libvirt 11.3.0,
 * src/qemu/qemu_conf.c), with which stock libvirt watches the same connection. */
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_COUNT      5

gboolean
p2p_is_ours(unsigned int flags)
{
    return (flags & VIR_MIGRATE_POSTCOPY) &&
           !(flags & (VIR_MIGRATE_TUNNELLED | VIR_MIGRATE_OFFLINE));
}

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

/* As stock libvirt does (virConnectAuthConfig, src/qemu/qemu_migration.c): credentials come from
 * auth.conf, and nobody is asked. */
static virConnectPtr
open_destination(const char *dconnuri)
{
    static int types[] = {VIR_CRED_AUTHNAME, VIR_CRED_PASSPHRASE};
    static virConnectAuth auth = {.credtype = types, .ncredtype = G_N_ELEMENTS(types)};
    virConnectPtr dconn = virConnectOpenAuth(dconnuri, &auth, 0);

    if (dconn && virConnectSetKeepAlive(dconn, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT) < 0) {
        virConnectClose(dconn);
        return NULL;
    }
    return dconn;
}

static Migration *
find_migration(virDomainPtr dom)
{
    unsigned char uuid[VIR_UUID_BUFLEN];

    return virDomainGetUUID(dom, uuid) == 0 ? migration_find(uuid) : NULL;
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
    stock_error_restore(saved);
    return -1;
}

int
p2p_perform(virDomainPtr dom,
            const char *dconnuri,
            virTypedParameterPtr params,
            int nparams,
            unsigned int flags)
{
    g_autoptr(Migration) before = find_migration(dom);
    virDomainPtr own = get_own_domain(dom);
    virConnectPtr dconn = own ? open_destination(dconnuri) : NULL;
    virDomainPtr moved = NULL;
    int rc = -1;

    if (dconn) {
        moved = virDomainMigrate3(own, dconn, params, (unsigned int)nparams,
                                  flags & ~(unsigned int)VIR_MIGRATE_PEER2PEER);
        rc = moved ? 0 : settle(dom, before);
    }
    if (moved)
        virDomainFree(moved);
    if (dconn || own) {
        virErrorPtr saved = stock_error_save();

        if (dconn)
            virConnectClose(dconn);
        if (own)
            virDomainFree(own);
        stock_error_restore(saved);
    }
    return rc;
}
