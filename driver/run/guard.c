/*
 * guard.c: guards in shared images, made when the guest leaves and removed where it stays
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/guard.h"

#include "bitmap/guard.h"
#include "bitmap/handback.h"
#include "bitmap/peek.h"
#include "run/bitmaps.h"
#include "run/host.h"
#include "run/outcome.h"
#include "stock/error.h"
#include "stock/hooks.h"

/* --- made --- */

static GPtrArray *
fetch_view(gpointer monitor, GError **error)
{
    g_autofree char *parameters = hooks_ask(monitor, VIEW_QUERY_PARAMETERS, error);
    g_autofree char *nodes = parameters ? hooks_ask(monitor, VIEW_QUERY_NODES, error) : NULL;

    return nodes ? view_parse(nodes, parameters, error) : NULL;
}

/* Of a migration before, that a daemon without Holdfast ended. */
static void
remove_old(gpointer monitor, const GPtrArray *view)
{
    for (guint i = 0; i < view->len; i++) {
        const Bitmap *bitmap = view->pdata[i];
        g_autofree char *command = NULL, *reply = NULL;

        if (!bitmap->active || !g_str_equal(bitmap->name, GUARD_NAME))
            continue;
        command = handback_remove_command(bitmap->node, bitmap->name);
        reply = hooks_ask(monitor, command, NULL);
    }
}

/* The journal says so before it is so: a guard that is missed has its bitmaps dropped. */
static void
make(Migration *migration, gpointer monitor, const GPtrArray *nodes)
{
    g_autofree char *command =
        guard_add_command(nodes, migration_get_policy(migration)->granularity_bytes);
    g_autofree char *reply = NULL;
    g_autoptr(GError) error = NULL;

    migration_set_guarded(migration, TRUE);
    reply = hooks_ask(monitor, command, &error);
    if (reply) {
        g_message("migration %s of domain %s: %u image(s) have a guard",
                  migration_get_id(migration), migration_get_name(migration), nodes->len);
        return;
    }
    g_warning("migration %s of domain %s: no guard: %s", migration_get_id(migration),
              migration_get_name(migration), error->message);
    migration_set_guarded(migration, FALSE);
}

/* The guest is stopped: every command costs it a millisecond, so that none is sent without need. */
void
guard_make(Migration *migration, gpointer monitor)
{
    const Policy *policy = migration_get_policy(migration);
    g_autoptr(GPtrArray) view = NULL;
    g_autoptr(GPtrArray) nodes = NULL;
    g_autoptr(GError) error = NULL;

    /* Nobody would remove it at a destination without Holdfast. */
    if (policy->bitmaps_guard == POLICY_GUARD_OFF ||
        bitmaps_get_storage(migration) != BITMAP_STORAGE_SHARED || !migration_has_peer(migration))
        return;
    view = fetch_view(monitor, &error);
    if (!view) {
        g_warning("migration %s of domain %s: no guard: %s", migration_get_id(migration),
                  migration_get_name(migration), error->message);
        return;
    }
    remove_old(monitor, view);
    nodes =
        guard_plan(view, BITMAP_STORAGE_SHARED, policy->bitmaps_guard, policy->bitmaps_on_return);
    if (nodes->len > 0)
        make(migration, monitor, nodes);
}

/* --- removed --- */

void
guard_remove(QmpJob *job, virDomainPtr dom, const GPtrArray *view)
{
    for (guint i = 0; i < view->len; i++) {
        const Bitmap *bitmap = view->pdata[i];
        g_autoptr(GError) error = NULL;
        g_autofree char *command = NULL, *reply = NULL;

        if (!bitmap->active || !g_str_equal(bitmap->name, GUARD_NAME) || peek_is_ours(bitmap->node))
            continue;
        command = handback_remove_command(bitmap->node, bitmap->name);
        reply = qmp_job_execute(job, command, &error);
        if (reply)
            g_message("domain %s: the guard on %s is removed", virDomainGetName(dom), bitmap->node);
        else
            g_warning("domain %s: the guard on %s stays until the daemon is restarted: %s",
                      virDomainGetName(dom), bitmap->node, error->message);
    }
}

void
guard_clean(virDomainPtr dom)
{
    virErrorPtr saved = stock_error_save();
    g_autoptr(GError) error = NULL;
    g_autoptr(QmpJob) job = qmp_job_begin(dom, &error);
    g_autofree char *reply = job ? qmp_job_execute(job, VIEW_QUERY_NODES, &error) : NULL;
    g_autoptr(GPtrArray) nodes = reply ? view_parse_nodes(reply, &error) : NULL;
    g_autoptr(GPtrArray) view = nodes ? view_parse(reply, "{\"return\":{}}", &error) : NULL;

    for (guint i = 0; nodes && i < nodes->len; i++) {
        const BlockNode *node = nodes->pdata[i];
        g_autofree char *command = NULL, *closed = NULL;

        if (!peek_is_ours(node->name))
            continue;
        command = peek_close_command(node->name);
        closed = qmp_job_execute(job, command, NULL);
    }
    if (view)
        guard_remove(job, dom, view);
    if (error && !qmp_error_is_gone(error))
        g_message("domain %s: cannot see whether its images have a guard: %s",
                  virDomainGetName(dom), error->message);
    stock_error_restore(saved);
}

static void
clean_job(gpointer opaque, gpointer unused)
{
    g_autoptr(Migration) migration = opaque;
    virDomainPtr dom = outcome_find_own(migration);

    if (dom) {
        guard_clean(dom);
        virDomainFree(dom);
    }
    virResetLastError();
}

static gboolean
may_have_one(Migration *migration)
{
    return migration_get_role(migration) == ROLE_DESTINATION && !migration_is_foreign(migration) &&
           bitmaps_get_storage(migration) == BITMAP_STORAGE_SHARED;
}

void
guard_arrived(Migration *migration)
{
    if (may_have_one(migration))
        host_run(clean_job, migration_ref(migration));
}
