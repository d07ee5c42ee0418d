/*
 * rebuild.c: the destination records, waits for the source, rebuilds, and leaves nothing behind
 *
 * QEMU is a script here, and its NBD server never there: that bitmaps come out right is the
 * platform's and the lab's to show; here it is that what cannot be rebuilt is dropped.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/rebuild.h"

#include <glib/gstdio.h>
#include <string.h>

#include "bitmap/half.h"
#include "doubles/libvirt.h"
#include "doubles/world.h"
#include "run/journal.h"
#include "stock/qmp.h"

/** A QEMU with one disk, two bitmaps that were to come, and those of them that did. */
static struct {
    const char *status;
    const char *bitmaps; /* "monday tuesday holdfast-tracker"; one with a ! is busy */
    gboolean mapped;
    gboolean scratch;
    const char *refuses; /* a command */
    GString *said;
} qemu;

static char *
list_nodes(void)
{
    g_auto(GStrv) names = g_strsplit(qemu.bitmaps, " ", -1);
    g_autoptr(GString) list = g_string_new(NULL);

    for (char **name = names; *name; name++) {
        gboolean busy = g_str_has_suffix(*name, "!");

        g_string_append_printf(list,
                               "%s{\"name\": \"%.*s\", \"granularity\": 65536, \"busy\": %s, "
                               "\"recording\": true, \"persistent\": true}",
                               list->len ? ", " : "", (int)strlen(*name) - busy, *name,
                               busy ? "true" : "false");
    }
    return g_strdup_printf("{\"return\": [{\"node-name\": \"n1\", \"image\": {\"virtual-size\": "
                           "1048576}, \"dirty-bitmaps\": [%s]}%s]}",
                           *qemu.bitmaps ? list->str : "",
                           qemu.scratch ? ", {\"node-name\": \"holdfast-scratch-0\"}" : "");
}

/* What is changed is noted by the command's name. */
static char *
on_command(const char *domain, const char *command, const char *arguments, GError **error)
{
    const char *name = strstr(command, "\"execute\":\"");

    if (strstr(command, "query-migrate-parameters"))
        return g_strdup(qemu.mapped ? "{\"return\": {\"block-bitmap-mapping\": [{\"node-name\": "
                                      "\"n1\", \"alias\": \"vda\", \"bitmaps\": [{\"name\": "
                                      "\"monday\", \"alias\": \"m\"}, {\"name\": \"tuesday\", "
                                      "\"alias\": \"t\"}]}]}}"
                                    : "{\"return\": {}}");
    if (strstr(command, "query-named-block-nodes"))
        return list_nodes();
    if (strstr(command, "query-status"))
        return g_strdup_printf("{\"return\": {\"status\": \"%s\"}}", qemu.status);
    name = name ? name + strlen("\"execute\":\"") : command;
    g_string_append_printf(qemu.said, "%.*s ", (int)strcspn(name, "\" "), name);
    if (qemu.refuses && strstr(command, qemu.refuses)) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND, "GenericError: not today");
        return NULL;
    }
    if (strstr(command, "migrate-set-parameters"))
        qemu.mapped = FALSE;
    if (strstr(command, "blockdev-add"))
        qemu.scratch = TRUE;
    if (strstr(command, "blockdev-del"))
        qemu.scratch = FALSE;
    return g_strdup("{\"return\": {}}");
}

typedef struct {
    Migration *migration;
    virConnectPtr connection;
    virDomainPtr domain;
    char *journal;
} Fixture;

static void
set_up_with(Fixture *f, unsigned int flags)
{
    g_autoptr(Policy) policy = policy_default();

    world_start();
    memset(&qemu, 0, sizeof(qemu));
    qemu.status = "paused";
    qemu.bitmaps = "";
    qemu.mapped = TRUE;
    qemu.said = g_string_new(NULL);
    world_set_qemu(on_command);
    f->journal = g_dir_make_tmp("holdfast-rebuild-XXXXXX", NULL);
    world_set_journal(f->journal);
    f->connection = virConnectOpen("test:///default");
    f->domain = virDomainLookupByUUID(f->connection, world_domain(0));
    f->migration = migration_start(ROLE_DESTINATION, NULL, world_domain(0), "test", policy, flags);
}

static void
set_up(Fixture *f, gconstpointer unused)
{
    set_up_with(f, VIR_MIGRATE_POSTCOPY | VIR_MIGRATE_NON_SHARED_DISK);
}

