/*
 * carry-take.c: a domain's checkpoints are taken along by its migration: the destination
 *
 * How it works: each is defined with libvirt's own look whether its bitmap is there whole. An
 * incremental backup needs no other bitmap than its checkpoint's (qemuBackupDiskPrepareDataOne(),
 * src/qemu/qemu_backup.c, 11.3.0), so one that is missing leaves its children their worth: they
 * become its parent's, as when a checkpoint is deleted.
 *
 * A domain that was here before and stayed defined has its checkpoints of then. The bitmaps are now
 * those that come with the guest, and what comes says of when they are: it takes the place of what
 * has the same name. (Left as it is, a checkpoint of then would have a bitmap that begins later,
 * and a backup since then would miss what was written between.) One that does not come, and whose
 * bitmap is nowhere, was deleted meanwhile on the other host; it is removed, or it would be a
 * second leaf of the tree, and libvirt, once restarted, would know no current checkpoint
 * (virDomainMomentFindLeaf(), src/conf/virdomainmomentobjlist.c, 11.3.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <glib/gi18n-lib.h>
#include <libvirt/virterror.h>

#include "bitmap/view.h"
#include "model/texts.h"
#include "run/carry.h"
#include "run/decided.h"
#include "run/host.h"
#include "run/outcome.h"
#include "run/parcel.h"
#include "stock/qmp.h"

#define LEFT "left-behind"

/* Somebody else's job on the domain, which libvirt waits half a minute for, is waited for as often
 * as that, for all checkpoints together. */
#define TIMEOUTS_MAX 3

typedef struct {
    Migration *migration; /* NULL: forgotten */
    virDomainPtr dom;
    GPtrArray *was;     /* of Checkpoint: what it had here */
    GHashTable *before; /* likewise, by name */
    GHashTable *coming; /* likewise: what is to be defined */
    GHashTable *here;   /* set of names: what can be a parent */
    GPtrArray *left;    /* of text: a name, and why; ... */
    guint timeouts;
} Taking;

static void
taking_clear(Taking *taking)
{
    migration_unref(taking->migration);
    if (taking->dom)
        virDomainFree(taking->dom);
    g_clear_pointer(&taking->before, g_hash_table_unref);
    g_clear_pointer(&taking->coming, g_hash_table_unref);
    g_clear_pointer(&taking->here, g_hash_table_unref);
    g_clear_pointer(&taking->was, g_ptr_array_unref);
    g_clear_pointer(&taking->left, g_ptr_array_unref);
    virResetLastError();
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Taking, taking_clear)

/* --- what was here --- */

/* NULL when QEMU does not say. */
static GPtrArray *
look_at_bitmaps(virDomainPtr dom)
{
    g_autofree char *nodes = qmp_execute(dom, VIEW_QUERY_NODES, NULL);
    g_autofree char *parameters = qmp_execute(dom, VIEW_QUERY_PARAMETERS, NULL);

    return nodes && parameters ? view_parse(nodes, parameters, NULL) : NULL;
}

static gboolean
has_bitmap(const GPtrArray *view, const char *name)
{
    for (guint i = 0; i < view->len; i++) {
        const Bitmap *bitmap = view->pdata[i];

        if (g_str_equal(bitmap->name, name))
            return TRUE;
    }
    return FALSE;
}

static gboolean
forget(Taking *taking, const char *name)
{
    virDomainCheckpointPtr checkpoint = virDomainCheckpointLookupByName(taking->dom, name, 0);
    gboolean forgotten =
        checkpoint &&
        virDomainCheckpointDelete(checkpoint, VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY) == 0;

    if (forgotten)
        g_message("domain %s: checkpoint %s of an earlier time on this host was deleted since, and "
                  "is forgotten",
                  virDomainGetName(taking->dom), name);
    if (checkpoint)
        virDomainCheckpointFree(checkpoint);
    return forgotten;
}

static void
forget_deleted(Taking *taking)
{
    g_autoptr(GPtrArray) view = NULL;

    for (guint i = 0; i < taking->was->len; i++) {
        const char *name = checkpoint_get_name(taking->was->pdata[i]);

        if (g_hash_table_contains(taking->coming, name))
            continue;
        if (!view && !(view = look_at_bitmaps(taking->dom)))
            return;
        if (!has_bitmap(view, name) && forget(taking, name))
            g_hash_table_remove(taking->here, name);
    }
}

/* --- what is to be here --- */

/* @reason: may be libvirt's last error, which does not outlast a call of its. */
static void
leave(Taking *taking, const char *name, const char *reason)
{
    char *copy = g_strdup(reason);

    g_ptr_array_add(taking->left, g_strdup(name));
    g_ptr_array_add(taking->left, copy);
    decided_tell_checkpoint(taking->migration, taking->dom, name, LEFT, copy);
}

