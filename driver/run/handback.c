/*
 * handback.c: a guest that comes back to the source, and its images with it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/handback.h"

#include <string.h>

#include <glib/gi18n-lib.h>

#include "bitmap/guard.h"
#include "bitmap/handback.h"
#include "bitmap/peek.h"
#include "bitmap/repair.h"
#include "run/bitmaps.h"
#include "run/decided.h"
#include "run/guard.h"
#include "run/migration.h"
#include "stock/error.h"
#include "stock/qmp.h"

/** A guest that is to come back. */
typedef struct {
    QmpJob *job;
    virDomainPtr dom;
    Migration *migration; /* that it comes back from; NULL: unknown */
    HandbackFacts facts;
} Return;

/* --- images --- */

static gboolean
tell(const Return *guest, const char *command, GError **error)
{
    g_autofree char *reply = qmp_job_execute(guest->job, command, error);

    return reply != NULL;
}

/* *@told: whether QEMU tells of more than their names. */
static GPtrArray *
fetch_nodes(const Return *guest, gboolean *told, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *nodes = qmp_job_execute(guest->job, VIEW_QUERY_NODES, &failure);
    g_autofree char *names = NULL;

    *told = nodes != NULL;
    if (nodes)
        return view_parse_nodes(nodes, error);
    if (g_error_matches(failure, QMP_ERROR, QMP_ERROR_COMMAND))
        names = qmp_job_execute(guest->job, VIEW_QUERY_NAMES, error);
    else
        g_propagate_error(error, g_steal_pointer(&failure));
    return names ? view_parse_names(names, error) : NULL;
}

static GPtrArray *
fetch_view(const Return *guest, GError **error)
{
    g_autofree char *nodes = qmp_job_execute(guest->job, VIEW_QUERY_NODES, error);
    g_autofree char *parameters =
        nodes ? qmp_job_execute(guest->job, VIEW_QUERY_PARAMETERS, error) : NULL;

    return parameters ? view_parse(nodes, parameters, error) : NULL;
}

/* A source that has completed its migration and has not gone on: `cont` leaves it so when it is
 * refused (qmp_cont(), monitor/qmp-cmds.c, QEMU 10.0). To inactivate the images of any other would
 * be the end of it at its next write. */
static gboolean
has_given_up(const Return *guest, GError **error)
{
    g_autofree char *reply = qmp_job_execute(guest->job, "{\"execute\":\"query-status\"}", error);
    g_autofree char *status = reply ? qmp_reply_string(reply, "status") : NULL;

    return g_strcmp0(status, "postmigrate") == 0;
}

/* A node is refused while one above it is active; the next pass has it. */
static void
inactivate(const Return *guest, const GPtrArray *strays)
{
    for (guint i = 0; i < strays->len; i++) {
        g_autofree char *command = handback_inactivate_command(strays->pdata[i]);

        tell(guest, command, NULL);
    }
}

/* FALSE with @error set when some stay astray. */
static gboolean
inactivate_strays(const Return *guest, GPtrArray *nodes, GError **error)
{
    guint before = G_MAXUINT;
    gboolean told = TRUE;

    g_ptr_array_ref(nodes);
    for (;;) {
        g_autoptr(GPtrArray) now = nodes;
        g_autoptr(GPtrArray) strays = handback_find_strays(now);

        if (strays->len == 0 || !told)
            return TRUE;
        if (strays->len >= before) {
            g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND,
                        _("QEMU still has %1$s of domain %2$s half in use after it could not be "
                          "resumed; destroy the domain and start it anew"),
                        ((const BlockNode *)strays->pdata[0])->name, virDomainGetName(guest->dom));
            return FALSE;
        }
        g_message("domain %s: %u block nodes are active although the images are not this host's; "
                  "they are given up again",
                  virDomainGetName(guest->dom), strays->len);
        before = strays->len;
        inactivate(guest, strays);
        nodes = fetch_nodes(guest, &told, error);
        if (!nodes)
            return FALSE;
    }
}

