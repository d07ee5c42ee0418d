/*
 * stats.c: what a migration is like, among the statistics of its domain
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

#define HISTORY_MAX_STEPS 64

/* Which domains, rather than how: a domain that is gone meets none of these. */
#define FILTERS                                                                                    \
    (~(unsigned int)(VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT |                                    \
                     VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING |                                   \
                     VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS))

/** A record's parameters while ours are added. Nothing of it fails: the names are short, and
 * libvirt ends a process that is out of memory. */
typedef struct {
    virTypedParameterPtr list;
    int n;
    int max;
} Record;

/* Without a text nothing is said. */
static void
add_text(Record *record, const char *name, const char *text)
{
    if (text && *text)
        virTypedParamsAddString(&record->list, &record->n, &record->max, name, text);
}

static void
add_count(Record *record, const char *name, guint count)
{
    virTypedParamsAddUInt(&record->list, &record->n, &record->max, name, count);
}

static void
add_ms(Record *record, const char *name, gint64 usec)
{
    virTypedParamsAddULLong(&record->list, &record->n, &record->max, name,
                            (unsigned long long)(MAX(usec, 0) / 1000));
}

static void
add_history(Record *record, const GArray *history)
{
    guint first = history->len > HISTORY_MAX_STEPS ? history->len - HISTORY_MAX_STEPS : 0;
    char name[VIR_TYPED_PARAM_FIELD_LENGTH];

    add_count(record, "holdfast.history.count", history->len - first);
    for (guint i = first; i < history->len; i++) {
        const StatusStep *step = &g_array_index(history, StatusStep, i);

        g_snprintf(name, sizeof(name), "holdfast.history.%u.state", i - first);
        add_text(record, name, migration_state_to_string(step->state));
        g_snprintf(name, sizeof(name), "holdfast.history.%u.at-ms", i - first);
        add_ms(record, name, step->at_usec);
        g_snprintf(name, sizeof(name), "holdfast.history.%u.reason", i - first);
        add_text(record, name, pause_reason_to_string(step->reason));
    }
}

/* How often each decision was taken, in the order in which they come. */
static void
add_decided(Record *record, const GPtrArray *verdicts, VerdictKind kind)
{
    char name[VIR_TYPED_PARAM_FIELD_LENGTH];

    for (guint i = 0; i < verdicts->len; i++) {
        const Verdict *first = verdicts->pdata[i];
        guint count = 0;

        for (guint j = 0; j < verdicts->len; j++) {
            const Verdict *verdict = verdicts->pdata[j];

            if (verdict->kind != kind || !g_str_equal(verdict->decision, first->decision))
                continue;
            if (j < i)
                break;
            count++;
        }
        g_snprintf(name, sizeof(name), "holdfast.%ss.decided.%s", verdict_kind_to_string(kind),
                   first->decision);
        if (count > 0)
            add_count(record, name, count);
    }
}

static void
add_verdicts(Record *record, const GPtrArray *verdicts)
{
    static const struct {
        const char *name;
        gsize offset;
    } texts[] = {
        {"disk", G_STRUCT_OFFSET(Verdict, disk)},
        {"name", G_STRUCT_OFFSET(Verdict, name)},
        {"decision", G_STRUCT_OFFSET(Verdict, decision)},
        {"reason", G_STRUCT_OFFSET(Verdict, reason)},
    };
    char name[VIR_TYPED_PARAM_FIELD_LENGTH];

    if (verdicts->len == 0)
        return;
    add_decided(record, verdicts, VERDICT_BITMAP);
    add_decided(record, verdicts, VERDICT_CHECKPOINT);
    add_count(record, "holdfast.bitmaps.count", verdicts->len);
    for (guint i = 0; i < verdicts->len; i++) {
        const Verdict *verdict = verdicts->pdata[i];

        g_snprintf(name, sizeof(name), "holdfast.bitmaps.%u.kind", i);
        add_text(record, name, verdict_kind_to_string(verdict->kind));
        for (guint j = 0; j < G_N_ELEMENTS(texts); j++) {
            g_snprintf(name, sizeof(name), "holdfast.bitmaps.%u.%s", i, texts[j].name);
            add_text(record, name, G_STRUCT_MEMBER(char *, verdict, texts[j].offset));
        }
        g_snprintf(name, sizeof(name), "holdfast.bitmaps.%u.at-ms", i);
        add_ms(record, name, verdict->at_usec);
    }
}

void
stats_add(virTypedParameterPtr *params, int *n_params, const Status *status, gint64 now_usec)
{
    Record record = {.list = *params, .n = *n_params, .max = *n_params};

    add_text(&record, "holdfast.id", status->id);
    add_text(&record, "holdfast.role", migration_role_to_string(status->role));
    add_text(&record, "holdfast.state", migration_state_to_string(status->state));
    add_text(&record, "holdfast.reason", pause_reason_to_string(status->reason));
    add_text(&record, "holdfast.peer", status->peer);
    add_text(&record, "holdfast.message", status->message);
    add_ms(&record, "holdfast.now-ms", now_usec);
    add_ms(&record, "holdfast.started-at-ms", status->started_at_usec);
    add_count(&record, "holdfast.pauses", status->pauses);
    add_count(&record, "holdfast.recoveries", status->recoveries);
    add_count(&record, "holdfast.attempts", status->attempts);
    if (status->paused_at_usec > 0) {
        add_ms(&record, "holdfast.paused-at-ms", status->paused_at_usec);
        virTypedParamsAddBoolean(&record.list, &record.n, &record.max, "holdfast.recovers-itself",
                                 status->recovers_itself);
    }
    add_ms(&record, "holdfast.paused-ms", (gint64)status->paused_usec);
    add_ms(&record, "holdfast.last-outage-ms", (gint64)status->last_outage_usec);
    if (status->next_attempt_at_usec > 0)
        add_ms(&record, "holdfast.next-attempt-at-ms", status->next_attempt_at_usec);
    add_history(&record, status->history);
    add_verdicts(&record, status->verdicts);

    *params = record.list;
    *n_params = record.n;
}

