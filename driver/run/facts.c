/*
 * facts.c: what the engine cannot know by itself, told in order with the events
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/disks.h"
#include "run/host.h"
#include "run/migration-priv.h"

typedef struct {
    Migration *migration;
    pid_t pid;
    guint16 port;
    PathRank rank;
    char *name;
    char **hosts;
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
    g_free(fact->name);
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

/* --- the addresses of the other host --- */

void
migration_path_free(gpointer path)
{
    g_free(((MigrationPath *)path)->host);
    g_free(path);
}

guint
migration_count_ways(const Migration *migration)
{
    guint ways = 0;

    while (ways < migration->paths->len &&
           ((MigrationPath *)migration->paths->pdata[ways])->rank < PATH_NAME)
        ways++;
    return ways;
}

void
migration_put_path(Migration *migration, PathRank rank, const char *host, guint16 listen_port)
{
    MigrationPath *path;
    guint at = 0;

    for (guint i = 0; i < migration->paths->len; i++) {
        path = migration->paths->pdata[i];
        /* A person's may have a port of its own, and goes again. */
        if (g_str_equal(path->host, host) && (path->rank == PATH_PERSON) == (rank == PATH_PERSON)) {
            if (path->rank < PATH_NAME || rank == PATH_NAME)
                return;
            g_ptr_array_remove_index(migration->paths, i);
            break;
        }
        if (path->rank <= rank)
            at = i + 1;
    }
    path = g_new0(MigrationPath, 1);
    path->rank = rank;
    path->host = g_strdup(host);
    path->listen_port = listen_port;
    g_ptr_array_insert(migration->paths, (int)at, path);
}

static gboolean
set_peer_cb(gpointer opaque)
{
    Fact *fact = opaque;
    Migration *migration = fact->migration;

    g_free(migration->peer);
    migration->peer = g_strdup(fact->name);
    migration->peer_port = fact->port;
    g_ptr_array_set_size(migration->paths, 0);
    for (char **host = fact->hosts; fact->port && *host; host++)
        migration_put_path(migration, PATH_URI, *host, 0);
    session_set_peer(migration->session, migration->peer, migration_count_ways(migration));
    migration_put_snapshot(migration, EVENT_QEMU_SETUP);
    fact_free(fact);
    return G_SOURCE_REMOVE;
}

void
migration_set_destination(Migration *migration, const char *name, char **hosts, guint16 port)
{
    tell_fact(set_peer_cb, migration,
              &(Fact){.name = g_strdup(name), .hosts = g_strdupv(hosts), .port = port});
}

void
migration_set_source(Migration *migration, const char *hostname)
{
    /* The destination only answers: whether it can is all that matters. */
    const char *hosts[] = {"", NULL};

    migration_set_destination(migration, hostname ? hostname : "", (char **)hosts,
                              host_get_recover_port());
}

static gboolean
add_paths_cb(gpointer opaque)
{
    Fact *fact = opaque;
    Migration *migration = fact->migration;

    for (char **host = fact->hosts; migration->peer_port && *host; host++)
        migration_put_path(migration, fact->rank, *host, fact->port);
    session_set_peer(migration->session, migration->peer, migration_count_ways(migration));
    migration_put_snapshot(migration, EVENT_QEMU_SETUP);
    fact_free(fact);
    return G_SOURCE_REMOVE;
}

void
migration_add_paths(Migration *migration, PathRank rank, char **hosts)
{
    tell_fact(add_paths_cb, migration, &(Fact){.rank = rank, .hosts = g_strdupv(hosts)});
}

static gboolean
set_peer_boot_cb(gpointer opaque)
{
    Fact *fact = opaque;

    g_free(fact->migration->peer_boot);
    fact->migration->peer_boot = g_steal_pointer(&fact->name);
    fact_free(fact);
    return G_SOURCE_REMOVE;
}

void
migration_set_peer_boot(Migration *migration, const char *boot)
{
    tell_fact(set_peer_boot_cb, migration, &(Fact){.name = g_strdup(boot)});
}

static gboolean
set_hint_cb(gpointer opaque)
{
    Fact *fact = opaque;

    session_set_hint(fact->migration->session, fact->name);
    fact_free(fact);
    return G_SOURCE_REMOVE;
}

void
migration_set_hint(Migration *migration, const char *hint)
{
    tell_fact(set_hint_cb, migration, &(Fact){.name = g_strdup(hint)});
}

