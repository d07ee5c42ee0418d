/*
 * handback.c: a source's images and bitmaps when the guest comes back to it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bitmap/handback.h"

#include "bitmap/guard.h"
#include "bitmap/peek.h"
#include "stock/json.h"

/* --- images --- */

GPtrArray *
handback_find_strays(const GPtrArray *nodes)
{
    GPtrArray *strays = g_ptr_array_new();
    guint others = 0;

    for (guint i = 0; i < nodes->len; i++) {
        const BlockNode *node = nodes->pdata[i];

        if (node->active && !g_str_has_prefix(node->name, "holdfast-"))
            g_ptr_array_add(strays, nodes->pdata[i]);
        others += !node->active;
    }
    if (others == 0)
        g_ptr_array_set_size(strays, 0);
    return strays;
}

gboolean
handback_is_active(const GPtrArray *nodes)
{
    for (guint i = 0; i < nodes->len; i++) {
        if (!((const BlockNode *)nodes->pdata[i])->active)
            return FALSE;
    }
    return nodes->len > 0;
}

char *
handback_inactivate_command(const BlockNode *stray)
{
    g_autofree char *name = json_quote(stray->name);

    return g_strdup_printf("{\"execute\":\"blockdev-set-active\","
                           "\"arguments\":{\"node-name\":%s,\"active\":false}}",
                           name);
}

const char *
handback_activate_command(void)
{
    return "{\"execute\":\"blockdev-set-active\",\"arguments\":{\"active\":true}}";
}

/* --- bitmaps --- */

static void
handback_clear(gpointer opaque)
{
    Handback *handback = opaque;

    g_free(handback->node);
    g_free(handback->name);
}

GArray *
handback_list(const char *parameters)
{
    g_autoptr(GPtrArray) mapping = view_parse_mapping(parameters);
    GArray *list = g_array_new(FALSE, FALSE, sizeof(Handback));

    g_array_set_clear_func(list, handback_clear);
    for (guint i = 0; i < mapping->len; i++) {
        const MappedBitmap *bitmap = mapping->pdata[i];
        Handback handback = {.node = g_strdup(bitmap->node),
                             .name = g_strdup(bitmap->name),
                             .image = BITMAP_IMAGE_UNREAD};

        g_array_append_val(list, handback);
    }
    return list;
}

/* One that could not be looked for is shown by its image when that is active. */
gboolean
handback_goes_first(const Handback *handback)
{
    return handback->image == BITMAP_IMAGE_CONSISTENT || handback->image == BITMAP_IMAGE_UNREAD;
}

/* Whether it is still the one in memory. */
static gboolean
was_kept(const Bitmap *bitmap, const GArray *list)
{
    for (guint i = 0; list && i < list->len; i++) {
        const Handback *each = &g_array_index(list, Handback, i);

        if (g_str_equal(each->node, bitmap->node) && g_str_equal(each->name, bitmap->name))
            return !handback_goes_first(each) && !bitmap->inconsistent;
    }
    return !list && bitmap->on_stream;
}

BitmapDecision
handback_judge(const GPtrArray *view,
               const Bitmap *bitmap,
               const GArray *list,
               const HandbackFacts *known,
               const char **reason)
{
    gboolean kept = was_kept(bitmap, list);
    BitmapCase facts = {
        .storage = known->storage,
        .on_stream = kept,
        .phase = BITMAP_PHASE_COMPLETED,
        .image = bitmap->inconsistent || kept ? BITMAP_IMAGE_IN_USE : BITMAP_IMAGE_CONSISTENT,
        .guard = guard_read(view_find(view, bitmap->node, GUARD_NAME), known->guarded),
        .on_return = known->on_return,
    };

    return bitmap_decide(&facts, reason);
}

BitmapDecision
handback_judge_gone(const Handback *handback, const HandbackFacts *known, const char **reason)
{
    BitmapCase facts = {
        .storage = known->storage,
        .on_stream = TRUE,
        .phase = BITMAP_PHASE_COMPLETED,
        .image = BITMAP_IMAGE_UNREAD,
        .on_return = known->on_return,
    };

    return bitmap_decide(&facts, reason);
}

/* --- QMP --- */

char *
handback_remove_command(const char *node, const char *name)
{
    g_autofree char *quoted_node = json_quote(node);
    g_autofree char *quoted_name = json_quote(name);

    return g_strdup_printf("{\"execute\":\"block-dirty-bitmap-remove\","
                           "\"arguments\":{\"node\":%s,\"name\":%s}}",
                           quoted_node, quoted_name);
}

char *
handback_merge_command(const char *node, const char *name)
{
    g_autofree char *quoted_node = json_quote(node);
    g_autofree char *quoted_name = json_quote(name);

    return g_strdup_printf("{\"execute\":\"block-dirty-bitmap-merge\",\"arguments\":{\"node\":%s,"
                           "\"target\":%s,\"bitmaps\":[\"" GUARD_NAME "\"]}}",
                           quoted_node, quoted_name);
}
