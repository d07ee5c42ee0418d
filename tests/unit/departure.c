/*
 * departure.c: what is in the way of a guest's bitmaps is removed, told or refused, on each host by
 * its own policy
 *
 * The QEMU here has two disks, vda and vdb, whose bitmaps a test writes as words: "vda:name", with
 * a "!" in front for one that is inconsistent, "-" for one that is disabled, "~" for one that is
 * not persistent. Cookies are written likewise.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/departure.h"

#include <string.h>

#include "doubles/libvirt.h"
#include "doubles/world.h"
#include "run/disks.h"
#include "stock/error.h"
#include "stock/qmp.h"

#define COPY VIR_MIGRATE_NON_SHARED_DISK

static const char status_file[] =
    "<domstatus><domain><devices>"
    "<disk><source index='1'/><backingStore><source index='3'/></backingStore>"
    "<target dev='vda'/></disk>"
    "<disk><source index='2'/><target dev='vdb'/></disk>"
    "<disk><source index='4'/><target dev='hda'/><readonly/></disk>"
    "</devices></domain></domstatus>";
static const struct {
    const char *disk;
    const char *node;
} nodes[] = {{"vda", "libvirt-1-format"},
             {"vdb", "libvirt-2-format"},
             {"below", "libvirt-3-format"},
             {"hda", "libvirt-4-format"}};

static struct {
    const char *bitmaps;
    gboolean stubborn; /* removes nothing */
    gboolean broken;   /* tells nothing */
    GString *removed;
} qemu;

/* In place of libvirt's file. */
GPtrArray *
disks_read(const char *domain)
{
    return disk_parse_all(status_file);
}

static void
append_bitmaps(GString *to, const char *disk)
{
    g_auto(GStrv) words = g_strsplit(qemu.bitmaps, " ", -1);
    gboolean any = FALSE;

    for (char **word = words; *word; word++) {
        const char *mark = strchr("!-~", **word) && **word ? *word : "";
        const char *place = *word + (*mark ? 1 : 0);

        if (!g_str_has_prefix(place, disk) || place[strlen(disk)] != ':')
            continue;
        g_string_append_printf(
            to,
            "%s{\"name\": \"%s\", \"granularity\": 65536, \"persistent\": %s, "
            "\"recording\": %s, \"inconsistent\": %s}",
            any ? ", " : "", strchr(place, ':') + 1, *mark == '~' ? "false" : "true",
            *mark == '-' || *mark == '!' ? "false" : "true", *mark == '!' ? "true" : "false");
        any = TRUE;
    }
}

static char *
on_command(const char *domain, const char *command, const char *arguments, GError **error)
{
    g_autoptr(GString) reply = g_string_new("{\"return\": [");
    const char *name;

    if (strstr(command, "query-named-block-nodes")) {
        for (guint i = 0; i < G_N_ELEMENTS(nodes) && !qemu.broken; i++) {
            g_string_append_printf(reply, "%s{\"node-name\": \"%s\", \"dirty-bitmaps\": [",
                                   i ? ", " : "", nodes[i].node);
            append_bitmaps(reply, nodes[i].disk);
            g_string_append(reply, "]}");
        }
        g_string_append(reply, qemu.broken ? "" : "]}");
        return g_strdup(reply->str);
    }
    g_assert_nonnull(strstr(command, "block-dirty-bitmap-remove"));
    if (qemu.stubborn) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND, "GenericError: it is busy");
        return NULL;
    }
    name = strstr(command, "\"name\":\"") + strlen("\"name\":\"");
    g_string_append_printf(qemu.removed, "%.*s ", (int)strcspn(name, "\""), name);
    return g_strdup("{\"return\": {}}");
}

/* --- what a scene needs --- */

typedef struct {
    virConnectPtr connection;
    virDomainPtr dom;
    Migration *migration;
} Scene;

static void
scene_begin(Scene *scene, MigrationRole role, PolicyOnDeparture on_departure, const char *bitmaps)
{
    Policy *policy = policy_default();

    policy->bitmaps_on_departure = on_departure;
    memset(&qemu, 0, sizeof(qemu));
    qemu.bitmaps = bitmaps;
    qemu.removed = g_string_new(NULL);
    world_start();
    world_set_qemu(on_command);
    stock_error_raise(VIR_ERR_OK, NULL);
    scene->connection = virConnectOpen("test:///default");
    scene->dom = virDomainLookupByUUID(scene->connection, world_domain(0));
    scene->migration = migration_start(role, NULL, world_domain(0), "guest0", policy, 0);
    migration_learn_disks(scene->migration);
    policy_unref(policy);
}

