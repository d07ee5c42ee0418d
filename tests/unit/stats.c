/*
 * stats.c: which clients get holdfast.* with the statistics of a domain, and what they then read
 *
 * The stock driver is played by a function that notes what it was asked for and gives a record of
 * one parameter for each of libvirt's test driver's domains.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/stats.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "run/migration.h"
#include "stock/access.h"
#include "stock/domain.h"
#include "stock/table.h"

#define ALL     0
#define STATE   VIR_DOMAIN_STATS_STATE
#define ENFORCE VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS
#define NOWAIT  VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
#define ACTIVE  VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE
#define SECOND  G_USEC_PER_SEC

/* --- doubles --- */

struct Migration {
    gatomicrefcount refs;
};

static struct {
    virConnectPtr connection;
    virDomainPtr domain;
    gboolean is_known; /* a migration of the domain is */
    gboolean is_gone;  /* the domain is, from this host */
    gboolean is_refused;
    gboolean is_hidden; /* from this client, by access control */
    MigrationState state;
    unsigned int stats; /* what the stock driver was asked for */
    unsigned int flags;
} world;

static Migration the_migration;

static int
stock_get_all(virConnectPtr conn,
              virDomainPtr *doms,
              unsigned int ndoms,
              unsigned int stats,
              virDomainStatsRecordPtr **records,
              unsigned int flags)
{
    virDomainStatsRecordPtr record;
    int max = 0;

    world.stats = stats;
    world.flags = flags;
    if (world.is_refused)
        return -1;
    *records = g_new0(virDomainStatsRecordPtr, 2);
    if (world.is_gone)
        return 0;
    record = g_new0(virDomainStatsRecord, 1);
    record->dom = world.domain;
    virDomainRef(world.domain);
    virTypedParamsAddInt(&record->params, &record->nparams, &max, "state.state", 1);
    (*records)[0] = record;
    return 1;
}

gpointer
table_stock(StockSlot slot)
{
    g_assert_cmpint(slot, ==, SLOT_connectGetAllDomainStats);
    return (gpointer)stock_get_all;
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
    unsigned char own[VIR_UUID_BUFLEN];

    g_assert_cmpint(virDomainGetUUID(world.domain, own), ==, 0);
    if (!world.is_known || memcmp(uuid, own, VIR_UUID_BUFLEN) != 0)
        return NULL;
    g_atomic_ref_count_inc(&the_migration.refs);
    return &the_migration;
}

static Status *
make_status(MigrationState state)
{
    Status *status = status_new();
    StatusStep steps[] = {
        {.state = STATE_SETUP, .at_usec = 100 * SECOND},
        {.state = STATE_POSTCOPY_PAUSED, .reason = REASON_NETWORK, .at_usec = 107 * SECOND},
    };

    status->id = g_strdup("an-id");
    status->name = g_strdup("test");
    status->peer = g_strdup("");
    status->message = g_strdup("");
    status->state = state;
    status->started_at_usec = 100 * SECOND;
    g_array_append_vals(status->history, steps, G_N_ELEMENTS(steps));
    return status;
}

GPtrArray *
migration_list_over(void)
{
    GPtrArray *over = g_ptr_array_new_with_free_func((GDestroyNotify)migration_unref);

    if (world.is_known && migration_state_is_terminal(world.state)) {
        g_atomic_ref_count_inc(&the_migration.refs);
        g_ptr_array_add(over, &the_migration);
    }
    return over;
}

const unsigned char *
migration_get_uuid(const Migration *migration)
{
    static unsigned char uuid[VIR_UUID_BUFLEN];

    g_assert_cmpint(virDomainGetUUID(world.domain, uuid), ==, 0);
    return uuid;
}

int
migration_get_domain_id(Migration *migration)
{
    return 7;
}

gboolean
access_may_read(const char *name, const unsigned char *uuid)
{
    g_assert_cmpstr(name, ==, "test");
    g_assert_cmpmem(uuid, VIR_UUID_BUFLEN, migration_get_uuid(&the_migration), VIR_UUID_BUFLEN);
    return !world.is_hidden;
}

