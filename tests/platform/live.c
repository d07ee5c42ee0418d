/*
 * live.c: stock/ on a real QEMU, in a daemon of its own
 *
 * The process is the daemon: it loads the stock module as the shim does and initialises its
 * drivers, so that the functions can be called directly. The guest has no disk and no system; that
 * is enough for its monitor and for a migration into a file. Run by in-namespaces.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <dlfcn.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "live-oob.h"
#include "stock/abi.h"
#include "stock/daemon.h"
#include "stock/domain.h"
#include "stock/error.h"
#include "stock/hooks.h"
#include "stock/log.h"
#include "stock/qmp.h"
#include "stock/symbols.h"
#include "stock/table.h"

#define URI          "qemu:///system"
#define WAIT_SECONDS 30
#define N_THREADS    8
#define N_OPENS      200
#define SKIPPED      77
#define GUEST_UUID   "c7a5fdbd-cdaf-9455-926a-d65c16db1809"
#define GUEST                                                                                      \
    "<domain type='qemu'><name>live</name><uuid>" GUEST_UUID "</uuid><memory>16384</memory>"       \
    "<os><type machine='pc'>hvm</type></os><features><acpi/></features></domain>"

static int lookups; /* atomic; calls of our override */
static int started; /* atomic; of the lifecycle's start() */
static int stopped;
static int ended;
static GAsyncQueue *events; /* of char *, "UUID status" */

static virDomainPtr
lookup_by_name(virConnectPtr conn, const char *name)
{
    g_atomic_int_inc(&lookups);
    return TABLE_STOCK(domainLookupByName)(conn, name);
}

static const TableOverride overrides[] = {TABLE_OVERRIDE(domainLookupByName, lookup_by_name)};

static void
on_start(gboolean privileged)
{
    g_assert_true(privileged);
    g_atomic_int_inc(&started);
}

static void
on_stop(void)
{
    g_atomic_int_inc(&stopped);
}

/* The stock driver is still there. */
static void
on_end(void)
{
    virConnectPtr conn = virConnectOpen(URI);

    g_assert_nonnull(conn);
    g_assert_cmpint(virConnectNumOfDomains(conn), ==, 0);
    virConnectClose(conn);
    g_atomic_int_inc(&ended);
}

static const DaemonLifecycle lifecycle = {.start = on_start, .stop = on_stop, .end = on_end};

static void
on_migration(const unsigned char *uuid, const char *status, gpointer opaque)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < VIR_UUID_BUFLEN; i++)
        g_string_append_printf(text, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x",
                               uuid[i]);
    g_string_append_printf(text, " %s", status);
    g_async_queue_push(opaque, g_string_free(text, FALSE));
}

static gpointer
run_events(gpointer opaque)
{
    for (;;)
        virEventRunDefaultImpl();
    return NULL;
}

static gpointer
function(const char *name)
{
    gpointer found = dlsym(RTLD_DEFAULT, name);

    if (!found)
        g_error("libvirt has no %s", name);
    return found;
}

/* As libvirtd sets itself up, src/remote/remote_daemon.c. FALSE when there is no libvirt we know.
 */
static gboolean
start_daemon(void)
{
    int (*initialize)(bool privileged, bool mandatory, const char *root, bool monolithic,
                      gpointer inhibit, gpointer opaque);
    gpointer (*access_new)(const char *driver);
    void (*set_access)(gpointer manager);
    int (*stock_register)(void);
    g_autoptr(GError) error = NULL;
    unsigned long version = 0;
    gpointer stock;

    g_assert_cmpint(virGetVersion(&version, NULL, NULL), ==, 0);
    stock = dlopen(STOCK_MODULE_DIR "/libvirt_driver_qemu.so", RTLD_NOW | RTLD_GLOBAL);
    if (!abi_find(version) || !stock)
        return FALSE;
    g_assert_cmpint(virEventRegisterDefaultImpl(), ==, 0);
    g_thread_unref(g_thread_new("events", run_events, NULL));

    hooks_bind(stock);
    symbols_load(stock, &error);
    g_assert_no_error(error);
    log_install();
    table_register(abi_find(version), stock, overrides, G_N_ELEMENTS(overrides), &error);
    g_assert_no_error(error);
    *(gpointer *)&stock_register = dlsym(stock, "qemuRegister");
    g_assert_cmpint(stock_register(), ==, 0);
    daemon_register(&lifecycle, &error);
    g_assert_no_error(error);

    *(gpointer *)&access_new = function("virAccessManagerNew");
    *(gpointer *)&set_access = function("virAccessManagerSetDefault");
    set_access(access_new("none"));
    *(gpointer *)&initialize = function("virStateInitialize");
    g_assert_true(stock_become_system());
    g_assert_cmpint(initialize(true, true, NULL, true, NULL, NULL), ==, 0);
    return TRUE;
}

