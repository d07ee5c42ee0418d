/*
 * finish.c: stock Finish comes when libvirt has ended a domain whose QEMU has died, and what dies
 * under it is known to have
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/finish.h"

#include <string.h>

#include "doubles/world.h"
#include "run/migration-priv.h"
#include "run/observe.h"
#include "stock/error.h"
#include "stock/hooks.h"
#include "stock/qmp.h"
#include "stock/table.h"

/* How often the domain is looked for before it has ended. */
#define LOOKS 5

static struct {
    guint domain;
    gboolean dead; /* QEMU is */
    gboolean dies; /* QEMU does, while stock Finish is at work */
    gboolean ran;  /* ... and the guest has run before */
    gboolean told; /* ... and QEMU has told that it has failed */
    gint looks;    /* atomic: how often the domain was looked for */
    gint active;   /* whether it was when stock Finish was called; -1: that was not called */
    virConnectPtr connection;
    virDomainPtr dom;
    Migration *migration;
    GThread *libvirt;
} test;

static virDomainPtr
look_up(virConnectPtr connection, const unsigned char *uuid)
{
    g_atomic_int_inc(&test.looks);
    return virDomainLookupByUUID(connection, uuid);
}

static virDomainPtr
finish(virConnectPtr dconn,
       virTypedParameterPtr params,
       int nparams,
       const char *cookiein,
       int cookieinlen,
       char **cookieout,
       int *cookieoutlen,
       unsigned int flags,
       int cancelled)
{
    test.active = virDomainIsActive(test.dom) == 1;
    if (test.ran)
        world_resume_event(test.domain);
    if (test.told)
        migration_tell(test.migration, EVENT_QEMU_FAILED, 0, NULL);
    if (test.dies)
        g_assert_cmpint(virDomainDestroy(test.dom), ==, 0);
    return NULL;
}

gpointer
table_stock(StockSlot slot)
{
    if (slot == SLOT_domainMigrateFinish3Params)
        return (gpointer)finish;
    if (slot == SLOT_domainLookupByName)
        return (gpointer)virDomainLookupByName;
    g_assert_cmpint(slot, ==, SLOT_domainLookupByUUID);
    return (gpointer)look_up;
}

/* In place of stock/hooks-finish.c. */
void
hooks_set_finish_listener(HooksFinishFn fn)
{
}

/* libvirt's thread that ends domains, which comes late. */
static gpointer
end_domain(gpointer unused)
{
    gint before = g_atomic_int_get(&test.looks);

    while (g_atomic_int_get(&test.looks) < before + LOOKS)
        g_thread_yield();
    g_assert_cmpint(virDomainDestroy(test.dom), ==, 0);
    return NULL;
}

static char *
on_command(const char *name, const char *command, const char *arguments, GError **error)
{
    if (!test.dead)
        return g_strdup("{\"return\": []}");
    if (!test.libvirt)
        test.libvirt = g_thread_new("libvirt", end_domain, NULL);
    g_set_error_literal(error, QMP_ERROR, QMP_ERROR_MONITOR, "the monitor is closed");
    return NULL;
}

static void
begin(guint domain, gboolean dead)
{
    g_autoptr(Policy) policy = policy_default();

    world_start();
    memset(&test, 0, sizeof(test));
    test.domain = domain;
    test.dead = dead;
    test.active = -1;
    world_set_qemu(on_command);
    test.connection = virConnectOpen("test:///default");
    test.dom = virDomainLookupByUUID(test.connection, world_domain(domain));
    test.migration =
        migration_start(ROLE_DESTINATION, NULL, world_domain(domain), "guest", policy, 0);
}

static void
call(void)
{
    virTypedParameterPtr params = NULL;
    int nparams = 0, max = 0;

    virTypedParamsAddString(&params, &nparams, &max, VIR_MIGRATE_PARAM_DEST_NAME,
                            virDomainGetName(test.dom));
    g_assert_null(finish_call(test.connection, params, nparams, NULL, 0, NULL, NULL, 0, 0));
    virTypedParamsFree(params, nparams);
}

static void
end(void)
{
    world_drop(test.migration);
    world_stop();
    virDomainFree(test.dom);
    virConnectClose(test.connection);
}

static void
test_alive(void)
{
    begin(0, FALSE);
    call();
    g_assert_cmpint(test.active, ==, 1);
    end();
}

/* The last one: the domain is gone then. */
static void
test_dead(void)
{
    begin(0, TRUE);
    call();
    g_assert_cmpint(test.active, ==, 0);
    g_thread_join(test.libvirt);
    end();
}

/* libvirt tells nobody of it. A guest that has run is nobody's to go on with. */
static void
test_dies(void)
{
    for (guint i = 0; i < 3; i++) {
        g_autoptr(Status) status = NULL;
        const char *text = NULL;
        guint ran = i % 2;

        begin(1 + i, FALSE);
        observe_migration_events();
        stock_error_raise(VIR_ERR_OK, "%s", "libvirt's");
        test.dies = TRUE;
        test.ran = ran;
        test.told = i > 1;
        migration_tell(test.migration, EVENT_QEMU_ACTIVE, 0, NULL);
        migration_tell(test.migration, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
        call();
        status = migration_get_status(test.migration);
        g_assert_cmpint(status->state, ==, STATE_FAILED);
        g_assert_cmpint(migration_may_have_run(test.migration), ==, ran);
        world_settle();
        g_assert_cmpint(session_never_runs(test.migration->session), ==, !ran);
        world_get_raised(&text);
        g_assert_cmpint(strstr(text, "goes on at its source") != NULL, ==, !ran);
        end();
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/finish/alive", test_alive);
    g_test_add_func("/finish/dead", test_dead);
    g_test_add_func("/finish/dies", test_dies);
    return g_test_run();
}
