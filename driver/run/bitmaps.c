/*
 * bitmaps.c: the dirty bitmaps of this host's guests, put right after migrations
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/bitmaps.h"

#include <stdlib.h>

#include "bitmap/decision.h"
#include "bitmap/repair.h"
#include "run/decided.h"
#include "run/migration.h"
#include "run/rebuild.h"
#include "stock/domain.h"
#include "stock/error.h"
#include "stock/qmp.h"

/* --- one bitmap --- */

static gboolean
tell(QmpJob *job, const Bitmap *bitmap, RepairStep step, GError **error)
{
    g_autofree char *command = repair_command(bitmap, step);
    g_autofree char *reply = qmp_job_execute(job, command, error);

    return reply != NULL;
}

/* A copy that nobody needs any more is no more than memory and a name. */
static void
clean(QmpJob *job, virDomainPtr dom, const Bitmap *bitmap)
{
    g_autoptr(GError) error = NULL;

    if (!tell(job, bitmap, REPAIR_CLEAN, &error))
        g_message("domain %s: a copy of dirty bitmap %s on %s stays: %s", virDomainGetName(dom),
                  bitmap->name, bitmap->node, error->message);
}

/* The steps from @first on; FALSE when one has failed. */
static gboolean
run_steps(QmpJob *job, virDomainPtr dom, const Repair *repair)
{
    const Bitmap *bitmap = repair->bitmap;
    g_autoptr(GError) error = NULL;
    RepairStep step = repair->first;

    while (step < REPAIR_CLEAN && tell(job, bitmap, step, &error))
        step++;
    if (step > REPAIR_COPY)
        clean(job, dom, bitmap);
    if (!error)
        return TRUE;
    if (step == REPAIR_RENEW)
        g_warning("domain %s: dirty bitmap %s on %s is lost: %s; the next backup must be a full "
                  "one",
                  virDomainGetName(dom), bitmap->name, bitmap->node, error->message);
    else
        g_warning("domain %s: cannot repair dirty bitmap %s on %s: %s; it serves until the guest "
                  "is shut down, and the next backup then must be a full one",
                  virDomainGetName(dom), bitmap->name, bitmap->node, error->message);
    return FALSE;
}

static gboolean
repair_one(QmpJob *job, virDomainPtr dom, Migration *migration, const Repair *repair)
{
    /* A source that had come as far as `device` has it in order since QEMU took the image up again;
     * nothing is changed by this there. */
    BitmapCase facts = {
        .storage = BITMAP_STORAGE_COPIED, /* or libvirt would not have sent it */
        .on_stream = TRUE,
        .phase = BITMAP_PHASE_PRECOPY,
    };
    const char *reason;
    BitmapDecision decision = bitmap_decide(&facts, &reason);

    if (repair->first != REPAIR_COPY)
        return run_steps(job, dom, repair);
    if (decision != BITMAP_REPAIR || !run_steps(job, dom, repair))
        return FALSE;
    decided_tell(migration, dom, repair->bitmap->node, repair->bitmap->name, decision, reason);
    return TRUE;
}

/* --- those of a domain --- */

static void
repair_all(QmpJob *job, virDomainPtr dom, Migration *migration, const GArray *plan)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *reply = NULL;
    gboolean all = TRUE;

    for (guint i = 0; i < plan->len; i++)
        all &= repair_one(job, dom, migration, &g_array_index(plan, Repair, i));
    /* What failed is tried again when the daemon is restarted. */
    if (all)
        reply = qmp_job_execute(job, repair_end_command(), &error);
    if (error)
        g_message("domain %s: its dirty bitmaps will be repaired once more: %s",
                  virDomainGetName(dom), error->message);
}

/* Whether a migration from here has ended before the guest left; *@again when it is about to. */
static gboolean
has_failed(QmpJob *job, gboolean *again, GError **error)
{
    g_autofree char *reply = qmp_job_execute(job, "{\"execute\":\"query-migrate\"}", error);
    g_autofree char *status = reply ? qmp_reply_string(reply, "status") : NULL;

    *again = g_strcmp0(status, "cancelling") == 0;
    return g_strcmp0(status, "cancelled") == 0 || g_strcmp0(status, "failed") == 0;
}

