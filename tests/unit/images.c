/*
 * images.c: what a source has given up stands in the journal until it has it again
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/migration-priv.h"

#include <glib/gstdio.h>

#include "doubles/libvirt.h"
#include "doubles/world.h"
#include "util/uuid.h"

static char *directory;

static void
begin(void)
{
    g_autoptr(GError) error = NULL;

    directory = g_dir_make_tmp("holdfast-XXXXXX", &error);
    g_assert_no_error(error);
    world_start();
    world_set_journal(directory);
}

static char *
get_path(void)
{
    g_autofree char *uuid = uuid_format(world_domain(0));
    g_autofree char *name = g_strconcat(uuid, ".journal", NULL);

    return g_build_filename(directory, name, NULL);
}

static void
end(Migration *migration)
{
    g_autofree char *path = get_path();

    world_drop(migration);
    world_stop();
    world_set_journal(NULL);
    g_unlink(path);
    g_assert_cmpint(g_rmdir(directory), ==, 0);
    g_free(directory);
}

static Migration *
start(MigrationRole role)
{
    g_autoptr(Policy) policy = policy_default();

    return migration_start(role, NULL, world_domain(0), "guest0", policy, 0);
}

/* FALSE when there is none. */
static gboolean
read_journal(JournalRecord *record)
{
    g_autofree char *path = get_path();
    g_autofree char *text = NULL;
    gsize length;

    return g_file_get_contents(path, &text, &length, NULL) &&
           journal_parse(text, length, record, NULL);
}

static void
assert_journal(gboolean there, gboolean given_up, gboolean guarded)
{
    g_auto(JournalRecord) record = {0};

    g_assert_cmpint(read_journal(&record), ==, there);
    g_assert_cmpint(record.given_up, ==, given_up);
    g_assert_cmpint(record.guarded, ==, guarded);
}

/* The end of the migration is not that of the handback. */
static void
test_kept(void)
{
    Migration *migration;

    begin();
    migration = start(ROLE_SOURCE);
    migration_tell(migration, EVENT_QEMU_PRE_SWITCHOVER, 0, NULL);
    assert_journal(TRUE, FALSE, FALSE);
    migration_set_guarded(migration, TRUE);
    assert_journal(TRUE, FALSE, TRUE);
    migration_give_up(migration);
    migration_sync(migration);
    assert_journal(TRUE, TRUE, TRUE);
    migration_tell(migration, EVENT_CALL_FAILED, 0, "failed");
    assert_journal(TRUE, TRUE, TRUE);
    migration_hand_back(migration);
    migration_sync(migration);
    assert_journal(FALSE, FALSE, FALSE);
    end(migration);
}

/* Not where the guest stayed, or is the other host's. */
static void
test_not_kept(void)
{
    static const struct {
        MigrationRole role;
        gboolean gives_up;
        EventType event;
    } cases[] = {
        {ROLE_SOURCE, FALSE, EVENT_CALL_FAILED},
        {ROLE_SOURCE, TRUE, EVENT_CALL_COMPLETED},
        {ROLE_DESTINATION, FALSE, EVENT_CALL_FAILED},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Migration *migration;

        begin();
        migration = start(cases[i].role);
        if (cases[i].gives_up)
            migration_give_up(migration);
        migration_tell(migration, cases[i].event, 0, "over");
        assert_journal(FALSE, FALSE, FALSE);
        end(migration);
    }
}

/* By the daemon that comes next. At the switchover QEMU may have been further than the journal. */
static void
test_restored(void)
{
    for (guint i = 0; i < 2; i++) {
        g_auto(JournalRecord) record = {0};
        g_autoptr(Policy) policy = policy_default();
        Migration *migration, *again;

        begin();
        migration = start(ROLE_SOURCE);
        migration_tell(migration, EVENT_QEMU_PRE_SWITCHOVER, 0, NULL);
        if (i == 1) {
            migration_give_up(migration);
            migration_set_guarded(migration, TRUE);
            migration_tell(migration, EVENT_CALL_FAILED, 0, "failed");
        }
        g_assert_true(read_journal(&record));
        world_drop(migration);
        again = migration_restore(&record, world_domain(0), policy);
        g_assert_true(migration_has_given_up(again));
        g_assert_cmpint(migration_is_guarded(again), ==, i == 1);
        end(again);
    }
}

int
main(int argc, char **argv)
{
    libvirt_init(&argc, &argv);
    g_test_add_func("/images/kept", test_kept);
    g_test_add_func("/images/not-kept", test_not_kept);
    g_test_add_func("/images/restored", test_restored);
    return g_test_run();
}
