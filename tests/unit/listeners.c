/*
 * listeners.c: what listeners for lifecycle events are told, and when they are let go of
 *
 * The stock driver is played by libvirt's test driver, whose events go through the same lists,
 * queues and locks (src/conf/object_event.c); the engine by a context that runs when the test says
 * so. This thread runs libvirt's event loop.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <libvirt/virterror.h>

#include "run/host.h"
#include "run/listeners.h"
#include "run/migration.h"
#include "stock/table.h"

#define SUSPENDED      VIR_DOMAIN_EVENT_SUSPENDED
#define RESUMED        VIR_DOMAIN_EVENT_RESUMED
#define STOPPED        VIR_DOMAIN_EVENT_STOPPED
#define DETAILS_MAX    16
#define WAIT_MS        20000
#define STRESS_THREADS 4
#define STRESS_ROUNDS  400

/* Each is what one of the test driver's events is told as. */
#define SOURCE_FAILED         SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY_FAILED
#define SOURCE_CORRECTED      SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY
#define DESTINATION_FAILED    RESUMED, VIR_DOMAIN_EVENT_RESUMED_POSTCOPY_FAILED
#define DESTINATION_CORRECTED RESUMED, VIR_DOMAIN_EVENT_RESUMED_POSTCOPY

/* --- doubles --- */

struct Migration {
    gatomicrefcount refs;
};

static struct {
    GMainContext *engine;
    Migration migration;
    gboolean is_known;
    gboolean holds;
    MigrationState state;
    gboolean is_refused;
} world;

/** What the driver registered with the stock driver. */
typedef struct {
    virConnectDomainEventCallback fn;
    gpointer opaque;
    virFreeCallback free_opaque;
} Registration;

static Registration *latest;

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
    return world.is_known ? migration_ref(&world.migration) : NULL;
}

static Status *
get_status(virDomainPtr domain, MigrationState state)
{
    Status *status = status_new();
    char uuid[VIR_UUID_STRING_BUFLEN] = "";

    g_assert_cmpint(virDomainGetUUIDString(domain, uuid), ==, 0);
    status->uuid = g_strdup(uuid);
    status->state = state;
    return status;
}

static virDomainPtr domain;

Status *
migration_get_status(Migration *migration)
{
    return get_status(domain, world.state);
}

gboolean
migration_holds_callers(Migration *migration)
{
    return world.holds;
}

void
host_post(GSourceFunc fn, gpointer opaque)
{
    g_autoptr(GSource) source = g_idle_source_new();

    g_source_set_callback(source, fn, opaque, NULL);
    g_source_attach(source, world.engine);
}

/* --- a listener --- */

typedef struct {
    GString *told; /* "event/detail ..." */
    gint freed;    /* atomic */
    gint calls;    /* atomic */
    int id;
    gboolean leaves; /* deregisters when it is told something */
} Listener;

static virConnectPtr connection;

static void
listener_free(gpointer opaque)
{
    Listener *listener = opaque;

    g_assert_cmpint(g_atomic_int_add(&listener->freed, 1), ==, 0);
}

static int
listen_cb(virConnectPtr conn, virDomainPtr dom, int event, int detail, void *opaque)
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

static Registration *
listen_on(Listener *listener, virConnectPtr conn, virDomainPtr dom)
{
    listener->told = g_string_new(NULL);
    listener->id =
        listeners_register(conn, dom, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                           VIR_DOMAIN_EVENT_CALLBACK(listen_cb), listener, listener_free);
    g_assert_cmpint(listener->id, >=, 0);
    return g_atomic_pointer_get(&latest);
}

static Registration *
listen(Listener *listener)
{
    return listen_on(listener, connection, NULL);
}

static void
leave(Listener *listener)
{
    if (!g_atomic_int_get(&listener->freed))
        g_assert_cmpint(virConnectDomainEventDeregisterAny(connection, listener->id), ==, 0);
    g_assert_cmpint(g_atomic_int_get(&listener->freed), ==, 1);
    g_string_free(listener->told, TRUE);
}

static void
emit(Registration *registration, int event, int detail)
{
    registration->fn(connection, domain, event, detail, registration->opaque);
}

static void
assert_told(const Listener *listener, const char *told)
{
    g_assert_cmpstr(listener->told->str, ==, told);
}

