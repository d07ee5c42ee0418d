/*
 * journal.c: a migration survives the daemon on disk; what does not hold is set aside
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/journal.h"

#include <string.h>

#include <glib/gstdio.h>

#include "run/restore.h"

static char *hosts[] = {(char *)"10.79.0.2", (char *)"fe80::2;x", NULL};

static char *names[] = {(char *)"10.80.0.2", NULL};

static const JournalRecord sample = {
    .role = ROLE_SOURCE,
    .id = (char *)"6f9d9c1e-0d0c-4c3c-9d5e-4e2c6bb0a001",
    .secret = {.bytes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255}},
    .uuid = (char *)"0b6a3c2c-5a6e-4c53-8b0e-bd3a7bd1c001",
    .name = (char *)"gäst; with = and\\n [odd] things",
    .peer = (char *)"b.example",
    .names = names,
    .hosts = hosts,
    .listen_host = (char *)"10.79.0.1",
    .armed_host = (char *)"",
    .peer_boot = (char *)"1c9d4b9e-6a3a-4c0e-9a55-2f0c7f1e0001",
    .peer_port = 49215,
    .channel_port = 49152,
    .flags = 0x8000805b,
    .undefine = TRUE,
    .kept = TRUE,
    .given_up = TRUE,
    .guarded = TRUE,
    .policy = (char *)"<holdfast:migration xmlns:holdfast=\"urn:holdfast:migration:1\">\n"
                      "</holdfast:migration>\n",
    .memory =
        {
            .state = STATE_POSTCOPY_PAUSED,
            .reason = REASON_NETWORK,
            .wanted = TRUE,
            .finish_called = TRUE,
            .running = TRUE,
            .started = TRUE,
            .may_have_run = TRUE,
            .taken_back = TRUE,
            .untold = TRUE,
            .unsettled = TRUE,
            .ending = TRUE,
            .to_stop = TRUE,
            .armed_port = 49300,
            .pauses = 3,
            .recoveries = 2,
            .attempts = 17,
            .started_at_usec = G_GINT64_CONSTANT(1795301087257983),
            .paused_at_usec = G_GINT64_CONSTANT(1795301097257983),
            .paused_usec = 5000000,
            .last_outage_usec = 4000000,
        },
};

static void
test_round_trip(void)
{
    g_autofree char *text = journal_format(&sample);
    g_autoptr(GError) error = NULL;
    g_auto(JournalRecord) record = {0};

    g_assert_true(journal_parse(text, strlen(text), &record, &error));
    g_assert_no_error(error);
    g_assert_cmpint(record.role, ==, sample.role);
    g_assert_cmpstr(record.id, ==, sample.id);
    g_assert_true(secret_equal(&record.secret, &sample.secret));
    g_assert_cmpstr(record.uuid, ==, sample.uuid);
    g_assert_cmpstr(record.name, ==, sample.name);
    g_assert_cmpstr(record.peer, ==, sample.peer);
    g_assert_cmpstr(record.listen_host, ==, sample.listen_host);
    g_assert_cmpstr(record.armed_host, ==, sample.armed_host);
    g_assert_cmpstr(record.peer_boot, ==, sample.peer_boot);
    g_assert_cmpstr(record.policy, ==, sample.policy);
    g_assert_true(g_strv_equal((const char *const *)record.hosts, (const char *const *)hosts));
    g_assert_true(g_strv_equal((const char *const *)record.names, (const char *const *)names));
    g_assert_cmpuint(record.peer_port, ==, sample.peer_port);
    g_assert_cmpuint(record.channel_port, ==, sample.channel_port);
    g_assert_cmpuint(record.flags, ==, sample.flags);
    g_assert_cmpint(record.undefine, ==, sample.undefine);
    g_assert_cmpint(record.kept, ==, sample.kept);
    g_assert_cmpint(record.given_up, ==, sample.given_up);
    g_assert_cmpint(record.guarded, ==, sample.guarded);
    g_assert_cmpint(record.memory.state, ==, sample.memory.state);
    g_assert_cmpint(record.memory.reason, ==, sample.memory.reason);
    g_assert_cmpint(record.memory.wanted, ==, sample.memory.wanted);
    g_assert_cmpint(record.memory.gave_up, ==, sample.memory.gave_up);
    g_assert_cmpint(record.memory.finish_called, ==, sample.memory.finish_called);
    g_assert_cmpint(record.memory.running, ==, sample.memory.running);
    g_assert_cmpint(record.memory.started, ==, sample.memory.started);
    g_assert_cmpint(record.memory.may_have_run, ==, sample.memory.may_have_run);
    g_assert_cmpint(record.memory.taken_back, ==, sample.memory.taken_back);
    g_assert_cmpint(record.memory.untold, ==, sample.memory.untold);
    g_assert_cmpint(record.memory.unsettled, ==, sample.memory.unsettled);
    g_assert_cmpint(record.memory.ending, ==, sample.memory.ending);
    g_assert_cmpint(record.memory.to_stop, ==, sample.memory.to_stop);
    g_assert_cmpuint(record.memory.armed_port, ==, sample.memory.armed_port);
    g_assert_cmpuint(record.memory.pauses, ==, sample.memory.pauses);
    g_assert_cmpuint(record.memory.recoveries, ==, sample.memory.recoveries);
    g_assert_cmpuint(record.memory.attempts, ==, sample.memory.attempts);
    g_assert_cmpint(record.memory.started_at_usec, ==, sample.memory.started_at_usec);
    g_assert_cmpint(record.memory.paused_at_usec, ==, sample.memory.paused_at_usec);
    g_assert_cmpuint(record.memory.paused_usec, ==, sample.memory.paused_usec);
    g_assert_cmpuint(record.memory.last_outage_usec, ==, sample.memory.last_outage_usec);
}

/* What was decided of bitmaps; one that is damaged is left out, and costs nothing else. */
static void
test_verdicts(void)
{
    static const char *const damages[] = {"kind=checkpoint", "disk=vda;\\\\", "reason=it is w"};
    g_autoptr(GPtrArray) verdicts = g_ptr_array_new_with_free_func((GDestroyNotify)verdict_unref);
    JournalRecord more = sample;
    g_autofree char *text = NULL;

    g_ptr_array_add(verdicts, verdict_new(VERDICT_BITMAP, "vda;\\", "[a] = b\n", "drop",
                                          "it is worthless", G_GINT64_CONSTANT(1795301087257983)));
    g_ptr_array_add(verdicts, verdict_new(VERDICT_CHECKPOINT, "", "c", "carry", "it is known", 1));
    more.verdicts = verdicts;
    text = journal_format(&more);
    for (guint i = 0; i <= G_N_ELEMENTS(damages); i++) {
        g_autofree char *damaged = g_strdup(text);
        char *at = i < G_N_ELEMENTS(damages) ? strstr(damaged, damages[i]) : NULL;
        g_auto(JournalRecord) record = {0};
        guint n = at ? 1 : 2;

        if (i < G_N_ELEMENTS(damages)) {
            g_assert_nonnull(at);
            *at = 'x';
        }
        g_assert_true(journal_parse(damaged, strlen(damaged), &record, NULL));
        g_assert_cmpstr(record.id, ==, sample.id);
        g_assert_cmpuint(record.verdicts->len, ==, n);
        for (guint j = 0; j < n && n == verdicts->len; j++) {
            const Verdict *got = record.verdicts->pdata[j];
            const Verdict *expected = verdicts->pdata[j];

            g_assert_true(verdict_is_of_same(got, expected));
            g_assert_cmpstr(got->decision, ==, expected->decision);
            g_assert_cmpstr(got->reason, ==, expected->reason);
            g_assert_cmpint(got->at_usec, ==, expected->at_usec);
        }
    }
}

