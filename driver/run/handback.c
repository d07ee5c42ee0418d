/*
 * handback.c: a guest that comes back to the source, and its images with it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/handback.h"

#include <glib/gi18n-lib.h>

#include "bitmap/handback.h"
#include "run/decided.h"
#include "run/migration.h"
#include "stock/error.h"
#include "stock/qmp.h"

gboolean
handback_is_due(virDomainPtr dom)
{
    virErrorPtr saved = stock_error_save();
    int state = VIR_DOMAIN_NOSTATE, reason = 0;
    gboolean due = virDomainGetState(dom, &state, &reason, 0) == 0 && state == VIR_DOMAIN_PAUSED &&
                   (reason == VIR_DOMAIN_PAUSED_MIGRATION || reason == VIR_DOMAIN_PAUSED_UNKNOWN ||
                    reason == VIR_DOMAIN_PAUSED_API_ERROR);

    stock_error_restore(saved);
    return due;
}

/* --- images --- */

static GPtrArray *
fetch_nodes(QmpJob *job, GError **error)
{
    g_autofree char *reply = qmp_job_execute(job, VIEW_QUERY_NODES, error);

    return reply ? view_parse_nodes(reply, error) : NULL;
}

static guint
count_active(const GPtrArray *nodes)
{
    guint active = 0;

    for (guint i = 0; i < nodes->len; i++)
        active += ((const BlockNode *)nodes->pdata[i])->active;
    return active;
}

/* A source that has completed its migration and has not gone on: `cont` leaves it so when it is
 * refused (qmp_cont(), monitor/qmp-cmds.c, QEMU 10.0). To inactivate the images of any other would
 * be the end of it at its next write. */
static gboolean
has_given_up(QmpJob *job)
{
    g_autofree char *reply = qmp_job_execute(job, "{\"execute\":\"query-status\"}", NULL);
    g_autofree char *status = reply ? qmp_reply_string(reply, "status") : NULL;

    return g_strcmp0(status, "postmigrate") == 0;
}

/* A node is refused while one above it is active; the next pass has it. */
static void
inactivate(QmpJob *job, const GPtrArray *strays)
{
    for (guint i = 0; i < strays->len; i++) {
        g_autofree char *command = handback_inactivate_command(strays->pdata[i]);
        g_autofree char *reply = qmp_job_execute(job, command, NULL);
    }
}

/* *@active: whether the source has its images. FALSE when some stay astray. */
static gboolean
settle_images(QmpJob *job, virDomainPtr dom, gboolean *active, GError **error)
{
    guint before = G_MAXUINT;

    for (;;) {
        g_autoptr(GPtrArray) nodes = fetch_nodes(job, error);
        g_autoptr(GPtrArray) strays = nodes ? handback_find_strays(nodes) : NULL;

        if (!nodes)
            return FALSE;
        *active = nodes->len > 0 && count_active(nodes) == nodes->len;
        if (strays->len == 0 || !has_given_up(job))
            return TRUE;
        if (strays->len >= before) {
            g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND,
                        _("QEMU still has %1$s of domain %2$s half in use after it could not be "
                          "resumed; destroy the domain and start it anew"),
                        ((const BlockNode *)strays->pdata[0])->name, virDomainGetName(dom));
            return FALSE;
        }
        g_message("domain %s: %u block nodes are active although the images are not this host's; "
                  "they are given up again",
                  virDomainGetName(dom), strays->len);
        before = strays->len;
        inactivate(job, strays);
    }
}

/* --- bitmaps --- */

static void
settle_bitmap(QmpJob *job, virDomainPtr dom, Migration *migration, const Bitmap *bitmap)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *command = NULL, *reply = NULL;
    const char *reason;
    PolicyOnReturn on_return = migration_get_policy(migration)->bitmaps_on_return;
    BitmapDecision decision = handback_decide(bitmap, on_return, &reason);

    decided_tell(migration, dom, bitmap->node, bitmap->name, decision, reason);
    if (decision != BITMAP_DROP)
        return;
    command = handback_drop_command(bitmap);
    reply = qmp_job_execute(job, command, &error);
    if (!reply)
        g_warning("domain %s: cannot drop dirty bitmap %s on %s: %s; make a full backup",
                  virDomainGetName(dom), bitmap->name, bitmap->node, error->message);
}

/* The migration that the guest comes back from, a reference; NULL when the guest never left, or has
 * come here by one. */
static Migration *
find_migration(virDomainPtr dom)
{
    unsigned char uuid[VIR_UUID_BUFLEN] = {0};
    g_autoptr(Migration) migration = virDomainGetUUID(dom, uuid) == 0 ? migration_find(uuid) : NULL;
    g_autoptr(Status) status = migration ? migration_get_status(migration) : NULL;

    for (guint i = 0; status && status->role == ROLE_SOURCE && i < status->history->len; i++) {
        if (g_array_index(status->history, StatusStep, i).state == STATE_SWITCHOVER)
            return g_steal_pointer(&migration);
    }
    return NULL;
}

static void
settle_bitmaps(QmpJob *job, virDomainPtr dom, Migration *migration)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *nodes = qmp_job_execute(job, VIEW_QUERY_NODES, &error);
    g_autofree char *parameters =
        nodes ? qmp_job_execute(job, VIEW_QUERY_PARAMETERS, &error) : NULL;
    g_autoptr(GPtrArray) view = parameters ? view_parse(nodes, parameters, &error) : NULL;

    if (!view)
        g_warning("domain %s: cannot see its dirty bitmaps: %s", virDomainGetName(dom),
                  error->message);
    for (guint i = 0; view && i < view->len; i++) {
        const Bitmap *bitmap = view->pdata[i];

        if (bitmap->persistent)
            settle_bitmap(job, dom, migration, bitmap);
    }
}

gboolean
handback_settle(virDomainPtr dom, GError **error)
{
    virErrorPtr saved = stock_error_save();
    g_autoptr(Migration) migration = find_migration(dom);
    g_autoptr(GError) failure = NULL;
    g_autoptr(QmpJob) job = qmp_job_begin(dom, &failure);
    gboolean active = FALSE;
    gboolean safe = job && settle_images(job, dom, &active, &failure);

    if (safe && active && migration)
        settle_bitmaps(job, dom, migration);
    /* Without a QEMU there is nothing to settle. */
    if (g_error_matches(failure, QMP_ERROR, QMP_ERROR_GONE) ||
        g_error_matches(failure, QMP_ERROR, QMP_ERROR_INACTIVE))
        safe = TRUE;
    if (!safe)
        g_propagate_error(error, g_steal_pointer(&failure));
    stock_error_restore(saved);
    return safe;
}
