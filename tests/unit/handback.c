/*
 * handback.c: a guest that comes back finds its images as they are, and only the bitmaps to be kept
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/handback.h"

#include <string.h>

#include "bitmap/handback.h"
#include "doubles/libvirt.h"
#include "doubles/world.h"
#include "stock/qmp.h"
#include "stock/symbols.h"

/** A QEMU of two nodes, one on top of the other, with bitmaps on the upper one. */
static struct {
    const char *status;
    gboolean upper;     /* is active */
    gboolean lower;     /* is active */
    gboolean stubborn;  /* inactivates nothing */
    const char *broken; /* inconsistent bitmaps, and good ones, by their names */
    const char *good;
    const char *streamed;
    GString *said;
} qemu;

static void
append_bitmaps(GString *to, const char *names, gboolean broken)
{
    g_auto(GStrv) list = g_strsplit(names ? names : "", " ", -1);

    for (char **name = list; *name; name++)
        g_string_append_printf(to,
                               "%s{\"name\": \"%s\", \"granularity\": 65536, \"persistent\": true, "
                               "\"recording\": %s, \"inconsistent\": %s}",
                               to->len ? ", " : "", *name, broken ? "false" : "true",
                               broken ? "true" : "false");
}

static char *
list_nodes(void)
{
    g_autoptr(GString) bitmaps = g_string_new(NULL);

    append_bitmaps(bitmaps, qemu.broken, TRUE);
    append_bitmaps(bitmaps, qemu.good, FALSE);
    append_bitmaps(bitmaps, qemu.streamed, FALSE);
    return g_strdup_printf("{\"return\": [{\"node-name\": \"lower\", \"active\": %s}, "
                           "{\"node-name\": \"upper\", \"active\": %s, \"dirty-bitmaps\": [%s]}]}",
                           qemu.lower ? "true" : "false", qemu.upper ? "true" : "false",
                           bitmaps->str);
}

static char *
inactivate(const char *command, GError **error)
{
    gboolean is_upper = strstr(command, "\"upper\"") != NULL;

    g_string_append(qemu.said, is_upper ? "upper " : "lower ");
    if (qemu.stubborn || (!is_upper && qemu.upper)) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND, "GenericError: Node has active parent");
        return NULL;
    }
    if (is_upper)
        qemu.upper = qemu.lower = FALSE;
    else
        qemu.lower = FALSE;
    return g_strdup("{\"return\": {}}");
}

static char *
on_command(const char *domain, const char *command, const char *arguments, GError **error)
{
    const char *name;

    if (strstr(command, "query-migrate-parameters"))
        return g_strdup_printf(
            "{\"return\": {\"block-bitmap-mapping\": [{\"node-name\": \"upper\", \"alias\": \"x\", "
            "\"bitmaps\": [{\"name\": \"%s\", \"alias\": \"y\"}]}]}}",
            qemu.streamed ? qemu.streamed : "-");
    if (strstr(command, "query-named-block-nodes"))
        return list_nodes();
    if (strstr(command, "query-status"))
        return g_strdup_printf("{\"return\": {\"status\": \"%s\"}}", qemu.status);
    if (strstr(command, "blockdev-set-active"))
        return inactivate(command, error);
    g_assert_nonnull(strstr(command, "block-dirty-bitmap-remove"));
    name = strstr(command, "\"name\":\"") + strlen("\"name\":\"");
    g_string_append_printf(qemu.said, "-%.*s ", (int)strcspn(name, "\""), name);
    return g_strdup("{\"return\": {}}");
}

static void
begin(const char *status, gboolean upper, gboolean lower)
{
    world_start();
    world_set_qemu(on_command);
    memset(&qemu, 0, sizeof(qemu));
    qemu.status = status;
    qemu.upper = upper;
    qemu.lower = lower;
    qemu.said = g_string_new(NULL);
}

