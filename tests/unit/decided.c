/*
 * decided.c: what was decided of a bitmap is in the log, in the snapshot and in the journal
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/decided.h"

#include <glib/gstdio.h>

#include "doubles/world.h"
#include "run/disks.h"
#include "run/migration-priv.h"
#include "run/restore.h"

static const char domain[] =
    "<domain><devices><disk><source file='/i' index='1'/><target dev='vda'/></disk></devices>"
    "</domain>";

static const char *running; /* what libvirt's file says of the domain; NULL: there is none */

/* In place of that file. */
GPtrArray *
disks_read(const char *name)
{
    return running ? disk_parse_all(running) : NULL;
}

typedef struct {
    virConnectPtr connection;
    virDomainPtr dom;
    Migration *migration;
    char *journal;
} Fixture;

static Migration *
start(void)
{
    g_autoptr(Policy) policy = policy_default();

    return migration_start(ROLE_SOURCE, NULL, world_domain(0), "guest", policy, 0);
}

static void
set_up(Fixture *f, gconstpointer unused)
{
    world_start();
    f->journal = g_dir_make_tmp("holdfast-decided-XXXXXX", NULL);
    world_set_journal(f->journal);
    f->connection = virConnectOpen("test:///default");
    f->dom = virDomainLookupByUUID(f->connection, world_domain(0));
    f->migration = start();
    f->migration->disks = disk_parse_all(domain);
}

static void
tear_down(Fixture *f, gconstpointer unused)
{
    g_autoptr(Status) status = migration_get_status(f->migration);

    world_drop(f->migration);
    world_set_journal(NULL);
    world_stop();
    journal_remove(f->journal, status->uuid);
    g_assert_cmpint(g_rmdir(f->journal), ==, 0);
    g_free(f->journal);
    virDomainFree(f->dom);
    virConnectClose(f->connection);
}

static char *
print(const GPtrArray *verdicts)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < verdicts->len; i++) {
        const Verdict *verdict = verdicts->pdata[i];

        g_assert_cmpint(verdict->at_usec, >, 0);
        g_string_append_printf(text, "%s %s %s: %s: %s\n", verdict_kind_to_string(verdict->kind),
                               verdict->disk, verdict->name, verdict->decision, verdict->reason);
    }
    return g_string_free(text, FALSE);
}

static void
check(Migration *migration, const char *expected)
{
    g_autoptr(Status) status = NULL;
    g_autofree char *text = NULL;

    migration_sync(migration);
    status = migration_get_status(migration);
    text = print(status->verdicts);
    g_assert_cmpstr(text, ==, expected);
}

static void
on_record(JournalRecord *record, gpointer opaque)
{
    *(char **)opaque = print(record->verdicts);
}

static void
test_told(Fixture *f, gconstpointer unused)
{
    static const char expected[] = "bitmap libvirt-2-format m: nothing: it is there\n"
                                   "checkpoint  c: left-behind: it is broken\n"
                                   "bitmap vda m: drop: it is worthless\n";
    g_autofree char *line = g_strdup_printf("migration %s of domain guest0: vda: dirty bitmap m "
                                            "on libvirt-1-format: drop: it is worthless",
                                            migration_get_id(f->migration));
    g_autofree char *kept = NULL;

    g_test_expect_message("holdfast", G_LOG_LEVEL_MESSAGE,
                          "*: vda: dirty bitmap m on libvirt-1-format: repair:*");
    decided_tell(f->migration, f->dom, "libvirt-1-format", "m", BITMAP_REPAIR, "it was right");
    g_test_expect_message("holdfast", G_LOG_LEVEL_MESSAGE, "*m on libvirt-2-format: nothing:*");
    decided_tell(f->migration, f->dom, "libvirt-2-format", "m", BITMAP_NOTHING, "it is there");
    g_test_expect_message("holdfast", G_LOG_LEVEL_WARNING,
                          "*domain guest0: checkpoint c: left-behind:*");
    decided_tell_checkpoint(f->migration, f->dom, "c", "left-behind", "it is broken");
    /* The last word on a bitmap is what counts. */
    g_test_expect_message("holdfast", G_LOG_LEVEL_MESSAGE, line);
    decided_tell(f->migration, f->dom, "libvirt-1-format", "m", BITMAP_DROP, "it is worthless");
    g_test_assert_expected_messages();
    check(f->migration, expected);

    migration_tell(f->migration, EVENT_QEMU_ACTIVE, 0, NULL);
    journal_read_all(f->journal, on_record, &kept);
    g_assert_cmpstr(kept, ==, expected);
}