virDomainPtr
stock_domain_name(virConnectPtr conn, const char *name, const unsigned char *uuid, int id)
{
    g_assert_true(conn == world.connection);
    g_assert_cmpstr(name, ==, "test");
    g_assert_cmpint(id, ==, 7);
    virDomainRef(world.domain);
    return world.domain;
}

Status *
migration_get_status(Migration *migration)
{
    return make_status(world.state);
}

/* --- what is read --- */

/* The parameters as lines "name=value", in their order. */
static char *
to_text(virTypedParameterPtr params, int n)
{
    GString *text = g_string_new("");

    for (int i = 0; i < n; i++) {
        switch (params[i].type) {
        case VIR_TYPED_PARAM_STRING:
            g_string_append_printf(text, "%s=%s\n", params[i].field, params[i].value.s);
            break;
        case VIR_TYPED_PARAM_UINT:
            g_string_append_printf(text, "%s=%u\n", params[i].field, params[i].value.ui);
            break;
        case VIR_TYPED_PARAM_ULLONG:
            g_string_append_printf(text, "%s=%llu ms\n", params[i].field, params[i].value.ul);
            break;
        case VIR_TYPED_PARAM_BOOLEAN:
            g_string_append_printf(text, "%s=%s\n", params[i].field,
                                   params[i].value.b ? "yes" : "no");
            break;
        default:
            g_string_append_printf(text, "%s: type %d\n", params[i].field, params[i].type);
        }
    }
    return g_string_free(text, FALSE);
}

static void
test_paused(void)
{
    g_autoptr(Status) status = make_status(STATE_POSTCOPY_PAUSED);
    g_autofree char *text = NULL;
    virTypedParameterPtr params = NULL;
    int n = 0;

    status->role = ROLE_SOURCE;
    status->reason = REASON_NETWORK;
    g_free(status->peer);
    status->peer = g_strdup("b.example");
    g_free(status->message);
    status->message = g_strdup("no route");
    status->pauses = 2;
    status->recoveries = 1;
    status->attempts = 3;
    status->paused_at_usec = 107 * SECOND;
    status->recovers_itself = TRUE;
    status->paused_usec = 2500999;
    status->last_outage_usec = 2500000;
    status->next_attempt_at_usec = 109 * SECOND + 500;
    stats_add(&params, &n, status, 108 * SECOND);
    text = to_text(params, n);
    g_assert_cmpstr(text, ==,
                    "holdfast.id=an-id\n"
                    "holdfast.role=source\n"
                    "holdfast.state=postcopy-paused\n"
                    "holdfast.reason=network\n"
                    "holdfast.peer=b.example\n"
                    "holdfast.message=no route\n"
                    "holdfast.now-ms=108000 ms\n"
                    "holdfast.started-at-ms=100000 ms\n"
                    "holdfast.pauses=2\n"
                    "holdfast.recoveries=1\n"
                    "holdfast.attempts=3\n"
                    "holdfast.paused-at-ms=107000 ms\n"
                    "holdfast.recovers-itself=yes\n"
                    "holdfast.paused-ms=2500 ms\n"
                    "holdfast.last-outage-ms=2500 ms\n"
                    "holdfast.next-attempt-at-ms=109000 ms\n"
                    "holdfast.history.count=2\n"
                    "holdfast.history.0.state=setup\n"
                    "holdfast.history.0.at-ms=100000 ms\n"
                    "holdfast.history.1.state=postcopy-paused\n"
                    "holdfast.history.1.at-ms=107000 ms\n"
                    "holdfast.history.1.reason=network\n");
    virTypedParamsFree(params, n);
}

