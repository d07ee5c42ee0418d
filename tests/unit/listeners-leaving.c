/*
 * listeners-leaving.c: whom an event that was held is for, and when a listener is let go of
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "listening.h"

#define STRESS_THREADS 4
#define STRESS_ROUNDS  400

/* Whoever was not called by the stock driver has nothing to be told, as one who came later or
 * listens to another domain. */
static void
test_only_to_whom_it_was_for(void)
{
    Listener all = {0}, one = {0}, late = {0};
    Registration *registration;
    virConnectPtr other = virConnectOpen("test:///default");

    listening_reset();
    registration = listener_join(&all, world.connection, NULL);
    listening_emit(registration, DESTINATION_FAILED);
    listening_emit(listener_join(&one, world.connection, world.domain), DESTINATION_FAILED);
    listener_join(&late, other, NULL);
    listening_run_engine();
    listening_settle(STATE_POSTCOPY_PAUSED);
    listener_assert_told(&all, "4/4");
    listener_assert_told(&one, "4/4");
    listener_assert_told(&late, "");
    listener_leave(&all);
    listener_leave(&one);
    g_assert_cmpint(virConnectDomainEventDeregisterAny(other, late.id), ==, 0);
    g_assert_cmpint(late.freed, ==, 1);
    g_string_free(late.told, TRUE);
    g_assert_cmpint(virConnectClose(other), ==, 0);
}

/* What is held of another domain stays held. */
static void
test_another_domain(void)
{
    g_autoptr(Status) status = status_new();
    Listener listener = {0};

    listening_reset();
    listening_emit(listener_join(&listener, world.connection, NULL), SOURCE_FAILED);
    listening_run_engine();
    status->uuid = g_strdup("00000000-0000-0000-0000-000000000000");
    status->state = STATE_FAILED;
    listeners_settle(status);
    listening_run_loop();
    listener_assert_told(&listener, "");
    listening_settle(STATE_FAILED);
    listener_assert_told(&listener, "3/8");
    listener_leave(&listener);
}

static void
test_leaving(void)
{
    Listener while_held = {0}, before_it_is_told = {0}, while_told = {.leaves = TRUE};
    g_autoptr(Status) status = listening_get_status(STATE_FAILED);

    listening_reset();
    listening_emit(listener_join(&while_held, world.connection, NULL), SOURCE_FAILED);
    g_assert_cmpint(virConnectDomainEventDeregisterAny(world.connection, while_held.id), ==, 0);
    listening_settle(STATE_FAILED);
    listener_assert_told(&while_held, "");
    listener_leave(&while_held);

    listening_emit(listener_join(&before_it_is_told, world.connection, NULL), SOURCE_FAILED);
    listeners_settle(status);
    g_assert_cmpint(virConnectDomainEventDeregisterAny(world.connection, before_it_is_told.id), ==,
                    0);
    listening_run_loop();
    listener_assert_told(&before_it_is_told, "");
    listener_leave(&before_it_is_told);

    listening_emit(listener_join(&while_told, world.connection, NULL), SOURCE_FAILED);
    listening_settle(STATE_FAILED);
    listener_assert_told(&while_told, "3/8");
    listener_leave(&while_told);
    listening_run_engine();
}

static void
test_refused(void)
{
    Listener listener = {0};

    listening_reset();
    world.is_refused = TRUE;
    g_assert_cmpint(listeners_register(world.connection, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                       VIR_DOMAIN_EVENT_CALLBACK(listener_cb), &listener,
                                       listener_free),
                    ==, -1);
    g_assert_cmpint(listener.freed, ==, 0);
    listening_settle(STATE_FAILED);
}

static void
test_other_events(void)
{
    Listener listener = {0};
    int id;

    listening_reset();
    id = listeners_register(world.connection, NULL, VIR_DOMAIN_EVENT_ID_REBOOT,
                            VIR_DOMAIN_EVENT_CALLBACK(listener_cb), &listener, listener_free);
    g_assert_cmpint(id, >=, 0);
    g_assert_true(listening_registration()->opaque == &listener);
    g_assert_true(listening_registration()->free_opaque == listener_free);
    g_assert_cmpint(virConnectDomainEventDeregisterAny(world.connection, id), ==, 0);
    g_assert_cmpint(listener.freed, ==, 1);
}

