/*
 * handback.c: a guest that comes back finds its images as they are, and only the bitmaps to be kept
 *
 * The QEMU here has one image in qcow2 on a file, and knows what QEMU 10.0 does with the bitmaps in
 * memory and in the image when it takes the image up; it fails the test where QEMU would eject it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/handback.h"

#include <string.h>

#include "bitmap/guard.h"
#include "bitmap/handback.h"
#include "doubles/libvirt.h"
#include "doubles/world.h"
#include "stock/qmp.h"
#include "stock/symbols.h"

/** What there is of a bitmap: in memory, or in the image. */
typedef struct {
    gboolean there;
    gboolean inconsistent;
    guint count;
} Entry;

#define MAPPING                                                                                    \
    "{\"node-name\": \"upper\", \"alias\": \"x\", \"bitmaps\": [{\"name\": \"monday\", "           \
    "\"alias\": \"y\"}]}"

enum { MONDAY, GUARD, BITMAPS };
static const char *const names[BITMAPS] = {"monday", GUARD_NAME};

static struct {
    const char *status;
    gboolean upper;      /* is active */
    gboolean lower;      /* is active */
    gboolean stubborn;   /* inactivates nothing */
    gboolean elsewhere;  /* another host has the image */
    gboolean locked;     /* ... since it was looked at */
    gboolean unreadable; /* cannot be opened again */
    gboolean old;        /* before 10.0: does not tell of inactive nodes */
    gboolean silent;     /* tells of no node before the image is active */
    gboolean streamed;   /* monday was on the stream */
    const char *fails;   /* words of a command that does not succeed */
    gboolean peeking;
    Entry memory[BITMAPS];
    Entry image[BITMAPS];
    GString *said;
} qemu;

static char *
refuse(GError **error)
{
    g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND, "GenericError: no");
    return NULL;
}

static char *
format_bitmaps(const Entry *entries)
{
    GString *list = g_string_new(NULL);

    for (guint i = 0; i < BITMAPS; i++) {
        if (entries[i].there)
            g_string_append_printf(list,
                                   "%s{\"name\": \"%s\", \"granularity\": 65536, \"count\": %u, "
                                   "\"persistent\": true, \"inconsistent\": %s}",
                                   list->len ? ", " : "", names[i], entries[i].count,
                                   entries[i].inconsistent ? "true" : "false");
    }
    return g_string_free(list, FALSE);
}

static char *
list_nodes(void)
{
    g_autofree char *memory = format_bitmaps(qemu.memory);
    g_autofree char *image = format_bitmaps(qemu.image);
    g_autoptr(GString) nodes = g_string_new("{\"return\": [");

    g_string_append_printf(nodes,
                           "{\"node-name\": \"lower\", \"drv\": \"file\", \"ro\": false, "
                           "\"file\": \"/disk\"%s}, {\"node-name\": \"upper\", \"drv\": \"qcow2\", "
                           "\"ro\": false, \"file\": \"/disk\"%s, \"dirty-bitmaps\": [%s]}",
                           qemu.old     ? ""
                           : qemu.lower ? ", \"active\": true"
                                        : ", \"active\": false",
                           qemu.old     ? ""
                           : qemu.upper ? ", \"active\": true"
                                        : ", \"active\": false",
                           qemu.old && !qemu.upper ? "" : memory);
    if (qemu.peeking)
        g_string_append_printf(nodes,
                               ", {\"node-name\": \"holdfast-peek-0\", \"drv\": \"qcow2\", \"ro\": "
                               "true, \"file\": \"/disk\", \"active\": true, \"dirty-bitmaps\": "
                               "[%s]}",
                               image);
    g_string_append(nodes, "]}");
    return g_string_free(g_steal_pointer(&nodes), FALSE);
}

static char *
inactivate(const char *command, GError **error)
{
    gboolean is_upper = strstr(command, "\"upper\"") != NULL;

    g_string_append(qemu.said, is_upper ? "upper " : "lower ");
    if (qemu.stubborn || (!is_upper && qemu.upper))
        return refuse(error);
    if (is_upper)
        qemu.upper = qemu.lower = FALSE;
    else
        qemu.lower = FALSE;
    return g_strdup("{\"return\": {}}");
}

