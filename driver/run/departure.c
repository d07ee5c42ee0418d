/*
 * departure.c: the dirty bitmaps that cannot travel with their guest, found before it leaves
 *
 * How it works. At Begin the source looks at its own bitmaps, for a policy that refuses. In Prepare
 * the destination, whose libvirt has opened the images by then, looks whether they have bitmaps of
 * the names that the source's libvirt offers, and says so in its cookie. At Perform, when it is
 * known what the destination takes and nothing has moved yet, the source decides about each.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/departure.h"

#include <glib/gi18n-lib.h>

#include "bitmap/handback.h"
#include "bitmap/obstacle.h"
#include "bitmap/view.h"
#include "run/decided.h"
#include "run/disks.h"
#include "run/outcome.h"
#include "run/params.h"
#include "stock/domain.h"
#include "stock/error.h"
#include "stock/qmp.h"

#define COPIES_STORAGE (VIR_MIGRATE_NON_SHARED_DISK | VIR_MIGRATE_NON_SHARED_INC)

/** A look at a host's bitmaps. */
typedef struct {
    GPtrArray *view;  /* of Bitmap */
    GPtrArray *disks; /* of Disk */
} Look;

static void
look_clear(Look *look)
{
    g_clear_pointer(&look->view, g_ptr_array_unref);
    g_clear_pointer(&look->disks, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Look, look_clear)

/* Without one nothing is known, and nothing is done. */
static gboolean
look_at(QmpJob *job, virDomainPtr dom, Look *look)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *nodes = qmp_job_execute(job, VIEW_QUERY_NODES, &error);

    look->view = nodes ? view_parse(nodes, "{\"return\":{}}", &error) : NULL;
    look->disks = look->view ? disks_read(virDomainGetName(dom)) : NULL;
    if (error)
        g_warning("domain %s: cannot see whether its dirty bitmaps can travel: %s",
                  virDomainGetName(dom), error->message);
    return look->disks != NULL;
}

/* NULL, too, where libvirt has a job of its own that it would not let a migration interrupt. */
static QmpJob *
begin_job(virDomainPtr dom)
{
    StockJob job = {0};

    if (!stock_domain_job(dom, &job) || !job.active || job.async == STOCK_ASYNC_OTHER)
        return NULL;
    return qmp_job_begin(dom, NULL);
}

/* The disk of which the bitmap's node is the image; bitmaps of the images below stay with them. */
static const Disk *
find_disk(const Look *look, const Bitmap *bitmap)
{
    const Disk *disk = disk_find_node(look->disks, bitmap->node);

    return disk && disk_has_on_top(disk, bitmap->node) ? disk : NULL;
}

/* --- the source --- */

/** What is known of where the bitmaps go. */
typedef struct {
    virTypedParameterPtr params;
    int nparams;
    unsigned int flags;
    const Cookie *answer; /* the destination's; NULL: it was not asked yet */
} Journey;

/* qemuMigrationAnyCopyDisk(), src/qemu/qemu_migration.c, 9.0.0 and 11.3.0. */
static gboolean
is_copied(const Journey *journey, const Disk *disk)
{
    gboolean any = FALSE;

    if (!(journey->flags & COPIES_STORAGE))
        return FALSE;
    for (int i = 0; i < journey->nparams; i++) {
        const virTypedParameter *param = &journey->params[i];

        if (!g_str_equal(param->field, VIR_MIGRATE_PARAM_MIGRATE_DISKS))
            continue;
        if (g_strcmp0(param->value.s, disk->target) == 0)
            return TRUE;
        any = TRUE;
    }
    return !any && !disk->shareable && !disk->read_only;
}

static Obstacle
find_obstacle(const Journey *journey, const Disk *disk, const Bitmap *bitmap)
{
    const Cookie *answer = journey->answer;
    const ObstacleFacts facts = {
        .copied = is_copied(journey, disk),
        .inconsistent = bitmap->inconsistent,
        .persistent = bitmap->persistent,
        .recording = bitmap->recording,
        .mapped = answer && cookie_has_bitmap(answer->bitmaps, disk->target, NULL),
        .accepted = !answer || cookie_has_bitmap(answer->bitmaps, disk->target, bitmap->name),
        .taken = answer && cookie_has_bitmap(answer->taken, disk->target, bitmap->name),
    };

    return obstacle_find(&facts);
}

static void
refuse(virDomainPtr dom, const Disk *disk, const Bitmap *bitmap, const char *reason)
{
    stock_error_raise(
        VIR_ERR_OPERATION_INVALID,
        _("dirty bitmap '%1$s' of disk %2$s of domain '%3$s' cannot travel: %4$s; delete its "
          "checkpoint or the bitmap, or have that done (virsh migrate-policy %3$s --on-departure "
          "drop), and make a full backup"),
        bitmap->name, disk->target, virDomainGetName(dom), reason);
}

gboolean
departure_begin(virDomainPtr dom,
                const Policy *policy,
                virTypedParameterPtr params,
                int nparams,
                unsigned int flags)
{
    const Journey journey = {.params = params, .nparams = nparams, .flags = flags};
    g_autoptr(QmpJob) job = NULL;
    g_auto(Look) look = {0};

    if (policy->bitmaps_on_departure != POLICY_ON_DEPARTURE_REFUSE || flags & VIR_MIGRATE_OFFLINE)
        return TRUE;
    job = begin_job(dom);
    if (!job || !look_at(job, dom, &look))
        return TRUE;
    for (guint i = 0; i < look.view->len; i++) {
        const Bitmap *bitmap = look.view->pdata[i];
        const Disk *disk = find_disk(&look, bitmap);
        Obstacle obstacle = disk ? find_obstacle(&journey, disk, bitmap) : OBSTACLE_NONE;
        const char *reason;

        if (obstacle_answer(obstacle, policy->bitmaps_on_departure, TRUE, &reason) ==
            OBSTACLE_REFUSE) {
            refuse(dom, disk, bitmap, reason);
            return FALSE;
        }
    }
    return TRUE;
}