/* The nodes as they are when none is astray; NULL with @error set when some stay so. *@active: the
 * source has its images. */
static GPtrArray *
settle_images(const Return *guest, gboolean *active, GError **error)
{
    gboolean told;
    g_autoptr(GPtrArray) nodes = fetch_nodes(guest, &told, error);

    *active = FALSE;
    if (!nodes)
        return NULL;
    if (!told) {
        /* What is inactive stays as it is; what is not is astray. From the top, then below. */
        inactivate(guest, nodes);
        inactivate(guest, nodes);
        return g_steal_pointer(&nodes);
    }
    if (!inactivate_strays(guest, nodes, error))
        return NULL;
    *active = handback_is_active(nodes);
    return *active ? g_steal_pointer(&nodes) : fetch_nodes(guest, &told, error);
}

/* --- a look at the images --- */

/* FALSE with @error set when somebody has the image. */
static gboolean
open_peek(const Return *guest, Peek *peek, GError **error)
{
    g_autofree char *alone = peek_open_command(peek, FALSE);
    g_autofree char *shared = peek_open_command(peek, TRUE);
    g_autoptr(GError) refusal = NULL;

    peek->open = tell(guest, alone, &refusal);
    if (peek->open)
        return TRUE;
    peek->open = tell(guest, shared, NULL);
    if (peek->open) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND,
                    _("domain %1$s cannot go on here, because %2$s is in use, perhaps on the host "
                      "that it was migrated to (%3$s); try again when it does not run there any "
                      "more"),
                    virDomainGetName(guest->dom), peek->file, refusal->message);
        return FALSE;
    }
    g_message("domain %s: what %s holds of dirty bitmaps cannot be seen yet: %s",
              virDomainGetName(guest->dom), peek->file, refusal->message);
    return TRUE;
}

static void
close_peek(const Return *guest, const char *name)
{
    g_autofree char *command = peek_close_command(name);
    g_autoptr(GError) error = NULL;

    if (!tell(guest, command, &error))
        g_warning("domain %s: block node %s stays: %s", virDomainGetName(guest->dom), name,
                  error->message);
}

/* Of a daemon that was killed while it looked. */
static void
close_left(const Return *guest, const GPtrArray *nodes)
{
    for (guint i = 0; i < nodes->len; i++) {
        const BlockNode *node = nodes->pdata[i];

        if (peek_is_ours(node->name))
            close_peek(guest, node->name);
    }
}

static void
probe(const Return *guest, const Peek *peek, GArray *list)
{
    g_autofree char *add = peek_add_command(peek);

    if (!tell(guest, add, NULL))
        return;
    for (guint i = 0; i < list->len; i++) {
        Handback *each = &g_array_index(list, Handback, i);
        g_autofree char *command = peek_probe_command(peek, each->name);

        if (g_str_equal(each->node, peek->node))
            each->image =
                tell(guest, command, NULL) ? BITMAP_IMAGE_CONSISTENT : BITMAP_IMAGE_IN_USE;
    }
}

/* What the images hold of what was on the stream; NULL with @error set when somebody has one. */
static GArray *
look(const Return *guest, const GPtrArray *nodes, GError **error)
{
    g_autofree char *parameters = qmp_job_execute(guest->job, VIEW_QUERY_PARAMETERS, error);
    g_autoptr(GArray) list = parameters ? handback_list(parameters) : NULL;
    g_autoptr(GArray) peeks = peek_plan(nodes);
    gboolean free = list != NULL;

    for (guint i = 0; free && i < peeks->len; i++) {
        Peek *peek = &g_array_index(peeks, Peek, i);

        free = open_peek(guest, peek, error);
        if (free && peek->open)
            probe(guest, peek, list);
        if (peek->open)
            close_peek(guest, peek->name);
    }
    return free ? g_steal_pointer(&list) : NULL;
}

/* --- bitmaps --- */

/* QEMU says so of one that it does not have: it was forgotten by an attempt before, or libvirt had
 * it for the migration alone. */
static gboolean
is_missing(const GError *error)
{
    return error && strstr(error->message, "not found");
}