/* bdrv_activate(), block.c, and qcow2_load_dirty_bitmaps(), block/qcow2-bitmap.c. */
static char *
activate(GError **error)
{
    g_string_append(qemu.said, "activate ");
    qemu.lower = TRUE;
    if (qemu.elsewhere || qemu.locked)
        return refuse(error);
    qemu.upper = TRUE;
    for (guint i = 0; i < BITMAPS; i++) {
        Entry *memory = &qemu.memory[i], *image = &qemu.image[i];

        if (memory->there && image->there && !image->inconsistent)
            g_error("QEMU ejects the image");
        if (!memory->there)
            *memory = *image;
    }
    return g_strdup("{\"return\": {}}");
}

static char *
peek(const char *command, GError **error)
{
    gboolean shared = strstr(command, "\"force-share\":true") != NULL;

    g_assert_nonnull(strstr(command, "\"read-only\":true"));
    g_assert_false(qemu.peeking);
    if (qemu.unreadable || (qemu.elsewhere && !shared))
        return refuse(error);
    qemu.peeking = TRUE;
    return g_strdup("{\"return\": {}}");
}

static Entry *
find_entry(const char *command, const char *key)
{
    for (guint i = 0; i < BITMAPS; i++) {
        g_autofree char *words = g_strdup_printf("\"%s\":\"%s\"", key, names[i]);

        if (strstr(command, words))
            return &qemu.memory[i];
    }
    g_assert_not_reached();
}

/* On the node to look through. */
static char *
probe(const char *command, GError **error)
{
    g_assert_true(qemu.peeking);
    for (guint i = 0; i < BITMAPS; i++) {
        g_autofree char *words = g_strdup_printf("[\"%s\"]", names[i]);

        if (strstr(command, words) && (!qemu.image[i].there || qemu.image[i].inconsistent))
            return refuse(error);
    }
    return g_strdup("{\"return\": {}}");
}

static char *
on_bitmap(const char *command, GError **error)
{
    gboolean merges = strstr(command, "bitmap-merge") != NULL;
    Entry *entry = find_entry(command, merges ? "target" : "name");

    if (!entry->there) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND, "Dirty bitmap not found");
        return NULL;
    }
    g_string_append_printf(qemu.said, "%c%s ", merges ? '+' : '-', names[entry - qemu.memory]);
    if (qemu.fails && strstr(command, qemu.fails))
        return refuse(error);
    if (merges)
        entry->count += qemu.memory[GUARD].count;
    else
        *entry = (Entry){0};
    return g_strdup("{\"return\": {}}");
}

static char *
on_command(const char *domain, const char *command, const char *arguments, GError **error)
{
    if (strstr(command, "query-migrate-parameters"))
        return g_strdup_printf("{\"return\": {\"block-bitmap-mapping\": [%s]}}",
                               qemu.streamed ? MAPPING : "");
    if (strstr(command, "query-named-block-nodes"))
        return qemu.silent && !qemu.upper ? refuse(error) : list_nodes();
    if (strstr(command, "query-blockstats"))
        return g_strdup("{\"return\": [{\"node-name\": \"lower\"}, {\"node-name\": \"upper\"}]}");
    if (strstr(command, "\"block-bitmap-mapping\":[]")) {
        g_assert_true(qemu.streamed && qemu.upper);
        qemu.streamed = FALSE;
        return g_strdup("{\"return\": {}}");
    }
    if (strstr(command, "query-status"))
        return g_strdup_printf("{\"return\": {\"status\": \"%s\"}}", qemu.status);
    if (strstr(command, "blockdev-set-active"))
        return strstr(command, "node-name") ? inactivate(command, error) : activate(error);
    if (strstr(command, "blockdev-add"))
        return peek(command, error);
    if (strstr(command, "blockdev-del")) {
        g_assert_true(qemu.peeking);
        qemu.peeking = FALSE;
        return g_strdup("{\"return\": {}}");
    }
    return strstr(command, "\"holdfast-peek-0\"") ? probe(command, error)
                                                  : on_bitmap(command, error);
}

/* --- the world --- */