/* A line left out, or a number replaced by what is none: refused, with nothing left behind. */
static void
test_damaged(void)
{
    static const char *const junk[] = {"", "x", "-1", "99999999999999999999999"};
    g_autofree char *text = journal_format(&sample);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (guint i = 1; lines[i] && *lines[i]; i++) {
        const char *equals = strchr(lines[i], '=');
        g_autofree char *key = NULL;

        g_assert_nonnull(equals);
        key = g_strndup(lines[i], equals - lines[i]);
        /* Nothing hangs on these. */
        if (g_str_equal(key, "version") || g_str_equal(key, "peer-name"))
            continue;
        for (guint j = 0; j <= G_N_ELEMENTS(junk); j++) {
            static const char *const later[] = {
                "secret",  "names",    "listen-host", "armed-host",   "running",    "armed-port",
                "started", "untold",   "unsettled",   "peer-boot",    "ending",     "to-stop",
                "kept",    "given-up", "guarded",     "may-have-run", "taken-back", NULL};
            g_autoptr(GString) bad = g_string_new(NULL);
            g_autoptr(GError) error = NULL;
            JournalRecord record;

            if (j < G_N_ELEMENTS(junk) &&
                (strstr("peer name hosts listen-host armed-host peer-boot policy names", key)))
                continue;
            if (j == G_N_ELEMENTS(junk) && g_strv_contains(later, key))
                continue; /* an older build knew nothing of it */
            for (guint k = 0; lines[k]; k++) {
                if (k == i && j < G_N_ELEMENTS(junk))
                    g_string_append_printf(bad, "%s=%s\n", key, junk[j]);
                else if (k != i)
                    g_string_append_printf(bad, "%s\n", lines[k]);
            }
            if (g_str_equal(key, "reason") && j == 0)
                continue; /* none is a reason */
            g_assert_false(journal_parse(bad->str, bad->len, &record, &error));
            g_assert_nonnull(error);
            g_assert_null(record.id);
        }
    }
}

