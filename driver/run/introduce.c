/*
 * introduce.c: two hosts learn of each other, when a migration begins
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/introduce.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "run/addresses.h"
#include "run/host.h"
#include "util/boot.h"

gboolean
introduce_parse_uri(const char *uri, char **host, guint16 *port)
{
    g_autofree char *normal = NULL;

    if (!uri || !g_str_has_prefix(uri, "tcp:"))
        return FALSE;
    if (!g_str_has_prefix(uri, "tcp://"))
        normal = g_strconcat("tcp://", uri + strlen("tcp:"), NULL);
    return policy_path_parse(normal ? normal : uri, host, port);
}

gboolean
introduce_source(Migration *migration, char **cookie, int *length, GError **error)
{
    Cookie ours = {
        .id = (char *)migration_get_id(migration),
        .postcopy = migration_get_wish(migration),
    };

    migration_get_secret(migration, &ours.secret);
    return cookie_add(cookie, length, &ours, error);
}

gboolean
introduce_destination(Migration *migration,
                      const char *uri,
                      const char *listen,
                      GPtrArray *taken,
                      char **cookie,
                      int *length,
                      GError **error)
{
    g_auto(GStrv) addresses = NULL;
    g_autofree char *host = NULL;
    Cookie ours = {
        .id = (char *)migration_get_id(migration),
        .boot = (char *)boot_get_id(),
        .recover_port = host_get_recover_port(),
        .taken = taken,
    };

    if (migration_get_wish(migration) != COOKIE_POSTCOPY_NONE)
        ours.postcopy = migration_get_flags(migration) & VIR_MIGRATE_POSTCOPY ? COOKIE_POSTCOPY_ON
                                                                              : COOKIE_POSTCOPY_OFF;
    if (!listen)
        listen = host_get_address();
    if (listen && !addresses_is_any(listen))
        addresses = addresses_lookup(listen, NULL);
    if (addresses) {
        migration_set_listen(migration, addresses[0]);
    } else {
        introduce_parse_uri(uri, &host, NULL);
        addresses = addresses_list_local(host);
    }
    ours.addresses = addresses;
    migration_get_secret(migration, &ours.secret);
    return cookie_add(cookie, length, &ours, error);
}

/* The other host cannot be asked, or does not ask: says so where a person will look, in the log and
 * in the status. Without postcopy there is nothing that could pause. */
static void
tell_why(Migration *migration, const char *host, const Cookie *cookie, const GError *error)
{
    const char *other = migration_get_role(migration) == ROLE_SOURCE ? "destination" : "source";
    g_autofree char *why = NULL;

    if (error)
        why =
            g_strdup_printf(_("the Holdfast of host '%1$s' and this one cannot recover a migration "
                              "together (%2$s): update both for the next one"),
                            host, error->message);
    else if (!cookie->id)
        why = g_strdup_printf(_("host '%1$s' has no Holdfast: a paused migration is not recovered; "
                                "install Holdfast there for the next one"),
                              host);
    else
        why = g_strdup_printf(_("the Holdfast of host '%1$s' answers no questions: a paused "
                                "migration is not recovered; see the log of that host's daemon"),
                              host);
    if (!(migration_get_flags(migration) & VIR_MIGRATE_POSTCOPY))
        return;
    g_message("migration %s: the %s cannot be talked to, so an outage in postcopy comes to what it "
              "does in stock libvirt: %s",
              migration_get_id(migration), other, why);
    migration_set_hint(migration, why);
}

void
introduce_foreign(Migration *migration, const Cookie *cookie, const GError *error)
{
    static char *const nowhere[] = {NULL};
    const char *host = cookie->hostname ? cookie->hostname : "";

    tell_why(migration, host, cookie, error);
    migration_set_destination(migration, host, (char **)nowhere, 0);
}

void
introduce_version(char **cookie, int *length)
{
    const Cookie ours = {0};
    g_autoptr(GError) error = NULL;

    if (!cookie_add(cookie, length, &ours, &error))
        g_debug("the source is not told our version: %s", error->message);
}

/* --- the source --- */

/* Names to be looked up elsewhere: one that nobody answers for is not to hold up the migration. */
typedef struct {
    Migration *migration;
    GPtrArray *policy; /* further networks of the policy's */
    char *itself;      /* what the destination calls itself */
} Lookup;