static void
begin(const char *status, gboolean active)
{
    world_start();
    world_set_qemu(on_command);
    memset(&qemu, 0, sizeof(qemu));
    qemu.status = status;
    qemu.upper = qemu.lower = active;
    qemu.said = g_string_new(NULL);
}

/* As if its guest had left. */
static Migration *
leave(guint flags, PolicyOnReturn on_return, gboolean guarded)
{
    g_autoptr(Policy) policy = policy_default();
    Migration *migration;

    policy->bitmaps_on_return = on_return;
    migration = migration_start(ROLE_SOURCE, NULL, world_domain(0), "guest0", policy, flags);
    migration_give_up(migration);
    if (guarded)
        migration_set_guarded(migration, TRUE);
    migration_sync(migration);
    return migration;
}

static HandbackStep
come_back(gboolean runs)
{
    virConnectPtr connection = virConnectOpen("test:///default");
    virDomainPtr domain = virDomainLookupByUUID(connection, world_domain(0));
    g_autoptr(GError) error = NULL;
    HandbackStep step;

    virDomainSuspend(domain);
    step = handback_begin(domain, &error);
    g_assert_true((step == HANDBACK_REFUSED) == (error != NULL));
    g_assert_false(qemu.peeking);
    if (runs) {
        qemu.status = "running";
        qemu.upper = qemu.lower = TRUE;
    }
    handback_end(domain, step);
    virDomainResume(domain);
    virDomainFree(domain);
    virConnectClose(connection);
    return step;
}

static void
assert_said(const char *said)
{
    g_assert_cmpstr(qemu.said->str, ==, said);
    g_string_truncate(qemu.said, 0);
}

static void
end(Migration *migration)
{
    if (migration)
        world_drop(migration);
    world_stop();
    g_string_free(qemu.said, TRUE);
}

/* --- images --- */

/* Nothing is done to a guest that has not left. */
static void
test_others(void)
{
    static const char *const others[] = {
        "running", "paused", "prelaunch", "inmigrate", "finish-migrate", "io-error", "",
    };

    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        begin(others[i], FALSE);
        qemu.lower = TRUE;
        g_assert_cmpint(come_back(FALSE), ==, HANDBACK_NOT_DUE);
        assert_said("");
        end(NULL);
    }
}

/* What an attempt before has left astray is inactivated first. */
static void
test_strays(void)
{
    begin("postmigrate", FALSE);
    qemu.lower = TRUE;
    g_assert_cmpint(come_back(TRUE), ==, HANDBACK_TAKEN);
    assert_said("lower activate ");
    end(NULL);

    begin("postmigrate", FALSE);
    qemu.lower = TRUE;
    qemu.stubborn = TRUE;
    g_test_expect_message("holdfast", G_LOG_LEVEL_MESSAGE, "*given up again*");
    g_test_expect_message("holdfast", G_LOG_LEVEL_MESSAGE, "*given up again*");
    g_test_expect_message("holdfast", G_LOG_LEVEL_WARNING, "*half in use*");
    g_assert_cmpint(come_back(FALSE), ==, HANDBACK_REFUSED);
    g_test_assert_expected_messages();
    end(NULL);
}

/* Somebody has the image: nothing is touched; nor is anything left astray if it is taken between
 * the look and the activation. */
static void
test_elsewhere(void)
{
    Migration *migration;

    begin("postmigrate", FALSE);
    migration = leave(0, POLICY_ON_RETURN_AUTO, FALSE);
    qemu.elsewhere = TRUE;
    qemu.streamed = qemu.memory[MONDAY].there = qemu.image[MONDAY].there = TRUE;
    g_assert_cmpint(come_back(FALSE), ==, HANDBACK_REFUSED);
    assert_said("");
    g_assert_true(qemu.memory[MONDAY].there && migration_has_given_up(migration));
    qemu.elsewhere = FALSE;
    qemu.locked = TRUE;
    g_assert_cmpint(come_back(FALSE), ==, HANDBACK_REFUSED);
    assert_said("-monday activate lower ");
    g_assert_false(qemu.lower);
    qemu.locked = FALSE;
    g_assert_cmpint(come_back(TRUE), ==, HANDBACK_TAKEN);
    assert_said("activate ");
    g_assert_false(migration_has_given_up(migration));
    end(migration);
}

