/*
 * abi.c: tests of the rows of the libvirt versions
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <glib.h>
#include <stdio.h>

#include "stock/abi.h"

static void
test_find(void)
{
    static const unsigned long unknown[] = {0, 1, 8010000, 9000001, 11003001, 99000000};

    for (guint i = 0; i < G_N_ELEMENTS(unknown); i++)
        g_assert_null(abi_find(unknown[i]));
    for (guint i = 0; abi_get(i); i++) {
        const AbiRow *row = abi_get(i);
        unsigned int major, minor, micro;

        g_assert_true(abi_find(row->version) == row);
        g_assert_cmpint(sscanf(row->name, "%u.%u.%u", &major, &minor, &micro), ==, 3);
        g_assert_cmpuint(row->version, ==, major * 1000000 + minor * 1000 + micro);
    }
}

/* Every slot is in the table, behind its name, and no two are one. */
static void
test_slots(void)
{
    for (guint i = 0; abi_get(i); i++) {
        const AbiRow *row = abi_get(i);

        for (guint slot = 0; slot < SLOT_LAST; slot++) {
            g_test_message("libvirt %s, %s", row->name, abi_slot_name(slot));
            g_assert_cmpuint(row->slot[slot], >, 0);
            g_assert_cmpuint(row->slot[slot], <, row->table_slots);
            for (guint other = 0; other < slot; other++)
                g_assert_cmpuint(row->slot[slot], !=, row->slot[other]);
        }
    }
}

/* An offset that the extraction forgot would be 0, where the object's class is. */
static void
test_members(void)
{
    for (guint i = 0; abi_get(i); i++) {
        const AbiRow *row = abi_get(i);
        const gsize offsets[] = {
            row->connect_driver,   row->connect_private_data,
            row->config_keepalive, row->config_keepalive_count,
            row->domain_job,       row->domain_pid,
            row->domain_def,       row->def_id,
            row->def_uuid,         row->def_name,
            row->def_size,         row->job_async,
            row->job_async_owner,  row->job_phase,
            row->monitor_vm,       row->monitor_fd,
            row->monitor_message,  row->monitor_last_error_code,
            row->monitor_eof,      row->message_sent,
            row->message_length,
        };

        for (guint o = 0; o < G_N_ELEMENTS(offsets); o++)
            g_assert_cmpuint(offsets[o], >, 0);
        g_assert_cmpint(row->async_migration_out, >, 0);
        g_assert_cmpint(row->async_migration_in, >, 0);
        g_assert_cmpint(row->async_migration_in, !=, row->async_migration_out);
        g_assert_cmpint(row->job_migration_op, !=, row->job_modify_migration_safe);
        g_assert_cmpint(row->phase_perform3_done, <, row->phase_postcopy_failed);
    }
}

static void
test_migration_status(void)
{
    static const char *const needed[] = {"active",           "postcopy-active", "postcopy-paused",
                                         "postcopy-recover", "completed",       "failed",
                                         "cancelled"};

    for (guint i = 0; abi_get(i); i++) {
        const AbiRow *row = abi_get(i);

        g_assert_null(abi_migration_status(row, -1));
        g_assert_null(abi_migration_status(row, 1000));
        g_assert_cmpstr(abi_migration_status(row, 0), ==, "inactive");
        for (guint n = 0; n < G_N_ELEMENTS(needed); n++)
            g_assert_true(g_strv_contains(row->migration_status, needed[n]));
    }
}

/* The versions that Debian ships, counted by hand. */
static void
test_known(void)
{
#if defined(__x86_64__) && defined(__LP64__)
    static const struct {
        unsigned long version;
        guint slots;
        guint perform;
        int completed;
        gboolean unchecked;
    } known[] = {
        {9000000, 258, 214, 8, FALSE},
        {11003000, 263, 216, 9, TRUE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(known); i++) {
        const AbiRow *row = abi_find(known[i].version);

        g_assert_nonnull(row);
        g_assert_cmpuint(row->table_slots, ==, known[i].slots);
        g_assert_cmpuint(row->slot[SLOT_domainMigratePerform3Params], ==, known[i].perform);
        g_assert_cmpstr(abi_migration_status(row, known[i].completed), ==, "completed");
        g_assert_cmpint(row->incoming_fd_unchecked, ==, known[i].unchecked);
    }
#else
    g_test_skip("no rows for this architecture");
#endif
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/abi/find", test_find);
    g_test_add_func("/abi/slots", test_slots);
    g_test_add_func("/abi/members", test_members);
    g_test_add_func("/abi/migration-status", test_migration_status);
    g_test_add_func("/abi/known", test_known);
    return g_test_run();
}
