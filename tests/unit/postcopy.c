/*
 * postcopy.c: postcopy that the policy turns on, and where it does not
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/postcopy.h"

#include <stdlib.h>
#include <string.h>

#include "doubles/world.h"
#include "engine/session-priv.h"
#include "run/host.h"
#include "run/migration-priv.h"

#define ID     "6f9d9c1e-0d0c-4c3c-9d5e-4e2c6bb0a001"
#define SECRET "000102030405060708090a0b0c0d0eff"
#define LIVE   VIR_MIGRATE_LIVE

/* What the client asks for and what holds: NULL where postcopy can be added. */
static const struct {
    unsigned int flags;
    const char *uri;
    gboolean paused;
    gboolean nothing; /* the policy has nothing to say */
    const char *why;
} cases[] = {
    {LIVE, NULL, FALSE, FALSE, NULL},
    {LIVE, "tcp:b:49152", FALSE, FALSE, NULL},
    {LIVE, "unix:///run/socket", FALSE, FALSE, NULL},
    {LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_AUTO_CONVERGE, NULL, FALSE, FALSE, NULL},
    {LIVE | VIR_MIGRATE_TLS | VIR_MIGRATE_NON_SHARED_INC, NULL, FALSE, FALSE, NULL},
    {LIVE | VIR_MIGRATE_UNDEFINE_SOURCE | VIR_MIGRATE_PERSIST_DEST, NULL, FALSE, FALSE, NULL},
    /* what the client asks for wins, and an offline migration has no memory */
    {LIVE | VIR_MIGRATE_POSTCOPY, NULL, FALSE, TRUE, NULL},
    {VIR_MIGRATE_POSTCOPY, NULL, TRUE, TRUE, NULL},
    {LIVE | VIR_MIGRATE_POSTCOPY | VIR_MIGRATE_POSTCOPY_RESUME, NULL, FALSE, TRUE, NULL},
    {VIR_MIGRATE_OFFLINE, NULL, FALSE, TRUE, NULL},
    /* what libvirt and QEMU refuse */
    {0, NULL, FALSE, FALSE, "not live"},
    {VIR_MIGRATE_PEER2PEER, NULL, FALSE, FALSE, "not live"},
    {LIVE, NULL, TRUE, FALSE, "paused"},
    {LIVE | VIR_MIGRATE_PAUSED, NULL, FALSE, FALSE, "paused"},
    {LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_TUNNELLED, NULL, FALSE, FALSE, "tunnelled"},
    {LIVE | VIR_MIGRATE_PARALLEL, NULL, FALSE, FALSE, "parallel"},
    {LIVE | VIR_MIGRATE_PARALLEL | VIR_MIGRATE_ZEROCOPY, NULL, FALSE, FALSE, "parallel"},
    {LIVE, "rdma://b:49152", FALSE, FALSE, "RDMA"},
    {LIVE, "rdma:b:49152", FALSE, FALSE, "RDMA"},
};

static void
test_decide(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (guint mode = POLICY_POSTCOPY_NEVER; mode <= POLICY_POSTCOPY_REQUIRE; mode++) {
            const char *why = "not set";
            CookiePostcopy wish =
                postcopy_decide(mode, cases[i].flags, cases[i].uri, cases[i].paused, &why);

            if (mode < POLICY_POSTCOPY_PREFER || cases[i].nothing) {
                g_assert_cmpint(wish, ==, COOKIE_POSTCOPY_NONE);
                g_assert_null(why);
                continue;
            }
            if (mode == POLICY_POSTCOPY_REQUIRE)
                g_assert_cmpint(wish, ==, COOKIE_POSTCOPY_REQUIRE);
            else
                g_assert_cmpint(wish, ==,
                                cases[i].why ? COOKIE_POSTCOPY_NONE : COOKIE_POSTCOPY_PREFER);
            if (!cases[i].why)
                g_assert_null(why);
            else if (!why || !strstr(why, cases[i].why))
                g_error("flags 0x%x: '%s' does not say '%s'", cases[i].flags, why, cases[i].why);
        }
    }
}

static virDomainPtr
get_domain(void)
{
    virConnectPtr connection = host_connect();
    virDomainPtr dom = virDomainLookupByUUID(connection, world_domain(0));

    g_assert_nonnull(dom);
    virConnectClose(connection);
    return dom;
}