/* A node of a daemon that was killed while it looked. */
static void
test_left_open(void)
{
    begin("postmigrate", FALSE);
    qemu.peeking = TRUE;
    g_assert_cmpint(come_back(TRUE), ==, HANDBACK_TAKEN);
    end(NULL);
}

/* --- bitmaps --- */

/** One of all there can be. */
typedef struct {
    gboolean in_memory;
    BitmapImage image;
    BitmapGuard guard;
    BitmapStorage storage;
    PolicyOnReturn on_return;
} Situation;

static void
set(Entry *entry, gboolean there, gboolean inconsistent, guint count)
{
    *entry = (Entry){there, inconsistent, inconsistent ? 0 : count};
}

static BitmapDecision
decide(const Situation *situation)
{
    BitmapCase facts = {
        .storage = situation->storage,
        .on_stream = situation->in_memory,
        .phase = BITMAP_PHASE_COMPLETED,
        .image = situation->image,
        .guard = situation->guard,
        .on_return = situation->on_return,
    };

    return bitmap_decide(&facts, NULL);
}

/* What is in QEMU in the end; *@seen counts the decisions that were come by. */
static void
check_situation(const Situation *situation, guint *seen)
{
    BitmapDecision decision = decide(situation);
    guint flags = situation->storage == BITMAP_STORAGE_COPIED ? VIR_MIGRATE_NON_SHARED_DISK : 0;
    Migration *migration;
    const Entry *left = &qemu.memory[MONDAY];

    if (!situation->in_memory && situation->image == BITMAP_IMAGE_ABSENT)
        return; /* there is no bitmap */
    begin("postmigrate", FALSE);
    migration = leave(flags, situation->on_return, situation->guard != BITMAP_GUARD_NONE);
    qemu.streamed = situation->in_memory;
    set(&qemu.memory[MONDAY], situation->in_memory, FALSE, 1);
    set(&qemu.image[MONDAY], situation->image != BITMAP_IMAGE_ABSENT,
        situation->image == BITMAP_IMAGE_IN_USE, 10);
    set(&qemu.image[GUARD], situation->guard > BITMAP_GUARD_MISSING,
        situation->guard == BITMAP_GUARD_IN_USE,
        situation->guard == BITMAP_GUARD_WRITTEN ? 100 : 0);
    g_assert_cmpint(come_back(TRUE), ==, HANDBACK_TAKEN);
    g_assert_false(qemu.memory[GUARD].there);
    /* Nor is it one of the stream for the next migration. */
    g_assert_false(qemu.streamed);
    g_assert_cmpint(left->there, ==, decision != BITMAP_DROP);
    if (left->there)
        g_assert_cmpuint(left->count, ==,
                         decision == BITMAP_ADOPT     ? 10
                         : decision == BITMAP_RESTORE ? 1
                                                      : 101);
    g_assert_false(migration_has_given_up(migration) || migration_is_guarded(migration));
    *seen |= 1u << decision;
    end(migration);
}

static void
test_decisions(void)
{
    Situation situation;
    guint seen = 0;

    for (guint bits = 0; bits < 4; bits++) {
        situation.in_memory = bits & 1;
        situation.storage = (BitmapStorage)(bits >> 1);
        for (situation.image = BITMAP_IMAGE_ABSENT; situation.image < BITMAP_IMAGE_LAST;
             situation.image++)
            for (situation.guard = 0; situation.guard < BITMAP_GUARD_LAST; situation.guard++)
                for (situation.on_return = POLICY_ON_RETURN_AUTO;
                     situation.on_return <= POLICY_ON_RETURN_DROP; situation.on_return++)
                    check_situation(&situation, &seen);
    }
    g_assert_cmpuint(seen, ==,
                     1u << BITMAP_RESTORE | 1u << BITMAP_ADOPT | 1u << BITMAP_MERGE |
                         1u << BITMAP_DROP);
}