static void
scene_end(Scene *scene)
{
    world_drop(scene->migration);
    world_stop();
    virDomainFree(scene->dom);
    virConnectClose(scene->connection);
    g_string_free(qemu.removed, TRUE);
}

/* "disk:name=decision ..." of what is shown. */
static void
check_shown(Scene *scene, const char *expected)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(Status) status = NULL;

    migration_sync(scene->migration);
    status = migration_get_status(scene->migration);
    for (guint i = 0; i < status->verdicts->len; i++) {
        const Verdict *verdict = status->verdicts->pdata[i];

        g_string_append_printf(text, "%s%s:%s=%s", i ? " " : "", verdict->disk, verdict->name,
                               verdict->decision);
    }
    g_assert_cmpstr(text->str, ==, expected);
}

static char *
make_cookie(const char *accepted, const char *taken)
{
    static const char who[] =
        "<holdfast version='1' oldest='1' id='6f9d9c1e-0d0c-4c3c-9d5e-4e2c6bb0a001' "
        "secret='000102030405060708090a0b0c0d0eff'>";
    GString *text = g_string_new("<qemu-migration><blockDirtyBitmaps>");
    g_auto(GStrv) words = g_strsplit(accepted, " ", -1);
    g_auto(GStrv) others = g_strsplit(taken, " ", -1);

    for (char **word = words; *word && **word; word++)
        g_string_append_printf(text, "<disk target='%.3s'><bitmap name='%s' alias='x'/></disk>",
                               *word, *word + 4);
    g_string_append_printf(text, "</blockDirtyBitmaps>%s", who);
    for (char **word = others; *word && **word; word++)
        g_string_append_printf(text, "<taken disk='%.3s' bitmap='%s'/>", *word, *word + 4);
    g_string_append(text, "</holdfast></qemu-migration>");
    return g_string_free(text, FALSE);
}

/* Whether a call was refused, for that disk and bitmap; "" for none. */
static void
check_answer(gboolean ok, const char *refused)
{
    const char *text = NULL;

    g_assert_cmpint(ok, ==, *refused == '\0');
    world_get_raised(&text);
    if (ok) {
        g_assert_null(text);
    } else {
        g_autofree char *begin = g_strdup_printf(
            "dirty bitmap '%s' of disk %.3s of domain 'guest0' cannot travel: ", refused + 4,
            refused);

        g_assert_true(g_str_has_prefix(text, begin));
    }
}

/* --- the source --- */