static gpointer
open_once(gpointer opaque)
{
    virConnectPtr conn = virConnectOpen(URI);

    g_assert_nonnull(conn);
    g_assert_nonnull(table_stock(SLOT_domainLookupByName));
    virConnectClose(conn);
    return NULL;
}

/* The first connections come all at once. */
static void
test_first_open(void)
{
    GThread *threads[N_THREADS];

    g_assert_null(table_stock(SLOT_domainLookupByName));
    for (guint i = 0; i < N_THREADS; i++)
        threads[i] = g_thread_new("open", open_once, NULL);
    for (guint i = 0; i < N_THREADS; i++)
        g_thread_join(threads[i]);
    g_assert_cmpint(g_atomic_int_get(&started), ==, 1);
}

static guint
count_descriptors(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    guint n = 0;

    while (g_dir_read_name(dir))
        n++;
    return n;
}

static glong
resident_pages(void)
{
    g_autofree char *text = NULL;
    glong total, resident = 0;

    g_assert_true(g_file_get_contents("/proc/self/statm", &text, NULL, NULL));
    g_assert_cmpint(sscanf(text, "%ld %ld", &total, &resident), ==, 2);
    return resident;
}

static void
test_opens_leak_nothing(void)
{
    guint descriptors = count_descriptors();
    glong resident;

    for (guint i = 0; i < N_OPENS; i++)
        open_once(NULL);
    resident = resident_pages();
    for (guint i = 0; i < N_OPENS; i++)
        open_once(NULL);
    g_assert_cmpuint(count_descriptors(), ==, descriptors);
    g_test_message("%ld pages more after %d connections", resident_pages() - resident, N_OPENS);
    g_assert_cmpint(resident_pages() - resident, <, N_OPENS / 4);
}

static void
test_override(virConnectPtr conn)
{
    int before = g_atomic_int_get(&lookups);
    virDomainPtr dom = virDomainLookupByName(conn, "live");

    g_assert_nonnull(dom);
    g_assert_cmpint(g_atomic_int_get(&lookups), ==, before + 1);
    virDomainFree(dom);
}

static void
test_job(virDomainPtr dom)
{
    g_autofree char *text = NULL;
    StockJob job;

    g_assert_true(stock_domain_job(dom, &job));
    g_assert_cmpint(job.async, ==, STOCK_ASYNC_NONE);
    g_assert_cmpint(job.phase, ==, 0);
    g_assert_cmpuint(job.owner, ==, 0);
    g_assert_true(job.active);
    g_assert_true(g_file_get_contents("/run/libvirt/qemu/live.pid", &text, NULL, NULL));
    g_assert_cmpint(job.pid, ==, g_ascii_strtoll(text, NULL, 10));
}

static void
test_qmp(virDomainPtr dom)
{
    g_autofree char *quoted = qmp_quote("a \"b\"\n");
    g_autofree char *command = g_strdup_printf(
        "{\"execute\": \"qom-get\", \"arguments\": {\"path\": %s, \"property\": \"x\"}}", quoted);
    g_autoptr(GError) error = NULL;
    g_autofree char *reply = qmp_execute(dom, "{\"execute\": \"query-status\"}", &error);
    g_autofree char *status = NULL;
    g_autofree char *description = NULL;

    g_assert_no_error(error);
    status = qmp_reply_string(reply, "status");
    g_assert_cmpstr(status, ==, "running");

    stock_error_raise(VIR_ERR_OPERATION_INVALID, "kept");
    g_assert_null(qmp_execute(dom, "{\"execute\": \"no-such\"}", &error));
    g_assert_error(error, QMP_ERROR, QMP_ERROR_COMMAND);
    g_assert_true(g_str_has_prefix(error->message, "CommandNotFound: "));
    g_clear_error(&error);
    g_assert_null(qmp_execute(dom, "{cut", &error));
    g_assert_error(error, QMP_ERROR, QMP_ERROR_MONITOR);
    g_clear_error(&error);
    g_assert_null(qmp_execute(dom, command, &error));
    g_assert_error(error, QMP_ERROR, QMP_ERROR_COMMAND);
    g_assert_nonnull(strstr(error->message, "a \"b\"\n"));
    g_clear_error(&error);
    g_assert_cmpint(virGetLastErrorCode(), ==, VIR_ERR_OPERATION_INVALID);
    virResetLastError();
}