/* --- the loops --- */

static void
run_engine(void)
{
    while (g_main_context_iteration(world.engine, FALSE))
        continue;
}

/* All that is due now. */
static void
run_loop(void)
{
    while (g_main_context_pending(NULL))
        g_assert_cmpint(virEventRunDefaultImpl(), ==, 0);
}

static void
settle(MigrationState state)
{
    g_autoptr(Status) status = get_status(domain, state);

    listeners_settle(status);
    run_loop();
}

static void
reset_world(void)
{
    world.is_known = TRUE;
    world.holds = TRUE;
    world.is_refused = FALSE;
    world.state = STATE_POSTCOPY_PAUSED;
}

/* --- tests --- */

static void
test_decide(void)
{
    /* clang-format off */
    static const struct {
        int event, detail;
        ListenersDecision migrating, migrating_held, known_over, known_over_held;
    } rows[] = {
        { SOURCE_FAILED,         LISTENERS_HOLD, LISTENERS_HOLD,       LISTENERS_PASS, LISTENERS_TELL_FIRST },
        { DESTINATION_FAILED,    LISTENERS_HOLD, LISTENERS_HOLD,       LISTENERS_PASS, LISTENERS_TELL_FIRST },
        { SOURCE_CORRECTED,      LISTENERS_PASS, LISTENERS_DROP,       LISTENERS_PASS, LISTENERS_DROP },
        { DESTINATION_CORRECTED, LISTENERS_PASS, LISTENERS_DROP,       LISTENERS_PASS, LISTENERS_DROP },
        { RESUMED, VIR_DOMAIN_EVENT_RESUMED_MIGRATED,
                                 LISTENERS_PASS, LISTENERS_FORGET,     LISTENERS_PASS, LISTENERS_FORGET },
        { STOPPED, VIR_DOMAIN_EVENT_STOPPED_MIGRATED,
                                 LISTENERS_PASS, LISTENERS_FORGET,     LISTENERS_PASS, LISTENERS_FORGET },
        { STOPPED, DETAILS_MAX,  LISTENERS_PASS, LISTENERS_TELL_FIRST, LISTENERS_PASS, LISTENERS_TELL_FIRST },
        { -1, DETAILS_MAX,       LISTENERS_PASS, LISTENERS_PASS,       LISTENERS_PASS, LISTENERS_PASS },
    };
    /* clang-format on */

    for (int event = 0; event <= VIR_DOMAIN_EVENT_CRASHED; event++) {
        for (int detail = 0; detail < DETAILS_MAX; detail++) {
            gsize i = 0;

            while (rows[i].event >= 0 &&
                   (rows[i].event != event ||
                    (rows[i].detail != detail && rows[i].detail != DETAILS_MAX)))
                i++;
            g_assert_cmpint(listeners_decide(event, detail, TRUE, FALSE), ==, rows[i].migrating);
            g_assert_cmpint(listeners_decide(event, detail, TRUE, TRUE), ==,
                            rows[i].migrating_held);
            g_assert_cmpint(listeners_decide(event, detail, FALSE, FALSE), ==, rows[i].known_over);
            g_assert_cmpint(listeners_decide(event, detail, FALSE, TRUE), ==,
                            rows[i].known_over_held);
        }
    }
}

