/*
 * p2p.c: the phases of a peer-to-peer migration, whatever one of them comes to
 *
 * The phases and the connection to the destination are doubles here, which write down that they
 * were called; the domain is one of libvirt's own test driver, and the errors are libvirt's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/p2p.h"

#include <string.h>

#include "doubles/libvirt.h"
#include "run/confirm.h"
#include "run/dconn.h"
#include "run/host.h"
#include "run/outcome.h"
#include "run/params.h"
#include "run/phases.h"
#include "run/remote.h"
#include "run/takeback.h"
#include "stock/error.h"
#include "stock/symbols.h"
#include "stock/table.h"

#define FLAGS                                                                                      \
    (VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_UNDEFINE_SOURCE |                      \
     VIR_MIGRATE_ABORT_ON_ERROR | VIR_MIGRATE_AUTO_CONVERGE)
#define URI "qemu+tcp://b/system"

/* What goes wrong. */
typedef enum {
    NOTHING,
    NO_CONNECTION, /* of our own, to this daemon */
    BEGIN,
    OPEN,
    TOO_OLD,
    PREPARE,
    NO_URI,
    PERFORM,
    FINISH,
    SILENT, /* Finish is not answered, and the daemon stops */
} Fault;

static struct {
    virConnectPtr connection;
    virDomainPtr dom;
    Fault fault;
    GString *calls;
    GMutex lock;
    GCond changed;
    gboolean asked; /* Finish is on its way; under the lock */
    gboolean let_go;
} world;

static void
call(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_string_append_vprintf(world.calls, format, args);
    va_end(args);
}

/* A phase that is to fail has, with an error of its own name. */
static gboolean
fails(Fault phase, const char *name)
{
    if (world.fault != phase)
        return FALSE;
    stock_error_raise(VIR_ERR_OPERATION_FAILED, "%s failed", name);
    return TRUE;
}

/* --- the doubles --- */

virConnectPtr
host_connect(void)
{
    if (fails(NO_CONNECTION, "connect"))
        return NULL;
    virConnectRef(world.connection);
    return world.connection;
}

static int
stock_perform(virDomainPtr dom,
              const char *dconnuri,
              virTypedParameterPtr params,
              int nparams,
              const char *cookiein,
              int cookieinlen,
              char **cookieout,
              int *cookieoutlen,
              unsigned int flags)
{
    g_assert_cmpstr(dconnuri, ==, URI);
    g_assert_cmpuint(flags, ==, FLAGS);
    g_assert_null(cookiein);
    g_assert_cmpstr(params_get_string(params, nparams, VIR_MIGRATE_PARAM_PERSIST_XML), ==, "<p/>");
    call("stock ");
    return 0;
}

gpointer
table_stock(StockSlot slot)
{
    g_assert_cmpint(slot, ==, SLOT_domainMigratePerform3Params);
    return (gpointer)stock_perform;
}

Migration *
migration_find(const unsigned char *uuid)
{
    return NULL;
}

void
migration_sync(Migration *migration)
{
    g_assert_not_reached();
}

void
migration_unref(Migration *migration)
{
    g_assert_null(migration);
}

gboolean
migration_wait(Migration *migration,
               MigrationMilestone milestone,
               guint recoveries,
               guint64 timeout_ms,
               Status **status)
{
    g_assert_not_reached();
}

gboolean
takeback_wait(Migration *migration)
{
    g_assert_not_reached();
}

int
takeback_raise(Migration *migration, const char *why)
{
    g_assert_not_reached();
}

void
outcome_wait_source(Migration *migration)
{
    g_assert_not_reached();
}

void
outcome_tell(Migration *migration, EventType type)
{
    g_assert_not_reached();
}

struct Dconn {
    gboolean open;
};

Dconn *
dconn_open(virDomainPtr dom, const char *uri)
{
    g_assert_cmpstr(uri, ==, URI);
    call("open ");
    return fails(OPEN, "open") ? NULL : g_new0(Dconn, 1);
}

void
dconn_close(Dconn *dconn)
{
    if (dconn)
        call("close");
    g_free(dconn);
}

void
dconn_leave(Dconn *dconn)
{
    call("leave");
    g_free(dconn);
}

virConnectPtr
dconn_get(const Dconn *dconn)
{
    return world.connection;
}