/* FALSE with @error set when QEMU would eject the image. */
static gboolean
forget(const Return *guest, GArray *list, GError **error)
{
    for (guint i = 0; i < list->len; i++) {
        Handback *each = &g_array_index(list, Handback, i);
        g_autofree char *command = handback_remove_command(each->node, each->name);
        g_autoptr(GError) failure = NULL;

        if (!handback_goes_first(each))
            continue;
        each->forgotten = tell(guest, command, &failure);
        if (each->forgotten || is_missing(failure))
            continue;
        g_propagate_prefixed_error(error, g_steal_pointer(&failure),
                                   _("dirty bitmap %1$s of domain %2$s is in the way: "),
                                   each->name, virDomainGetName(guest->dom));
        return FALSE;
    }
    return TRUE;
}

static void
drop(const Return *guest, const Bitmap *bitmap)
{
    g_autofree char *command = handback_remove_command(bitmap->node, bitmap->name);
    g_autoptr(GError) error = NULL;

    if (!tell(guest, command, &error))
        g_warning("domain %s: cannot drop dirty bitmap %s on %s: %s; make a full backup",
                  virDomainGetName(guest->dom), bitmap->name, bitmap->node, error->message);
}

/* One that cannot be merged misses writes. */
static void
merge(const Return *guest, const Bitmap *bitmap, BitmapDecision *decision, const char **reason)
{
    g_autofree char *command = handback_merge_command(bitmap->node, bitmap->name);
    g_autoptr(GError) error = NULL;

    if (tell(guest, command, &error))
        return;
    g_warning("domain %s: cannot merge the guard into dirty bitmap %s on %s: %s",
              virDomainGetName(guest->dom), bitmap->name, bitmap->node, error->message);
    *decision = BITMAP_DROP;
    *reason = _("the guard could not be merged into it");
}

static void
settle_one(const Return *guest, const GPtrArray *view, const Bitmap *bitmap, const GArray *list)
{
    const char *reason;
    BitmapDecision decision = handback_judge(view, bitmap, list, &guest->facts, &reason);

    if (decision == BITMAP_MERGE)
        merge(guest, bitmap, &decision, &reason);
    if (decision == BITMAP_DROP)
        drop(guest, bitmap);
    decided_tell(guest->migration, guest->dom, bitmap->node, bitmap->name, decision, reason);
}

/* QEMU stores those that were on it as any other from now on; of the next migration, which may have
 * no such stream, they would be taken for sent. */
static void
forget_stream(const Return *guest)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *parameters = qmp_job_execute(guest->job, VIEW_QUERY_PARAMETERS, &error);

    if (parameters && view_has_mapping(parameters))
        tell(guest, repair_end_command(), &error);
    if (error)
        g_message("domain %s: its dirty bitmaps are still taken for sent: %s",
                  virDomainGetName(guest->dom), error->message);
}

/* @list: (nullable): see handback_judge(). FALSE with @error set when QEMU does not tell: it may
 * have lost an image. */
static gboolean
settle_bitmaps(const Return *guest, const GArray *list, GError **error)
{
    g_autoptr(GPtrArray) view = fetch_view(guest, error);

    if (!view)
        return FALSE;
    for (guint i = 0; i < view->len; i++) {
        const Bitmap *bitmap = view->pdata[i];

        if (bitmap->persistent && !bitmap_is_ours(bitmap))
            settle_one(guest, view, bitmap, list);
    }
    for (guint i = 0; list && i < list->len; i++) {
        const Handback *each = &g_array_index(list, Handback, i);
        const char *reason;

        BitmapDecision decision;

        if (!each->forgotten || view_find(view, each->node, each->name))
            continue;
        decision = handback_judge_gone(each, &guest->facts, &reason);
        decided_tell(guest->migration, guest->dom, each->node, each->name, decision, reason);
    }
    guard_remove(guest->job, guest->dom, view);
    forget_stream(guest);
    return TRUE;
}

/* --- all of it --- */