static void
settle(gboolean safe, const char *said)
{
    virConnectPtr connection = virConnectOpen("test:///default");
    virDomainPtr domain = virDomainLookupByUUID(connection, world_domain(0));
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(handback_settle(domain, &error), ==, safe);
    g_assert_true(safe == !error);
    g_assert_cmpstr(qemu.said->str, ==, said);
    virDomainFree(domain);
    virConnectClose(connection);
}

static void
end(void)
{
    world_stop();
    g_string_free(qemu.said, TRUE);
}

/* Whatever is active beside what is not is given up, from the top; of a guest whose migration has
 * completed, and of no other. */
static void
test_strays(void)
{
    static const char *const others[] = {
        "running", "paused", "prelaunch", "inmigrate", "finish-migrate", "io-error", "",
    };

    begin("postmigrate", FALSE, TRUE);
    settle(TRUE, "lower ");
    g_assert_false(qemu.lower);
    end();
    for (guint all = 0; all < 2; all++) {
        begin("postmigrate", all != 0, all != 0);
        settle(TRUE, "");
        end();
    }
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        begin(others[i], FALSE, TRUE);
        settle(TRUE, "");
        end();
    }
}

static void
test_stubborn(void)
{
    begin("postmigrate", FALSE, TRUE);
    qemu.stubborn = TRUE;
    settle(FALSE, "lower ");
    end();
}

/* --- bitmaps --- */

typedef struct {
    MigrationRole role;
    EventType event;
    gboolean upper;
    const char *said;
} Back;

/* Only at a source whose guest had left, and once it has its images again. */
static void
test_bitmaps(void)
{
    static const Back cases[] = {
        {ROLE_SOURCE, EVENT_QEMU_COMPLETED, TRUE, "-bad -worse "},
        {ROLE_SOURCE, EVENT_QEMU_COMPLETED, FALSE, ""},
        {ROLE_SOURCE, EVENT_QEMU_ACTIVE, TRUE, ""},
        {ROLE_DESTINATION, EVENT_QEMU_COMPLETED, TRUE, ""},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Policy) policy = policy_default();
        Migration *migration;

        begin("running", cases[i].upper, cases[i].upper);
        qemu.broken = "bad worse";
        qemu.good = "fine";
        qemu.streamed = "sent";
        migration = migration_start(cases[i].role, NULL, world_domain(0), "guest0", policy, 0);
        migration_tell(migration, cases[i].event, 0, NULL);
        settle(TRUE, cases[i].said);
        world_drop(migration);
        end();
    }
    begin("running", TRUE, TRUE);
    qemu.broken = "bad";
    settle(TRUE, "");
    end();
}

/* Each policy, and where a bitmap was while the guest was away. */
static void
test_decisions(void)
{
    static const struct {
        gboolean on_stream, inconsistent;
        PolicyOnReturn on_return;
        BitmapDecision decision;
    } cases[] = {
        {FALSE, FALSE, POLICY_ON_RETURN_AUTO, BITMAP_ADOPT},
        {FALSE, FALSE, POLICY_ON_RETURN_RESTORE, BITMAP_ADOPT},
        {FALSE, FALSE, POLICY_ON_RETURN_DROP, BITMAP_DROP},
        {FALSE, TRUE, POLICY_ON_RETURN_AUTO, BITMAP_DROP},
        {FALSE, TRUE, POLICY_ON_RETURN_MERGE, BITMAP_DROP},
        {TRUE, FALSE, POLICY_ON_RETURN_AUTO, BITMAP_RESTORE},
        {TRUE, FALSE, POLICY_ON_RETURN_DROP, BITMAP_DROP},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Bitmap bitmap = {.on_stream = cases[i].on_stream, .inconsistent = cases[i].inconsistent};

        g_assert_cmpint(handback_decide(&bitmap, cases[i].on_return, NULL), ==, cases[i].decision);
    }
}

int
main(int argc, char **argv)
{
    libvirt_init(&argc, &argv);
    g_test_add_func("/handback/strays", test_strays);
    g_test_add_func("/handback/stubborn", test_stubborn);
    g_test_add_func("/handback/bitmaps", test_bitmaps);
    g_test_add_func("/handback/decisions", test_decisions);
    return g_test_run();
}