/* The first build that wrote a journal, and the one that knew of `running` and of names. */
static void
test_older(void)
{
    static const char first[] = "[migration]\nversion=1\noldest=1\n"
                                "id=6f9d9c1e-0d0c-4c3c-9d5e-4e2c6bb0a001\n"
                                "uuid=0b6a3c2c-5a6e-4c53-8b0e-bd3a7bd1c001\n"
                                "name=guest\nrole=destination\nstate=postcopy-paused\n"
                                "reason=network\npeer=a.example\nhosts=10.79.0.1;\n"
                                "peer-port=49215\nchannel-port=49152\nflags=32859\nundefine=0\n"
                                "wanted=1\ngave-up=0\nfinish-called=1\npauses=3\nrecoveries=2\n"
                                "attempts=17\nstarted-at-usec=1795301087257983\n"
                                "paused-at-usec=1795301097257983\npaused-usec=5000000\n"
                                "last-outage-usec=4000000\n"
                                "policy=<holdfast:migration xmlns:holdfast=\"urn:holdfast:"
                                "migration:1\"/>\n";
    static const char *const added[] = {"", "running=1\npeer-name=10.80.0.1\n"};

    for (guint i = 0; i < G_N_ELEMENTS(added); i++) {
        g_autofree char *text = g_strconcat(first, added[i], NULL);
        g_autoptr(GError) error = NULL;
        g_auto(JournalRecord) record = {0};

        g_assert_true(journal_parse(text, strlen(text), &record, &error));
        g_assert_no_error(error);
        g_assert_cmpint(record.memory.state, ==, STATE_POSTCOPY_PAUSED);
        g_assert_cmpuint(record.memory.attempts, ==, 17);
        g_assert_cmpint(record.memory.running, ==, i == 1);
        g_assert_false(record.memory.started);
        g_assert_cmpuint(record.memory.armed_port, ==, 0);
        g_assert_cmpstr(record.listen_host, ==, "");
        g_assert_cmpstr(record.armed_host, ==, "");
        g_assert_cmpstr(record.peer_boot, ==, "");
        g_assert_cmpuint(g_strv_length(record.names), ==, 0);
        g_assert_true(secret_is_none(&record.secret)); /* so nobody knows it */
    }
}

