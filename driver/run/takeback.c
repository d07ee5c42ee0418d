/*
 * takeback.c: a guest that has never run on its destination goes on at the source, from postcopy
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/takeback.h"

#include <string.h>

#include <glib/gi18n-lib.h>

#include "run/bitmaps.h"
#include "run/host.h"
#include "run/listeners.h"
#include "run/migration-priv.h"
#include "run/outcome.h"
#include "run/standin.h"
#include "stock/domain.h"
#include "stock/error.h"
#include "stock/hooks.h"
#include "stock/json.h"
#include "stock/qmp.h"
#include "stock/symbols.h"
#include "stock/table.h"

/* QEMU's part takes some five milliseconds, and on a host under load some more. */
#define SERVE_USEC (5 * G_USEC_PER_SEC)
/* The file of a destination that has just ended may still be locked, on a network. */
#define AGAIN_MS     250
#define ATTEMPTS_MAX 20

#define STATUS "{\"execute\":\"query-migrate\"}"
#define BLOCKS                                                                                     \
    "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"info ramblock\"}}"
#define SET_IMAGES(active)                                                                         \
    "{\"execute\":\"blockdev-set-active\",\"arguments\":{\"active\":" active "}}"
/* To ourselves, over no network, and at once. libvirt restores them when it ends its job. */
#define SET_PARAMETERS                                                                             \
    "{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"tls-creds\":\"\","                   \
    "\"max-postcopy-bandwidth\":0}}"

/* --- QEMU --- */

static gboolean
say(virDomainPtr dom, const char *command, GError **error)
{
    g_autofree char *reply = qmp_execute(dom, command, error);

    return reply != NULL;
}

/* How QEMU's migration stands. NULL with @error set. */
static char *
fetch_status(virDomainPtr dom, GError **error)
{
    g_autofree char *reply = qmp_execute(dom, STATUS, error);
    char *status = reply ? qmp_reply_string(reply, "status") : NULL;

    if (reply && !status)
        g_set_error_literal(error, QMP_ERROR, QMP_ERROR_REPLY, _("QEMU knows of no migration"));
    return status;
}

static StandIn *
make_standin(virDomainPtr dom, GError **error)
{
    g_autofree char *migrate = qmp_execute(dom, STATUS, error);
    g_autofree char *blocks = migrate ? qmp_execute(dom, BLOCKS, error) : NULL;
    g_autoptr(Json) json = blocks ? json_parse(blocks) : NULL;
    const char *text = json ? symbols.virJSONValueObjectGetString(json, "return") : NULL;
    guint64 page_bytes = 0;

    if (!blocks)
        return NULL;
    qmp_reply_number(migrate, "ram", "page-size", &page_bytes);
    return standin_new(text ? text : "", page_bytes, error);
}

/* QEMU takes them up at its end as well, but would let the guest run without. What has failed half
 * way is undone: an image must not be in use below a guest that has it not. */
static gboolean
take_images(virDomainPtr dom, GError **error)
{
    if (say(dom, SET_IMAGES("true"), error))
        return TRUE;
    say(dom, SET_IMAGES("false"), NULL);
    return FALSE;
}

static gboolean
resume(virDomainPtr dom, const StandIn *standin, GError **error)
{
    g_autofree char *json =
        g_strdup_printf("{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"%s\",\"resume\":true}}",
                        standin_get_uri(standin));

    return say(dom, json, error);
}

/* Of a QEMU that is paused. */
static gboolean
end_paused(Migration *migration, virDomainPtr dom, GError **error)
{
    g_autoptr(StandIn) standin = make_standin(dom, error);
    g_autoptr(GError) failure = NULL;

    if (!standin || !take_images(dom, error) || !say(dom, SET_PARAMETERS, error) ||
        !resume(dom, standin, error))
        return FALSE;
    if (!standin_serve(standin, g_get_monotonic_time() + SERVE_USEC, &failure))
        g_message("migration %s: QEMU does not come to its end: %s", migration->id,
                  failure->message);
    return TRUE;
}

/* What is left to do before its end; FALSE when it has come to it. */
static gboolean
is_on(const char *status)
{
    return g_str_has_prefix(status, "postcopy-");
}

/* TRUE when there is no point in trying again; then @error is set, or QEMU's migration is over. */
static gboolean
try_end(Migration *migration, virDomainPtr dom, GError **error)
{
    g_autofree char *status = fetch_status(dom, error);

    if (!status)
        return qmp_error_is_gone(*error);
    if (g_str_equal(status, "postcopy-paused") && end_paused(migration, dom, error)) {
        g_free(status);
        status = fetch_status(dom, error);
    }
    if (status && g_str_equal(status, "failed"))
        return TRUE;
    if (!*error)
        g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND, _("QEMU's migration is %1$s"),
                    status ? status : "-");
    return !status || !is_on(status) || qmp_error_is_gone(*error);
}

static gboolean
sleep_cb(Migration *unused, gpointer until_us)
{
    return g_get_monotonic_time() >= *(gint64 *)until_us;
}

/* FALSE with @error set. */
static gboolean
end_qemu(Migration *migration, virDomainPtr dom, GError **error)
{
    for (guint i = 0; i < ATTEMPTS_MAX; i++) {
        gint64 until_us = g_get_monotonic_time() + AGAIN_MS * 1000;

        g_clear_error(error);
        if (try_end(migration, dom, error))
            return !*error;
        if (!migration_poll(migration, sleep_cb, &until_us))
            break;
    }
    return FALSE;
}