static gboolean
set_note_cb(gpointer opaque)
{
    Fact *fact = opaque;

    session_set_note(fact->migration->session, fact->name);
    migration_put_snapshot(fact->migration, EVENT_QEMU_SETUP);
    fact_free(fact);
    return G_SOURCE_REMOVE;
}

void
migration_set_note(Migration *migration, const char *note)
{
    tell_fact(set_note_cb, migration, &(Fact){.name = g_strdup(note)});
}

static GPtrArray *
take_persons(Migration *migration)
{
    GPtrArray *taken = g_ptr_array_new_with_free_func(migration_path_free);

    while (migration->paths->len > 0 &&
           ((MigrationPath *)migration->paths->pdata[0])->rank == PATH_PERSON)
        g_ptr_array_add(taken, g_ptr_array_steal_index(migration->paths, 0));
    return taken;
}

/* It proved to lead there, so it may serve again; but neither before those that the migration was
 * given, nor with a port that was meant for one time. */
void
migration_drop_override(Migration *migration)
{
    g_autoptr(GPtrArray) taken = take_persons(migration);

    for (guint i = 0; i < taken->len; i++)
        migration_put_path(migration, PATH_OFFERED, ((MigrationPath *)taken->pdata[i])->host, 0);
    session_set_peer(migration->session, migration->peer, migration_count_ways(migration));
}

static gboolean
set_override_cb(gpointer opaque)
{
    Fact *fact = opaque;
    g_autoptr(GPtrArray) before = take_persons(fact->migration);

    return add_paths_cb(fact);
}

void
migration_set_override(Migration *migration, char **hosts, guint16 port)
{
    tell_fact(set_override_cb, migration,
              &(Fact){.rank = PATH_PERSON, .hosts = g_strdupv(hosts), .port = port});
}

static gboolean
set_listen_cb(gpointer opaque)
{
    Fact *fact = opaque;

    g_free(fact->migration->listen_host);
    fact->migration->listen_host = g_steal_pointer(&fact->name);
    fact_free(fact);
    return G_SOURCE_REMOVE;
}

void
migration_set_listen(Migration *migration, const char *host)
{
    tell_fact(set_listen_cb, migration, &(Fact){.name = g_strdup(host)});
}

/* --- bitmaps and checkpoints --- */

static gboolean
add_verdicts_cb(gpointer opaque)
{
    Fact *fact = opaque;
    Migration *migration = fact->migration;
    g_autoptr(Migration) current = migration_find(migration->uuid);
    g_autoptr(GPtrArray) verdicts = NULL;

    g_mutex_lock(&registry.lock);
    verdicts = migration->verdicts;
    migration->verdicts = g_ptr_array_new_with_free_func((GDestroyNotify)verdict_unref);
    g_mutex_unlock(&registry.lock);
    session_add_verdicts(migration->session, verdicts);
    /* Of one that another has taken the place of nothing is shown any more. */
    if (current == migration) {
        migration_write_journal(migration);
        migration_put_snapshot(migration, EVENT_QEMU_SETUP);
    }
    fact_free(fact);
    return G_SOURCE_REMOVE;
}

void
migration_add_verdict(Migration *migration, Verdict *verdict)
{
    gboolean first;

    g_mutex_lock(&registry.lock);
    first = migration->verdicts->len == 0;
    g_ptr_array_add(migration->verdicts, verdict);
    g_mutex_unlock(&registry.lock);
    if (first)
        tell_fact(add_verdicts_cb, migration, &(Fact){0});
}

void
migration_learn_disks(Migration *migration)
{
    g_autoptr(GPtrArray) disks = disks_read(migration->name);
    g_autoptr(GPtrArray) before = NULL;

    if (!disks)
        return;
    g_mutex_lock(&registry.lock);
    before = migration->disks;
    migration->disks = g_steal_pointer(&disks);
    g_mutex_unlock(&registry.lock);
}

char *
migration_name_disk(Migration *migration, const char *node)
{
    char *name;

    g_mutex_lock(&registry.lock);
    name = g_strdup(disk_name_node(migration->disks, node));
    g_mutex_unlock(&registry.lock);
    return name;
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

/* --- the journal --- */

static gboolean
note_cb(gpointer opaque)
{
    g_autoptr(Migration) migration = opaque;

    migration_write_journal(migration);
    return G_SOURCE_REMOVE;
}

void
migration_note(Migration *migration)
{
    host_post(note_cb, migration_ref(migration));
}
