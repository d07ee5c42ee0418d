/*
 * rebuild.c: the destination makes those dirty bitmaps anew that a pause has cut off on their way
 *
 * How it works: QEMU itself tells what there is to do, so that it may be asked again by whoever
 * comes later, also after a restart: its mapping names the bitmaps that were to come, those that
 * are not there are missing, and the mapping is emptied when all has been decided. One thread at a
 * time is at work on a domain.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/rebuild.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "bitmap/decision.h"
#include "bitmap/rebuild.h"
#include "bitmap/repair.h"
#include "run/decided.h"
#include "run/host.h"
#include "run/outcome.h"
#include "run/scratch.h"
#include "stock/error.h"
#include "util/uuid.h"

/* A source sends as soon as libvirt lets it, and tries for a minute; its client may dawdle between
 * the two calls, or the daemon there may be restarted meanwhile. Until then a backup is refused. */
#define GIVE_UP_MS (3 * 60 * 1000)
/* Marking takes a second for a hundred thousand extents. */
#define MARK_DEADLINE_US (5 * 60 * G_USEC_PER_SEC)

/* --- one at a time --- */

static struct {
    GMutex lock;
    GSList *at_work; /* of UUIDs, borrowed of who is */
} claims;

static gboolean
try_claim(Migration *unused, gpointer uuid)
{
    gboolean taken = FALSE;

    g_mutex_lock(&claims.lock);
    for (const GSList *each = claims.at_work; each; each = each->next)
        taken |= memcmp(each->data, uuid, UUID_BYTES) == 0;
    if (!taken)
        claims.at_work = g_slist_prepend(claims.at_work, uuid);
    g_mutex_unlock(&claims.lock);
    return !taken;
}

static void
release(gpointer uuid)
{
    g_mutex_lock(&claims.lock);
    claims.at_work = g_slist_remove(claims.at_work, uuid);
    g_mutex_unlock(&claims.lock);
}

/* --- what there is --- */

typedef struct {
    GPtrArray *mapping;
    GPtrArray *view;
    GPtrArray *nodes;
} Sight;