/* --- libvirt --- */

/* Perform may be at work still: it ends by itself, with the pause. */
static gboolean
is_left(Migration *unused, gpointer dom)
{
    StockJob job = {0};

    return !stock_domain_job(dom, &job) || !job.active || job.async != STOCK_ASYNC_OUT ||
           job.owner == 0;
}

/* The answer also comes behind QEMU's event that the guest runs, which libvirt has handled then. */
static gboolean
has_io_error(virDomainPtr dom)
{
    g_autofree char *reply = qmp_execute(dom, "{\"execute\":\"query-status\"}", NULL);
    g_autofree char *status = reply ? qmp_reply_string(reply, "status") : NULL;

    return g_strcmp0(status, "io-error") == 0;
}

static void
end_libvirt(Migration *migration, virDomainPtr dom)
{
    StockJob job = {0};

    if (!stock_domain_job(dom, &job) || job.async != STOCK_ASYNC_OUT)
        return;
    /* It takes back that postcopy has failed, and hears then what it has come to (as
     * qemuProcessHandleMigrationStatus(), src/qemu/qemu_process.c, 9.0.0 and 11.3.0, does by
     * itself in a recovery). */
    hooks_emit_migration_status(dom, "postcopy-recover", NULL);
    hooks_emit_migration_status(dom, "failed", NULL);
    stock_domain_leave_postcopy(dom, has_io_error(dom));
    if (TABLE_STOCK(domainMigrateConfirm3Params)(dom, NULL, 0, NULL, 0,
                                                 migration_get_flags(migration), 1) < 0)
        g_warning("migration %s of domain %s: libvirt's part of it does not end: %s", migration->id,
                  migration->name, virGetLastErrorMessage());
    virResetLastError();
}

/* --- all of it --- */

static gboolean
is_running(virDomainPtr dom)
{
    int state = VIR_DOMAIN_NOSTATE;

    return virDomainGetState(dom, &state, NULL, 0) == 0 && state == VIR_DOMAIN_RUNNING;
}

static gboolean
take_back(Migration *migration, virDomainPtr dom, GError **error)
{
    if (!migration_poll(migration, is_left, dom)) {
        g_set_error_literal(error, QMP_ERROR, QMP_ERROR_BUSY, _("libvirt is at it still"));
        return FALSE;
    }
    if (!end_qemu(migration, dom, error))
        return FALSE;
    /* Before anybody hears of it, and may make a backup. */
    bitmaps_repair(dom);
    end_libvirt(migration, dom);
    g_warning("migration %s: domain %s has not run on the destination, and %s", migration->id,
              migration->name, is_running(dom) ? "goes on here" : "is here, stopped");
    return TRUE;
}

static void
end(Migration *migration, Takeback takeback)
{
    g_autoptr(Status) status = migration_get_status(migration);

    g_mutex_lock(&registry.lock);
    migration->takeback = takeback;
    g_cond_broadcast(&registry.changed);
    g_mutex_unlock(&registry.lock);
    if (takeback == TAKEBACK_DONE)
        migration_post(migration, EVENT_TAKEN_BACK, 0, NULL);
    else
        listeners_settle(status);
}

void
takeback_job(gpointer opaque, gpointer unused)
{
    g_autoptr(Migration) migration = opaque;
    virDomainPtr dom = outcome_find_own(migration);
    g_autoptr(GError) error = NULL;
    gboolean back = !dom || take_back(migration, dom, &error);

    if (dom)
        virDomainFree(dom);
    virResetLastError();
    /* The next daemon finds it in the journal. */
    if (!back && migration_is_released())
        return;
    if (!back && !qmp_error_is_gone(error))
        g_warning("migration %s: domain %s has not run on the destination, and cannot go on here: "
                  "%s; start it anew: virsh destroy, virsh start",
                  migration->id, migration->name, error->message);
    end(migration, back || qmp_error_is_gone(error) ? TAKEBACK_DONE : TAKEBACK_FAILED);
}

/* TAKEBACK_FAILED for one that is not taken back. */
static Takeback
get(Migration *migration)
{
    Takeback takeback;

    g_mutex_lock(&registry.lock);
    takeback = migration->taken_back ? migration->takeback : TAKEBACK_FAILED;
    g_mutex_unlock(&registry.lock);
    return takeback;
}

gboolean
takeback_is_under_way(Migration *migration)
{
    return get(migration) == TAKEBACK_UNDER_WAY;
}

static gboolean
is_over(Migration *migration, gpointer unused)
{
    return !takeback_is_under_way(migration);
}

gboolean
takeback_wait(Migration *migration)
{
    return migration_poll(migration, is_over, NULL) && get(migration) == TAKEBACK_DONE;
}

int
takeback_raise(Migration *migration, const char *why)
{
    g_autofree char *met = g_strdup(why ? why : "-"); /* it may be the error that is replaced */

    stock_error_raise(VIR_ERR_OPERATION_FAILED,
                      _("domain '%1$s' has not been migrated, and goes on here: %2$s"),
                      migration_get_name(migration), met);
    return -1;
}
