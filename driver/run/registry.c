/*
 * registry.c: all migrations of this host
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include <libvirt/virterror.h>

#include "run/execute.h"
#include "run/host.h"
#include "run/migration-priv.h"
#include "stock/table.h"

/* Migrations that are over and still shown. */
#define OVER_MAX 128

/* Takes out what is of the same domain, and the oldest of those that are over; the registry's lock
 * is held, and the references are the caller's to drop after it. */
static GList *
make_room(const unsigned char *uuid)
{
    GList *out = NULL;
    guint over = 0;

    for (GList *link = registry.all.head, *next; link; link = next) {
        Migration *migration = link->data;

        next = link->next;
        if (memcmp(migration->uuid, uuid, VIR_UUID_BUFLEN) != 0) {
            if (!migration_state_is_terminal(migration->status->state) || ++over <= OVER_MAX)
                continue;
        }
        g_queue_delete_link(&registry.all, link);
        out = g_list_prepend(out, migration);
    }
    return out;
}

/* A migration that another one takes the place of must let go of the world. */
static gboolean
retire_cb(gpointer opaque)
{
    Migration *migration = opaque;
    g_autoptr(Migration) successor = migration_find(migration->uuid);

    migration_step(migration, EVENT_CALL_CANCELLED, 0, NULL);
    /* In postcopy nothing is cancelled, but whoever waits must not wait for ever, and what is still
     * on its way here must not set it going again. */
    migration_step(migration, EVENT_QEMU_GONE, 0, "another migration of the domain began");
    /* Nor is the other host told any more. */
    migration_step(migration, EVENT_PEER_OVER, 0, NULL);
    execute_end(migration);
    if (!successor)
        host_get_show()->withdraw(migration->status->uuid, migration->role);
    migration_unref(migration);
    return G_SOURCE_REMOVE;
}

void
migration_retire(Migration *migration)
{
    host_post(retire_cb, migration);
}

static gboolean
publish_cb(gpointer opaque)
{
    Migration *migration = opaque;

    host_get_show()->publish(migration->status);
    migration_unref(migration);
    return G_SOURCE_REMOVE;
}

/* In place of an older one of the same domain. */
static void
put(Migration *migration)
{
    GList *out;

    g_mutex_lock(&registry.lock);
    out = make_room(migration->uuid);
    g_queue_push_head(&registry.all, migration_ref(migration));
    g_mutex_unlock(&registry.lock);

    for (GList *link = out; link; link = link->next)
        migration_retire(link->data);
    g_list_free(out);
    host_post(publish_cb, migration_ref(migration));
}

Migration *
migration_start(MigrationRole role,
                const char *id,
                const unsigned char *uuid,
                const char *name,
                const Policy *policy,
                unsigned int flags)
{
    Migration *migration;

    if (!host_is_running())
        return NULL;
    migration = migration_new(role, id, uuid, name, policy, flags);
    put(migration);
    return migration;
}

Migration *
migration_start_foreign(const unsigned char *uuid, const char *name, unsigned int flags)
{
    g_autoptr(Policy) policy = NULL;
    Migration *migration;

    if (!host_is_running())
        return NULL;
    policy = host_get_policy();
    migration = migration_new(ROLE_DESTINATION, NULL, uuid, name, policy, flags);
    migration->foreign = TRUE;
    put(migration);
    return migration;
}

typedef gboolean (*MatchFn)(const Migration *migration, gconstpointer key);

static Migration *
find(MatchFn match, gconstpointer key)
{
    Migration *found = NULL;

    g_mutex_lock(&registry.lock);
    for (GList *link = registry.all.head; link && !found; link = link->next) {
        if (match(link->data, key))
            found = migration_ref(link->data);
    }
    g_mutex_unlock(&registry.lock);
    return found;
}

static gboolean
match_uuid(const Migration *migration, gconstpointer key)
{
    return memcmp(migration->uuid, key, VIR_UUID_BUFLEN) == 0;
}

static gboolean
match_secret(const Migration *migration, gconstpointer key)
{
    return migration->role == ROLE_DESTINATION && secret_equal(&migration->secret, key);
}

Migration *
migration_find(const unsigned char *uuid)
{
    return find(match_uuid, uuid);
}

static gboolean
match_uuid_text(const Migration *migration, gconstpointer key)
{
    return g_ascii_strcasecmp(migration->status->uuid, key) == 0;
}

Migration *
migration_find_by_uuid_text(const char *uuid)
{
    return find(match_uuid_text, uuid);
}

Migration *
migration_find_incoming(virConnectPtr dconn, const char *name)
{
    virDomainPtr domain = name ? TABLE_STOCK(domainLookupByName)(dconn, name) : NULL;
    unsigned char uuid[VIR_UUID_BUFLEN] = {0};
    Migration *migration = NULL;

    /* A domain of the same name may have been here before: the UUID is what counts. */
    if (domain && virDomainGetUUID(domain, uuid) == 0)
        migration = find(match_uuid, uuid);
    if (domain)
        virDomainFree(domain);
    else
        virResetLastError();
    if (migration && migration->role == ROLE_DESTINATION)
        return migration;
    migration_unref(migration);
    return NULL;
}

Migration *
migration_find_by_secret(const Secret *secret)
{
    return find(match_secret, secret);
}

GPtrArray *
migration_list_over(void)
{
    GPtrArray *over = g_ptr_array_new_with_free_func((GDestroyNotify)migration_unref);

    g_mutex_lock(&registry.lock);
    for (GList *link = registry.all.head; link; link = link->next) {
        Migration *migration = link->data;

        if (migration_state_is_terminal(migration->status->state))
            g_ptr_array_add(over, migration_ref(migration));
    }
    g_mutex_unlock(&registry.lock);
    return over;
}

gboolean
registry_add_restored(Migration *migration)
{
    gboolean known = FALSE;

    g_mutex_lock(&registry.lock);
    for (GList *link = registry.all.head; link; link = link->next)
        known |= match_uuid(link->data, migration->uuid);
    if (!known)
        g_queue_push_tail(&registry.all, migration_ref(migration));
    g_mutex_unlock(&registry.lock);
    if (!known)
        host_post(publish_cb, migration_ref(migration));
    return !known;
}

void
migration_stop_all(void)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)migration_unref);

    g_mutex_lock(&registry.lock);
    for (GList *link = registry.all.head; link; link = link->next)
        g_ptr_array_add(all, migration_ref(link->data));
    g_mutex_unlock(&registry.lock);
    for (guint i = 0; i < all->len; i++)
        migration_post(all->pdata[i], EVENT_DAEMON_STOPS, 0, NULL);
}
