/*
 * connection.c: the client's connection, kept open while the guest depends on it
 *
 * A reference alone keeps libvirt from closing it. On the source that is for a daemon that stops:
 * it closes its clients' connections when it no longer listens to QEMU, and would wait for QEMU's
 * answer for ever (qemuMigrationAnyConnectionClosed(), src/qemu/qemu_migration.c, 11.3.0); not in
 * postcopy, where libvirt asks QEMU nothing, and brings the migration to its end by itself if it
 * knows in time that the client is gone. Before postcopy a client that is gone must be missed,
 * though, when the switch can not be on its way any more: then nobody but us has a reference, which
 * is looked for every second, since libvirt tells nobody on the server's side.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/connection.h"

#include <glib-object.h>

#include "run/host.h"
#include "run/migration-priv.h"

#define LOOK_MS 1000
/* The source's daemon hears of the client's end as well, and cancels; unless the switch is on its
 * way, which this host hears of last. TCP brings it within its first retransmissions. A source that
 * is gone with its client is not waited for any longer: libvirt would let go of it at once. */
#define LOOKS_MAX 10

/* Closing runs libvirt's callbacks, which may stop a QEMU. */
static void
close_job(gpointer opaque, gpointer unused)
{
    virConnectClose(opaque);
}

void
connection_drop(Migration *migration)
{
    virConnectPtr dconn;

    g_mutex_lock(&registry.lock);
    dconn = g_steal_pointer(&migration->dconn);
    g_mutex_unlock(&registry.lock);
    if (dconn)
        host_run(close_job, dconn);
    if (migration->client_timer) {
        g_source_destroy(migration->client_timer);
        g_clear_pointer(&migration->client_timer, g_source_unref);
    }
}

gboolean
connection_is_another(Migration *migration, virConnectPtr dconn)
{
    gboolean another;

    g_mutex_lock(&registry.lock);
    another = migration->dconn && migration->dconn != dconn;
    g_mutex_unlock(&registry.lock);
    return another;
}

/* virConnect is a GObject in all libvirt that we know (src/datatypes.h, 9.0.0 and 11.3.0). */
static gboolean
is_client_gone(Migration *migration)
{
    gboolean gone;

    g_mutex_lock(&registry.lock);
    gone = migration->dconn && G_OBJECT(migration->dconn)->ref_count == 1;
    g_mutex_unlock(&registry.lock);
    return gone;
}

/* Whether the guest may be on its way here, without anybody here knowing. */
static gboolean
may_switch(const Migration *migration)
{
    MigrationState state = session_get_state(migration->session);

    return migration->role == ROLE_DESTINATION && (migration->flags & VIR_MIGRATE_POSTCOPY) &&
           (state == STATE_PRECOPY_ACTIVE || state == STATE_SWITCHOVER);
}

static gboolean
look_cb(gpointer opaque)
{
    Migration *migration = opaque;

    if (migration->role == ROLE_DESTINATION &&
        session_get_owner(migration->session) == OWNER_DESTINATION)
        return G_SOURCE_CONTINUE;
    if (!is_client_gone(migration)) {
        migration->looks_in_vain = 0;
        return G_SOURCE_CONTINUE;
    }
    migration->looks_in_vain++;
    if (!may_switch(migration) || migration->looks_in_vain > LOOKS_MAX) {
        g_message("migration %s: the client is gone", migration->id);
        connection_drop(migration);
    }
    return G_SOURCE_CONTINUE;
}

static gboolean
is_needed(const Migration *migration)
{
    if (migration_state_is_terminal(session_get_state(migration->session)))
        return FALSE;
    return migration->role == ROLE_DESTINATION ||
           session_get_owner(migration->session) != OWNER_DESTINATION;
}

void
connection_follow(Migration *migration)
{
    if (!is_needed(migration))
        connection_drop(migration);
}

static gboolean
start_cb(gpointer opaque)
{
    Migration *migration = opaque;

    if (!is_needed(migration)) {
        connection_drop(migration);
    } else if (!migration->client_timer) {
        migration->client_timer = g_timeout_source_new(LOOK_MS);
        g_source_set_callback(migration->client_timer, look_cb, migration, NULL);
        g_source_attach(migration->client_timer, g_main_context_get_thread_default());
    }
    migration_unref(migration);
    return G_SOURCE_REMOVE;
}

void
migration_keep_connection(Migration *migration, virConnectPtr dconn)
{
    g_mutex_lock(&registry.lock);
    if (!migration->dconn) {
        virConnectRef(dconn);
        migration->dconn = dconn;
    }
    g_mutex_unlock(&registry.lock);
    host_post(start_cb, migration_ref(migration));
}