/* A listener without anything to be let go of. */
static void
test_no_free(void)
{
    Listener listener = {.told = g_string_new(NULL)};
    int id;

    listening_reset();
    id = listeners_register(world.connection, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                            VIR_DOMAIN_EVENT_CALLBACK(listener_cb), &listener, NULL);
    listening_emit(listening_registration(), SOURCE_FAILED);
    listening_settle(STATE_FAILED);
    listener_assert_told(&listener, "3/8");
    g_assert_cmpint(virConnectDomainEventDeregisterAny(world.connection, id), ==, 0);
    g_string_free(listener.told, TRUE);
    listening_run_engine();
}

/* --- all at once --- */

static gint busy;    /* atomic: threads that still come and go */
static gint calls;   /* atomic: of their listeners */
static gint stopped; /* atomic: the engine */

static gpointer
come_and_go(gpointer unused)
{
    virConnectPtr conn = virConnectOpen("test:///default");
    virDomainPtr own = virDomainLookupByName(conn, "test");

    for (guint i = 0; i < STRESS_ROUNDS; i++) {
        Listener listener = {0};
        g_autoptr(Status) status = listening_get_status(i % 3 ? STATE_FAILED : STATE_COMPLETED);

        listener_join(&listener, conn, i % 2 ? own : NULL);
        /* Some leave when they have been told something, some at any time. */
        for (guint n = 0; n < i % 100 && !g_atomic_int_get(&listener.calls); n++)
            g_thread_yield();
        listeners_settle(status);
        g_assert_cmpint(virConnectDomainEventDeregisterAny(conn, listener.id), ==, 0);
        /* The stock driver, or whoever tells it something, may still be at it. */
        while (!g_atomic_int_get(&listener.freed))
            g_thread_yield();
        g_atomic_int_add(&calls, listener.calls);
        g_string_free(listener.told, TRUE);
    }
    virDomainFree(own);
    virConnectClose(conn);
    g_atomic_int_add(&busy, -1);
    return NULL;
}

static gpointer
be_engine(gpointer unused)
{
    while (!g_atomic_int_get(&stopped))
        g_main_context_iteration(world.engine, TRUE);
    return NULL;
}

static void
test_all_at_once(void)
{
    GThread *engine;
    GThread *threads[STRESS_THREADS];
    Listener stays = {0};
    guint rounds = 0;

    listening_reset();
    world.holds = FALSE;
    listener_join(&stays, world.connection, NULL);
    g_atomic_int_set(&busy, STRESS_THREADS);
    engine = g_thread_new("engine", be_engine, NULL);
    for (guint i = 0; i < STRESS_THREADS; i++)
        threads[i] = g_thread_new("client", come_and_go, NULL);
    while (g_atomic_int_get(&busy)) {
        /* With a listener that stays there is always an event to be woken by. */
        g_assert_cmpint(virDomainSuspend(world.domain), ==, 0);
        g_assert_cmpint(virEventRunDefaultImpl(), ==, 0);
        g_thread_yield();
        listening_run_loop();
        g_assert_cmpint(virDomainResume(world.domain), ==, 0);
        g_assert_cmpint(virEventRunDefaultImpl(), ==, 0);
        rounds++;
    }
    for (guint i = 0; i < STRESS_THREADS; i++)
        g_thread_join(threads[i]);
    g_atomic_int_set(&stopped, TRUE);
    g_main_context_wakeup(world.engine);
    g_thread_join(engine);
    listening_run_engine();
    listening_run_loop();
    g_test_message("%u outages, told %d times who stayed and %d times who left", rounds,
                   stays.calls, calls);
    g_assert_cmpint(stays.calls, >, 0);
    listener_leave(&stays);
}

static void
add_tests(void)
{
    g_test_add_func("/listeners/only-to-whom-it-was-for", test_only_to_whom_it_was_for);
    g_test_add_func("/listeners/another-domain", test_another_domain);
    g_test_add_func("/listeners/leaving", test_leaving);
    g_test_add_func("/listeners/refused", test_refused);
    g_test_add_func("/listeners/other-events", test_other_events);
    g_test_add_func("/listeners/no-free", test_no_free);
    g_test_add_func("/listeners/all-at-once", test_all_at_once);
}

int
main(int argc, char **argv)
{
    return listening_main(argc, argv, add_tests);
}