/* clang-format off */
static const struct {
    PolicyOnDeparture policy;
    unsigned int flags;
    const char *bitmaps;
    const char *accepted; /* by the destination's libvirt */
    const char *taken;    /* says its Holdfast */
    const char *refused;  /* the first, "": it begins */
    const char *removed;
    const char *shown;
} performs[] = {
    { POLICY_ON_DEPARTURE_PROCEED, COPY, "vda:a vdb:b",          "vda:a vdb:b", "",      "",      "",     "" },
    { POLICY_ON_DEPARTURE_REFUSE,  COPY, "vda:a ~vda:c hda:x",   "vda:a",       "",      "",      "",     "" },
    { POLICY_ON_DEPARTURE_PROCEED, COPY, "!vda:a vda:b",         "vda:b",       "",      "vda:a", "",     "vda:a=refuse" },
    { POLICY_ON_DEPARTURE_DROP,    COPY, "!vda:a vda:b",         "vda:b",       "",      "",      "a ",   "vda:a=drop" },
    { POLICY_ON_DEPARTURE_PROCEED, COPY, "!vda:a vdb:b",         "vdb:b",       "",      "",      "",     "vda:a=leave" },
    { POLICY_ON_DEPARTURE_REFUSE,  COPY, "!vda:a vdb:b",         "vdb:b",       "",      "vda:a", "",     "vda:a=refuse" },
    { POLICY_ON_DEPARTURE_PROCEED, 0,    "!vda:a vda:b -vda:c",  "",            "",      "",      "",     "vda:a=leave" },
    { POLICY_ON_DEPARTURE_DROP,    0,    "!vda:a vda:b !vdb:a",  "",            "",      "",      "a a ", "vda:a=drop vdb:a=drop" },
    { POLICY_ON_DEPARTURE_DROP,    COPY, "vda:a -vdb:b",         "",            "",      "",      "",     "vda:a=leave vdb:b=leave" },
    { POLICY_ON_DEPARTURE_PROCEED, COPY, "vda:a vdb:b",          "vda:a vdb:b", "vda:a", "vda:a", "",     "vda:a=refuse" },
    { POLICY_ON_DEPARTURE_DROP,    COPY, "vda:a vdb:b",          "vda:a vdb:b", "vda:a", "vda:a", "",     "vda:a=refuse" },
    { POLICY_ON_DEPARTURE_PROCEED, COPY, "vda:a vdb:b",          "vdb:b",       "vda:a", "",      "",     "vda:a=leave" },
    /* Of a migration that is refused nothing is removed. */
    { POLICY_ON_DEPARTURE_DROP,    COPY, "!vda:a vda:b",         "vda:b",       "vda:b", "vda:b", "",     "vda:b=refuse" },
    /* What an image below has is not on its way. */
    { POLICY_ON_DEPARTURE_REFUSE,  COPY, "!below:a vda:b",       "vda:b",       "",      "",      "",     "" },
};
/* clang-format on */

static void
test_perform(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(performs); i++) {
        g_autofree char *cookie = make_cookie(performs[i].accepted, performs[i].taken);
        guint confirms = world_count_confirms();
        Scene scene;
        gboolean ok;

        g_test_message("%u: %s", i, performs[i].bitmaps);
        scene_begin(&scene, ROLE_SOURCE, performs[i].policy, performs[i].bitmaps);
        ok = departure_perform(scene.migration, scene.dom, NULL, 0, cookie, (int)strlen(cookie) + 1,
                               performs[i].flags | VIR_MIGRATE_CHANGE_PROTECTION);
        check_answer(ok, performs[i].refused);
        /* The job of Begin ends with it, as with a Perform of libvirt's that fails. */
        g_assert_cmpuint(world_count_confirms() - confirms, ==, !ok);
        g_assert_cmpstr(qemu.removed->str, ==, performs[i].removed);
        check_shown(&scene, performs[i].shown);
        scene_end(&scene);
    }
}