/* An attempt that fails halfway leaves nodes astray. */
static gboolean
activate(const Return *guest, GError **error)
{
    g_autoptr(GPtrArray) nodes = NULL;
    gboolean active;

    if (tell(guest, handback_activate_command(), error))
        return TRUE;
    nodes = settle_images(guest, &active, NULL);
    return FALSE;
}

static HandbackStep
take_back(const Return *guest, GError **error)
{
    gboolean active;
    g_autoptr(GPtrArray) nodes = settle_images(guest, &active, error);
    g_autoptr(GArray) list = NULL;

    if (!nodes)
        return HANDBACK_REFUSED;
    if (active)
        return HANDBACK_UNSEEN;
    close_left(guest, nodes);
    list = look(guest, nodes, error);
    if (!list || !forget(guest, list, error) || !activate(guest, error) ||
        !settle_bitmaps(guest, list, error))
        return HANDBACK_REFUSED;
    return HANDBACK_TAKEN;
}

/* Postcopy is not taken back: the guest is the destination's. */
static gboolean
may_be_due(virDomainPtr dom)
{
    int state = VIR_DOMAIN_NOSTATE, reason = 0;

    return virDomainGetState(dom, &state, &reason, 0) == 0 && state == VIR_DOMAIN_PAUSED &&
           reason != VIR_DOMAIN_PAUSED_POSTCOPY && reason != VIR_DOMAIN_PAUSED_POSTCOPY_FAILED;
}

static void
learn(Return *guest)
{
    g_autoptr(Policy) defaults = guest->migration ? NULL : policy_default();
    const Policy *policy = defaults ? defaults : migration_get_policy(guest->migration);

    guest->facts = (HandbackFacts){
        .storage = bitmaps_get_storage(guest->migration),
        .guarded = guest->migration && migration_is_guarded(guest->migration),
        .on_return = policy->bitmaps_on_return,
    };
}

HandbackStep
handback_begin(virDomainPtr dom, GError **error)
{
    virErrorPtr saved = stock_error_save();
    g_autoptr(GError) failure = NULL;
    g_autoptr(QmpJob) job = may_be_due(dom) ? qmp_job_begin(dom, &failure) : NULL;
    g_autoptr(Migration) migration = bitmaps_find_migration(dom);
    Return guest = {.job = job, .dom = dom, .migration = migration};
    HandbackStep step = HANDBACK_NOT_DUE;

    if (job && has_given_up(&guest, &failure)) {
        learn(&guest);
        step = take_back(&guest, &failure);
    }
    if (failure && qmp_error_is_gone(failure))
        step = HANDBACK_NOT_DUE;
    else if (failure) {
        step = HANDBACK_REFUSED;
        g_propagate_error(error, g_steal_pointer(&failure));
    }
    stock_error_restore(saved);
    return step;
}

/* What libvirt has tried on top of a refusal, and what QEMU told when it had the images. */
static gboolean
settle_after(const Return *guest, HandbackStep step, GError **error)
{
    g_autoptr(GPtrArray) nodes = NULL;
    gboolean active;

    if (!has_given_up(guest, error))
        return !*error && (step != HANDBACK_UNSEEN || settle_bitmaps(guest, NULL, error));
    nodes = settle_images(guest, &active, error);
    return FALSE;
}

void
handback_end(virDomainPtr dom, HandbackStep step)
{
    virErrorPtr saved = stock_error_save();
    g_autoptr(GError) error = NULL;
    g_autoptr(QmpJob) job = step != HANDBACK_NOT_DUE ? qmp_job_begin(dom, &error) : NULL;
    g_autoptr(Migration) migration = job ? bitmaps_find_migration(dom) : NULL;
    Return guest = {.job = job, .dom = dom, .migration = migration};

    if (job) {
        learn(&guest);
        if (settle_after(&guest, step, &error) && migration)
            migration_hand_back(migration);
    }
    if (error && !qmp_error_is_gone(error))
        g_warning("domain %s: %s", virDomainGetName(dom), error->message);
    stock_error_restore(saved);
}