static void
test_truncated(void)
{
    g_autofree char *text = journal_format(&sample);
    gsize whole = strlen(text) - strlen("</holdfast:migration>\\n\n");

    for (gsize n = 0; n < whole; n++) {
        JournalRecord record;

        if (journal_parse(text, n, &record, NULL)) {
            /* cut within the last value, the policy: that is the policy's to refuse */
            g_assert_cmpuint(n, >, strstr(text, "policy=") - text);
            journal_record_clear(&record);
        }
    }
}

static void
count_cb(JournalRecord *record, gpointer opaque)
{
    g_assert_cmpstr(record->id, ==, sample.id);
    ++*(guint *)opaque;
}

static void
test_files(void)
{
    g_autofree char *directory = g_dir_make_tmp("journal-XXXXXX", NULL);
    g_autofree char *deeper = g_build_filename(directory, "a", "b", NULL);
    g_autofree char *bad = g_build_filename(deeper, "x.journal", NULL);
    g_autofree char *aside = g_strconcat(bad, ".bad", NULL);
    guint n = 0;

    journal_read_all(deeper, count_cb, &n);
    g_assert_cmpuint(n, ==, 0);
    g_assert_cmpuint(journal_read_port(deeper), ==, 0);

    journal_write(deeper, &sample);
    journal_write(deeper, &sample);
    journal_write_port(deeper, 49215);
    g_assert_cmpuint(journal_read_port(deeper), ==, 49215);
    g_assert_true(g_file_set_contents(bad, "[migration]\noldest=1\n", -1, NULL));
    g_test_expect_message("holdfast", G_LOG_LEVEL_WARNING, "*x.journal cannot be read*set aside*");
    g_assert_true(journal_has_any(deeper));
    journal_read_all(deeper, count_cb, &n);
    g_test_assert_expected_messages();
    g_assert_cmpuint(n, ==, 1);
    g_assert_true(g_file_test(aside, G_FILE_TEST_EXISTS));

    journal_remove(deeper, sample.uuid);
    journal_remove(deeper, sample.uuid);
    n = 0;
    journal_read_all(deeper, count_cb, &n);
    g_assert_false(journal_has_any(deeper));
    g_assert_cmpuint(n, ==, 0);

    g_unlink(aside);
    g_autofree char *port = g_build_filename(deeper, "port", NULL);
    g_unlink(port);
    g_rmdir(deeper);
    g_autofree char *middle = g_build_filename(directory, "a", NULL);
    g_rmdir(middle);
    g_assert_cmpint(g_rmdir(directory), ==, 0);
}

static void
unlink_in(const char *directory, const char *name)
{
    g_autofree char *path = g_build_filename(directory, name, NULL);

    g_unlink(path);
}

static Secret
numbered(guint8 n)
{
    return (Secret){.bytes = {n}};
}