/* FALSE when it stays, and is in the way. */
static gboolean
remove_bitmap(
    QmpJob *job, Migration *migration, virDomainPtr dom, const Bitmap *bitmap, const char *reason)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *command = handback_remove_command(bitmap->node, bitmap->name);
    g_autofree char *reply = qmp_job_execute(job, command, &error);

    if (reply)
        decided_tell(migration, dom, bitmap->node, bitmap->name, BITMAP_DROP, reason);
    else
        g_warning("domain %s: cannot drop dirty bitmap %s on %s: %s", virDomainGetName(dom),
                  bitmap->name, bitmap->node, error->message);
    return reply != NULL;
}

/* FALSE when the migration is not to begin for this one. */
static gboolean
settle(QmpJob *job, Migration *migration, virDomainPtr dom, Obstacle obstacle, const Bitmap *bitmap)
{
    PolicyOnDeparture policy = migration_get_policy(migration)->bitmaps_on_departure;
    const char *reason;
    ObstacleAnswer answer = obstacle_answer(obstacle, policy, TRUE, &reason);

    if (obstacle == OBSTACLE_NONE)
        return TRUE;
    if (answer == OBSTACLE_REMOVE && remove_bitmap(job, migration, dom, bitmap, reason))
        return TRUE;
    /* One that cannot be removed is in the way as it was. */
    if (answer == OBSTACLE_REMOVE)
        answer = obstacle_answer(obstacle, POLICY_ON_DEPARTURE_PROCEED, TRUE, &reason);
    decided_tell(migration, dom, bitmap->node, bitmap->name,
                 answer == OBSTACLE_REFUSE ? BITMAP_REFUSE : BITMAP_LEAVE, reason);
    return answer != OBSTACLE_REFUSE;
}

/* Everything is told, and nothing removed of a migration that is refused. */
static gboolean
settle_all(QmpJob *job, Migration *migration, virDomainPtr dom, const Journey *journey)
{
    PolicyOnDeparture policy = migration_get_policy(migration)->bitmaps_on_departure;
    g_auto(Look) look = {0};
    gboolean ok = TRUE;

    if (!look_at(job, dom, &look))
        return TRUE;
    for (int pass = 0; pass < 2 && ok; pass++) {
        for (guint i = 0; i < look.view->len; i++) {
            const Bitmap *bitmap = look.view->pdata[i];
            const Disk *disk = find_disk(&look, bitmap);
            Obstacle obstacle = disk ? find_obstacle(journey, disk, bitmap) : OBSTACLE_NONE;
            const char *reason;
            gboolean refused = obstacle_answer(obstacle, policy, TRUE, &reason) == OBSTACLE_REFUSE;

            if ((pass == 0) != refused || settle(job, migration, dom, obstacle, bitmap))
                continue;
            if (ok)
                refuse(dom, disk, bitmap, reason);
            ok = FALSE;
        }
    }
    return ok;
}

gboolean
departure_perform(Migration *migration,
                  virDomainPtr dom,
                  virTypedParameterPtr params,
                  int nparams,
                  const char *cookie,
                  int cookielen,
                  unsigned int flags)
{
    g_auto(Cookie) answer = {0};
    const Journey journey = {params, nparams, flags, &answer};
    g_autoptr(QmpJob) job = begin_job(dom);
    virErrorPtr saved;
    gboolean ok;

    if (!job)
        return TRUE;
    /* What our own element says may not hold; what libvirt says is read all the same. */
    cookie_read(cookie, cookielen, &answer, NULL);
    ok = settle_all(job, migration, dom, &journey);
    g_clear_pointer(&job, qmp_job_end);
    if (!ok) {
        saved = stock_error_save();
        outcome_end_job(migration, dom, flags);
        stock_error_restore(saved);
    }
    return ok;
}

/* --- the destination --- */

GPtrArray *
departure_prepare(
    Migration *migration, virDomainPtr dom, const char *cookie, int cookielen, unsigned int flags)
{
    PolicyOnDeparture policy = migration_get_policy(migration)->bitmaps_on_departure;
    g_autoptr(GPtrArray) taken = g_ptr_array_new_with_free_func((GDestroyNotify)cookie_bitmap_free);
    g_auto(Cookie) offer = {0};
    g_autoptr(QmpJob) job = NULL;
    g_auto(Look) look = {0};

    if (!(flags & COPIES_STORAGE))
        return NULL;
    cookie_read(cookie, cookielen, &offer, NULL);
    if (!offer.bitmaps || offer.bitmaps->len == 0)
        return NULL;
    job = begin_job(dom);
    if (!job || !look_at(job, dom, &look))
        return NULL;
    for (guint i = 0; i < look.view->len; i++) {
        const Bitmap *bitmap = look.view->pdata[i];
        const Disk *disk = find_disk(&look, bitmap);
        const char *reason;

        if (!disk || !cookie_has_bitmap(offer.bitmaps, disk->target, bitmap->name))
            continue;
        if (obstacle_answer(OBSTACLE_TAKEN, policy, FALSE, &reason) != OBSTACLE_REMOVE ||
            !remove_bitmap(job, migration, dom, bitmap, reason))
            g_ptr_array_add(taken, cookie_bitmap_new(disk->target, bitmap->name));
    }
    return taken->len > 0 ? g_steal_pointer(&taken) : NULL;
}