/* How many of each, then each with its reason. */
static void
test_bitmaps(void)
{
    g_autoptr(Status) status = make_status(STATE_FAILED);
    g_autofree char *text = NULL;
    virTypedParameterPtr params = NULL;
    int n = 0;

    g_ptr_array_add(status->verdicts,
                    verdict_new(VERDICT_BITMAP, "vda", "a", "repair", "it is", 101 * SECOND));
    g_ptr_array_add(status->verdicts,
                    verdict_new(VERDICT_BITMAP, "vda", "b", "drop", "it was", 102 * SECOND));
    g_ptr_array_add(status->verdicts,
                    verdict_new(VERDICT_BITMAP, "vdb", "a", "repair", "it is", 101 * SECOND));
    g_ptr_array_add(status->verdicts,
                    verdict_new(VERDICT_CHECKPOINT, "", "a", "carry", "it is known", 103 * SECOND));
    stats_add(&params, &n, status, 0);
    text = to_text(params, n);
    g_assert_cmpstr(strstr(text, "holdfast.bitmaps."), ==,
                    "holdfast.bitmaps.decided.repair=2\n"
                    "holdfast.bitmaps.decided.drop=1\n"
                    "holdfast.checkpoints.decided.carry=1\n"
                    "holdfast.bitmaps.count=4\n"
                    "holdfast.bitmaps.0.kind=bitmap\n"
                    "holdfast.bitmaps.0.disk=vda\n"
                    "holdfast.bitmaps.0.name=a\n"
                    "holdfast.bitmaps.0.decision=repair\n"
                    "holdfast.bitmaps.0.reason=it is\n"
                    "holdfast.bitmaps.0.at-ms=101000 ms\n"
                    "holdfast.bitmaps.1.kind=bitmap\n"
                    "holdfast.bitmaps.1.disk=vda\n"
                    "holdfast.bitmaps.1.name=b\n"
                    "holdfast.bitmaps.1.decision=drop\n"
                    "holdfast.bitmaps.1.reason=it was\n"
                    "holdfast.bitmaps.1.at-ms=102000 ms\n"
                    "holdfast.bitmaps.2.kind=bitmap\n"
                    "holdfast.bitmaps.2.disk=vdb\n"
                    "holdfast.bitmaps.2.name=a\n"
                    "holdfast.bitmaps.2.decision=repair\n"
                    "holdfast.bitmaps.2.reason=it is\n"
                    "holdfast.bitmaps.2.at-ms=101000 ms\n"
                    "holdfast.bitmaps.3.kind=checkpoint\n"
                    "holdfast.bitmaps.3.name=a\n"
                    "holdfast.bitmaps.3.decision=carry\n"
                    "holdfast.bitmaps.3.reason=it is known\n"
                    "holdfast.bitmaps.3.at-ms=103000 ms\n");
    virTypedParamsFree(params, n);
}

/* What is not so is not there; figures are. */
static void
test_at_work(void)
{
    g_autoptr(Status) status = make_status(STATE_PRECOPY_ACTIVE);
    g_autofree char *text = NULL;
    virTypedParameterPtr params = NULL;
    int n = 0;

    g_array_set_size(status->history, 1);
    status->started_at_usec = -SECOND; /* a clock that was put back */
    stats_add(&params, &n, status, 0);
    text = to_text(params, n);
    g_assert_cmpstr(text, ==,
                    "holdfast.id=an-id\n"
                    "holdfast.role=source\n"
                    "holdfast.state=precopy-active\n"
                    "holdfast.now-ms=0 ms\n"
                    "holdfast.started-at-ms=0 ms\n"
                    "holdfast.pauses=0\n"
                    "holdfast.recoveries=0\n"
                    "holdfast.attempts=0\n"
                    "holdfast.paused-ms=0 ms\n"
                    "holdfast.last-outage-ms=0 ms\n"
                    "holdfast.history.count=1\n"
                    "holdfast.history.0.state=setup\n"
                    "holdfast.history.0.at-ms=100000 ms\n");
    virTypedParamsFree(params, n);
}

