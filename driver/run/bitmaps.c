/*
 * bitmaps.c: the dirty bitmaps of this host's guests, put right after migrations
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/bitmaps.h"

#include <stdlib.h>

#include "bitmap/handback.h"
#include "bitmap/repair.h"
#include "run/decided.h"
#include "run/guard.h"
#include "run/rebuild.h"
#include "run/stuck.h"
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

BitmapStorage
bitmaps_get_storage(const Migration *migration)
{
    unsigned int flags = migration ? migration_get_flags(migration) : 0;

    return flags & (VIR_MIGRATE_NON_SHARED_DISK | VIR_MIGRATE_NON_SHARED_INC)
               ? BITMAP_STORAGE_COPIED
               : BITMAP_STORAGE_SHARED;
}

/** A guest that has stayed. */
typedef struct {
    QmpJob *job;
    virDomainPtr dom;
    Migration *migration; /* the one that failed; NULL: not known */
} Stay;

static BitmapDecision
decide(const Stay *guest, const Bitmap *bitmap, const char **reason)
{
    BitmapCase facts = {
        .storage = bitmaps_get_storage(guest->migration),
        .on_stream = bitmap->on_stream,
        .phase = BITMAP_PHASE_PRECOPY,
        .image = bitmap->inconsistent ? BITMAP_IMAGE_IN_USE : BITMAP_IMAGE_CONSISTENT,
    };

    if (guest->migration && migration_has_given_up(guest->migration))
        facts.phase = BITMAP_PHASE_DEVICE;
    return bitmap_decide(&facts, reason);
}

static gboolean
repair_one(const Stay *guest, const Repair *repair)
{
    const Bitmap *bitmap = repair->bitmap;
    const char *reason;
    BitmapDecision decision = decide(guest, bitmap, &reason);

    if (repair->first != REPAIR_COPY)
        return run_steps(guest->job, guest->dom, repair);
    if (decision != BITMAP_REPAIR)
        return TRUE;
    if (!run_steps(guest->job, guest->dom, repair))
        return FALSE;
    decided_tell(guest->migration, guest->dom, bitmap->node, bitmap->name, decision, reason);
    return TRUE;
}

/* One that QEMU took up again with its image, or should not have. */
static gboolean
settle_one(const Stay *guest, const Bitmap *bitmap)
{
    g_autofree char *command = handback_remove_command(bitmap->node, bitmap->name);
    g_autoptr(GError) error = NULL;
    g_autofree char *reply = NULL;
    const char *reason;
    BitmapDecision decision = decide(guest, bitmap, &reason);

    if (decision == BITMAP_REPAIR)
        return TRUE;
    if (decision == BITMAP_DROP)
        reply = qmp_job_execute(guest->job, command, &error);
    if (error)
        g_warning("domain %s: cannot drop dirty bitmap %s on %s: %s; make a full backup",
                  virDomainGetName(guest->dom), bitmap->name, bitmap->node, error->message);
    else
        decided_tell(guest->migration, guest->dom, bitmap->node, bitmap->name, decision, reason);
    return !error;
}

/* --- those of a domain --- */

/** What there is to do. */
typedef struct {
    GPtrArray *view;
    GArray *repairs;
} Work;

static void
work_clear(Work *work)
{
    g_clear_pointer(&work->repairs, g_array_unref);
    g_clear_pointer(&work->view, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Work, work_clear)

static gboolean
settle_all(const Stay *guest, const GPtrArray *view)
{
    gboolean all = TRUE;

    for (guint i = 0; i < view->len; i++) {
        const Bitmap *bitmap = view->pdata[i];

        if (bitmap->active && bitmap->persistent && !bitmap_is_ours(bitmap))
            all &= settle_one(guest, bitmap);
    }
    return all;
}

static void
do_all(const Stay *guest, const Work *work)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *reply = NULL;
    gboolean given_up = guest->migration && migration_has_given_up(guest->migration);
    gboolean all = !given_up || settle_all(guest, work->view);

    for (guint i = 0; i < work->repairs->len; i++)
        all &= repair_one(guest, &g_array_index(work->repairs, Repair, i));
    guard_remove(guest->job, guest->dom, work->view);
    /* What failed is tried again when the daemon is restarted. */
    if (all)
        reply = qmp_job_execute(guest->job, repair_end_command(), &error);
    if (error)
        g_message("domain %s: its dirty bitmaps will be repaired once more: %s",
                  virDomainGetName(guest->dom), error->message);
    if (reply && given_up)
        migration_hand_back(guest->migration);
}