/* A note is its migration's, is no journal, and is not lost to another one's. */
static void
test_arrivals(void)
{
    g_autofree char *directory = g_dir_make_tmp("journal-XXXXXX", NULL);
    g_autofree char *name = g_strconcat(sample.uuid, ".arrived", NULL);
    const char *other = "0b6a3c2c-5a6e-4c53-8b0e-bd3a7bd1c002";
    const Secret none = {0};
    guint n = 0;

    journal_note_arrival(directory, sample.uuid, &none, ARRIVAL_STARTED);
    g_assert_cmpint(journal_get_arrival(directory, sample.uuid, &none), ==, ARRIVAL_NONE);
    for (guint8 i = 1; i <= 20; i++) {
        Secret secret = numbered(i);
        Arrival arrival = 1 + i % ARRIVAL_STARTED;

        g_assert_cmpint(journal_get_arrival(directory, sample.uuid, &secret), ==, ARRIVAL_NONE);
        journal_note_arrival(directory, sample.uuid, &secret, arrival);
        journal_note_arrival(directory, sample.uuid, &secret, ARRIVAL_LOST);
        g_assert_cmpint(journal_get_arrival(directory, sample.uuid, &secret), ==, arrival);
        g_assert_cmpint(journal_get_arrival(directory, other, &secret), ==, ARRIVAL_NONE);
        journal_remove(directory, sample.uuid);
    }
    for (guint8 i = 1; i <= 20; i++) {
        Secret secret = numbered(i);

        g_assert_cmpint(journal_get_arrival(directory, sample.uuid, &secret), ==,
                        i <= 4 ? ARRIVAL_NONE : 1 + i % ARRIVAL_STARTED);
    }
    g_assert_false(journal_has_any(directory));
    journal_read_all(directory, count_cb, &n);
    g_assert_cmpuint(n, ==, 0);
    unlink_in(directory, name);
    g_assert_cmpint(g_rmdir(directory), ==, 0);
}