/* A daemon that is restarted in the middle has it from the journal, and knows the disks before
 * libvirt serves. */
static void
test_restarted(Fixture *f, gconstpointer unused)
{
    static const char before[] = "bitmap vda m: leave: it stays\n";
    g_autofree char *both = g_strconcat(before, "bitmap vda n: drop: it is worthless\n", NULL);

    migration_tell(f->migration, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
    decided_tell(f->migration, f->dom, "libvirt-1-format", "m", BITMAP_LEAVE, "it stays");
    migration_sync(f->migration);
    /* The old daemon's is put aside: a journal is read where there is none. */
    g_mutex_lock(&registry.lock);
    g_queue_clear(&registry.all);
    g_mutex_unlock(&registry.lock);
    migration_unref(f->migration); /* the list's */
    world_settle();
    migration_unref(f->migration);
    f->migration = NULL;
    running = domain;
    restore_read();
    running = NULL;
    f->migration = migration_find(world_domain(0));
    g_assert_nonnull(f->migration);
    check(f->migration, before);
    decided_tell(f->migration, f->dom, "libvirt-1-format", "n", BITMAP_DROP, "it is worthless");
    check(f->migration, both);
    restore_take_up(f->connection);
}

/* Where the migration is not known any more there is the line, of a domain that runs here. */
static void
test_unknown_migration(Fixture *f, gconstpointer unused)
{
    g_test_expect_message(
        "holdfast", G_LOG_LEVEL_MESSAGE,
        "domain guest0: dirty bitmap m on libvirt-1-format: drop: it is worthless");
    decided_tell(NULL, f->dom, "libvirt-1-format", "m", BITMAP_DROP, "it is worthless");
    running = domain;
    g_test_expect_message(
        "holdfast", G_LOG_LEVEL_MESSAGE,
        "domain guest0: vda: dirty bitmap m on libvirt-1-format: drop: it is worthless");
    decided_tell(NULL, f->dom, "libvirt-1-format", "m", BITMAP_DROP, "it is worthless");
    running = NULL;
    g_test_assert_expected_messages();
    check(f->migration, "");
}

/* Also when it is over; but what is told late of one whose place another has taken is not shown. */
static void
test_over(Fixture *f, gconstpointer unused)
{
    g_autoptr(Migration) old = migration_ref(f->migration);
    g_auto(GStrv) shown = NULL;

    migration_tell(old, EVENT_QEMU_FAILED, 0, NULL);
    decided_tell(old, f->dom, "libvirt-1-format", "m", BITMAP_REPAIR, "it was right");
    check(old, "bitmap vda m: repair: it was right\n");
    migration_unref(f->migration);
    f->migration = start();
    world_settle();
    world_clear_shown();
    decided_tell(old, f->dom, "libvirt-1-format", "m", BITMAP_DROP, "it is worthless");
    migration_sync(old);
    shown = world_get_shown();
    g_assert_cmpuint(g_strv_length(shown), ==, 0);
    check(f->migration, "");
}

static void
test_many(Fixture *f, gconstpointer unused)
{
    g_autoptr(Status) status = NULL;

    for (guint i = 0; i < SESSION_VERDICTS_MAX + 10; i++) {
        g_autofree char *name = g_strdup_printf("m%u", i);

        migration_add_verdict(
            f->migration, verdict_new(VERDICT_BITMAP, "vda", name, "drop", "it is worthless", 1));
    }
    migration_sync(f->migration);
    status = migration_get_status(f->migration);
    g_assert_cmpuint(status->verdicts->len, ==, SESSION_VERDICTS_MAX);
    g_assert_cmpstr(((Verdict *)status->verdicts->pdata[0])->name, ==, "m10");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/decided/told", Fixture, NULL, set_up, test_told, tear_down);
    g_test_add("/decided/restarted", Fixture, NULL, set_up, test_restarted, tear_down);
    g_test_add("/decided/unknown-migration", Fixture, NULL, set_up, test_unknown_migration,
               tear_down);
    g_test_add("/decided/over", Fixture, NULL, set_up, test_over, tear_down);
    g_test_add("/decided/many", Fixture, NULL, set_up, test_many, tear_down);
    return g_test_run();
}