/* The nearest of its ancestors that is here; NULL for none. */
static const char *
find_parent(const Taking *taking, const Checkpoint *checkpoint)
{
    const char *parent = checkpoint_get_parent(checkpoint);
    guint steps = g_hash_table_size(taking->coming);

    while (parent && !g_hash_table_contains(taking->here, parent)) {
        const Checkpoint *missing = g_hash_table_lookup(taking->coming, parent);

        parent = missing && steps-- > 0 ? checkpoint_get_parent(missing) : NULL;
    }
    return parent;
}

static gboolean
define(Taking *taking, const Checkpoint *checkpoint)
{
    const unsigned int flags =
        VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE | VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE;
    g_autofree char *xml = checkpoint_format(checkpoint);
    virDomainCheckpointPtr defined = virDomainCheckpointCreateXML(taking->dom, xml, flags);

    while (!defined && virGetLastErrorCode() == VIR_ERR_OPERATION_TIMEOUT &&
           taking->timeouts++ < TIMEOUTS_MAX)
        defined = virDomainCheckpointCreateXML(taking->dom, xml, flags);
    if (!defined)
        return FALSE;
    virDomainCheckpointFree(defined);
    return TRUE;
}

static gboolean
is_later(const Checkpoint *checkpoint, const Checkpoint *than)
{
    return checkpoint_get_created_s(checkpoint) > checkpoint_get_created_s(than);
}

static void
take(Taking *taking, const Checkpoint *sent)
{
    const char *name = checkpoint_get_name(sent);
    const Checkpoint *before = g_hash_table_lookup(taking->before, name);
    g_autofree char *xml = checkpoint_format(sent);
    g_autoptr(Checkpoint) checkpoint = checkpoint_parse(xml, NULL);

    if (before && is_later(before, sent)) {
        leave(taking, name,
              _("the destination has a later checkpoint of that name, which stays as it is"));
        return;
    }
    if (before && !checkpoint_is_same(before, sent))
        g_message("domain %s: checkpoint %s of an earlier time on this host was made anew since, "
                  "and is what it is now",
                  virDomainGetName(taking->dom), name);
    checkpoint_set_parent(checkpoint, find_parent(taking, sent));
    if (define(taking, checkpoint))
        g_hash_table_add(taking->here, (gpointer)name);
    else
        leave(taking, name, virGetLastErrorMessage());
}

static GHashTable *
by_name(const GPtrArray *checkpoints)
{
    GHashTable *table = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < checkpoints->len; i++)
        g_hash_table_insert(table, (gpointer)checkpoint_get_name(checkpoints->pdata[i]),
                            checkpoints->pdata[i]);
    return table;
}

static gboolean
take_all(Taking *taking, const GPtrArray *coming, GError **error)
{
    taking->was = carry_list(taking->dom);
    if (!taking->was) {
        g_set_error_literal(error, PARCEL_ERROR, PARCEL_ERROR_REFUSED, virGetLastErrorMessage());
        return FALSE;
    }
    taking->before = by_name(taking->was);
    taking->coming = by_name(coming);
    taking->here = g_hash_table_new(g_str_hash, g_str_equal);
    taking->left = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < taking->was->len; i++)
        g_hash_table_add(taking->here, (gpointer)checkpoint_get_name(taking->was->pdata[i]));
    forget_deleted(taking);
    for (guint i = 0; i < coming->len; i++)
        take(taking, coming->pdata[i]);
    g_message("domain %s: %u of %u checkpoints have come with its migration",
              virDomainGetName(taking->dom), coming->len - taking->left->len / 2, coming->len);
    return TRUE;
}

static GPtrArray *
decode(GBytes *body, GError **error)
{
    g_autoptr(GPtrArray) texts = texts_decode(body, error);
    g_autoptr(GPtrArray) checkpoints =
        g_ptr_array_new_with_free_func((GDestroyNotify)checkpoint_free);

    for (guint i = 0; texts && i < texts->len; i++) {
        Checkpoint *checkpoint = checkpoint_parse(texts->pdata[i], error);

        if (!checkpoint)
            return NULL;
        g_ptr_array_add(checkpoints, checkpoint);
    }
    return texts ? g_steal_pointer(&checkpoints) : NULL;
}

gboolean
carry_take(const unsigned char *uuid, GBytes *body, GBytes **reply, GError **error)
{
    g_autoptr(GPtrArray) coming = decode(body, error);
    g_auto(Taking) taking = {0};
    virConnectPtr connection;

    if (!coming)
        return FALSE;
    taking.migration = migration_find(uuid);
    connection = host_connect();
    taking.dom = connection ? virDomainLookupByUUID(connection, uuid) : NULL;
    if (connection)
        virConnectClose(connection);
    if (!taking.dom) {
        g_set_error_literal(error, PARCEL_ERROR, PARCEL_ERROR_REFUSED, virGetLastErrorMessage());
        return FALSE;
    }
    /* Finish may still be at work. */
    outcome_wait_job(taking.dom);
    if (!take_all(&taking, coming, error))
        return FALSE;
    *reply = texts_encode(taking.left);
    return TRUE;
}