static void
sight_clear(Sight *sight)
{
    g_clear_pointer(&sight->mapping, g_ptr_array_unref);
    g_clear_pointer(&sight->view, g_ptr_array_unref);
    g_clear_pointer(&sight->nodes, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Sight, sight_clear)

static gboolean
look(QmpJob *job, Sight *sight, GError **error)
{
    g_autofree char *parameters = qmp_job_execute(job, VIEW_QUERY_PARAMETERS, error);
    g_autofree char *nodes = parameters ? qmp_job_execute(job, VIEW_QUERY_NODES, error) : NULL;

    if (!nodes)
        return FALSE;
    sight->mapping = view_parse_mapping(parameters);
    sight->view = view_parse(nodes, parameters, error);
    sight->nodes = sight->view ? view_parse_nodes(nodes, error) : NULL;
    return sight->nodes != NULL;
}

static guint
count_missing(const Sight *sight)
{
    guint missing = 0;

    for (guint i = 0; i < sight->mapping->len; i++)
        missing += !rebuild_has_arrived(sight->mapping->pdata[i], sight->view);
    return missing;
}

/* --- before it runs --- */

static gboolean
runs_already(QmpJob *job)
{
    g_autofree char *reply = qmp_job_execute(job, "{\"execute\":\"query-status\"}", NULL);
    g_autofree char *status = reply ? qmp_reply_string(reply, "status") : NULL;

    return !status || g_str_equal(status, "running");
}

static void
track_all(QmpJob *job, virDomainPtr dom, const GArray *plan)
{
    for (guint i = 0; i < plan->len; i++) {
        const Tracker *tracker = &g_array_index(plan, Tracker, i);
        g_autofree char *command = rebuild_tracker_command(tracker);
        g_autoptr(GError) error = NULL;

        if (!scratch_tell(job, command, &error))
            g_warning("domain %s: what is written to %s cannot be recorded: %s; after a pause its "
                      "dirty bitmaps are dropped",
                      virDomainGetName(dom), tracker->node, error->message);
    }
}

void
rebuild_track(Migration *migration, virDomainPtr dom)
{
    unsigned int flags = migration_get_flags(migration);
    virErrorPtr saved;
    g_autoptr(GError) error = NULL;
    g_autoptr(QmpJob) job = NULL;
    g_auto(Sight) sight = {0};
    g_autoptr(GArray) plan = NULL;

    if (!(flags & VIR_MIGRATE_POSTCOPY) ||
        !(flags & (VIR_MIGRATE_NON_SHARED_DISK | VIR_MIGRATE_NON_SHARED_INC)))
        return;
    saved = stock_error_save();
    job = qmp_job_begin(dom, &error);
    if (job && look(job, &sight, &error) && !runs_already(job)) {
        plan = rebuild_plan_trackers(sight.mapping, sight.view);
        track_all(job, dom, plan);
    }
    if (error)
        g_warning("domain %s: what is written to its disks cannot be recorded: %s; after a pause "
                  "its dirty bitmaps are dropped",
                  virDomainGetName(dom), error->message);
    stock_error_restore(saved);
}

/* --- one bitmap that is missing, or not --- */

typedef struct {
    const MappedBitmap *mapped;
    const BitmapHalf *half; /* NULL: it is not known what the source had */
    BitmapDecision decision;
    const char *reason;
    GError *error; /* why it was not done */
} Gap;

static void
gap_clear(gpointer opaque)
{
    g_clear_error(&((Gap *)opaque)->error);
}

static const BitmapHalf *
find_half(const MappedBitmap *mapped, const Sight *sight, const GPtrArray *halves)
{
    const BitmapHalf *half = halves ? half_find(halves, mapped->node_alias, mapped->alias) : NULL;
    const BlockNode *node = view_find_node(sight->nodes, mapped->node);

    /* Of a disk that is longer here the rest is nothing but what was written here. */
    return half && node && half->size_bytes <= node->size_bytes ? half : NULL;
}

/* @halves: NULL: the source has not sent them */
static GArray *
decide_all(const Sight *sight, const GPtrArray *halves)
{
    GArray *gaps = g_array_new(FALSE, FALSE, sizeof(Gap));

    g_array_set_clear_func(gaps, gap_clear);
    for (guint i = 0; i < sight->mapping->len; i++) {
        const MappedBitmap *mapped = sight->mapping->pdata[i];
        gboolean arrived = rebuild_has_arrived(mapped, sight->view);
        Gap gap = {.mapped = mapped, .half = find_half(mapped, sight, halves)};
        BitmapCase facts = {
            .storage = BITMAP_STORAGE_COPIED, /* or libvirt would not have sent it */
            .on_stream = TRUE,
            .phase = arrived ? BITMAP_PHASE_ARRIVED : BITMAP_PHASE_RECOVERED,
            .halves =
                gap.half && (rebuild_is_tracked(mapped->node, sight->view) || !gap.half->recording),
        };

        gap.decision = bitmap_decide(&facts, &gap.reason);
        g_array_append_val(gaps, gap);
    }
    return gaps;
}

static void
tell_all(Migration *migration, virDomainPtr dom, const GArray *gaps)
{
    for (guint i = 0; i < gaps->len; i++) {
        const Gap *gap = &g_array_index(gaps, Gap, i);
        g_autofree char *why =
            gap->error ? g_strdup_printf(_("it could not be rebuilt: %1$s"), gap->error->message)
                       : NULL;

        decided_tell(migration, dom, gap->mapped->node, gap->mapped->name,
                     why ? BITMAP_DROP : gap->decision, why ? why : gap->reason);
    }
}

/* No record stays, and QEMU forgets that anything was to come. */
static void
end_all(QmpJob *job, virDomainPtr dom, const Sight *sight)
{
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < sight->view->len; i++) {
        const Bitmap *bitmap = sight->view->pdata[i];
        g_autofree char *command =
            rebuild_is_tracker(bitmap) ? rebuild_remove_command(bitmap->node) : NULL;

        if (command && !error)
            scratch_tell(job, command, &error);
    }
    if (!error)
        scratch_tell(job, repair_end_command(), &error);
    if (error)
        g_message("domain %s: the record of what was written stays in its QEMU: %s",
                  virDomainGetName(dom), error->message);
}

/* --- the source does not come --- */

static virDomainPtr
find_domain(const unsigned char *uuid)
{
    virConnectPtr connection = host_connect();
    virDomainPtr dom = connection ? virDomainLookupByUUID(connection, uuid) : NULL;

    if (connection)
        virConnectClose(connection);
    return dom;
}