/* Whether a migration from here has ended before the guest left; *@again when it is about to. */
static gboolean
has_failed(const Stay *guest, gboolean *again, GError **error)
{
    Stuck stuck = guest->migration ? stuck_get(guest->migration) : STUCK_NOT;
    g_autofree char *reply = NULL, *status = NULL;

    /* There it says `device` or `cancelling` as long as it lives. */
    if (stuck != STUCK_NOT)
        return stuck == STUCK_RUNS;
    reply = qmp_job_execute(guest->job, "{\"execute\":\"query-migrate\"}", error);
    status = reply ? qmp_reply_string(reply, "status") : NULL;
    *again = g_strcmp0(status, "cancelling") == 0;
    return g_strcmp0(status, "cancelled") == 0 || g_strcmp0(status, "failed") == 0;
}

/* Whether there is anything to do; FALSE also with *@again, or with @error set. */
static gboolean
look(const Stay *guest, Work *work, gboolean *again, GError **error)
{
    g_autofree char *parameters = NULL, *nodes = NULL;

    parameters = qmp_job_execute(guest->job, VIEW_QUERY_PARAMETERS, error);
    if (!parameters ||
        (!view_has_mapping(parameters) &&
         !(guest->migration &&
           (migration_has_given_up(guest->migration) || migration_is_guarded(guest->migration)))) ||
        !has_failed(guest, again, error))
        return FALSE;
    nodes = qmp_job_execute(guest->job, VIEW_QUERY_NODES, error);
    work->view = nodes ? view_parse(nodes, parameters, error) : NULL;
    if (!work->view)
        return FALSE;
    work->repairs = repair_plan(work->view);
    /* Until QEMU has cleaned up after a migration that failed (migration_cleanup(),
     * migration/migration.c, QEMU 10.0). */
    *again = repair_is_busy(work->repairs);
    return !*again;
}

Migration *
bitmaps_find_migration(virDomainPtr dom)
{
    unsigned char uuid[VIR_UUID_BUFLEN] = {0};
    g_autoptr(Migration) migration = virDomainGetUUID(dom, uuid) == 0 ? migration_find(uuid) : NULL;

    return migration && migration_get_role(migration) == ROLE_SOURCE ? g_steal_pointer(&migration)
                                                                     : NULL;
}

/* TRUE when there is no point in trying again. */
static gboolean
try_repair(Migration *unused, gpointer opaque)
{
    virDomainPtr dom = opaque;
    g_autoptr(GError) error = NULL;
    g_autoptr(QmpJob) job = qmp_job_begin(dom, &error);
    g_autoptr(Migration) migration = bitmaps_find_migration(dom);
    Stay guest = {.job = job, .dom = dom, .migration = migration};
    g_auto(Work) work = {0};
    gboolean again = FALSE;

    if (job && look(&guest, &work, &again, &error))
        do_all(&guest, &work);
    /* With QEMU its bitmaps are gone. */
    if (error && !qmp_error_is_gone(error))
        g_warning("domain %s: cannot see whether its dirty bitmaps need repair: %s",
                  virDomainGetName(dom), error->message);
    return !again;
}

void
bitmaps_repair(virDomainPtr dom)
{
    virErrorPtr saved = stock_error_save();

    if (!migration_poll(NULL, try_repair, dom))
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
            guard_clean(domains[i]);
        }
        virDomainFree(domains[i]);
    }
    free(domains);
    virResetLastError();
}