static Policy *
policy_of(const char *mode)
{
    g_autofree char *xml = g_strdup_printf(
        "<m:migration xmlns:m='" POLICY_NAMESPACE "'><m:postcopy mode='%s'/></m:migration>", mode);
    g_autoptr(Policy) defaults = policy_default();

    return policy_from_element_xml(xml, POLICY_NAMESPACE, defaults, NULL);
}

/* A require that cannot be is refused before anything else is done. */
static void
test_begin(void)
{
    static const struct {
        const char *mode;
        unsigned int flags;
        gboolean running;
        gboolean good;
        gboolean added;
    } table[] = {
        {"never", LIVE, TRUE, TRUE, FALSE},   {"allow", LIVE, TRUE, TRUE, FALSE},
        {"prefer", LIVE, TRUE, TRUE, TRUE},   {"prefer", 0, TRUE, TRUE, FALSE},
        {"prefer", LIVE, FALSE, TRUE, FALSE}, {"require", LIVE, TRUE, TRUE, TRUE},
        {"require", 0, TRUE, FALSE, FALSE},   {"require", LIVE, FALSE, FALSE, FALSE},
    };
    virDomainPtr dom;

    world_start();
    dom = get_domain();
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autoptr(Policy) policy = policy_of(table[i].mode);
        PostcopyPlan plan = {0};
        const char *text = NULL;

        world_set_running(table[i].running);
        g_assert_cmpint(postcopy_begin(dom, policy, NULL, table[i].flags, &plan), ==,
                        table[i].good);
        g_assert_cmpint((plan.flags & VIR_MIGRATE_POSTCOPY) != 0, ==, table[i].added);
        if (table[i].good)
            continue;
        g_assert_cmpint(world_get_raised(&text), ==, VIR_ERR_OPERATION_INVALID);
        g_assert_nonnull(strstr(text, "requires postcopy"));
    }
    virDomainFree(dom);
    world_stop();
}

/* The destination has answered. */
static void
test_perform(void)
{
    static const struct {
        CookiePostcopy wish;
        CookiePostcopy answer;
        unsigned int asked; /* by the client */
        gboolean good;
        gboolean on;
        const char *message; /* in the status */
    } table[] = {
        {COOKIE_POSTCOPY_NONE, COOKIE_POSTCOPY_NONE, LIVE, TRUE, FALSE, NULL},
        {COOKIE_POSTCOPY_NONE, COOKIE_POSTCOPY_NONE, LIVE | VIR_MIGRATE_POSTCOPY, TRUE, TRUE, NULL},
        /* not what was asked for */
        {COOKIE_POSTCOPY_NONE, COOKIE_POSTCOPY_ON, LIVE, TRUE, FALSE, NULL},
        {COOKIE_POSTCOPY_PREFER, COOKIE_POSTCOPY_ON, LIVE, TRUE, TRUE, "has turned postcopy on"},
        {COOKIE_POSTCOPY_PREFER, COOKIE_POSTCOPY_OFF, LIVE, TRUE, FALSE, "log says why"},
        {COOKIE_POSTCOPY_PREFER, COOKIE_POSTCOPY_NONE, LIVE, TRUE, FALSE, "has no Holdfast"},
        {COOKIE_POSTCOPY_REQUIRE, COOKIE_POSTCOPY_ON, LIVE, TRUE, TRUE, "has turned postcopy on"},
        {COOKIE_POSTCOPY_REQUIRE, COOKIE_POSTCOPY_OFF, LIVE, FALSE, FALSE, "log says why"},
        {COOKIE_POSTCOPY_REQUIRE, COOKIE_POSTCOPY_NONE, LIVE, FALSE, FALSE, "has no Holdfast"},
    };
    virDomainPtr dom;

    world_start();
    dom = get_domain();
    for (gsize i = 0; i < G_N_ELEMENTS(table) * 2; i++) {
        unsigned int protection = i % 2 ? VIR_MIGRATE_CHANGE_PROTECTION : 0;
        unsigned int asked = table[i / 2].asked | protection, flags = asked;
        guint confirms = world_count_confirms();
        g_autoptr(Policy) policy = policy_default();
        g_autoptr(Status) status = NULL;
        g_auto(JournalRecord) record = {0};
        const char *text = NULL;
        Migration *migration =
            migration_start(ROLE_SOURCE, NULL, world_domain(0), "guest", policy, asked);

        migration_set_wish(migration, table[i / 2].wish);
        g_assert_cmpint(postcopy_perform(migration, dom, table[i / 2].answer, &flags), ==,
                        table[i / 2].good);
        g_assert_cmpint((flags & VIR_MIGRATE_POSTCOPY) != 0, ==, table[i / 2].on);
        g_assert_cmpint(flags | VIR_MIGRATE_POSTCOPY, ==, asked | VIR_MIGRATE_POSTCOPY);
        g_assert_cmpint(migration_get_flags(migration) & VIR_MIGRATE_POSTCOPY, ==,
                        flags & VIR_MIGRATE_POSTCOPY);
        migration_sync(migration);
        g_assert_cmpint(postcopy_came_to_nothing(migration), ==,
                        table[i / 2].wish != COOKIE_POSTCOPY_NONE && !table[i / 2].on);
        migration_record(migration, &record); /* for the journal */
        g_assert_cmpuint(record.flags & VIR_MIGRATE_POSTCOPY, ==, flags & VIR_MIGRATE_POSTCOPY);
        status = migration_get_status(migration);
        g_assert_cmpint(migration->session->postcopy_on, ==, table[i / 2].on);
        if (table[i / 2].good) {
            text = status->message;
        } else {
            g_assert_cmpint(world_get_raised(&text), ==, VIR_ERR_OPERATION_INVALID);
            g_assert_nonnull(strstr(text, "requires postcopy"));
        }
        if (table[i / 2].message)
            g_assert_nonnull(strstr(text, table[i / 2].message));
        else
            g_assert_cmpstr(text, ==, "");
        /* The job of Begin is ended, if there is one. */
        g_assert_cmpuint(world_count_confirms() - confirms, ==,
                         !table[i / 2].good && protection ? 1 : 0);
        world_drop(migration);
    }
    virDomainFree(dom);
    world_stop();
}