static void
give_up(const unsigned char *uuid, virDomainPtr dom)
{
    g_autoptr(Migration) migration = migration_find(uuid);
    g_autoptr(QmpJob) job = qmp_job_begin(dom, NULL);
    g_autoptr(GArray) gaps = NULL;
    g_auto(Sight) sight = {0};

    if (!job || !look(job, &sight, NULL) || count_missing(&sight) == 0)
        return;
    gaps = decide_all(&sight, NULL);
    scratch_clean(job, dom, sight.nodes);
    end_all(job, dom, &sight);
    tell_all(migration, dom, gaps);
}

static void
give_up_job(gpointer uuid, gpointer unused)
{
    virDomainPtr dom = find_domain(uuid);

    if (dom && migration_poll(NULL, try_claim, uuid)) {
        give_up(uuid, dom);
        release(uuid);
    }
    if (dom)
        virDomainFree(dom);
    virResetLastError();
    g_free(uuid);
}

/* --- it has arrived --- */

/* In a claim. @restarted: by a daemon before this one; then only what that has left is ours.
 * Without postcopy all have arrived, or it has failed; but of the next migration, which may have
 * none on its stream, they would be taken for sent. */
static void
settle(Migration *migration, virDomainPtr dom, const unsigned char *uuid, gboolean restarted)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(QmpJob) job = qmp_job_begin(dom, &error);
    g_auto(Sight) sight = {0};

    if (!job || !look(job, &sight, &error)) {
        g_message("domain %s: cannot see whether its dirty bitmaps have arrived: %s",
                  virDomainGetName(dom), error->message);
        return;
    }
    if (restarted)
        scratch_clean(job, dom, sight.nodes);
    if (sight.mapping->len == 0 || (restarted && !rebuild_has_trackers(sight.view)))
        return;
    if (migration && !(migration_get_flags(migration) & VIR_MIGRATE_POSTCOPY)) {
        end_all(job, dom, &sight);
        return;
    }
    if (count_missing(&sight) == 0) {
        g_autoptr(GArray) gaps = decide_all(&sight, NULL);

        end_all(job, dom, &sight);
        tell_all(migration, dom, gaps);
        return;
    }
    g_message("domain %s: a pause has cut %u dirty bitmaps off on their way; the source is waited "
              "for, to rebuild them",
              virDomainGetName(dom), count_missing(&sight));
    host_run_later(GIVE_UP_MS, give_up_job, g_memdup2(uuid, UUID_BYTES), g_free);
}

void
rebuild_settle_job(gpointer opaque, gpointer unused)
{
    g_autoptr(Migration) migration = opaque;
    guint8 uuid[UUID_BYTES];
    virDomainPtr dom;

    memcpy(uuid, migration_get_uuid(migration), UUID_BYTES);
    if (!(migration_get_flags(migration) &
          (VIR_MIGRATE_NON_SHARED_DISK | VIR_MIGRATE_NON_SHARED_INC)))
        return;
    dom = find_domain(uuid);
    if (dom && outcome_wait_job(dom) && migration_poll(NULL, try_claim, uuid)) {
        settle(migration, dom, uuid, FALSE);
        release(uuid);
    }
    if (dom)
        virDomainFree(dom);
    virResetLastError();
}

void
rebuild_take_up(virDomainPtr dom)
{
    virErrorPtr saved = stock_error_save();
    guint8 uuid[UUID_BYTES];
    g_autoptr(Migration) migration = NULL;

    if (virDomainGetUUID(dom, uuid) == 0 && migration_poll(NULL, try_claim, uuid)) {
        migration = migration_find(uuid);
        settle(migration, dom, uuid, TRUE);
        release(uuid);
    }
    stock_error_restore(saved);
}

/* --- the source has come --- */

static gboolean
prepare_one(QmpJob *job, guint number, const Gap *gap, const Sight *sight, GError **error)
{
    const BlockNode *disk = view_find_node(sight->nodes, gap->mapped->node);
    g_autofree char *node = rebuild_scratch_command(number, disk->size_bytes);
    g_autofree char *record = rebuild_record_command(number, gap->half);

    return scratch_tell(job, node, error) && scratch_tell(job, record, error);
}

static gboolean
is_to_be_made(const Gap *gap)
{
    return gap->decision == BITMAP_REBUILD && !gap->error;
}