/* The latest steps are the ones that count; they are numbered from 0 all the same. */
static void
test_long_history(void)
{
    g_autoptr(Status) status = make_status(STATE_POSTCOPY_PAUSED);
    virTypedParameterPtr params = NULL;
    unsigned int count = 0;
    unsigned long long at = 0;
    int n = 0;

    for (gint64 i = 0; i < 1000; i++) {
        StatusStep step = {.state = STATE_POSTCOPY_PAUSED, .at_usec = (200 + i) * SECOND};

        g_array_append_val(status->history, step);
    }
    stats_add(&params, &n, status, 0);
    g_assert_cmpint(virTypedParamsGetUInt(params, n, "holdfast.history.count", &count), ==, 1);
    g_assert_cmpuint(count, ==, 64);
    g_assert_cmpint(virTypedParamsGetULLong(params, n, "holdfast.history.63.at-ms", &at), ==, 1);
    g_assert_cmpuint(at, ==, 1199000);
    g_assert_cmpint(virTypedParamsGetULLong(params, n, "holdfast.history.0.at-ms", &at), ==, 1);
    g_assert_cmpuint(at, ==, 1136000);
    virTypedParamsFree(params, n);
}

/* clang-format off */
static const struct {
    const char *what;
    unsigned int stats;
    unsigned int flags;
    gboolean is_known;
    gboolean is_named; /* the domain is, by the client */
    gboolean is_gone;
    gboolean is_hidden;
    MigrationState state;
    gboolean gets_ours;
    gboolean gets_stock;
    unsigned int stock_stats; /* what the stock driver is asked for */
    unsigned int stock_flags;
} calls[] = {
    { "all",                       ALL,                    0,       TRUE,  FALSE, FALSE, FALSE, STATE_COMPLETED,       TRUE,  TRUE,  ALL,            0 },
    { "all, nowait",               ALL,                    NOWAIT,  TRUE,  TRUE,  FALSE, FALSE, STATE_POSTCOPY_PAUSED, TRUE,  TRUE,  ALL,            NOWAIT },
    { "all, enforced",             ALL,                    ENFORCE, TRUE,  FALSE, FALSE, FALSE, STATE_COMPLETED,       TRUE,  TRUE,  ALL,            ENFORCE },
    { "no migration",              ALL,                    0,       FALSE, FALSE, FALSE, FALSE, STATE_SETUP,           FALSE, TRUE,  ALL,            0 },
    { "another group",             STATE,                  0,       TRUE,  FALSE, FALSE, FALSE, STATE_COMPLETED,       FALSE, TRUE,  STATE,          0 },
    { "another, enforced",         STATE,                  ENFORCE, TRUE,  FALSE, FALSE, FALSE, STATE_COMPLETED,       FALSE, TRUE,  STATE,          ENFORCE },
    { "unknown, enforced",         1u << 30,               ENFORCE, TRUE,  FALSE, FALSE, FALSE, STATE_COMPLETED,       FALSE, TRUE,  1u << 30,       ENFORCE },
    { "ours",                      STATS_HOLDFAST,         0,       TRUE,  FALSE, FALSE, FALSE, STATE_COMPLETED,       TRUE,  TRUE,  STATS_HOLDFAST, 0 },
    { "ours, enforced",            STATS_HOLDFAST,         ENFORCE, TRUE,  TRUE,  FALSE, FALSE, STATE_COMPLETED,       TRUE,  TRUE,  STATS_HOLDFAST, 0 },
    { "ours and another",          STATS_HOLDFAST | STATE, ENFORCE, TRUE,  TRUE,  FALSE, FALSE, STATE_COMPLETED,       TRUE,  TRUE,  STATE,          ENFORCE },
    { "gone, ours",                STATS_HOLDFAST,         ENFORCE, TRUE,  TRUE,  TRUE,  FALSE, STATE_COMPLETED,       TRUE,  FALSE, STATS_HOLDFAST, 0 },
    { "gone, not over",            STATS_HOLDFAST,         ENFORCE, TRUE,  TRUE,  TRUE,  FALSE, STATE_POSTCOPY_PAUSED, FALSE, FALSE, STATS_HOLDFAST, 0 },
    { "gone, not named",           STATS_HOLDFAST,         ENFORCE, TRUE,  FALSE, TRUE,  FALSE, STATE_COMPLETED,       TRUE,  FALSE, STATS_HOLDFAST, 0 },
    { "gone, not named, not over", STATS_HOLDFAST,         ENFORCE, TRUE,  FALSE, TRUE,  FALSE, STATE_POSTCOPY_PAUSED, FALSE, FALSE, STATS_HOLDFAST, 0 },
    { "gone, hidden",              STATS_HOLDFAST,         ENFORCE, TRUE,  TRUE,  TRUE,  TRUE,  STATE_COMPLETED,       FALSE, FALSE, STATS_HOLDFAST, 0 },
    { "gone, hidden, not named",   STATS_HOLDFAST,         ENFORCE, TRUE,  FALSE, TRUE,  TRUE,  STATE_COMPLETED,       FALSE, FALSE, STATS_HOLDFAST, 0 },
    { "gone, only active",         STATS_HOLDFAST,         ACTIVE,  TRUE,  TRUE,  TRUE,  FALSE, STATE_COMPLETED,       FALSE, FALSE, STATS_HOLDFAST, ACTIVE },
    { "gone, all",                 ALL,                    0,       TRUE,  TRUE,  TRUE,  FALSE, STATE_COMPLETED,       FALSE, FALSE, ALL,            0 },
    { "gone, unknown",             STATS_HOLDFAST,         0,       FALSE, TRUE,  TRUE,  FALSE, STATE_COMPLETED,       FALSE, FALSE, STATS_HOLDFAST, 0 },
};
/* clang-format on */