/* The domain's last migration here; NULL if there was none. */
static Status *
status_of(virDomainPtr dom)
{
    unsigned char uuid[VIR_UUID_BUFLEN];
    g_autoptr(Migration) migration = virDomainGetUUID(dom, uuid) == 0 ? migration_find(uuid) : NULL;

    return migration ? migration_get_status(migration) : NULL;
}

static void
add_to(virDomainStatsRecordPtr record)
{
    g_autoptr(Status) status = status_of(record->dom);

    if (status)
        stats_add(&record->params, &record->nparams, status, g_get_real_time());
}

static gboolean
is_among(const unsigned char *wanted, virDomainStatsRecordPtr *records, int n)
{
    unsigned char uuid[VIR_UUID_BUFLEN];

    for (int i = 0; i < n; i++) {
        if (virDomainGetUUID(records[i]->dom, uuid) == 0 &&
            memcmp(uuid, wanted, VIR_UUID_BUFLEN) == 0)
            return TRUE;
    }
    return FALSE;
}

/* As libvirt does with a domain that is here: a client who may not see it does not. One that is
 * here and was left out for that would be taken for gone. */
static virDomainStatsRecordPtr
make_record(virConnectPtr conn, Migration *migration)
{
    g_autoptr(Status) status = migration_get_status(migration);
    const unsigned char *uuid = migration_get_uuid(migration);
    virDomainStatsRecordPtr record;
    virDomainPtr dom;

    if (!migration_state_is_terminal(status->state) || !access_may_read(status->name, uuid))
        return NULL;
    dom = stock_domain_name(conn, status->name, uuid, migration_get_domain_id(migration));
    if (!dom)
        return NULL;
    record = g_new0(virDomainStatsRecord, 1);
    record->dom = dom;
    stats_add(&record->params, &record->nparams, status, g_get_real_time());
    return record;
}

/* Those that are asked for: of all domains, or of these. */
static GPtrArray *
list_migrations(virDomainPtr *doms, unsigned int ndoms)
{
    GPtrArray *migrations;

    if (ndoms == 0)
        return migration_list_over();
    migrations = g_ptr_array_new_with_free_func((GDestroyNotify)migration_unref);
    for (unsigned int i = 0; i < ndoms; i++) {
        unsigned char uuid[VIR_UUID_BUFLEN];
        Migration *migration = virDomainGetUUID(doms[i], uuid) == 0 ? migration_find(uuid) : NULL;

        if (migration)
            g_ptr_array_add(migrations, migration);
    }
    return migrations;
}

/* Appends the domains that have left this host; @records and @n are as the stock driver gave them.
 * The list is freed by libvirt with free(), which is g_free() (GLib 2.46). */
static int
add_those_gone(virConnectPtr conn,
               virDomainPtr *doms,
               unsigned int ndoms,
               virDomainStatsRecordPtr **records,
               int n)
{
    g_autoptr(GPtrArray) migrations = list_migrations(doms, ndoms);

    for (guint i = 0; i < migrations->len; i++) {
        Migration *migration = migrations->pdata[i];
        virDomainStatsRecordPtr record = NULL;

        if (!is_among(migration_get_uuid(migration), *records, n))
            record = make_record(conn, migration);
        if (!record)
            continue;
        *records = g_renew(virDomainStatsRecordPtr, *records, (gsize)n + 2);
        (*records)[n++] = record;
        (*records)[n] = NULL;
    }
    return n;
}

int
stats_get_all(virConnectPtr conn,
              virDomainPtr *doms,
              unsigned int ndoms,
              unsigned int stats,
              virDomainStatsRecordPtr **records,
              unsigned int flags)
{
    unsigned int others = stats & ~STATS_HOLDFAST;
    unsigned int asked = others;
    unsigned int how = flags;
    int n;

    if (stats == STATS_HOLDFAST) {
        /* A mask of nothing would be all: of what it does not know stock collects nothing. */
        asked = stats;
        how &= ~(unsigned int)VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS;
    }
    n = TABLE_STOCK(connectGetAllDomainStats)(conn, doms, ndoms, asked, records, how);
    if (n < 0 || (stats && !(stats & STATS_HOLDFAST)))
        return n;
    for (int i = 0; i < n; i++)
        add_to((*records)[i]);
    if ((stats & STATS_HOLDFAST) && !(flags & FILTERS))
        n = add_those_gone(conn, doms, ndoms, records, n);
    return n;
}