gboolean
dconn_takes_params(const Dconn *dconn)
{
    return world.fault != TOO_OLD;
}

void
dconn_guard(Dconn *dconn)
{
}

gboolean
dconn_unguard(Dconn *dconn)
{
    return FALSE;
}

static void
give_cookie(const char *text, char **cookie, int *cookielen)
{
    *cookie = strdup(text);
    *cookielen = (int)strlen(text);
}

static void
check_source(unsigned int flags)
{
    g_assert_cmpuint(flags, ==,
                     (FLAGS & ~(unsigned)VIR_MIGRATE_PEER2PEER) | VIR_MIGRATE_CHANGE_PROTECTION);
}

gboolean
phases_check_stock(virDomainPtr dom, virTypedParameterPtr params, int nparams, unsigned int flags)
{
    call("check ");
    return TRUE;
}

char *
phases_begin(virDomainPtr dom,
             virTypedParameterPtr params,
             int nparams,
             char **cookieout,
             int *cookieoutlen,
             unsigned int flags)
{
    check_source(flags);
    call("begin ");
    if (fails(BEGIN, "begin"))
        return NULL;
    give_cookie("of-begin", cookieout, cookieoutlen);
    return strdup("<moved/>");
}

int
phases_perform(virDomainPtr dom,
               virTypedParameterPtr params,
               int nparams,
               const char *cookiein,
               int cookieinlen,
               char **cookieout,
               int *cookieoutlen,
               unsigned int flags)
{
    check_source(flags);
    g_assert_cmpstr(cookiein, ==, "of-prepare");
    g_assert_cmpstr(params_get_string(params, nparams, VIR_MIGRATE_PARAM_URI), ==, "tcp:b:1");
    g_assert_cmpstr(params_get_string(params, nparams, VIR_MIGRATE_PARAM_PERSIST_XML), ==, "<p/>");
    call("perform ");
    give_cookie("of-perform", cookieout, cookieoutlen);
    return fails(PERFORM, "perform") ? -1 : 0;
}

int
confirm_call(virDomainPtr dom,
             virTypedParameterPtr params,
             int nparams,
             const char *cookiein,
             int cookieinlen,
             unsigned int flags,
             int cancelled)
{
    check_source(flags);
    /* libvirt refuses one that did not come from the other host. */
    g_assert_true(!cookiein || g_str_equal(cookiein, "of-finish") ||
                  g_str_equal(cookiein, "of-prepare"));
    call("confirm(%d) ", cancelled);
    return 0;
}

static void
check_destination(virTypedParameterPtr params, int nparams, unsigned int flags)
{
    g_assert_cmpuint(flags, ==,
                     VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_UNDEFINE_SOURCE);
    g_assert_null(params_get_string(params, nparams, VIR_MIGRATE_PARAM_PERSIST_XML));
    g_assert_cmpstr(params_get_string(params, nparams, VIR_MIGRATE_PARAM_DEST_XML), ==, "<moved/>");
}

static int
prepare(virConnectPtr dconn,
        virTypedParameterPtr params,
        int nparams,
        const char *cookiein,
        int cookieinlen,
        char **cookieout,
        int *cookieoutlen,
        char **uri_out,
        unsigned int flags)
{
    check_destination(params, nparams, flags);
    g_assert_cmpstr(cookiein, ==, "of-begin");
    call("prepare ");
    if (fails(PREPARE, "prepare"))
        return -1;
    give_cookie("of-prepare", cookieout, cookieoutlen);
    if (world.fault != NO_URI)
        *uri_out = strdup("tcp:b:1");
    return 0;
}

static void
stay_silent(void)
{
    g_mutex_lock(&world.lock);
    world.asked = TRUE;
    g_cond_broadcast(&world.changed);
    while (!world.let_go)
        g_cond_wait(&world.changed, &world.lock);
    world.asked = FALSE;
    g_cond_broadcast(&world.changed);
    g_mutex_unlock(&world.lock);
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
    check_destination(params, nparams, flags);
    g_assert_nonnull(params_get_string(params, nparams, VIR_MIGRATE_PARAM_DEST_NAME));
    call("finish(%d) ", cancelled);
    if (world.fault == SILENT) {
        stay_silent();
        return NULL;
    }
    give_cookie("of-finish", cookieout, cookieoutlen);
    if (cancelled || fails(FINISH, "finish"))
        return NULL;
    virDomainRef(world.dom);
    return world.dom;
}