/* One word a step: a letter for what happens, and after `=` all that was told by then. */
static void
test_sequences(void)
{
    static const struct {
        const char *name;
        const char *steps;
        const char *told;
    } rows[] = {
        {"mended", "f q c q", ""},
        {"mended, and again", "f q c f q c o", ""},
        {"completed", "f q o m", "5/3"},
        {"completed before the engine says so", "f q m o", "5/3"},
        {"given up", "f q g", "3/8"},
        {"given up, then recovered by a person", "f q g c o m", "3/8 3/7 5/3"},
        {"given up in the second outage", "f q c f q g", "3/8"},
        {"told once", "f q g g g", "3/8"},
        {"manual", "M f q c o m", "3/8 3/7 5/3"},
        {"manual, and over before the engine has looked", "M f c q", ""},
        {"not a migration of ours", "U f c m", "3/8 3/7 5/3"},
        {"a migration that is over", "O f m", "3/8 5/3"},
        {"the guest dies", "f q d g", "3/8 5/2"},
        {"the guest dies before the engine has looked", "f d q g", "3/8 5/2"},
        {"the beginning of postcopy", "c f q g", "3/7 3/8"},
        {"something else in between", "f q e g", "3/0 3/8"},
        {"something else, then mended", "f q e c", "3/0"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        Listener listener = {0};
        Registration *registration;

        g_test_message("%s", rows[i].name);
        reset_world();
        registration = listen(&listener);
        for (const char *step = rows[i].steps; *step; step++) {
            switch (*step) {
            case 'M':
                world.holds = FALSE;
                break;
            case 'U':
                world.is_known = FALSE;
                break;
            case 'O':
                world.state = STATE_COMPLETED;
                break;
            case 'f':
                emit(registration, SOURCE_FAILED);
                break;
            case 'c':
                emit(registration, SOURCE_CORRECTED);
                break;
            case 'm':
                emit(registration, STOPPED, VIR_DOMAIN_EVENT_STOPPED_MIGRATED);
                break;
            case 'd':
                emit(registration, STOPPED, VIR_DOMAIN_EVENT_STOPPED_CRASHED);
                break;
            case 'e':
                emit(registration, SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_PAUSED);
                break;
            case 'q': /* the engine looks at what it was asked */
                run_engine();
                run_loop();
                break;
            case 'g': /* nobody but a person brings it on */
                settle(STATE_POSTCOPY_PAUSED);
                break;
            case 'o': /* it has completed */
                settle(STATE_COMPLETED);
                break;
            }
        }
        assert_told(&listener, rows[i].told);
        run_engine();
        leave(&listener);
    }
}

/* Whoever was not called by the stock driver has nothing to be told, as one who came later or
 * listens to another domain. */
static void
test_only_to_whom_it_was_for(void)
{
    Listener all = {0}, one = {0}, late = {0};
    Registration *registration;
    virConnectPtr other = virConnectOpen("test:///default");

    reset_world();
    registration = listen(&all);
    emit(registration, DESTINATION_FAILED);
    emit(listen_on(&one, connection, domain), DESTINATION_FAILED);
    listen_on(&late, other, NULL);
    run_engine();
    settle(STATE_POSTCOPY_PAUSED);
    assert_told(&all, "4/4");
    assert_told(&one, "4/4");
    assert_told(&late, "");
    leave(&all);
    leave(&one);
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

    reset_world();
    emit(listen(&listener), SOURCE_FAILED);
    run_engine();
    status->uuid = g_strdup("00000000-0000-0000-0000-000000000000");
    status->state = STATE_FAILED;
    listeners_settle(status);
    run_loop();
    assert_told(&listener, "");
    settle(STATE_FAILED);
    assert_told(&listener, "3/8");
    leave(&listener);
}

static void
test_leaving(void)
{
    Listener while_held = {0}, before_it_is_told = {0}, while_told = {.leaves = TRUE};
    g_autoptr(Status) status = get_status(domain, STATE_FAILED);

    reset_world();
    emit(listen(&while_held), SOURCE_FAILED);
    g_assert_cmpint(virConnectDomainEventDeregisterAny(connection, while_held.id), ==, 0);
    settle(STATE_FAILED);
    assert_told(&while_held, "");
    leave(&while_held);

    emit(listen(&before_it_is_told), SOURCE_FAILED);
    listeners_settle(status);
    g_assert_cmpint(virConnectDomainEventDeregisterAny(connection, before_it_is_told.id), ==, 0);
    run_loop();
    assert_told(&before_it_is_told, "");
    leave(&before_it_is_told);

    emit(listen(&while_told), SOURCE_FAILED);
    settle(STATE_FAILED);
    assert_told(&while_told, "3/8");
    leave(&while_told);
    run_engine();
}

static void
test_refused(void)
{
    Listener listener = {0};

    reset_world();
    world.is_refused = TRUE;
    g_assert_cmpint(listeners_register(connection, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                       VIR_DOMAIN_EVENT_CALLBACK(listen_cb), &listener,
                                       listener_free),
                    ==, -1);
    g_assert_cmpint(listener.freed, ==, 0);
    settle(STATE_FAILED);
}

static void
test_other_events(void)
{
    Listener listener = {0};
    int id;

    reset_world();
    id = listeners_register(connection, NULL, VIR_DOMAIN_EVENT_ID_REBOOT,
                            VIR_DOMAIN_EVENT_CALLBACK(listen_cb), &listener, listener_free);
    g_assert_cmpint(id, >=, 0);
    g_assert_true(latest->opaque == &listener);
    g_assert_true(latest->free_opaque == listener_free);
    g_assert_cmpint(virConnectDomainEventDeregisterAny(connection, id), ==, 0);
    g_assert_cmpint(listener.freed, ==, 1);
}

/* A listener without anything to be let go of. */
static void
test_no_free(void)
{
    Listener listener = {.told = g_string_new(NULL)};
    int id;

    reset_world();
    id = listeners_register(connection, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                            VIR_DOMAIN_EVENT_CALLBACK(listen_cb), &listener, NULL);
    emit(latest, SOURCE_FAILED);
    settle(STATE_FAILED);
    assert_told(&listener, "3/8");
    g_assert_cmpint(virConnectDomainEventDeregisterAny(connection, id), ==, 0);
    g_string_free(listener.told, TRUE);
    run_engine();
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
        g_autoptr(Status) status = get_status(domain, i % 3 ? STATE_FAILED : STATE_COMPLETED);

        listen_on(&listener, conn, i % 2 ? own : NULL);
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

    reset_world();
    world.holds = FALSE;
    listen(&stays);
    g_atomic_int_set(&busy, STRESS_THREADS);
    engine = g_thread_new("engine", be_engine, NULL);
    for (guint i = 0; i < STRESS_THREADS; i++)
        threads[i] = g_thread_new("client", come_and_go, NULL);
    while (g_atomic_int_get(&busy)) {
        /* With a listener that stays there is always an event to be woken by. */
        g_assert_cmpint(virDomainSuspend(domain), ==, 0);
        g_assert_cmpint(virEventRunDefaultImpl(), ==, 0);
        g_thread_yield();
        run_loop();
        g_assert_cmpint(virDomainResume(domain), ==, 0);
        g_assert_cmpint(virEventRunDefaultImpl(), ==, 0);
        rounds++;
    }
    for (guint i = 0; i < STRESS_THREADS; i++)
        g_thread_join(threads[i]);
    g_atomic_int_set(&stopped, TRUE);
    g_main_context_wakeup(world.engine);
    g_thread_join(engine);
    run_engine();
    run_loop();
    g_test_message("%u outages, told %d times who stayed and %d times who left", rounds,
                   stays.calls, calls);
    g_assert_cmpint(stays.calls, >, 0);
    leave(&stays);
}

static void
on_timeout(int timer, void *opaque)
{
    g_error("nothing more happens");
}

int
main(int argc, char **argv)
{
    int rc;

    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(virInitialize(), ==, 0);
    g_assert_cmpint(virEventRegisterDefaultImpl(), ==, 0);
    g_assert_cmpint(virEventAddTimeout(WAIT_MS, on_timeout, NULL, NULL), >=, 0);
    g_atomic_ref_count_init(&world.migration.refs);
    world.engine = g_main_context_new();
    connection = virConnectOpen("test:///default");
    domain = virDomainLookupByName(connection, "test");
    g_assert_nonnull(domain);

    g_test_add_func("/listeners/decide", test_decide);
    g_test_add_func("/listeners/sequences", test_sequences);
    g_test_add_func("/listeners/only-to-whom-it-was-for", test_only_to_whom_it_was_for);
    g_test_add_func("/listeners/another-domain", test_another_domain);
    g_test_add_func("/listeners/leaving", test_leaving);
    g_test_add_func("/listeners/refused", test_refused);
    g_test_add_func("/listeners/other-events", test_other_events);
    g_test_add_func("/listeners/no-free", test_no_free);
    g_test_add_func("/listeners/all-at-once", test_all_at_once);
    rc = g_test_run();

    virDomainFree(domain);
    /* No event that was held has kept it open. */
    g_assert_cmpint(virConnectClose(connection), ==, 0);
    g_assert_true(g_atomic_ref_count_compare(&world.migration.refs, 1));
    g_main_context_unref(world.engine);
    return rc;
}