static void
test_oob(virDomainPtr dom)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(qmp_has_oob(dom));
    /* Refused by its own code, so it was let through out of band. */
    g_assert_null(qmp_execute_oob(dom, "migrate-pause", NULL, &error));
    g_assert_error(error, QMP_ERROR, QMP_ERROR_COMMAND);
    g_assert_nonnull(strstr(error->message, "migrate-pause"));
    g_clear_error(&error);
    g_assert_null(qmp_execute_oob(dom, "migrate-recover", "{\"uri\": \"tcp:[::]:1\"}", &error));
    g_assert_error(error, QMP_ERROR, QMP_ERROR_COMMAND);
    g_clear_error(&error);
    /* QEMU itself says which commands may not come this way. */
    g_assert_null(qmp_execute_oob(dom, "query-status", NULL, &error));
    g_assert_error(error, QMP_ERROR, QMP_ERROR_COMMAND);
    g_assert_nonnull(strstr(error->message, "OOB"));
}

static void
expect_event(const char *status)
{
    g_autofree char *expected = g_strdup_printf("%s %s", GUEST_UUID, status);

    for (;;) {
        g_autofree char *event = g_async_queue_timeout_pop(events, WAIT_SECONDS * G_USEC_PER_SEC);

        if (!event)
            g_error("no event '%s' in %d s", expected, WAIT_SECONDS);
        g_test_message("event %s", event);
        if (g_str_equal(event, expected))
            return;
    }
}

static void
test_events(virDomainPtr dom)
{
    g_autoptr(GError) error = NULL;

    events = g_async_queue_new_full(g_free);
    hooks_set_migration_listener(on_migration, events);
    g_free(qmp_execute(
        dom, "{\"execute\": \"migrate\", \"arguments\": {\"uri\": \"file:/run/live\"}}", &error));
    g_assert_no_error(error);
    expect_event("setup");
    expect_event("active");
    expect_event("completed");
    hooks_set_migration_listener(NULL, NULL);
    g_async_queue_unref(events);
}

static void
test_guest(void)
{
    virConnectPtr conn = virConnectOpen(URI);
    virDomainPtr dom = virDomainDefineXML(conn, GUEST);
    g_autoptr(GError) error = NULL;
    StockJob job = {0};

    g_assert_nonnull(dom);
    g_assert_true(stock_domain_job(dom, &job));
    g_assert_false(job.active);
    g_assert_cmpint(job.pid, ==, 0);
    g_assert_null(qmp_execute(dom, "{\"execute\": \"query-status\"}", &error));
    g_assert_error(error, QMP_ERROR, QMP_ERROR_INACTIVE);
    g_clear_error(&error);
    g_assert_false(qmp_has_oob(dom));

    if (virDomainCreate(dom) < 0)
        g_error("create: %s", virGetLastErrorMessage());
    test_override(conn);
    test_job(dom);
    test_qmp(dom);
    test_oob(dom);
    live_oob_test(dom);
    test_events(dom);

    if (virDomainDestroy(dom) < 0)
        g_error("destroy: %s", virGetLastErrorMessage());
    g_assert_cmpint(virDomainUndefine(dom), ==, 0);
    g_assert_null(qmp_execute(dom, "{\"execute\": \"query-status\"}", &error));
    g_assert_error(error, QMP_ERROR, QMP_ERROR_GONE);
    g_assert_false(stock_domain_job(dom, &job));
    g_assert_null(virGetLastError());
    virDomainFree(dom);
    virConnectClose(conn);
}

static void
test_stop(void)
{
    int (*prepare)(void);
    int (*cleanup)(void);

    *(gpointer *)&prepare = function("virStateShutdownPrepare");
    *(gpointer *)&cleanup = function("virStateCleanup");
    g_assert_cmpint(prepare(), ==, 0);
    g_assert_cmpint(g_atomic_int_get(&stopped), ==, 1);
    g_assert_cmpint(g_atomic_int_get(&ended), ==, 0);
    g_assert_cmpint(cleanup(), ==, 0);
    g_assert_cmpint(g_atomic_int_get(&ended), ==, 1);
}

static void
ignore(void *opaque, virErrorPtr error)
{
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(virInitialize(), ==, 0);
    virSetErrorFunc(NULL, ignore);
    if (access("/usr/bin/qemu-system-x86_64", X_OK) != 0 || !start_daemon()) {
        g_print("1..0 # SKIP no QEMU, or no libvirt that we know\n");
        return SKIPPED;
    }
    g_test_add_func("/live/first-open", test_first_open);
    g_test_add_func("/live/leaks", test_opens_leak_nothing);
    g_test_add_func("/live/guest", test_guest);
    g_test_add_func("/live/stop", test_stop);
    return g_test_run();
}