/* What there is to do; NULL for nothing, or with *@again, or with @error set. */
static GArray *
look(QmpJob *job, gboolean *again, GError **error)
{
    g_autofree char *parameters = NULL, *nodes = NULL;
    g_autoptr(GPtrArray) view = NULL;
    g_autoptr(GArray) plan = NULL;

    parameters = qmp_job_execute(job, VIEW_QUERY_PARAMETERS, error);
    if (!parameters || !view_has_mapping(parameters) || !has_failed(job, again, error))
        return NULL;
    nodes = qmp_job_execute(job, VIEW_QUERY_NODES, error);
    view = nodes ? view_parse(nodes, parameters, error) : NULL;
    if (!view)
        return NULL;
    plan = repair_plan(view);
    /* Until QEMU has cleaned up after a migration that failed (migration_cleanup(),
     * migration/migration.c, QEMU 10.0). */
    *again = repair_is_busy(plan);
    return *again ? NULL : g_steal_pointer(&plan);
}

/* TRUE when there is no point in trying again. */
static gboolean
try_repair(Migration *migration, gpointer opaque)
{
    virDomainPtr dom = opaque;
    g_autoptr(GError) error = NULL;
    g_autoptr(QmpJob) job = qmp_job_begin(dom, &error);
    g_autoptr(GArray) plan = NULL;
    gboolean again = FALSE;

    if (job)
        plan = look(job, &again, &error);
    if (plan)
        repair_all(job, dom, migration, plan);
    /* With QEMU its bitmaps are gone. */
    if (error && !g_error_matches(error, QMP_ERROR, QMP_ERROR_GONE) &&
        !g_error_matches(error, QMP_ERROR, QMP_ERROR_INACTIVE))
        g_warning("domain %s: cannot see whether its dirty bitmaps need repair: %s",
                  virDomainGetName(dom), error->message);
    return !again;
}

void
bitmaps_repair(virDomainPtr dom)
{
    virErrorPtr saved = stock_error_save();
    unsigned char uuid[VIR_UUID_BUFLEN] = {0};
    g_autoptr(Migration) migration = virDomainGetUUID(dom, uuid) == 0 ? migration_find(uuid) : NULL;

    if (!migration_poll(migration, try_repair, dom))
        g_warning("domain %s: QEMU has not let go of its dirty bitmaps: they are repaired when the "
                  "daemon is restarted",
                  virDomainGetName(dom));
    stock_error_restore(saved);
}

/* A destination in postcopy may answer nobody, and neither host's bitmaps are to be touched. */
static gboolean
may_ask(virDomainPtr dom)
{
    StockJob job = {0};
    int state, reason;

    if (!stock_domain_job(dom, &job) || job.async != STOCK_ASYNC_NONE ||
        virDomainGetState(dom, &state, &reason, 0) < 0)
        return FALSE;
    if (state == VIR_DOMAIN_RUNNING)
        return reason != VIR_DOMAIN_RUNNING_POSTCOPY &&
               reason != VIR_DOMAIN_RUNNING_POSTCOPY_FAILED;
    return state == VIR_DOMAIN_PAUSED && reason != VIR_DOMAIN_PAUSED_POSTCOPY &&
           reason != VIR_DOMAIN_PAUSED_POSTCOPY_FAILED;
}

void
bitmaps_repair_all(virConnectPtr connection)
{
    virDomainPtr *domains = NULL;
    int n = virConnectListAllDomains(connection, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);

    for (int i = 0; i < n; i++) {
        if (may_ask(domains[i])) {
            bitmaps_repair(domains[i]);
            rebuild_take_up(domains[i]);
        }
        virDomainFree(domains[i]);
    }
    free(domains);
    virResetLastError();
}
