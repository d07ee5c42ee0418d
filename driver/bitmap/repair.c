/*
 * repair.c: a bitmap that QEMU would never store, made anew while the guest runs
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bitmap/repair.h"

#include <string.h>

#include "bitmap/handback.h"
#include "stock/json.h"

#define COPY_PREFIX "holdfast-repair-"
/* BDRV_BITMAP_MAX_NAME_SIZE, include/block/dirty-bitmap.h, QEMU 10.0. */
#define NAME_MAX_BYTES 1023

static char *
get_copy_name(const char *name)
{
    return g_strconcat(COPY_PREFIX, name, NULL);
}

/* --- what there is to do --- */

static void
repair_clear(gpointer repair)
{
    bitmap_free(((Repair *)repair)->bitmap);
}

static void
add(GArray *plan, const Bitmap *like, const char *name, RepairStep first)
{
    Repair repair = {g_memdup2(like, sizeof(*like)), first};

    repair.bitmap->node = g_strdup(like->node);
    repair.bitmap->name = g_strdup(name);
    g_array_append_val(plan, repair);
}

/* Somebody was interrupted. Where the bitmap itself is there it is right, be it the old one or the
 * new one; else the copy is all that is left of it. */
static void
plan_copy(const GPtrArray *view, const Bitmap *copy, GArray *plan)
{
    const char *name = copy->name + strlen(COPY_PREFIX);
    const Bitmap *bitmap = view_find(view, copy->node, name);

    if (!bitmap)
        add(plan, copy, name, REPAIR_RENEW);
    else if (!bitmap->on_stream)
        add(plan, bitmap, name, REPAIR_CLEAN);
}

static void
plan_bitmap(const GPtrArray *view, const Bitmap *bitmap, GArray *plan)
{
    g_autofree char *copy = get_copy_name(bitmap->name);

    if (!bitmap->on_stream || !bitmap->persistent || bitmap->inconsistent ||
        strlen(copy) > NAME_MAX_BYTES)
        return;
    if (view_find(view, bitmap->node, copy))
        add(plan, bitmap, bitmap->name, REPAIR_CLEAN);
    add(plan, bitmap, bitmap->name, REPAIR_COPY);
}

GArray *
repair_plan(const GPtrArray *view)
{
    GArray *plan = g_array_new(FALSE, FALSE, sizeof(Repair));

    g_array_set_clear_func(plan, repair_clear);
    for (guint i = 0; i < view->len; i++) {
        const Bitmap *bitmap = view->pdata[i];

        if (!bitmap->active)
            continue;
        if (g_str_has_prefix(bitmap->name, COPY_PREFIX))
            plan_copy(view, bitmap, plan);
        else
            plan_bitmap(view, bitmap, plan);
    }
    return plan;
}

gboolean
repair_is_busy(const GArray *plan)
{
    for (guint i = 0; i < plan->len; i++) {
        if (g_array_index(plan, Repair, i).bitmap->busy)
            return TRUE;
    }
    return FALSE;
}

/* --- QMP --- */

/* A bitmap as @bitmap is, with the content of @from. */
static char *
format_copy(const Bitmap *bitmap, const char *name, gboolean persistent, const char *from)
{
    g_autofree char *node = json_quote(bitmap->node);
    g_autofree char *target = json_quote(name);
    g_autofree char *source = json_quote(from);

    return g_strdup_printf(
        "{\"execute\":\"transaction\",\"arguments\":{\"actions\":["
        "{\"type\":\"block-dirty-bitmap-add\",\"data\":{\"node\":%s,\"name\":%s,"
        "\"granularity\":%" G_GUINT64_FORMAT ",\"persistent\":%s,\"disabled\":%s}},"
        "{\"type\":\"block-dirty-bitmap-merge\",\"data\":{\"node\":%s,\"target\":%s,"
        "\"bitmaps\":[%s]}}]}}",
        node, target, bitmap->granularity_bytes, persistent ? "true" : "false",
        bitmap->recording ? "false" : "true", node, target, source);
}

char *
repair_command(const Bitmap *bitmap, RepairStep step)
{
    g_autofree char *copy = get_copy_name(bitmap->name);

    switch (step) {
    case REPAIR_COPY:
        return format_copy(bitmap, copy, FALSE, bitmap->name);
    case REPAIR_REMOVE:
        return handback_remove_command(bitmap->node, bitmap->name);
    case REPAIR_RENEW:
        return format_copy(bitmap, bitmap->name, TRUE, copy);
    case REPAIR_CLEAN:
        return handback_remove_command(bitmap->node, copy);
    case REPAIR_DONE:
        break;
    }
    return NULL;
}

const char *
repair_end_command(void)
{
    return "{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"block-bitmap-mapping\":[]}}";
}