/* What is said of a domain after a restart, and what that means. */
static void
test_judge(void)
{
    static const struct {
        MigrationRole role;
        MigrationState state;
        RestoreSight sight;
        EventType event;
    } cases[] = {
        /* clang-format off */
        { ROLE_SOURCE, STATE_POSTCOPY_ACTIVE, { FALSE, 0, 0, FALSE }, EVENT_CALL_COMPLETED },
        { ROLE_SOURCE, STATE_PRECOPY_ACTIVE, { FALSE, 0, 0, FALSE }, EVENT_QEMU_GONE },
        { ROLE_SOURCE, STATE_POSTCOPY_PAUSED, { TRUE, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_MIGRATED, FALSE }, EVENT_CALL_COMPLETED },
        { ROLE_SOURCE, STATE_POSTCOPY_PAUSED, { TRUE, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_CRASHED, FALSE }, EVENT_QEMU_GONE },
        { ROLE_SOURCE, STATE_POSTCOPY_PAUSED, { TRUE, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_POSTCOPY_FAILED, TRUE }, EVENT_RESTORED },
        { ROLE_SOURCE, STATE_POSTCOPY_ACTIVE, { TRUE, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_POSTCOPY, FALSE }, EVENT_RESTORED },
        { ROLE_SOURCE, STATE_PRECOPY_ACTIVE, { TRUE, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED, FALSE }, EVENT_CALL_FAILED },
        { ROLE_SOURCE, STATE_SWITCHOVER, { TRUE, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_MIGRATION, FALSE }, EVENT_RETURN_REQUESTED },
        { ROLE_SOURCE, STATE_PRECOPY_ACTIVE, { TRUE, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_MIGRATION, FALSE }, EVENT_RETURN_REQUESTED },
        { ROLE_SOURCE, STATE_SWITCHOVER, { TRUE, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER, FALSE }, EVENT_RETURN_REQUESTED },
        { ROLE_SOURCE, STATE_PRECOPY_ACTIVE, { TRUE, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER, FALSE }, EVENT_CALL_FAILED },
        { ROLE_SOURCE, STATE_SWITCHOVER, { TRUE, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_POSTCOPY, TRUE }, EVENT_RESTORED },
        { ROLE_DESTINATION, STATE_POSTCOPY_ACTIVE, { FALSE, 0, 0, FALSE }, EVENT_QEMU_GONE },
        { ROLE_DESTINATION, STATE_POSTCOPY_ACTIVE, { TRUE, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_POSTCOPY, FALSE }, EVENT_RESTORED },
        { ROLE_DESTINATION, STATE_POSTCOPY_PAUSED, { TRUE, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_POSTCOPY_FAILED, TRUE }, EVENT_RESTORED },
        { ROLE_DESTINATION, STATE_POSTCOPY_ACTIVE, { TRUE, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_MIGRATED, FALSE }, EVENT_CALL_COMPLETED },
        { ROLE_DESTINATION, STATE_POSTCOPY_ACTIVE, { TRUE, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_MIGRATED, TRUE }, EVENT_CALL_COMPLETED },
        { ROLE_SOURCE, STATE_POSTCOPY_ACTIVE, { TRUE, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_UNPAUSED, TRUE }, EVENT_QEMU_FAILED },
        { ROLE_DESTINATION, STATE_POSTCOPY_ACTIVE, { TRUE, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_UNPAUSED, FALSE }, EVENT_RESTORED },
        { ROLE_DESTINATION, STATE_POSTCOPY_ACTIVE, { TRUE, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER, FALSE }, EVENT_RESTORED },
        { ROLE_DESTINATION, STATE_SETUP, { FALSE, 0, 0, FALSE }, EVENT_QEMU_GONE },
        { ROLE_DESTINATION, STATE_SWITCHOVER, { TRUE, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_MIGRATED, FALSE }, EVENT_CALL_COMPLETED },
        { ROLE_DESTINATION, STATE_SWITCHOVER, { TRUE, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER, FALSE }, EVENT_CALL_COMPLETED },
        { ROLE_DESTINATION, STATE_SWITCHOVER, { TRUE, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_POSTCOPY, FALSE }, EVENT_QEMU_POSTCOPY_ACTIVE },
        { ROLE_DESTINATION, STATE_SWITCHOVER, { TRUE, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_MIGRATION, TRUE }, EVENT_QEMU_POSTCOPY_ACTIVE },
        /* clang-format on */
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmpstr(
            event_type_to_string(restore_judge(cases[i].role, cases[i].state, &cases[i].sight)), ==,
            event_type_to_string(cases[i].event));
}

/* A destination whose daemon was away: whatever its QEMU says, the guest is its own by the source's
 * word alone. */
static void
test_judge_kept(void)
{
    static const char *const statuses[] = {
        "setup",
        "active",
        "postcopy-active",
        "postcopy-paused",
        "postcopy-recover-setup",
        "postcopy-recover",
        "completed",
        "failed",
        "cancelled",
        "none",
        NULL,
    };

    for (gsize i = 0; i < G_N_ELEMENTS(statuses); i++) {
        gboolean on_its_way = i < 2, over = i >= 7;

        for (gint known = KEPT_UNJUDGED; known <= (KEPT_UNJUDGED | KEPT_LONG); known += 8) {
            g_assert_cmpint(restore_judge_kept(statuses[i], known), ==,
                            over || (on_its_way && known & KEPT_LONG) ? KEPT_HAS_NOT : KEPT_WAIT);
            g_assert_cmpint(restore_judge_kept(statuses[i], known | KEPT_SWITCHED), ==,
                            over         ? KEPT_HAS_NOT
                            : on_its_way ? KEPT_WAIT
                                         : KEPT_HAS_GUEST);
            g_assert_cmpint(restore_judge_kept(statuses[i], known | KEPT_RETURNS), ==,
                            KEPT_HAS_NOT);
        }
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/journal/round-trip", test_round_trip);
    g_test_add_func("/journal/verdicts", test_verdicts);
    g_test_add_func("/journal/damaged", test_damaged);
    g_test_add_func("/journal/older", test_older);
    g_test_add_func("/journal/truncated", test_truncated);
    g_test_add_func("/journal/files", test_files);
    g_test_add_func("/journal/arrivals", test_arrivals);
    g_test_add_func("/journal/judge-kept", test_judge_kept);
    g_test_add_func("/journal/judge", test_judge);
    return g_test_run();
}