/* One that cannot be removed is in the way as before. */
static void
test_stubborn(void)
{
    static const struct {
        const char *bitmaps;
        const char *accepted;
        const char *refused;
        const char *shown;
    } cases[] = {
        {"!vda:a vdb:b", "vdb:b", "", "vda:a=leave"},
        {"!vda:a vda:b", "vda:b", "vda:a", "vda:a=refuse"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *cookie = make_cookie(cases[i].accepted, "");
        Scene scene;
        gboolean ok;

        scene_begin(&scene, ROLE_SOURCE, POLICY_ON_DEPARTURE_DROP, cases[i].bitmaps);
        qemu.stubborn = TRUE;
        g_test_expect_message("holdfast", G_LOG_LEVEL_WARNING, "*cannot drop dirty bitmap a on *");
        ok = departure_perform(scene.migration, scene.dom, NULL, 0, cookie, (int)strlen(cookie) + 1,
                               COPY);
        g_test_assert_expected_messages();
        check_answer(ok, cases[i].refused);
        check_shown(&scene, cases[i].shown);
        scene_end(&scene);
    }
}

/* Without knowing nothing is done, and nothing refused. */
static void
test_unknown(void)
{
    static const char junk[] = "<qemu-migration><blockDirty";
    Scene scene;

    scene_begin(&scene, ROLE_SOURCE, POLICY_ON_DEPARTURE_REFUSE, "!vda:a vda:b");
    qemu.broken = TRUE;
    g_test_expect_message("holdfast", G_LOG_LEVEL_WARNING, "*cannot see whether*");
    g_assert_true(departure_perform(scene.migration, scene.dom, NULL, 0, junk, sizeof(junk), COPY));
    g_test_assert_expected_messages();
    check_shown(&scene, "");
    scene_end(&scene);
}

/* At Begin a policy refuses for what the source can see; for no other one anything is asked. */
static void
test_begin(void)
{
    static const char *const disks[] = {NULL, "vda", "vdb"};

    for (guint policy = 0; policy < POLICY_ON_DEPARTURE_LAST; policy++) {
        for (guint i = 0; i < G_N_ELEMENTS(disks); i++) {
            gboolean refuse = policy == POLICY_ON_DEPARTURE_REFUSE;
            const char *refused = !refuse ? "" : i == 1 ? "vda:off" : "";
            g_autoptr(Policy) wanted = policy_default();
            virTypedParameterPtr params = NULL;
            int n = 0, max = 0;
            Scene scene;
            gboolean ok;

            if (disks[i])
                virTypedParamsAddString(&params, &n, &max, VIR_MIGRATE_PARAM_MIGRATE_DISKS,
                                        disks[i]);
            else
                refused = refuse ? "vda:off" : "";
            scene_begin(&scene, ROLE_SOURCE, policy, "vda:a -vda:off vdb:b");
            wanted->bitmaps_on_departure = policy;
            ok = departure_begin(scene.dom, wanted, params, n, COPY);
            check_answer(ok, refused);
            g_assert_cmpint(world_count_commands() > 0, ==, refuse);
            g_assert_true(departure_begin(scene.dom, wanted, params, n, 0));
            scene_end(&scene);
            virTypedParamsFree(params, n);
        }
    }
}

/* --- the destination --- */

static void
test_prepare(void)
{
    static const struct {
        PolicyOnDeparture policy;
        unsigned int flags;
        gboolean stubborn;
        const char *offered;
        const char *bitmaps;
        const char *removed;
        const char *taken;
    } cases[] = {
        {POLICY_ON_DEPARTURE_PROCEED, COPY, FALSE, "vda:a vdb:b", "vda:a !vdb:b", "",
         "vda:a vdb:b "},
        {POLICY_ON_DEPARTURE_REFUSE, COPY, FALSE, "vda:a", "vda:a vda:c vdb:a", "", "vda:a "},
        {POLICY_ON_DEPARTURE_DROP, COPY, FALSE, "vda:a vdb:b", "vda:a !vdb:b vda:c", "a b ", ""},
        {POLICY_ON_DEPARTURE_DROP, COPY, FALSE, "vda:a", "below:a", "", ""},
        {POLICY_ON_DEPARTURE_DROP, COPY, FALSE, "", "vda:a", "", ""},
        {POLICY_ON_DEPARTURE_DROP, 0, FALSE, "vda:a", "vda:a", "", ""},
        {POLICY_ON_DEPARTURE_DROP, COPY, TRUE, "vda:a", "vda:a", "", "vda:a "},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *cookie = make_cookie(cases[i].offered, "");
        g_autoptr(GPtrArray) taken = NULL;
        g_autoptr(GString) text = g_string_new(NULL);
        Scene scene;

        scene_begin(&scene, ROLE_DESTINATION, cases[i].policy, cases[i].bitmaps);
        qemu.stubborn = cases[i].stubborn;
        if (qemu.stubborn)
            g_test_expect_message("holdfast", G_LOG_LEVEL_WARNING, "*cannot drop*");
        taken = departure_prepare(scene.migration, scene.dom, cookie, (int)strlen(cookie) + 1,
                                  cases[i].flags);
        g_test_assert_expected_messages();
        for (guint j = 0; taken && j < taken->len; j++) {
            const CookieBitmap *bitmap = taken->pdata[j];

            g_string_append_printf(text, "%s:%s ", bitmap->disk, bitmap->name);
        }
        g_assert_cmpstr(text->str, ==, cases[i].taken);
        g_assert_cmpstr(qemu.removed->str, ==, cases[i].removed);
        scene_end(&scene);
    }
}

int
main(int argc, char **argv)
{
    libvirt_init(&argc, &argv);
    g_test_add_func("/departure/perform", test_perform);
    g_test_add_func("/departure/stubborn", test_stubborn);
    g_test_add_func("/departure/unknown", test_unknown);
    g_test_add_func("/departure/begin", test_begin);
    g_test_add_func("/departure/prepare", test_prepare);
    return g_test_run();
}
