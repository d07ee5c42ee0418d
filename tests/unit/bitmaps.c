/*
 * bitmaps.c: QEMU is asked and told what repairs its bitmaps, and what goes wrong is no worse than
 * before
 *
 * The QEMU here has one node and remembers which bitmaps it has; a command is known by its words.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/bitmaps.h"

#include <string.h>

#include "doubles/libvirt.h"
#include "doubles/world.h"
#include "run/migration-priv.h"
#include "run/stuck.h"
#include "stock/qmp.h"
#include "stock/symbols.h"

#define NO_MAPPING "[]"
#define MAPPING                                                                                    \
    "[{\"node-name\": \"n1\", \"alias\": \"vda\", \"bitmaps\": ["                                  \
    "{\"name\": \"cp1\", \"alias\": \"a\"}, {\"name\": \"cp2\", \"alias\": \"b\"}]}]"

/** A QEMU; its thread is the test's, since nothing is posted. */
static struct {
    const char *status;
    const char *mapping;
    GPtrArray *bitmaps; /* of char *, their names */
    gboolean broken;    /* they are inconsistent */
    guint busy;         /* how often it still says that they are */
    const char *fails;  /* words of the command that does not succeed */
    guint looks;
    GString *said;
} qemu;

static gboolean
has(const char *command, const char *words)
{
    return words && strstr(command, words);
}

static char *
list_bitmaps(void)
{
    g_autoptr(GString) list = g_string_new(NULL);

    qemu.looks++;
    for (guint i = 0; i < qemu.bitmaps->len; i++) {
        const char *name = qemu.bitmaps->pdata[i];

        g_string_append_printf(list,
                               "%s{\"name\": \"%s\", \"granularity\": 65536, \"recording\": true, "
                               "\"busy\": %s, \"inconsistent\": %s, \"persistent\": %s}",
                               i ? ", " : "", name, qemu.busy ? "true" : "false",
                               qemu.broken ? "true" : "false",
                               has(name, "holdfast") ? "false" : "true");
    }
    if (qemu.busy)
        qemu.busy--;
    return g_strdup_printf("{\"return\": [{\"node-name\": \"n1\", \"active\": true, "
                           "\"dirty-bitmaps\": [%s]}]}",
                           list->str);
}

static char *
get_word(const char *command, const char *before)
{
    const char *word = strstr(command, before) + strlen(before);

    return g_strndup(word, strcspn(word, "\""));
}

static char *
on_command(const char *domain, const char *command, const char *arguments, GError **error)
{
    g_autofree char *name = NULL;
    guint index;

    if (has(command, "query-migrate-parameters"))
        return g_strdup_printf("{\"return\": {\"block-bitmap-mapping\": %s}}", qemu.mapping);
    if (has(command, "query-migrate"))
        return g_strdup_printf("{\"return\": {\"status\": \"%s\"}}", qemu.status);
    if (has(command, "query-named-block-nodes"))
        return list_bitmaps();
    if (has(command, qemu.fails)) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND, "GenericError: no");
        return NULL;
    }
    if (has(command, "migrate-set-parameters")) {
        g_string_append(qemu.said, "end ");
        qemu.mapping = NO_MAPPING;
    } else if (has(command, "transaction")) {
        name = get_word(command, "\"target\":\"");
        g_assert_false(g_ptr_array_find_with_equal_func(qemu.bitmaps, name, g_str_equal, NULL));
        g_string_append_printf(qemu.said, "+%s ", name);
        g_ptr_array_add(qemu.bitmaps, g_steal_pointer(&name));
    } else {
        name = get_word(command, "\"name\":\"");
        g_assert_true(g_ptr_array_find_with_equal_func(qemu.bitmaps, name, g_str_equal, &index));
        g_string_append_printf(qemu.said, "-%s ", name);
        g_ptr_array_remove_index(qemu.bitmaps, index);
    }
    return g_strdup("{\"return\": {}}");
}

static void
set_bitmaps(const char *names)
{
    g_auto(GStrv) list = g_strsplit(names, " ", -1);

    g_ptr_array_set_size(qemu.bitmaps, 0);
    for (char **name = list; *name; name++)
        if (**name)
            g_ptr_array_add(qemu.bitmaps, g_strdup(*name));
}

