/*
 * hooks-finish.c: what is asked before a Finish of libvirt's, and what becomes of the domain
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <dlfcn.h>
#include <string.h>

#include "doubles/libvirt.h"
#include "stock/hooks-finish-priv.h"
#include "stock/hooks.h"
#include "stock/symbols.h"
#include "stock/table.h"

#define INCOMING 5
#define OUTGOING 4
#define COOKIE   "cookie"

/* What is known of libvirt's structures, in an order of our own. */
typedef struct {
    const char *name;
    int id;
    unsigned char uuid[VIR_UUID_BUFLEN];
} Definition;

typedef struct {
    int phase;
    int async;
    unsigned long long owner;
} Job;

typedef struct {
    Definition *def;
    pid_t pid;
    Job *job;
} Domain;

static const AbiRow row = {
    .domain_def = G_STRUCT_OFFSET(Domain, def),
    .domain_job = G_STRUCT_OFFSET(Domain, job),
    .domain_pid = G_STRUCT_OFFSET(Domain, pid),
    .def_id = G_STRUCT_OFFSET(Definition, id),
    .def_uuid = G_STRUCT_OFFSET(Definition, uuid),
    .def_name = G_STRUCT_OFFSET(Definition, name),
    .job_async = G_STRUCT_OFFSET(Job, async),
    .job_async_owner = G_STRUCT_OFFSET(Job, owner),
    .job_phase = G_STRUCT_OFFSET(Job, phase),
    .async_migration_in = INCOMING,
    .async_migration_out = OUTGOING,
};

static struct {
    const AbiRow *row;
    Domain *domain;
    gboolean lets_through;
    guint asked;
    guint ended; /* the caller's hold of the domain */
} world;

/* In place of stock/table.c. */
const AbiRow *
table_row(void)
{
    return world.row;
}

static void
end_api(void **vm)
{
    g_assert_true(*vm == world.domain);
    *vm = NULL;
    world.ended++;
}

static gboolean
on_finish(const HooksFinish *finish)
{
    const Definition *def = world.domain->def;

    world.asked++;
    g_assert_nonnull(finish->dconn);
    g_assert_cmpstr(finish->name, ==, def->name);
    g_assert_cmpmem(finish->uuid, VIR_UUID_BUFLEN, def->uuid, VIR_UUID_BUFLEN);
    g_assert_cmpint(finish->id, ==, def->id);
    g_assert_cmpint(finish->driven, ==, world.domain->job->owner != 0);
    g_assert_cmpstr(finish->cookie, ==, COOKIE);
    g_assert_cmpint(finish->cookie_length, ==, sizeof(COOKIE));
    g_assert_cmpuint(finish->flags, ==, 5);
    return world.lets_through;
}

/* Whether the stock function was called; it, or else the hook, lets go of the domain. */
static gboolean
finish(int async, unsigned long long owner, int id)
{
    Definition def = {.name = "guest", .id = id, .uuid = {1, 2, 3}};
    Job job = {.async = async, .owner = owner};
    Domain domain = {.def = &def, .job = &job};
    char *out = NULL;
    int length = 0;
    gpointer result;

    world.domain = &domain;
    world.asked = world.ended = 0;
    result = qemuMigrationDstFinish(&world, (virConnectPtr)&world, &domain, COOKIE, sizeof(COOKIE),
                                    &out, &length, 5, 1, true);
    g_assert_true(result == NULL || result == &domain);
    g_assert_cmpuint(world.ended, ==, result == NULL);
    return result != NULL;
}

static void
test_asked(void)
{
    world.row = &row;
    hooks_set_finish_listener(on_finish);
    for (gboolean through = FALSE; through <= TRUE; through++) {
        world.lets_through = through;
        for (int id = -1; id < 2; id++)
            for (unsigned long long owner = 0; owner < 2; owner++) {
                g_assert_cmpint(finish(INCOMING, owner, id), ==, through);
                g_assert_cmpuint(world.asked, ==, 1);
            }
    }
}

/* libvirt itself refuses it, in its own words. */
static void
test_no_incoming_job(void)
{
    static const int others[] = {0, OUTGOING, INCOMING + 1};

    world.row = &row;
    world.lets_through = FALSE;
    hooks_set_finish_listener(on_finish);
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        g_assert_true(finish(others[i], 0, 1));
        g_assert_cmpuint(world.asked, ==, 0);
    }
}

/* Nothing else of Holdfast came up. */
static void
test_nobody_asks(void)
{
    world.row = &row;
    hooks_set_finish_listener(NULL);
    g_assert_true(finish(INCOMING, 1, 1));
    world.row = NULL;
    hooks_set_finish_listener(on_finish);
    g_assert_true(finish(INCOMING, 1, 1));
    g_assert_cmpuint(world.asked, ==, 0);
}

int
main(int argc, char **argv)
{
    gpointer stock;

    libvirt_init(&argc, &argv);
    stock = dlopen(FAKE_FINISH, RTLD_NOW | RTLD_LOCAL);
    g_assert_nonnull(stock);
    hooks_finish_bind(stock);
    symbols.virDomainObjEndAPI = end_api;
    g_test_add_func("/hooks-finish/asked", test_asked);
    g_test_add_func("/hooks-finish/no-incoming-job", test_no_incoming_job);
    g_test_add_func("/hooks-finish/nobody-asks", test_nobody_asks);
    return g_test_run();
}