/* What is in memory alone proves nothing; what the image holds shows when QEMU has it. */
static void
check_unread(gboolean silent)
{
    static const struct {
        gboolean in_memory;
        BitmapImage image;
        const char *said;
    } cases[] = {
        {TRUE, BITMAP_IMAGE_ABSENT, "-monday activate "},
        {TRUE, BITMAP_IMAGE_IN_USE, "-monday activate -monday "},
        {TRUE, BITMAP_IMAGE_CONSISTENT, "-monday activate "},
        {FALSE, BITMAP_IMAGE_IN_USE, "activate -monday "},
        {FALSE, BITMAP_IMAGE_CONSISTENT, "activate "},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *said =
            g_strconcat(silent ? "lower upper lower upper " : "", cases[i].said, NULL);

        begin("postmigrate", FALSE);
        qemu.unreadable = !silent;
        qemu.silent = silent;
        qemu.streamed = cases[i].in_memory;
        set(&qemu.memory[MONDAY], cases[i].in_memory, FALSE, 1);
        set(&qemu.image[MONDAY], cases[i].image != BITMAP_IMAGE_ABSENT,
            cases[i].image == BITMAP_IMAGE_IN_USE, 10);
        g_assert_cmpint(come_back(TRUE), ==, HANDBACK_TAKEN);
        assert_said(said);
        end(NULL);
    }
}

static void
test_unreadable(void)
{
    check_unread(FALSE);
}

/* Nor does it tell which nodes are astray: all are inactivated. */
static void
test_silent(void)
{
    check_unread(TRUE);
}

/* Before QEMU 10.0 the bitmaps are seen when the guest runs. */
static void
test_old(void)
{
    for (guint broken = 0; broken < 2; broken++) {
        Migration *migration;

        begin("postmigrate", FALSE);
        migration = leave(0, POLICY_ON_RETURN_AUTO, FALSE);
        qemu.old = TRUE;
        set(&qemu.memory[MONDAY], TRUE, broken != 0, 10);
        g_assert_cmpint(come_back(TRUE), ==, HANDBACK_UNSEEN);
        assert_said(broken ? "-monday " : "");
        end(migration);
    }
}

/* --- failures --- */

/* A bitmap that is in the way, and cannot be removed, keeps the image from being taken. */
static void
test_in_the_way(void)
{
    begin("postmigrate", FALSE);
    qemu.streamed = TRUE;
    set(&qemu.memory[MONDAY], TRUE, FALSE, 1);
    set(&qemu.image[MONDAY], TRUE, FALSE, 10);
    qemu.fails = "block-dirty-bitmap-remove";
    g_assert_cmpint(come_back(FALSE), ==, HANDBACK_REFUSED);
    assert_said("-monday ");
    end(NULL);
}

/* One that cannot be merged is dropped. */
static void
test_merge_fails(void)
{
    Migration *migration;

    begin("postmigrate", FALSE);
    migration = leave(0, POLICY_ON_RETURN_AUTO, TRUE);
    qemu.streamed = TRUE;
    set(&qemu.memory[MONDAY], TRUE, FALSE, 1);
    set(&qemu.image[GUARD], TRUE, FALSE, 100);
    qemu.fails = "block-dirty-bitmap-merge";
    g_test_expect_message("holdfast", G_LOG_LEVEL_WARNING, "*cannot merge the guard*");
    g_test_expect_message("holdfast", G_LOG_LEVEL_MESSAGE, "*monday*drop*");
    g_test_expect_message("holdfast", G_LOG_LEVEL_MESSAGE, "*guard*removed*");
    g_assert_cmpint(come_back(TRUE), ==, HANDBACK_TAKEN);
    g_test_assert_expected_messages();
    assert_said("activate +monday -monday -" GUARD_NAME " ");
    end(migration);
}

int
main(int argc, char **argv)
{
    libvirt_init(&argc, &argv);
    g_test_add_func("/handback/others", test_others);
    g_test_add_func("/handback/strays", test_strays);
    g_test_add_func("/handback/elsewhere", test_elsewhere);
    g_test_add_func("/handback/left-open", test_left_open);
    g_test_add_func("/handback/decisions", test_decisions);
    g_test_add_func("/handback/unreadable", test_unreadable);
    g_test_add_func("/handback/silent", test_silent);
    g_test_add_func("/handback/old", test_old);
    g_test_add_func("/handback/in-the-way", test_in_the_way);
    g_test_add_func("/handback/merge-fails", test_merge_fails);
    return g_test_run();
}