/* Has QEMU export a scratch node for each. */
static void
prepare(QmpJob *job, virDomainPtr dom, GArray *gaps, const Sight *sight, char **socket)
{
    g_autoptr(GError) refused = NULL;

    scratch_clean(job, dom, sight->nodes);
    for (guint i = 0; i < gaps->len; i++) {
        Gap *gap = &g_array_index(gaps, Gap, i);

        if (is_to_be_made(gap))
            prepare_one(job, i, gap, sight, &gap->error);
    }
    scratch_listen(job, dom, socket, &refused);
    for (guint i = 0; i < gaps->len; i++) {
        Gap *gap = &g_array_index(gaps, Gap, i);
        g_autofree char *command = rebuild_export_command(i, TRUE);

        if (!is_to_be_made(gap))
            continue;
        if (refused)
            gap->error = g_error_copy(refused);
        else
            scratch_tell(job, command, &gap->error);
    }
}

static void
mark_all(GArray *gaps, const char *socket)
{
    gint64 deadline_us = g_get_monotonic_time() + MARK_DEADLINE_US;

    for (guint i = 0; i < gaps->len; i++) {
        Gap *gap = &g_array_index(gaps, Gap, i);
        g_auto(ScratchExport) export = {0};

        if (!is_to_be_made(gap))
            continue;
        scratch_export_init(&export, socket, i, deadline_us);
        nbdio_write_zeroes(&export.nbd, gap->half->extents, &gap->error);
    }
}

static void
make_all(QmpJob *job, GArray *gaps)
{
    for (guint i = 0; i < gaps->len; i++) {
        Gap *gap = &g_array_index(gaps, Gap, i);
        g_autofree char *command =
            is_to_be_made(gap) ? rebuild_make_command(i, gap->mapped, gap->half) : NULL;

        if (command)
            scratch_tell(job, command, &gap->error);
    }
}

/* QEMU may have been told something else between the two jobs; what is decided stays. */
static gboolean
finish(Migration *migration, virDomainPtr dom, GArray *gaps, GError **error)
{
    g_autoptr(QmpJob) job = qmp_job_begin(dom, error);
    g_auto(Sight) sight = {0};

    if (!job || !look(job, &sight, error))
        return FALSE;
    make_all(job, gaps);
    scratch_clean(job, dom, sight.nodes);
    end_all(job, dom, &sight);
    tell_all(migration, dom, gaps);
    return TRUE;
}

static gboolean
take(Migration *migration, virDomainPtr dom, const GPtrArray *halves, GError **error)
{
    g_autoptr(QmpJob) job = qmp_job_begin(dom, error);
    g_autoptr(GArray) gaps = NULL;
    g_auto(Sight) sight = {0};
    char *socket = NULL;
    gboolean done;

    if (!job || !look(job, &sight, error))
        return FALSE;
    if (sight.mapping->len == 0)
        return TRUE; /* it has come before */
    gaps = decide_all(&sight, halves);
    prepare(job, dom, gaps, &sight, &socket);
    g_clear_pointer(&job, qmp_job_end);
    if (socket)
        mark_all(gaps, socket);
    scratch_forget(socket);
    done = finish(migration, dom, gaps, error);
    return done;
}

static gboolean
set_busy_error(GError **error)
{
    g_set_error_literal(error, QMP_ERROR, QMP_ERROR_BUSY,
                        _("the migration has not ended on the destination"));
    return FALSE;
}

gboolean
rebuild_take(const unsigned char *uuid, GBytes *body, GBytes **reply, GError **error)
{
    virErrorPtr saved = stock_error_save();
    g_autoptr(GPtrArray) halves = half_decode(body, error);
    g_autoptr(Migration) migration = migration_find(uuid);
    virDomainPtr dom = halves ? find_domain(uuid) : NULL;
    gpointer claim = (gpointer)uuid;
    gboolean done = FALSE;

    if (halves && !dom) {
        g_set_error_literal(error, QMP_ERROR, QMP_ERROR_GONE,
                            _("the domain is not on the destination any more"));
    } else if (dom && (!outcome_wait_job(dom) || !migration_poll(NULL, try_claim, claim))) {
        set_busy_error(error);
    } else if (dom) {
        done = take(migration, dom, halves, error);
        release(claim);
    }
    if (dom)
        virDomainFree(dom);
    stock_error_restore(saved);
    return done;
}