static void
tear_down(Fixture *f, gconstpointer unused)
{
    g_autoptr(Status) status = migration_get_status(f->migration);
    g_autofree char *note = g_strdup_printf("%s/%s.arrived", f->journal, status->uuid);

    world_drop(f->migration);
    world_set_journal(NULL);
    world_stop();
    virDomainFree(f->domain);
    virConnectClose(f->connection);
    g_string_free(qemu.said, TRUE);
    journal_remove(f->journal, status->uuid);
    g_unlink(note);                              /* of one that never ran */
    g_assert_cmpint(g_rmdir(f->journal), ==, 0); /* no socket is left */
    g_free(f->journal);
}

/* --- before the guest runs --- */

static void
assert_tracks(Fixture *f, const char *said)
{
    g_string_truncate(qemu.said, 0);
    rebuild_track(f->migration, f->domain);
    g_assert_cmpstr(qemu.said->str, ==, said);
}

static void
test_track(Fixture *f, gconstpointer unused)
{
    qemu.bitmaps = "monday! tuesday!";
    assert_tracks(f, "block-dirty-bitmap-add ");
    qemu.bitmaps = "monday tuesday";
    assert_tracks(f, "");
    qemu.bitmaps = "monday! tuesday! holdfast-tracker";
    assert_tracks(f, "");
    /* What it has written already nobody has recorded. */
    qemu.bitmaps = "monday! tuesday!";
    qemu.status = "running";
    assert_tracks(f, "");
    qemu.status = "";
    qemu.mapped = FALSE;
    assert_tracks(f, "");
}

static void
test_track_others(Fixture *f, gconstpointer unused)
{
    static const unsigned int others[] = {
        VIR_MIGRATE_POSTCOPY,
        VIR_MIGRATE_NON_SHARED_DISK,
        0,
    };

    tear_down(f, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        set_up_with(f, others[i]);
        qemu.bitmaps = "monday! tuesday!";
        assert_tracks(f, "");
        tear_down(f, NULL);
    }
    set_up(f, NULL);
}

/* --- what has arrived --- */

static void
test_settle(Fixture *f, gconstpointer unused)
{
    static const struct {
        const char *bitmaps;
        const char *said;
    } cases[] = {
        {"monday tuesday holdfast-tracker", "block-dirty-bitmap-remove migrate-set-parameters "},
        {"monday tuesday", "migrate-set-parameters "},
        {"monday holdfast-tracker", ""}, /* the source is waited for */
        {"monday tuesday! holdfast-tracker", ""},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        qemu.bitmaps = cases[i].bitmaps;
        qemu.mapped = TRUE;
        g_string_truncate(qemu.said, 0);
        rebuild_settle_job(migration_ref(f->migration), NULL);
        g_assert_cmpstr(qemu.said->str, ==, cases[i].said);
    }
}

/* What has come in precopy is not to be taken for sent when the guest leaves again. */
static void
test_settle_others(Fixture *f, gconstpointer unused)
{
    static const struct {
        unsigned int flags;
        const char *said;
    } others[] = {
        {VIR_MIGRATE_NON_SHARED_DISK, "migrate-set-parameters "},
        {VIR_MIGRATE_NON_SHARED_INC, "migrate-set-parameters "},
        {VIR_MIGRATE_POSTCOPY, ""},
        {0, ""},
    };

    tear_down(f, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        set_up_with(f, others[i].flags);
        qemu.bitmaps = "monday"; /* somebody may have removed the other already */
        rebuild_settle_job(migration_ref(f->migration), NULL);
        g_assert_cmpstr(qemu.said->str, ==, others[i].said);
        tear_down(f, NULL);
    }
    set_up(f, NULL);
}

/* Of a guest that came here long ago nothing is touched, whatever its mapping says. */
static void
test_take_up(Fixture *f, gconstpointer unused)
{
    qemu.bitmaps = "monday";
    rebuild_take_up(f->domain);
    g_assert_cmpstr(qemu.said->str, ==, "");
    qemu.bitmaps = "monday tuesday holdfast-tracker";
    qemu.scratch = TRUE; /* a daemon was killed in the middle */
    rebuild_take_up(f->domain);
    g_assert_cmpstr(
        qemu.said->str, ==,
        "nbd-server-stop blockdev-del block-dirty-bitmap-remove migrate-set-parameters ");
}

/* --- the source has come --- */

static GBytes *
make_halves(guint64 size)
{
    g_autoptr(GPtrArray) halves = g_ptr_array_new_with_free_func((GDestroyNotify)half_free);
    static const char *const names[] = {"m", "t"};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        BitmapHalf *half = half_new("vda", names[i]);

        half->granularity_bytes = 65536;
        half->size_bytes = size;
        half->recording = half->persistent = TRUE;
        g_array_append_val(half->extents, ((Extent){0, 65536}));
        g_ptr_array_add(halves, half);
    }
    return half_encode(halves);
}