static void
assert_bitmaps(const char *names)
{
    g_autofree char *text = NULL;

    g_ptr_array_add(qemu.bitmaps, NULL);
    text = g_strjoinv(" ", (char **)qemu.bitmaps->pdata);
    g_ptr_array_remove_index(qemu.bitmaps, qemu.bitmaps->len - 1);
    g_assert_cmpstr(text, ==, names);
}

static void
begin(const char *status, const char *mapping, const char *bitmaps)
{
    world_start();
    world_set_qemu(on_command);
    memset(&qemu, 0, sizeof(qemu));
    qemu.status = status;
    qemu.mapping = mapping;
    qemu.bitmaps = g_ptr_array_new_with_free_func(g_free);
    qemu.said = g_string_new(NULL);
    set_bitmaps(bitmaps);
}

static void
repair(const char *expected)
{
    virConnectPtr connection = virConnectOpen("test:///default");
    virDomainPtr domain = virDomainLookupByUUID(connection, world_domain(0));

    g_string_truncate(qemu.said, 0);
    bitmaps_repair(domain);
    g_assert_cmpstr(qemu.said->str, ==, expected);
    virDomainFree(domain);
    virConnectClose(connection);
}

static void
end(void)
{
    world_stop();
    g_ptr_array_unref(qemu.bitmaps);
    g_string_free(qemu.said, TRUE);
}

#define COPY(name)  "holdfast-repair-" name
#define WHOLE(name) "+" COPY(name) " -" name " +" name " -" COPY(name) " "

static void
test_repaired(void)
{
    static const char *const statuses[] = {"cancelled", "failed"};

    for (guint i = 0; i < G_N_ELEMENTS(statuses); i++) {
        begin(statuses[i], MAPPING, "cp1 other cp2");
        repair(WHOLE("cp1") WHOLE("cp2") "end ");
        assert_bitmaps("other cp1 cp2");
        /* once is enough */
        repair("");
        end();
    }
}

/* Not in a migration that goes on, has succeeded, or sent no bitmaps. */
static void
test_left_alone(void)
{
    static const char *const statuses[] = {
        "none",      "setup",           "active",          "pre-switchover",   "device",
        "completed", "postcopy-active", "postcopy-paused", "postcopy-recover", "",
    };

    for (guint i = 0; i < G_N_ELEMENTS(statuses); i++) {
        begin(statuses[i], MAPPING, "cp1 cp2");
        repair("");
        g_assert_cmpuint(qemu.looks, ==, 0);
        end();
    }
    begin("cancelled", NO_MAPPING, "cp1 cp2");
    repair("");
    end();
}

/* libvirt's temporary ones are gone when the migration is over. */
static void
test_gone(void)
{
    begin("cancelled", MAPPING, "other");
    repair("end ");
    end();
}

static void
test_busy(void)
{
    begin("failed", MAPPING, "cp1");
    qemu.busy = 3;
    repair(WHOLE("cp1") "end ");
    g_assert_cmpuint(qemu.looks, ==, 4);
    end();
}

/* A step that fails leaves what is there; the others are repaired; it is tried again. */
static void
test_failures(void)
{
    static const struct {
        const char *fails;
        const char *warns;
        const char *said;
        const char *left;
        const char *again;
    } cases[] = {
        {"\"target\":\"" COPY("cp1"), "*cannot repair dirty bitmap cp1*", WHOLE("cp2"), "cp1 cp2",
         WHOLE("cp1") WHOLE("cp2") "end "},
        {"\"name\":\"cp1\"}}", "*cannot repair dirty bitmap cp1*",
         "+" COPY("cp1") " -" COPY("cp1") " " WHOLE("cp2"), "cp1 cp2",
         WHOLE("cp1") WHOLE("cp2") "end "},
        {"\"target\":\"cp1\"", "*dirty bitmap cp1 on n1 is lost*full*",
         "+" COPY("cp1") " -cp1 -" COPY("cp1") " " WHOLE("cp2"), "cp2", WHOLE("cp2") "end "},
        {"migrate-set-parameters", NULL, WHOLE("cp1") WHOLE("cp2"), "cp1 cp2",
         WHOLE("cp1") WHOLE("cp2") "end "},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        begin("cancelled", MAPPING, "cp1 cp2");
        qemu.fails = cases[i].fails;
        if (cases[i].warns)
            g_test_expect_message("holdfast", G_LOG_LEVEL_WARNING, cases[i].warns);
        repair(cases[i].said);
        g_test_assert_expected_messages();
        assert_bitmaps(cases[i].left);
        qemu.fails = NULL;
        repair(cases[i].again);
        end();
    }
}

