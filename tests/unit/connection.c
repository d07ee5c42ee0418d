/*
 * connection.c: the client's connection to a destination, kept as long as the guest depends on it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/connection.h"

#include <glib-object.h>

#include "doubles/world.h"
#include "run/migration-priv.h"

static guint
count_references(virConnectPtr connection)
{
    return (guint)g_atomic_int_get((gint *)&G_OBJECT(connection)->ref_count);
}

static void
test_connection_kept(void)
{
    g_autoptr(Policy) policy = policy_default();
    virConnectPtr client = virConnectOpen("test:///default");
    virConnectPtr got;
    Migration *migration;

    world_start();
    migration = migration_start(ROLE_DESTINATION, NULL, world_domain(0), "guest0", policy, 0);
    g_assert_null(migration_get_connection(migration));
    migration_keep_connection(migration, client);
    migration_keep_connection(migration, client);
    g_assert_cmpuint(count_references(client), ==, 2);
    got = migration_get_connection(migration);
    g_assert_true(got == client);
    virConnectClose(got);
    migration_tell(migration, EVENT_CALL_COMPLETED, 0, NULL);
    world_settle();
    g_assert_null(migration_get_connection(migration));
    g_assert_cmpuint(count_references(client), ==, 1);
    /* Too late: not kept at all. */
    migration_keep_connection(migration, client);
    world_settle();
    g_assert_cmpuint(count_references(client), ==, 1);
    virConnectClose(client);
    world_drop(migration);
    world_stop();
}

/* Before postcopy a client that is gone is missed; after it, its connection is all there is. In
 * between nobody knows for a while. */
static void
test_client_gone(void)
{
    g_autoptr(Policy) policy = policy_default();
    virConnectPtr clients[3];
    virConnectPtr got;
    Migration *early, *late, *switching;

    world_start();
    early = migration_start(ROLE_DESTINATION, NULL, world_domain(0), "guest0", policy, 0);
    late = migration_start(ROLE_DESTINATION, NULL, world_domain(1), "guest1", policy, 0);
    switching = migration_start(ROLE_DESTINATION, NULL, world_domain(2), "guest2", policy,
                                VIR_MIGRATE_POSTCOPY);
    g_assert_true(migration_claim_finish(late));
    migration_tell(early, EVENT_QEMU_ACTIVE, 0, NULL);
    migration_tell(switching, EVENT_QEMU_ACTIVE, 0, NULL);
    for (guint i = 0; i < 3; i++) {
        clients[i] = virConnectOpen("test:///default");
        migration_keep_connection(i == 0 ? switching : i == 1 ? late : early, clients[i]);
    }
    migration_tell(late, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
    for (guint i = 0; i < 3; i++)
        virConnectClose(clients[i]);
    while ((got = migration_get_connection(early))) {
        virConnectClose(got);
        world_settle();
    }
    got = migration_get_connection(late);
    g_assert_true(got == clients[1]);
    virConnectClose(got);
    /* It was looked at before; the switch was on its way, and is there. */
    migration_tell(switching, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
    got = migration_get_connection(switching);
    g_assert_true(got == clients[0]);
    virConnectClose(got);
    world_drop(switching);
    world_drop(early);
    world_drop(late);
    world_stop();
}

/* A source keeps it until postcopy: from then on libvirt does without the client. */
static void
test_source(void)
{
    g_autoptr(Policy) policy = policy_default();
    virConnectPtr client = virConnectOpen("test:///default");
    Migration *migration;

    world_start();
    migration = migration_start(ROLE_SOURCE, NULL, world_domain(0), "guest0", policy, 0);
    migration_keep_connection(migration, client);
    migration_tell(migration, EVENT_QEMU_ACTIVE, 0, NULL);
    g_assert_cmpuint(count_references(client), ==, 2);
    migration_tell(migration, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
    world_settle();
    g_assert_cmpuint(count_references(client), ==, 1);
    virConnectClose(client);
    world_drop(migration);
    world_stop();
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/connection/kept", test_connection_kept);
    g_test_add_func("/connection/client-gone", test_client_gone);
    g_test_add_func("/connection/source", test_source);
    return g_test_run();
}
