/*
 * facts.c: what the engine is told of the other host
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "doubles/world.h"
#include "run/migration-priv.h"

static Migration *
start(void)
{
    g_autoptr(Policy) policy = policy_default();

    return migration_start(ROLE_SOURCE, NULL, world_domain(0), "guest", policy, 0);
}

static void
finish(Migration *migration)
{
    migration_tell(migration, EVENT_QEMU_GONE, 0, "the test is over");
    world_forget(world_domain(0));
    world_settle();
    g_assert_true(g_atomic_ref_count_compare(&migration->refs, 1));
    migration_unref(migration);
}

static void
assert_paths(Migration *migration, const char *expected)
{
    g_autoptr(GString) text = g_string_new(NULL);

    migration_sync(migration);
    for (guint i = 0; i < migration->paths->len; i++) {
        const MigrationPath *path = migration->paths->pdata[i];

        g_string_append_printf(text, "%s%s", i ? " " : "", path->host);
        if (path->listen_port)
            g_string_append_printf(text, ":%u", path->listen_port);
    }
    g_assert_cmpstr(text->str, ==, expected);
}

/* Facts are told in order with the events. */
static void
test_facts(void)
{
    char *hosts[] = {(char *)"10.0.0.1", (char *)"fe80::1%eth0", NULL};
    char *policy[] = {(char *)"10.0.0.2", (char *)"10.0.0.1", NULL};
    char *offered[] = {(char *)"10.0.0.3", (char *)"10.0.0.2", NULL};
    char *late[] = {(char *)"10.0.0.4", NULL};
    char *persons[] = {(char *)"10.0.0.3", (char *)"10.0.0.5", NULL};
    char *another[] = {(char *)"10.0.0.6", NULL};
    char *none[] = {NULL};
    Migration *migration;
    g_autoptr(Status) status = NULL;

    world_start();
    migration = start();
    g_assert_false(migration_has_peer(migration));
    g_assert_false(migration_can_ask(migration));
    migration_set_channel(migration, 4711, 0);
    migration_set_channel(migration, 0, 49152);
    migration_set_destination(migration, "b.example", hosts, 49215);
    migration_sync(migration);
    status = migration_get_status(migration);
    g_assert_cmpstr(status->peer, ==, "b.example");
    g_assert_true(migration_has_peer(migration));
    g_assert_true(migration_can_ask(migration));
    g_assert_cmpint(migration->channel.pid, ==, 4711);
    g_assert_cmpuint(migration->channel.port, ==, 49152);
    assert_paths(migration, "10.0.0.1 fe80::1%eth0");

    /* In the order of their ranks, whenever they are known, and none twice. */
    migration_add_paths(migration, PATH_OFFERED, offered);
    migration_add_paths(migration, PATH_POLICY, policy);
    migration_add_paths(migration, PATH_POLICY, late);
    assert_paths(migration, "10.0.0.1 fe80::1%eth0 10.0.0.4 10.0.0.3 10.0.0.2");

    /* A person's address comes first, and another one takes its place. */
    migration_set_override(migration, another, 0);
    migration_set_override(migration, persons, 49999);
    assert_paths(migration, "10.0.0.3:49999 10.0.0.5:49999 10.0.0.1 fe80::1%eth0 10.0.0.4 10.0.0.3 "
                            "10.0.0.2");

    /* For one recovery: then it is one of all, the last, and any port will do. */
    migration_tell(migration, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
    assert_paths(migration, "10.0.0.1 fe80::1%eth0 10.0.0.4 10.0.0.3 10.0.0.2 10.0.0.5");

    /* A UNIX socket: known, but not to be asked. */
    migration_set_destination(migration, "b.example", none, 49215);
    assert_paths(migration, "");
    g_assert_true(migration_has_peer(migration));
    g_assert_false(migration_can_ask(migration));
    /* Stock libvirt. */
    migration_set_destination(migration, "b.example", hosts, 0);
    migration_add_paths(migration, PATH_OFFERED, offered);
    assert_paths(migration, "");
    g_assert_false(migration_has_peer(migration));
    g_assert_false(migration_can_ask(migration));

    finish(migration);
    world_stop();
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/facts/of-the-destination", test_facts);
    return g_test_run();
}