/* --- the tests --- */

static int
perform(Fault fault, GString *calls)
{
    g_auto(Params) params = {0};
    int rc;

    world.fault = fault;
    world.calls = calls;
    params_set_string(&params, VIR_MIGRATE_PARAM_PERSIST_XML, "<p/>");
    rc = p2p_perform(world.dom, URI, params.list, params.n, FLAGS);
    world.calls = NULL;
    return rc;
}

/* clang-format off */
static const struct {
    Fault fault;
    const char *calls;
    const char *error; /* part of it; NULL: the call succeeds */
} rows[] = {
    { NOTHING,       "begin open prepare perform finish(0) confirm(0) close", NULL },
    { NO_CONNECTION, "check stock ",                                          NULL },
    { BEGIN,         "begin ",                                                "begin failed" },
    { OPEN,          "begin open confirm(1) ",                                "open failed" },
    { TOO_OLD,       "begin open confirm(1) check stock close",               NULL },
    { PREPARE,       "begin open prepare confirm(1) close",                   "prepare failed" },
    { NO_URI,        "begin open prepare finish(1) confirm(1) close",         "did not set uri" },
    { PERFORM,       "begin open prepare perform finish(1) close",            "perform failed" },
    { FINISH,        "begin open prepare perform finish(0) confirm(1) close", "finish failed" },
};
/* clang-format on */

static void
test_phases(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GString) calls = g_string_new(NULL);
        int rc;

        if (rows[i].fault == NO_CONNECTION)
            g_test_expect_message(G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "*: *connect failed*");
        rc = perform(rows[i].fault, calls);
        g_test_assert_expected_messages();
        g_assert_cmpstr(calls->str, ==, rows[i].calls);
        g_assert_cmpint(rc, ==, rows[i].error ? -1 : 0);
        if (rows[i].error)
            g_assert_nonnull(strstr(virGetLastErrorMessage(), rows[i].error));
        else
            g_assert_cmpint(virGetLastErrorCode(), ==, VIR_ERR_OK);
        virResetLastError();
    }
}

static void
test_is_ours(void)
{
    g_assert_true(p2p_is_ours(VIR_MIGRATE_PEER2PEER));
    g_assert_true(p2p_is_ours(VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_LIVE | VIR_MIGRATE_POSTCOPY));
    g_assert_false(p2p_is_ours(VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_TUNNELLED));
    g_assert_false(p2p_is_ours(VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_OFFLINE));
}

static gpointer
stop_thread(gpointer unused)
{
    g_mutex_lock(&world.lock);
    while (!world.asked)
        g_cond_wait(&world.changed, &world.lock);
    g_mutex_unlock(&world.lock);
    remote_release_all();
    return NULL;
}

/* The last one: there is no way back from a stop. */
static void
test_the_daemon_stops(void)
{
    g_autoptr(GString) calls = g_string_new(NULL);
    GThread *stop = g_thread_new("stop", stop_thread, NULL);
    int rc = perform(SILENT, calls);

    g_thread_join(stop);
    g_assert_cmpint(rc, ==, -1);
    /* Finish is still at the connection. */
    g_assert_cmpstr(calls->str, ==, "begin open prepare perform finish(0) confirm(1) leave");
    g_assert_nonnull(strstr(virGetLastErrorMessage(), "the daemon stops"));
    virResetLastError();
    g_mutex_lock(&world.lock);
    world.let_go = TRUE;
    g_cond_broadcast(&world.changed);
    while (world.asked)
        g_cond_wait(&world.changed, &world.lock);
    g_mutex_unlock(&world.lock);
}

int
main(int argc, char **argv)
{
    libvirt_init(&argc, &argv);
    symbols.virDomainMigratePrepare3Params = prepare;
    symbols.virDomainMigrateFinish3Params = finish;
    world.connection = virConnectOpen("test:///default");
    g_assert_nonnull(world.connection);
    world.dom = virDomainLookupByName(world.connection, "test");
    g_assert_nonnull(world.dom);
    g_test_add_func("/p2p/is-ours", test_is_ours);
    g_test_add_func("/p2p/phases", test_phases);
    g_test_add_func("/p2p/the-daemon-stops", test_the_daemon_stops);
    return g_test_run();
}
