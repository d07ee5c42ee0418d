/*
 * migration.c: a migration as a daemon with Holdfast tells of it, through libvirt's public API
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "migration.h"

#include <glib/gi18n.h>
#include <libvirt/virterror.h>

#include "command.h"
#include "connection.h"

#define PREFIX "holdfast."
/* The group's bit: a daemon without Holdfast refuses it, if told to refuse what it does not know.
 */
#define STATS_HOLDFAST (1u << 31)

/* More than any daemon of ours gives. */
#define HISTORY_MAX_STEPS 1024
#define BITMAPS_MAX       1024

static void
step_clear(gpointer data)
{
    MigrationStep *step = data;

    g_free(step->state);
    g_free(step->reason);
}

static void
bitmap_clear(gpointer data)
{
    MigrationBitmap *bitmap = data;

    g_free(bitmap->kind);
    g_free(bitmap->disk);
    g_free(bitmap->name);
    g_free(bitmap->decision);
    g_free(bitmap->reason);
}

void
migration_free(Migration *migration)
{
    if (!migration)
        return;
    g_free(migration->domain);
    g_free(migration->id);
    g_free(migration->role);
    g_free(migration->state);
    g_free(migration->reason);
    g_free(migration->peer);
    g_free(migration->message);
    g_array_unref(migration->history);
    g_array_unref(migration->bitmaps);
    g_free(migration);
}

static char *
get_text(virDomainStatsRecordPtr record, const char *name)
{
    const char *text = NULL;

    virTypedParamsGetString(record->params, record->nparams, name, &text);
    return g_strdup(text ? text : "");
}

static guint64
get_ms(virDomainStatsRecordPtr record, const char *name)
{
    unsigned long long ms = 0;

    virTypedParamsGetULLong(record->params, record->nparams, name, &ms);
    return ms;
}

static guint
get_count(virDomainStatsRecordPtr record, const char *name)
{
    unsigned int count = 0;

    virTypedParamsGetUInt(record->params, record->nparams, name, &count);
    return count;
}

static gboolean
get_flag(virDomainStatsRecordPtr record, const char *name)
{
    int flag = 0;

    virTypedParamsGetBoolean(record->params, record->nparams, name, &flag);
    return flag != 0;
}

static void
read_history(virDomainStatsRecordPtr record, GArray *history)
{
    guint count = MIN(get_count(record, PREFIX "history.count"), HISTORY_MAX_STEPS);

    for (guint i = 0; i < count; i++) {
        g_autofree char *state = g_strdup_printf(PREFIX "history.%u.state", i);
        g_autofree char *reason = g_strdup_printf(PREFIX "history.%u.reason", i);
        g_autofree char *at = g_strdup_printf(PREFIX "history.%u.at-ms", i);
        MigrationStep step = {
            .state = get_text(record, state),
            .reason = get_text(record, reason),
            .at_ms = get_ms(record, at),
        };

        g_array_append_val(history, step);
    }
}

static char *
get_bitmap_text(virDomainStatsRecordPtr record, guint i, const char *what)
{
    g_autofree char *name = g_strdup_printf(PREFIX "bitmaps.%u.%s", i, what);

    return get_text(record, name);
}

static void
read_bitmaps(virDomainStatsRecordPtr record, GArray *bitmaps)
{
    guint count = MIN(get_count(record, PREFIX "bitmaps.count"), BITMAPS_MAX);

    for (guint i = 0; i < count; i++) {
        g_autofree char *at = g_strdup_printf(PREFIX "bitmaps.%u.at-ms", i);
        MigrationBitmap bitmap = {
            .kind = get_bitmap_text(record, i, "kind"),
            .disk = get_bitmap_text(record, i, "disk"),
            .name = get_bitmap_text(record, i, "name"),
            .decision = get_bitmap_text(record, i, "decision"),
            .reason = get_bitmap_text(record, i, "reason"),
            .at_ms = get_ms(record, at),
        };

        g_array_append_val(bitmaps, bitmap);
    }
}

/* NULL: the domain has had no migration there. */
static Migration *
migration_read(virDomainStatsRecordPtr record)
{
    g_autoptr(Migration) migration = g_new0(Migration, 1);

    migration->history = g_array_new(FALSE, FALSE, sizeof(MigrationStep));
    g_array_set_clear_func(migration->history, step_clear);
    migration->bitmaps = g_array_new(FALSE, FALSE, sizeof(MigrationBitmap));
    g_array_set_clear_func(migration->bitmaps, bitmap_clear);
    migration->domain = g_strdup(virDomainGetName(record->dom));
    virDomainGetUUIDString(record->dom, migration->uuid);
    migration->id = get_text(record, PREFIX "id");
    migration->role = get_text(record, PREFIX "role");
    migration->state = get_text(record, PREFIX "state");
    migration->reason = get_text(record, PREFIX "reason");
    migration->peer = get_text(record, PREFIX "peer");
    migration->message = get_text(record, PREFIX "message");
    migration->now_ms = get_ms(record, PREFIX "now-ms");
    migration->started_at_ms = get_ms(record, PREFIX "started-at-ms");
    migration->paused_at_ms = get_ms(record, PREFIX "paused-at-ms");
    migration->paused_ms = get_ms(record, PREFIX "paused-ms");
    migration->last_outage_ms = get_ms(record, PREFIX "last-outage-ms");
    migration->next_attempt_at_ms = get_ms(record, PREFIX "next-attempt-at-ms");
    migration->pauses = get_count(record, PREFIX "pauses");
    migration->recoveries = get_count(record, PREFIX "recoveries");
    migration->attempts = get_count(record, PREFIX "attempts");
    migration->recovers_itself = get_flag(record, PREFIX "recovers-itself");
    read_history(record, migration->history);
    read_bitmaps(record, migration->bitmaps);
    virResetLastError();
    return *migration->state ? g_steal_pointer(&migration) : NULL;
}