/* What a destination adds, for whom. */
static void
test_prepare(void)
{
    static const struct {
        const char *postcopy; /* the attribute in the source's cookie */
        unsigned int flags;
        guint16 port;
        CookiePostcopy wish;
        gboolean added;
    } table[] = {
        {"", LIVE, 49215, COOKIE_POSTCOPY_NONE, FALSE},
        {"postcopy='on'", LIVE, 49215, COOKIE_POSTCOPY_ON, FALSE},
        {"postcopy='prefer'", LIVE, 49215, COOKIE_POSTCOPY_PREFER, TRUE},
        {"postcopy='require'", LIVE, 49215, COOKIE_POSTCOPY_REQUIRE, TRUE},
        {"postcopy='prefer'", LIVE | VIR_MIGRATE_PAUSED, 49215, COOKIE_POSTCOPY_PREFER, FALSE},
        {"postcopy='prefer'", 0, 49215, COOKIE_POSTCOPY_PREFER, FALSE},
        {"postcopy='require'", LIVE, 0, COOKIE_POSTCOPY_REQUIRE, FALSE},
        {"postcopy='perhaps'", LIVE, 49215, COOKIE_POSTCOPY_NONE, FALSE},
    };

    world_start();
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autofree char *cookie =
            g_strdup_printf("<qemu-migration><holdfast version='1' oldest='1' id='" ID
                            "' secret='" SECRET "' %s/></qemu-migration>",
                            table[i].postcopy);
        CookiePostcopy wish = COOKIE_POSTCOPY_NONE;
        unsigned int flags;

        world_set_recover_port(table[i].port);
        flags = postcopy_prepare(cookie, (int)strlen(cookie), NULL, table[i].flags, &wish);
        g_assert_cmpint(wish, ==, table[i].wish);
        g_assert_cmpint(flags, ==, table[i].flags | (table[i].added ? VIR_MIGRATE_POSTCOPY : 0));
        /* A client that has asked itself needs nothing. */
        g_assert_cmpint(postcopy_prepare(cookie, (int)strlen(cookie), NULL,
                                         table[i].flags | VIR_MIGRATE_POSTCOPY, &wish),
                        ==, table[i].flags | VIR_MIGRATE_POSTCOPY);
    }
    g_assert_cmpint(postcopy_prepare(NULL, 0, NULL, LIVE, &(CookiePostcopy){0}), ==, LIVE);
    world_stop();
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/postcopy/decide", test_decide);
    g_test_add_func("/postcopy/begin", test_begin);
    g_test_add_func("/postcopy/perform", test_perform);
    g_test_add_func("/postcopy/prepare", test_prepare);
    return g_test_run();
}
