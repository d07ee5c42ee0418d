/*
 * facts.c: what the engine cannot know by itself, told in order with the events
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/host.h"
#include "run/migration-priv.h"

typedef struct {
    Migration *migration;
    pid_t pid;
    guint16 port;
    char **hosts;
    gboolean flag;
} Fact;

static void
tell_fact(GSourceFunc fn, Migration *migration, const Fact *fact)
{
    Fact *copy = g_memdup2(fact, sizeof(*fact));

    copy->migration = migration_ref(migration);
    host_post(fn, copy);
}

static void
fact_free(Fact *fact)
{
    migration_unref(fact->migration);
    g_strfreev(fact->hosts);
    g_free(fact);
}

static gboolean
set_channel_cb(gpointer opaque)
{
    Fact *fact = opaque;

    if (fact->pid)
        channel_set_process(&fact->migration->channel, fact->pid);
    if (fact->port)
        fact->migration->channel.port = fact->port;
    fact_free(fact);
    return G_SOURCE_REMOVE;
}

void
migration_set_channel(Migration *migration, pid_t pid, guint16 port)
{
    tell_fact(set_channel_cb, migration, &(Fact){.pid = pid, .port = port});
}

static gboolean
set_peer_cb(gpointer opaque)
{
    Fact *fact = opaque;
    Migration *migration = fact->migration;

    g_free(migration->peer);
    migration->peer = g_strdup(fact->hosts[0] ? fact->hosts[0] : "");
    migration->peer_port = fact->port;
    g_ptr_array_set_size(migration->paths, 0);
    migration->overridden = FALSE;
    for (char **host = fact->hosts; fact->flag && fact->port && *host; host++)
        g_ptr_array_add(migration->paths, migration_path_new(*host, 0));
    session_set_peer(migration->session, migration->peer, migration->paths->len);
    migration_put_snapshot(migration, EVENT_QEMU_SETUP);
    fact_free(fact);
    return G_SOURCE_REMOVE;
}

void
migration_set_destination(Migration *migration, char **hosts, guint16 port, gboolean reachable)
{
    tell_fact(set_peer_cb, migration,
              &(Fact){.hosts = g_strdupv(hosts), .port = port, .flag = reachable});
}

static gboolean
set_peer_name_cb(gpointer opaque)
{
    Fact *fact = opaque;

    g_free(fact->migration->peer_name);
    fact->migration->peer_name = g_strdup(fact->hosts[0]);
    fact_free(fact);
    return G_SOURCE_REMOVE;
}

void
migration_set_destination_name(Migration *migration, const char *hostname)
{
    const char *hosts[] = {hostname, NULL};

    tell_fact(set_peer_name_cb, migration, &(Fact){.hosts = g_strdupv((char **)hosts)});
}

void
migration_set_source(Migration *migration, const char *hostname)
{
    const char *hosts[] = {hostname ? hostname : "", NULL};

    /* The destination only answers: whether it can is all that matters. */
    tell_fact(set_peer_cb, migration,
              &(Fact){
                  .hosts = g_strdupv((char **)hosts),
                  .port = host_get_recover_port(),
                  .flag = TRUE,
              });
}

/* It proved to lead there, so it may serve again; but neither before those that the migration was
 * given, nor with a port that was meant for one time. */
void
migration_drop_override(Migration *migration)
{
    MigrationPath *path;

    if (!migration->overridden)
        return;
    migration->overridden = FALSE;
    path = g_ptr_array_steal_index(migration->paths, 0);
    path->listen_port = 0;
    for (guint i = 0; i < migration->paths->len; i++) {
        if (g_str_equal(((MigrationPath *)migration->paths->pdata[i])->host, path->host)) {
            migration_path_free(path);
            path = NULL;
            break;
        }
    }
    if (path)
        g_ptr_array_add(migration->paths, path);
    session_set_peer(migration->session, migration->peer, migration->paths->len);
}

static gboolean
set_override_cb(gpointer opaque)
{
    Fact *fact = opaque;
    Migration *migration = fact->migration;

    if (migration->peer_port) {
        if (migration->overridden)
            g_ptr_array_remove_index(migration->paths, 0);
        g_ptr_array_insert(migration->paths, 0, migration_path_new(fact->hosts[0], fact->port));
        migration->overridden = TRUE;
        session_set_peer(migration->session, migration->peer, migration->paths->len);
    }
    fact_free(fact);
    return G_SOURCE_REMOVE;
}

void
migration_set_override(Migration *migration, const char *host, guint16 port)
{
    const char *hosts[] = {host, NULL};

    tell_fact(set_override_cb, migration,
              &(Fact){.hosts = g_strdupv((char **)hosts), .port = port});
}

/* Not the engine's business, and so at once. */
void
migration_set_secret(Migration *migration, const Secret *secret)
{
    g_mutex_lock(&registry.lock);
    migration->secret = *secret;
    g_mutex_unlock(&registry.lock);
}

void
migration_get_secret(Migration *migration, Secret *secret)
{
    g_mutex_lock(&registry.lock);
    *secret = migration->secret;
    g_mutex_unlock(&registry.lock);
}