static gboolean
has(virDomainStatsRecordPtr record, const char *name)
{
    return record && virTypedParamsGet(record->params, record->nparams, name) != NULL;
}

static void
test_who_gets_what(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    virDomainPtr doms[] = {calls[i].is_named ? world.domain : NULL, NULL};
    virDomainStatsRecordPtr *records = NULL;
    gboolean any = calls[i].gets_ours || calls[i].gets_stock;
    int n;

    world.is_known = calls[i].is_known;
    world.is_gone = calls[i].is_gone;
    world.is_hidden = calls[i].is_hidden;
    world.state = calls[i].state;
    n = stats_get_all(world.connection, doms[0] ? doms : NULL, doms[0] ? 1 : 0, calls[i].stats,
                      &records, calls[i].flags);
    g_assert_cmpint(n, ==, any ? 1 : 0);
    g_assert_cmpint(has(records[0], "state.state"), ==, calls[i].gets_stock);
    g_assert_cmpint(has(records[0], "holdfast.state"), ==, calls[i].gets_ours);
    g_assert_null(records[n]);
    if (n > 0)
        g_assert_cmpstr(virDomainGetName(records[0]->dom), ==, "test");
    g_assert_cmpuint(world.stats, ==, calls[i].stock_stats);
    g_assert_cmpuint(world.flags, ==, calls[i].stock_flags);
    virDomainStatsRecordListFree(records);
    g_assert_true(g_atomic_ref_count_compare(&the_migration.refs, 1));
}

static void
test_refused(void)
{
    virDomainStatsRecordPtr *records = NULL;

    world.is_known = TRUE;
    world.is_refused = TRUE;
    g_assert_cmpint(stats_get_all(world.connection, NULL, 0, STATS_HOLDFAST, &records, 0), ==, -1);
    g_assert_null(records);
    world.is_refused = FALSE;
}

int
main(int argc, char **argv)
{
    int rc;

    g_test_init(&argc, &argv, NULL);
    g_atomic_ref_count_init(&the_migration.refs);
    world.connection = virConnectOpen("test:///default");
    g_assert_nonnull(world.connection);
    world.domain = virDomainLookupByName(world.connection, "test");
    g_assert_nonnull(world.domain);
    g_test_add_func("/stats/paused", test_paused);
    g_test_add_func("/stats/bitmaps", test_bitmaps);
    g_test_add_func("/stats/at-work", test_at_work);
    g_test_add_func("/stats/long-history", test_long_history);
    for (gsize i = 0; i < G_N_ELEMENTS(calls); i++) {
        g_autofree char *path = g_strdup_printf("/stats/calls/%s", calls[i].what);

        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_who_gets_what);
    }
    g_test_add_func("/stats/refused", test_refused);
    rc = g_test_run();
    virDomainFree(world.domain);
    virConnectClose(world.connection);
    return rc;
}