/* By a daemon that was killed in the middle. */
static void
test_interrupted(void)
{
    begin("cancelled", MAPPING, "cp2 " COPY("cp1"));
    repair(WHOLE("cp2") "+cp1 -" COPY("cp1") " end ");
    assert_bitmaps("cp2 cp1");
    end();
}

/* The source had given its images up, and QEMU took them again: the bitmap in the image is dropped
 * if it may miss writes; what was on the stream is repaired where nobody else has the image, and
 * dropped where the destination may have written to it. */
static void
test_given_up(void)
{
    static const struct {
        guint flags;
        const char *mapping;
        gboolean broken;
        const char *said;
    } cases[] = {
        {0, NO_MAPPING, FALSE, "end "},
        {0, NO_MAPPING, TRUE, "-cp1 end "},
        {0, MAPPING, FALSE, "-cp1 end "},
        {VIR_MIGRATE_NON_SHARED_INC, MAPPING, FALSE, WHOLE("cp1") "end "},
        {VIR_MIGRATE_NON_SHARED_INC, NO_MAPPING, FALSE, "end "},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Policy) policy = policy_default();
        Migration *migration;

        begin("failed", cases[i].mapping, "cp1");
        qemu.broken = cases[i].broken;
        migration =
            migration_start(ROLE_SOURCE, NULL, world_domain(0), "guest0", policy, cases[i].flags);
        migration_give_up(migration);
        repair(cases[i].said);
        /* It has them again. */
        g_assert_false(migration_has_given_up(migration));
        repair("");
        world_drop(migration);
        end();
    }
}

/* The guard goes with the migration. */
static void
test_guarded(void)
{
    g_autoptr(Policy) policy = policy_default();
    Migration *migration;

    begin("cancelled", NO_MAPPING, "cp1 holdfast-guard");
    migration = migration_start(ROLE_SOURCE, NULL, world_domain(0), "guest0", policy, 0);
    migration_set_guarded(migration, TRUE);
    repair("-holdfast-guard end ");
    assert_bitmaps("cp1");
    world_drop(migration);
    end();
}

/* A QEMU that says `device` or `cancelling` as long as it lives, and has its guest again or not. */
static void
test_stuck(void)
{
    static const char *const statuses[] = {"device", "cancelling"};
    g_autoptr(Policy) policy = policy_default();

    for (guint i = 0; i < 2 * G_N_ELEMENTS(statuses); i++) {
        Migration *migration;

        begin(statuses[i / 2], NO_MAPPING, "cp1 holdfast-guard");
        migration = migration_start(ROLE_SOURCE, NULL, world_domain(0), "guest0", policy, 0);
        migration_set_guarded(migration, TRUE);
        g_atomic_int_set(&migration->stuck, i % 2 ? STUCK_RUNS : STUCK_STANDS);
        repair(i % 2 ? "-holdfast-guard end " : "");
        world_drop(migration);
        end();
    }
}

static void
test_all(void)
{
    virConnectPtr connection;

    begin("cancelled", MAPPING, "cp1");
    connection = virConnectOpen("test:///default");
    bitmaps_repair_all(connection);
    /* The first has them repaired; all domains of the test are one QEMU. */
    g_assert_cmpstr(qemu.said->str, ==, WHOLE("cp1") "end ");
    g_assert_cmpuint(world_count_commands(), >=, 4);
    virConnectClose(connection);
    end();
}

int
main(int argc, char **argv)
{
    libvirt_init(&argc, &argv);
    g_test_add_func("/bitmaps/repaired", test_repaired);
    g_test_add_func("/bitmaps/left-alone", test_left_alone);
    g_test_add_func("/bitmaps/gone", test_gone);
    g_test_add_func("/bitmaps/busy", test_busy);
    g_test_add_func("/bitmaps/failures", test_failures);
    g_test_add_func("/bitmaps/interrupted", test_interrupted);
    g_test_add_func("/bitmaps/given-up", test_given_up);
    g_test_add_func("/bitmaps/guarded", test_guarded);
    g_test_add_func("/bitmaps/stuck", test_stuck);
    g_test_add_func("/bitmaps/all", test_all);
    return g_test_run();
}
