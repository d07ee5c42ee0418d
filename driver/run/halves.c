/*
 * halves.c: a source gives up what its QEMU knows of bitmaps that a pause has cut off on their way
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/halves.h"

#include <glib/gi18n-lib.h>

#include "bitmap/decision.h"
#include "bitmap/rebuild.h"
#include "run/decided.h"
#include "run/host.h"
#include "run/migration-priv.h"
#include "run/outcome.h"
#include "run/parcel.h"
#include "run/scratch.h"
#include "stock/error.h"
#include "stock/hooks.h"

/* A bitmap of a TiB of disk is read in less than a second; QEMU has nothing else to do here. */
#define READ_DEADLINE_US (60 * G_USEC_PER_SEC)
/* The destination answers a moment before, or libvirt would not end this migration; if it does not
 * any more, a client waits for its call. */
#define SEND_DEADLINE_MS 60000
/* A parcel holds so many (MESSAGE_BODY_MAX), all of them together. */
#define EXTENTS_MAX ((MESSAGE_BODY_MAX - 65536) / (guint)sizeof(Extent))

/** A bitmap that was on its way. */
typedef struct {
    MappedBitmap *mapped; /* borrowed */
    BitmapHalf *half;     /* NULL: it is not there, or could not be read */
    GError *error;        /* why it could not */
} Going;

typedef struct {
    GPtrArray *mapping;
    GArray *going; /* of Going */
    char *socket;
} Halves;

static void
going_clear(gpointer opaque)
{
    Going *going = opaque;

    half_free(going->half);
    g_clear_error(&going->error);
}

static void
halves_clear(Halves *halves)
{
    scratch_forget(halves->socket);
    g_clear_pointer(&halves->going, g_array_unref);
    g_clear_pointer(&halves->mapping, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Halves, halves_clear)

gboolean
halves_may_be(Migration *migration)
{
    g_autoptr(Status) status = migration_get_status(migration);

    return status->pauses > 0 && (migration_get_flags(migration) &
                                  (VIR_MIGRATE_NON_SHARED_DISK | VIR_MIGRATE_NON_SHARED_INC)) != 0;
}

/* --- reading --- */

/* @error becomes the bitmap's own: the others may do better. */
static void
give_up(Going *going, GError *error)
{
    g_clear_pointer(&going->half, half_free);
    g_clear_error(&going->error);
    going->error = error;
}

static gboolean
prepare_one(QmpJob *job, guint number, const Going *going, GError **error)
{
    g_autofree char *node = rebuild_scratch_command(number, going->half->size_bytes);
    g_autofree char *fill = rebuild_fill_command(number, going->mapped, going->half);

    return scratch_tell(job, node, error) && scratch_tell(job, fill, error);
}

/* The destination has its last page a moment before the source knows. */
static gboolean
has_completed(Migration *unused, gpointer dom)
{
    g_autofree char *reply = qmp_execute(dom, "{\"execute\":\"query-migrate\"}", NULL);
    g_autofree char *status = reply ? qmp_reply_string(reply, "status") : NULL;

    return !status || g_str_equal(status, "completed");
}

static gboolean
look(QmpJob *job, virDomainPtr dom, Halves *halves, GError **error)
{
    g_autofree char *parameters = qmp_job_execute(job, VIEW_QUERY_PARAMETERS, error);
    g_autofree char *reply = NULL;
    g_autoptr(GPtrArray) view = NULL, nodes = NULL;

    if (!parameters)
        return FALSE;
    halves->mapping = view_parse_mapping(parameters);
    halves->going = g_array_new(FALSE, FALSE, sizeof(Going));
    g_array_set_clear_func(halves->going, going_clear);
    if (halves->mapping->len == 0)
        return TRUE;
    reply = qmp_job_execute(job, VIEW_QUERY_NODES, error);
    view = reply ? view_parse(reply, parameters, error) : NULL;
    nodes = view ? view_parse_nodes(reply, error) : NULL;
    for (guint i = 0; nodes && i < halves->mapping->len; i++) {
        MappedBitmap *mapped = halves->mapping->pdata[i];
        Going going = {mapped, rebuild_plan_half(mapped, view, nodes), NULL};

        g_array_append_val(halves->going, going);
    }
    if (nodes)
        scratch_clean(job, dom, nodes);
    return nodes != NULL;
}

/* Has QEMU export them. */
static gboolean
prepare(virDomainPtr dom, Halves *halves, GError **error)
{
    g_autoptr(QmpJob) job = NULL;

    migration_poll(NULL, has_completed, dom);
    job = qmp_job_begin(dom, error);
    if (!job || !look(job, dom, halves, error))
        return FALSE;
    if (halves->going->len == 0)
        return TRUE;
    for (guint i = 0; i < halves->going->len; i++) {
        Going *going = &g_array_index(halves->going, Going, i);
        GError *failure = NULL;

        if (going->half && !prepare_one(job, i, going, &failure))
            give_up(going, failure);
    }
    if (!scratch_listen(job, dom, &halves->socket, error))
        return FALSE;
    for (guint i = 0; i < halves->going->len; i++) {
        Going *going = &g_array_index(halves->going, Going, i);
        g_autofree char *command = rebuild_export_command(i, FALSE);
        GError *failure = NULL;

        if (going->half && !scratch_tell(job, command, &failure))
            give_up(going, failure);
    }
    return TRUE;
}

static void
read_all(Halves *halves)
{
    gint64 deadline_us = g_get_monotonic_time() + READ_DEADLINE_US;
    guint left = EXTENTS_MAX;

    for (guint i = 0; i < halves->going->len; i++) {
        Going *going = &g_array_index(halves->going, Going, i);
        g_auto(ScratchExport) export = {0};
        GError *failure = NULL;

        if (!going->half)
            continue;
        scratch_export_init(&export, halves->socket, i, deadline_us);
        if (nbdio_fetch_dirty(&export.nbd, REBUILD_NBD_CONTEXT, left, going->half->extents,
                              &failure))
            left -= going->half->extents->len;
        else
            give_up(going, failure);
    }
}

/* The QEMU is about to end; but it may be kept if libvirt finds that it must be. */
static void
clean(virDomainPtr dom)
{
    g_autoptr(QmpJob) job = qmp_job_begin(dom, NULL);
    g_autofree char *reply = job ? qmp_job_execute(job, VIEW_QUERY_NODES, NULL) : NULL;
    g_autoptr(GPtrArray) nodes = reply ? view_parse_nodes(reply, NULL) : NULL;

    if (nodes)
        scratch_clean(job, dom, nodes);
}

/* --- sending --- */

static void
tell_dropped(Migration *migration, virDomainPtr dom, const Going *going, const GError *error)
{
    BitmapCase facts = {
        .storage = BITMAP_STORAGE_COPIED, /* or libvirt would not have sent it */
        .on_stream = TRUE,
        .phase = BITMAP_PHASE_RECOVERED,
    };
    const char *reason;
    BitmapDecision decision = bitmap_decide(&facts, &reason);
    g_autofree char *why = error ? g_strdup_printf("%s (%s)", reason, error->message) : NULL;

    decided_tell(migration, dom, going->mapped->node, going->mapped->name, decision,
                 why ? why : reason);
}

/* A bitmap that cannot be sent is missing at the destination, which tells of it if it can be
 * asked at all. */
static gboolean
send(Migration *migration, virDomainPtr dom, const Halves *halves)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < halves->going->len; i++) {
        const Going *going = &g_array_index(halves->going, Going, i);

        if (going->half)
            g_ptr_array_add(list, going->half);
        else
            g_message("domain %s: dirty bitmap %s on %s cannot be read: %s", virDomainGetName(dom),
                      going->mapped->name, going->mapped->node,
                      going->error ? going->error->message : "it is not there any more");
    }
    bytes = half_encode(list);
    if (parcel_send(migration, MESSAGE_PARCEL_BITMAPS, bytes, SEND_DEADLINE_MS, NULL, &error)) {
        g_message("migration %s of domain %s: the destination was told in %" G_GSIZE_FORMAT
                  " bytes what %u dirty bitmaps mark",
                  migration_get_id(migration), virDomainGetName(dom), g_bytes_get_size(bytes),
                  list->len);
        return TRUE;
    }
    if (g_error_matches(error, PARCEL_ERROR, PARCEL_ERROR_STOPPED))
        return FALSE;
    for (guint i = 0; i < halves->going->len; i++)
        tell_dropped(migration, dom, &g_array_index(halves->going, Going, i), error);
    return TRUE;
}