/* "monday:drop tuesday:drop ": what was told. */
static void
assert_told(Fixture *f, const char *expected)
{
    g_autoptr(Status) status = NULL;
    g_autoptr(GString) told = g_string_new(NULL);

    migration_sync(f->migration);
    status = migration_get_status(f->migration);
    for (guint i = 0; i < status->verdicts->len; i++) {
        const Verdict *verdict = status->verdicts->pdata[i];

        g_string_append_printf(told, "%s:%s ", verdict->name, verdict->decision);
    }
    g_assert_cmpstr(told->str, ==, expected);
}

/* The source never comes. */
static void
test_give_up(Fixture *f, gconstpointer unused)
{
    qemu.bitmaps = "monday holdfast-tracker";
    rebuild_settle_job(migration_ref(f->migration), NULL);
    assert_told(f, "");
    world_pass_time();
    g_assert_cmpstr(qemu.said->str, ==, "block-dirty-bitmap-remove migrate-set-parameters ");
    assert_told(f, "monday:nothing tuesday:drop ");
}

static void
assert_taken(guint64 size)
{
    g_autoptr(GBytes) body = make_halves(size);
    g_autoptr(GBytes) reply = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(rebuild_take(world_domain(0), body, &reply, &error));
    g_assert_no_error(error);
    g_assert_false(qemu.mapped);
    g_assert_false(qemu.scratch);
}

/* Whatever QEMU refuses, and however far it came. */
static void
test_refused(Fixture *f, gconstpointer unused)
{
    static const char *const refused[] = {
        "blockdev-add",
        "\"block-dirty-bitmap-add\"",
        "getfd",
        "nbd-server-start",
        "block-export-add",
        "transaction", /* the server never answers */
    };

    for (guint i = 0; i < G_N_ELEMENTS(refused); i++) {
        qemu.bitmaps = "holdfast-tracker";
        qemu.mapped = TRUE;
        qemu.refuses = refused[i];
        g_string_truncate(qemu.said, 0);
        assert_taken(1048576);
        assert_told(f, "monday:drop tuesday:drop ");
        g_assert_null(strstr(qemu.said->str, "transaction"));
        g_assert_nonnull(strstr(qemu.said->str, "block-dirty-bitmap-remove"));
    }
}

/* Neither is there anything to do for QEMU where a half is missing. */
static void
test_half_gone(Fixture *f, gconstpointer unused)
{
    qemu.bitmaps = "monday";
    assert_taken(1048576);
    assert_told(f, "monday:nothing tuesday:drop ");
    g_assert_null(strstr(qemu.said->str, "transaction"));
}

static void
test_other_disk(Fixture *f, gconstpointer unused)
{
    qemu.bitmaps = "monday holdfast-tracker";
    assert_taken(2 * 1048576);
    assert_told(f, "monday:nothing tuesday:drop ");
}

/* It came in time. */
static void
test_not_given_up(Fixture *f, gconstpointer unused)
{
    qemu.bitmaps = "monday";
    rebuild_settle_job(migration_ref(f->migration), NULL);
    assert_taken(1048576);
    g_string_truncate(qemu.said, 0);
    world_pass_time();
    g_assert_cmpstr(qemu.said->str, ==, "");
}

/* It has come before, and its answer was lost. */
static void
test_again(Fixture *f, gconstpointer unused)
{
    qemu.mapped = FALSE;
    assert_taken(1048576);
    g_assert_cmpstr(qemu.said->str, ==, "");
    assert_told(f, "");
}

static void
test_nonsense(Fixture *f, gconstpointer unused)
{
    g_autoptr(GBytes) body = g_bytes_new_static("nonsense", 8);
    g_autoptr(GBytes) reply = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_false(rebuild_take(world_domain(0), body, &reply, &error));
    g_assert_error(error, HALF_ERROR, HALF_ERROR_VERSION);
    g_assert_cmpuint(world_count_commands(), ==, 0);
}

int
main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*test)(Fixture *f, gconstpointer unused);
    } tests[] = {
        {"/rebuild/track", test_track},
        {"/rebuild/track-others", test_track_others},
        {"/rebuild/settle", test_settle},
        {"/rebuild/settle-others", test_settle_others},
        {"/rebuild/take-up", test_take_up},
        {"/rebuild/refused", test_refused},
        {"/rebuild/half-gone", test_half_gone},
        {"/rebuild/other-disk", test_other_disk},
        {"/rebuild/again", test_again},
        {"/rebuild/give-up", test_give_up},
        {"/rebuild/not-given-up", test_not_given_up},
        {"/rebuild/nonsense", test_nonsense},
    };

    libvirt_init(&argc, &argv);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
    return g_test_run();
}