static void
look_up(Migration *migration, PathRank rank, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) hosts = addresses_lookup(name, &error);

    if (hosts)
        migration_add_paths(migration, rank, hosts);
    else if (rank == PATH_POLICY)
        g_warning("migration %s: a path of the policy is left out: %s", migration_get_id(migration),
                  error->message);
}

static void
lookup_job(gpointer opaque, gpointer unused)
{
    Lookup *lookup = opaque;

    for (guint i = 0; i < lookup->policy->len; i++)
        look_up(lookup->migration, PATH_POLICY, lookup->policy->pdata[i]);
    if (lookup->itself)
        look_up(lookup->migration, PATH_NAME, lookup->itself);
    migration_unref(lookup->migration);
    g_ptr_array_unref(lookup->policy);
    g_free(lookup->itself);
    g_free(lookup);
}

static void
begin_lookup(Migration *migration, GPtrArray *policy, const char *itself)
{
    Lookup *lookup = g_new0(Lookup, 1);

    lookup->migration = migration_ref(migration);
    lookup->policy = g_ptr_array_ref(policy);
    lookup->itself = g_strdup(itself);
    host_run(lookup_job, lookup);
}

/* Those of the policy's paths that are addresses; @names: the others. */
static void
add_policy_paths(Migration *migration, GPtrArray *names)
{
    for (char **path = migration_get_policy(migration)->paths; *path; path++) {
        char *host = NULL;

        if (!policy_path_parse(*path, &host, NULL))
            continue;
        if (addresses_is_numeric(host))
            migration_add_paths(migration, PATH_POLICY, (char *[]){host, NULL});
        else
            g_ptr_array_add(names, g_steal_pointer(&host));
        g_free(host);
    }
}

/* Those that lead to the destination and not to this host itself: a bridge for guests or containers
 * has the same address on both. */
static void
add_offered(Migration *migration, char **offered)
{
    g_auto(GStrv) local = addresses_list_local(NULL);
    g_autoptr(GPtrArray) hosts = g_ptr_array_new();

    for (char **host = offered; host && *host; host++) {
        if (!g_strv_contains((const char *const *)local, *host))
            g_ptr_array_add(hosts, *host);
    }
    g_ptr_array_add(hosts, NULL);
    migration_add_paths(migration, PATH_OFFERED, (char **)hosts->pdata);
}

/* What the destination said; what it says about another migration counts for nothing. */
static void
read_cookie(Migration *migration, const char *data, int length, Cookie *cookie, GError **error)
{
    Secret secret;

    cookie_read(data, length, cookie, error);
    migration_get_secret(migration, &secret);
    if (!cookie->id || !secret_equal(&cookie->secret, &secret)) {
        cookie->recover_port = 0;
        cookie->postcopy = COOKIE_POSTCOPY_NONE;
        g_clear_pointer(&cookie->boot, g_free);
    }
}

CookiePostcopy
introduce_learn_destination(Migration *migration, const char *uri, const char *data, int length)
{
    static char *const nowhere[] = {NULL};
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) problem = NULL;
    g_auto(Cookie) cookie = {0};
    g_autofree char *host = NULL;
    g_auto(GStrv) hosts = NULL;
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    gboolean network = introduce_parse_uri(uri, &host, NULL);

    read_cookie(migration, data, length, &cookie, &error);
    if (!host)
        host = g_strdup(cookie.hostname ? cookie.hostname : "");
    if (!cookie.recover_port)
        tell_why(migration, host, &cookie, error);
    /* Over a UNIX socket, or RDMA, it is paused and told, but there is no network to ask over. */
    else if (network && !(hosts = addresses_lookup(host, &problem)))
        g_warning("migration %s: the destination cannot be asked at its URI: %s",
                  migration_get_id(migration), problem->message);
    migration_set_destination(migration, host, hosts ? hosts : (char **)nowhere,
                              cookie.recover_port);
    migration_set_peer_boot(migration, cookie.boot);
    if (cookie.recover_port && network) {
        add_policy_paths(migration, names);
        add_offered(migration, cookie.addresses);
        begin_lookup(migration, names, cookie.hostname);
    }
    return cookie.postcopy;
}