gboolean
halves_send(Migration *migration, virDomainPtr dom)
{
    virErrorPtr saved;
    g_auto(Halves) halves = {0};
    g_autoptr(GError) error = NULL;
    gboolean done = TRUE;

    if (!halves_may_be(migration))
        return TRUE;
    saved = stock_error_save();
    if (prepare(dom, &halves, &error)) {
        read_all(&halves);
    } else if (halves.going) {
        for (guint i = 0; i < halves.going->len; i++)
            give_up(&g_array_index(halves.going, Going, i), g_error_copy(error));
    }
    if (error)
        g_warning("migration %s of domain %s: its dirty bitmaps cannot be read: %s",
                  migration_get_id(migration), virDomainGetName(dom), error->message);
    if (halves.going && halves.going->len > 0) {
        clean(dom);
        done = send(migration, dom, &halves);
    }
    stock_error_restore(saved);
    return done;
}

/* --- a source that nobody attends --- */

typedef struct {
    Migration *migration;
    HooksUnattended *held;
} Unattended;

/* After a restart libvirt has yet to finish with its domains before it can be asked. */
static gboolean
find_own(Migration *migration, gpointer opaque)
{
    virDomainPtr *dom = opaque;

    *dom = outcome_find_own(migration);
    return *dom != NULL;
}

static void
unattended_job(gpointer opaque, gpointer unused)
{
    Unattended *unattended = opaque;
    virDomainPtr dom = NULL;
    gboolean done = TRUE;

    migration_poll(unattended->migration, find_own, &dom);
    if (dom) {
        done = halves_send(unattended->migration, dom);
        virDomainFree(dom);
    }
    if (done && !migration_is_released())
        hooks_unattended_go_on(unattended->held);
    else
        hooks_unattended_drop(unattended->held);
    virResetLastError();
    migration_unref(unattended->migration);
    g_free(unattended);
}

static gboolean
on_unattended(const unsigned char *uuid, HooksUnattended *held)
{
    g_autoptr(Migration) migration = migration_find(uuid);
    Unattended *unattended;

    if (!migration || migration_get_role(migration) != ROLE_SOURCE || !halves_may_be(migration) ||
        migration_is_released())
        return FALSE;
    unattended = g_new(Unattended, 1);
    *unattended = (Unattended){g_steal_pointer(&migration), held};
    host_run(unattended_job, unattended);
    return TRUE;
}

void
halves_observe(void)
{
    hooks_set_unattended_listener(on_unattended);
}