static void
report_failure(virConnectPtr conn)
{
    virErrorPtr error = virGetLastError();
    int code = error ? error->code : VIR_ERR_INTERNAL_ERROR;
    g_autofree char *message = g_strdup(virGetLastErrorMessage());
    g_autofree char *uri = NULL;

    if (code == VIR_ERR_ARGUMENT_UNSUPPORTED || code == VIR_ERR_NO_SUPPORT) {
        uri = virConnectGetURI(conn);
        command_report(_("the libvirt daemon at '%1$s' runs without Holdfast and knows nothing of "
                         "how a migration goes; install Holdfast there and restart the daemon"),
                       uri ? uri : "");
    }
    command_report("%s", message);
}

gboolean
migration_fetch(virDomainPtr domain, Migration **migration)
{
    virDomainPtr domains[] = {domain, NULL};
    virDomainStatsRecordPtr *records = NULL;
    int n = virDomainListGetStats(domains, STATS_HOLDFAST, &records,
                                  VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS);

    if (n < 0) {
        report_failure(virDomainGetConnect(domain));
        return FALSE;
    }
    *migration = n > 0 ? migration_read(records[0]) : NULL;
    virDomainStatsRecordListFree(records);
    return TRUE;
}

GPtrArray *
migration_fetch_all(virConnectPtr conn)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)migration_free);
    virDomainStatsRecordPtr *records = NULL;
    int n = virConnectGetAllDomainStats(conn, STATS_HOLDFAST, &records,
                                        VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS);

    if (n < 0) {
        report_failure(conn);
        return NULL;
    }
    for (int i = 0; i < n; i++) {
        Migration *migration = migration_read(records[i]);

        if (migration)
            g_ptr_array_add(all, migration);
    }
    virDomainStatsRecordListFree(records);
    return g_steal_pointer(&all);
}

static gboolean
is_id(virDomainPtr domain, const char *which)
{
    guint64 id;

    return g_ascii_string_to_unsigned(which, 10, 0, G_MAXINT, &id, NULL) &&
           virDomainGetID(domain) == id;
}

static gboolean
is_uuid(virDomainPtr domain, const char *which)
{
    char uuid[VIR_UUID_STRING_BUFLEN];

    return virDomainGetUUIDString(domain, uuid) == 0 && g_ascii_strcasecmp(uuid, which) == 0;
}

static gboolean
is_name(virDomainPtr domain, const char *which)
{
    return g_strcmp0(virDomainGetName(domain), which) == 0;
}

/* The latest come first. */
virDomainPtr
migration_find_domain(virConnectPtr conn, const char *which)
{
    gboolean (*const ways[])(virDomainPtr domain, const char *which) = {is_id, is_uuid, is_name};
    virDomainStatsRecordPtr *records = NULL;
    virDomainPtr found = NULL;
    int n = virConnectGetAllDomainStats(conn, STATS_HOLDFAST, &records,
                                        VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS);

    for (guint way = 0; way < G_N_ELEMENTS(ways) && !found; way++) {
        for (int i = 0; i < n && !found; i++) {
            if (virTypedParamsGet(records[i]->params, records[i]->nparams, PREFIX "state") &&
                ways[way](records[i]->dom, which) && virDomainRef(records[i]->dom) == 0)
                found = records[i]->dom;
        }
    }
    if (records)
        virDomainStatsRecordListFree(records);
    virResetLastError();
    return found;
}

void
migration_fetch_progress(virConnectPtr conn, Migration *migration)
{
    g_autoptr(virDomain) domain = NULL;
    virTypedParameterPtr params = NULL;
    unsigned long long total = 0;
    unsigned long long remaining = 0;
    int n_params = 0;
    int type;

    if (!migration_is_source(migration) || migration_is_over(migration))
        return;
    domain = virDomainLookupByUUIDString(conn, migration->uuid);
    if (domain && virDomainGetJobStats(domain, &type, &params, &n_params, 0) == 0 &&
        virTypedParamsGetULLong(params, n_params, VIR_DOMAIN_JOB_DATA_TOTAL, &total) == 1 &&
        virTypedParamsGetULLong(params, n_params, VIR_DOMAIN_JOB_DATA_REMAINING, &remaining) == 1) {
        migration->total_bytes = total;
        migration->remaining_bytes = MIN(remaining, total);
    }
    virTypedParamsFree(params, n_params);
    virResetLastError();
}

gboolean
migration_has_completed(const Migration *migration)
{
    return g_str_equal(migration->state, "completed");
}

gboolean
migration_is_over(const Migration *migration)
{
    return migration_has_completed(migration) || g_str_equal(migration->state, "failed") ||
           g_str_equal(migration->state, "cancelled");
}

gboolean
migration_is_source(const Migration *migration)
{
    return g_str_equal(migration->role, "source");
}

gboolean
migration_is_before_postcopy(const Migration *migration)
{
    return g_str_equal(migration->state, "setup") ||
           g_str_equal(migration->state, "precopy-active") ||
           g_str_equal(migration->state, "switchover");
}
