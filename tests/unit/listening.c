/*
 * listening.c: a stock driver and an engine that listeners are tried with
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "listening.h"

#include "run/host.h"
#include "run/migration.h"
#include "run/takeback.h"
#include "stock/table.h"

#define WAIT_MS 20000

/* --- doubles --- */

struct Migration {
    gatomicrefcount refs;
};

World world;

static Migration the_migration;
static Registration *latest;

Registration *
listening_registration(void)
{
    return g_atomic_pointer_get(&latest);
}

static void
registration_free(gpointer opaque)
{
    Registration *registration = opaque;

    if (registration->free_opaque)
        registration->free_opaque(registration->opaque);
    g_free(registration);
}

/* Suspending and resuming stand for a failure and its end. */
static int
on_test_event(virConnectPtr conn, virDomainPtr domain, int event, int detail, void *opaque)
{
    Registration *registration = opaque;

    return event == SUSPENDED
               ? registration->fn(conn, domain, SOURCE_FAILED, registration->opaque)
               : registration->fn(conn, domain, SOURCE_CORRECTED, registration->opaque);
}

static int
stock_register(virConnectPtr conn,
               virDomainPtr dom,
               int event,
               virConnectDomainEventGenericCallback fn,
               void *opaque,
               virFreeCallback free_opaque)
{
    Registration *registration;
    int id;

    if (world.is_refused)
        return -1;
    registration = g_new0(Registration, 1);
    registration->fn = (virConnectDomainEventCallback)(void (*)(void))fn;
    registration->opaque = opaque;
    registration->free_opaque = free_opaque;
    id =
        virConnectDomainEventRegisterAny(conn, dom, event, VIR_DOMAIN_EVENT_CALLBACK(on_test_event),
                                         registration, registration_free);
    if (id < 0)
        g_free(registration);
    else
        g_atomic_pointer_set(&latest, registration);
    return id;
}

gpointer
table_stock(StockSlot slot)
{
    g_assert_cmpint(slot, ==, SLOT_connectDomainEventRegisterAny);
    return (gpointer)stock_register;
}

Migration *
migration_ref(Migration *migration)
{
    g_atomic_ref_count_inc(&migration->refs);
    return migration;
}

void
migration_unref(Migration *migration)
{
    if (migration)
        g_assert_false(g_atomic_ref_count_dec(&migration->refs));
}

Migration *
migration_find(const unsigned char *uuid)
{
    return world.is_known ? migration_ref(&the_migration) : NULL;
}

Status *
listening_get_status(MigrationState state)
{
    Status *status = status_new();
    char uuid[VIR_UUID_STRING_BUFLEN] = "";

    g_assert_cmpint(virDomainGetUUIDString(world.domain, uuid), ==, 0);
    status->uuid = g_strdup(uuid);
    status->state = state;
    return status;
}

Status *
migration_get_status(Migration *migration)
{
    return listening_get_status(world.state);
}

gboolean
migration_holds_callers(Migration *migration)
{
    return world.holds;
}

gboolean
takeback_is_under_way(Migration *migration)
{
    return world.is_coming_back;
}

gboolean
migration_is_foreign(const Migration *migration)
{
    return world.is_foreign;
}

void
host_post(GSourceFunc fn, gpointer opaque)
{
    g_autoptr(GSource) source = g_idle_source_new();

    g_source_set_callback(source, fn, opaque, NULL);
    g_source_attach(source, world.engine);
}

/* --- a listener --- */

void
listener_free(gpointer opaque)
{
    Listener *listener = opaque;

    g_assert_cmpint(g_atomic_int_add(&listener->freed, 1), ==, 0);
}

int
listener_cb(virConnectPtr conn, virDomainPtr dom, int event, int detail, void *opaque)
{
    Listener *listener = opaque;

    g_assert_cmpint(g_atomic_int_get(&listener->freed), ==, 0);
    g_assert_cmpstr(virDomainGetName(dom), ==, "test");
    g_assert_true(virDomainGetConnect(dom) == conn);
    g_atomic_int_inc(&listener->calls);
    g_string_append_printf(listener->told, "%s%d/%d", listener->told->len ? " " : "", event,
                           detail);
    if (listener->leaves) {
        g_assert_cmpint(virConnectDomainEventDeregisterAny(conn, listener->id), ==, 0);
        g_assert_cmpint(g_atomic_int_get(&listener->freed), ==, 0);
    }
    return 0;
}

Registration *
listener_join(Listener *listener, virConnectPtr conn, virDomainPtr dom)
{
    listener->told = g_string_new(NULL);
    listener->id =
        listeners_register(conn, dom, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                           VIR_DOMAIN_EVENT_CALLBACK(listener_cb), listener, listener_free);
    g_assert_cmpint(listener->id, >=, 0);
    return g_atomic_pointer_get(&latest);
}

void
listener_leave(Listener *listener)
{
    if (!g_atomic_int_get(&listener->freed))
        g_assert_cmpint(virConnectDomainEventDeregisterAny(world.connection, listener->id), ==, 0);
    g_assert_cmpint(g_atomic_int_get(&listener->freed), ==, 1);
    g_string_free(listener->told, TRUE);
}

void
listening_emit(Registration *registration, int event, int detail)
{
    registration->fn(world.connection, world.domain, event, detail, registration->opaque);
}

void
listener_assert_told(const Listener *listener, const char *told)
{
    g_assert_cmpstr(listener->told->str, ==, told);
}

/* --- the loops --- */

void
listening_run_engine(void)
{
    while (g_main_context_iteration(world.engine, FALSE))
        continue;
}

/* All that is due now. */
void
listening_run_loop(void)
{
    while (g_main_context_pending(NULL))
        g_assert_cmpint(virEventRunDefaultImpl(), ==, 0);
}

void
listening_settle(MigrationState state)
{
    g_autoptr(Status) status = listening_get_status(state);

    listeners_settle(status);
    listening_run_loop();
}

void
listening_reset(void)
{
    world.is_known = TRUE;
    world.is_foreign = FALSE;
    world.holds = TRUE;
    world.is_refused = FALSE;
    world.state = STATE_POSTCOPY_PAUSED;
}

/* --- the program --- */

static void
on_timeout(int timer, void *opaque)
{
    g_error("nothing more happens");
}

int
listening_main(int argc, char **argv, void (*add_tests)(void))
{
    int rc;

    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(virInitialize(), ==, 0);
    g_assert_cmpint(virEventRegisterDefaultImpl(), ==, 0);
    g_assert_cmpint(virEventAddTimeout(WAIT_MS, on_timeout, NULL, NULL), >=, 0);
    g_atomic_ref_count_init(&the_migration.refs);
    world.engine = g_main_context_new();
    world.connection = virConnectOpen("test:///default");
    world.domain = virDomainLookupByName(world.connection, "test");
    g_assert_nonnull(world.domain);
    add_tests();
    rc = g_test_run();

    virDomainFree(world.domain);
    /* No event that was held has kept it open. */
    g_assert_cmpint(virConnectClose(world.connection), ==, 0);
    g_assert_true(g_atomic_ref_count_compare(&the_migration.refs, 1));
    g_main_context_unref(world.engine);
    return rc;
}
