/*
 * inhibit.c: for how long a daemon with nothing else to do stays
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/migration-priv.h"

#include <glib/gstdio.h>

#include "doubles/world.h"
#include "stock/daemon.h"

static char *directory;
static gint inhibited; /* atomic */

/* In place of stock/daemon.c. */
void
daemon_inhibit(gboolean inhibit)
{
    g_atomic_int_set(&inhibited, inhibit);
}

static gboolean
stays(void)
{
    world_settle();
    return g_atomic_int_get(&inhibited);
}

static void
begin(void)
{
    g_autoptr(GError) error = NULL;

    g_atomic_int_set(&inhibited, FALSE);
    directory = g_dir_make_tmp("holdfast-XXXXXX", &error);
    g_assert_no_error(error);
    world_start();
    world_set_journal(directory);
}

static void
end(Migration *migration)
{
    g_autoptr(GDir) files = NULL;
    const char *name;

    world_drop(migration);
    world_stop();
    world_set_journal(NULL);
    files = g_dir_open(directory, 0, NULL);
    while ((name = g_dir_read_name(files))) {
        g_autofree char *path = g_build_filename(directory, name, NULL);

        g_unlink(path);
    }
    g_assert_cmpint(g_rmdir(directory), ==, 0);
    g_free(directory);
}

static Migration *
start(MigrationRole role)
{
    g_autoptr(Policy) policy = policy_default();
    Migration *migration = migration_start(role, NULL, world_domain(0), "guest0", policy, 0);

    g_assert_false(stays());
    migration_tell(migration, EVENT_QEMU_ACTIVE, 0, NULL);
    g_assert_true(stays());
    return migration;
}

/* It is the one that asks. */
static void
test_source(void)
{
    Migration *migration;

    begin();
    migration = start(ROLE_SOURCE);
    migration_tell(migration, EVENT_CALL_FAILED, 0, "test");
    g_assert_false(stays());
    end(migration);
}

/* Its source may ask how it ended, for a time. */
static void
test_destination(void)
{
    Migration *migration;

    begin();
    migration = start(ROLE_DESTINATION);
    migration_tell(migration, EVENT_QEMU_GONE, 0, "test");
    g_assert_true(migration_state_is_terminal(migration->status->state));
    g_assert_true(stays());
    world_pass_time();
    g_assert_true(stays());
    end(migration);
}

/* It is looked for when the time is over that nobody else prolongs. */
static void
test_day_later(void)
{
    Migration *migration;

    begin();
    migration = start(ROLE_DESTINATION);
    migration_tell(migration, EVENT_QEMU_GONE, 0, "test");
    g_assert_true(stays());
    migration->asked_until = g_get_monotonic_time();
    world_pass_time();
    g_assert_false(stays());
    end(migration);
}

/* A journal that was read stays as it is until somebody does something about it. */
static void
test_restored(void)
{
    g_autoptr(Policy) policy = policy_default();
    Migration *migration;

    begin();
    migration = migration_start(ROLE_SOURCE, NULL, world_domain(0), "guest0", policy, 0);
    migration_inhibit_restored(migration);
    g_assert_true(stays());
    migration_tell(migration, EVENT_CALL_FAILED, 0, "test");
    g_assert_false(stays());
    end(migration);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/inhibit/source", test_source);
    g_test_add_func("/inhibit/destination", test_destination);
    g_test_add_func("/inhibit/day-later", test_day_later);
    g_test_add_func("/inhibit/restored", test_restored);
    return g_test_run();
}
