/*
 * carry.c: a domain's checkpoints are taken along by its migration: the source
 *
 * What is sent is a list of definitions; the answer is a list in which each that was not taken is
 * followed by the reason.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/carry.h"

#include <glib/gi18n-lib.h>
#include <stdlib.h>

#include "model/texts.h"
#include "run/decided.h"
#include "run/parcel.h"
#include "stock/error.h"

/* A destination that cannot be asked is given up: the client's call is held for as long. */
#define DEADLINE_MS (60 * 1000)

/* What becomes of one that is not carried. */
#define LEFT "left-behind"

/* NULL with the thread's libvirt error set, or with a warning. */
static Checkpoint *
read_one(virDomainCheckpointPtr checkpoint)
{
    g_autoptr(GError) error = NULL;
    char *xml = virDomainCheckpointGetXMLDesc(checkpoint, VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN);
    Checkpoint *read = xml ? checkpoint_parse(xml, &error) : NULL;

    if (error)
        g_warning("checkpoint %s cannot be read: %s", virDomainCheckpointGetName(checkpoint),
                  error->message);
    free(xml);
    return read;
}

GPtrArray *
carry_list(virDomainPtr dom)
{
    g_autoptr(GPtrArray) list = NULL;
    virDomainCheckpointPtr *checkpoints = NULL;
    int n = virDomainListAllCheckpoints(dom, &checkpoints, VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL);

    if (n < 0)
        return NULL;
    list = g_ptr_array_new_with_free_func((GDestroyNotify)checkpoint_free);
    for (int i = 0; i < n; i++) {
        Checkpoint *each = read_one(checkpoints[i]);

        if (each)
            g_ptr_array_add(list, each);
        virDomainCheckpointFree(checkpoints[i]);
    }
    free(checkpoints);
    return g_steal_pointer(&list);
}

static GBytes *
encode(const GPtrArray *checkpoints)
{
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < checkpoints->len; i++)
        g_ptr_array_add(texts, checkpoint_format(checkpoints->pdata[i]));
    return texts_encode(texts);
}

static void
tell_all(Migration *migration, virDomainPtr dom, const GPtrArray *checkpoints, const char *reason)
{
    for (guint i = 0; i < checkpoints->len; i++)
        decided_tell_checkpoint(migration, dom, checkpoint_get_name(checkpoints->pdata[i]), LEFT,
                                reason);
}

/* What the destination says of those that it did not take. */
static void
tell_answer(Migration *migration, virDomainPtr dom, const GPtrArray *checkpoints, GBytes *reply)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) left = texts_decode(reply, &error);

    if (!left || left->len % 2 != 0 || left->len / 2 > checkpoints->len) {
        g_warning("migration %s of domain %s: what the destination says of its checkpoints is not "
                  "understood%s%s; see the log of that host's daemon",
                  migration_get_id(migration), migration_get_name(migration), error ? ": " : "",
                  error ? error->message : "");
        return;
    }
    for (guint i = 0; i < left->len; i += 2)
        decided_tell_checkpoint(migration, dom, left->pdata[i], LEFT, left->pdata[i + 1]);
    g_message("migration %s of domain %s: %u of %u checkpoints were carried to the destination",
              migration_get_id(migration), migration_get_name(migration),
              checkpoints->len - left->len / 2, checkpoints->len);
}

static void
carry(Migration *migration, virDomainPtr dom, GPtrArray *checkpoints)
{
    g_autoptr(GBytes) body = NULL;
    g_autoptr(GBytes) reply = NULL;
    g_autoptr(GError) error = NULL;

    checkpoint_order(checkpoints);
    body = encode(checkpoints);
    if (parcel_send(migration, MESSAGE_PARCEL_CHECKPOINTS, body, DEADLINE_MS, &reply, &error))
        tell_answer(migration, dom, checkpoints, reply);
    else
        tell_all(migration, dom, checkpoints, error->message);
}

void
carry_source(Migration *migration, virDomainPtr dom)
{
    g_autoptr(GPtrArray) checkpoints = NULL;
    virErrorPtr saved;

    if (migration_get_policy(migration)->checkpoints != POLICY_CHECKPOINTS_CARRY ||
        !migration_claim_carry(migration))
        return;
    saved = stock_error_save();
    checkpoints = carry_list(dom);
    if (!checkpoints)
        g_warning("migration %s of domain %s: its checkpoints are not carried to the destination, "
                  "as they cannot be listed: %s",
                  migration_get_id(migration), migration_get_name(migration),
                  virGetLastErrorMessage());
    else if (checkpoints->len > 0)
        carry(migration, dom, checkpoints);
    stock_error_restore(saved);
}
