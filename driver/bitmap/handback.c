/*
 * handback.c: a source's images and bitmaps when the guest comes back to it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bitmap/handback.h"

#include "stock/json.h"

GPtrArray *
handback_find_strays(const GPtrArray *nodes)
{
    GPtrArray *strays = g_ptr_array_new();

    for (guint i = 0; i < nodes->len; i++) {
        if (((const BlockNode *)nodes->pdata[i])->active)
            g_ptr_array_add(strays, nodes->pdata[i]);
    }
    if (strays->len == nodes->len)
        g_ptr_array_set_size(strays, 0);
    return strays;
}

char *
handback_inactivate_command(const BlockNode *stray)
{
    g_autofree char *name = json_quote(stray->name);

    return g_strdup_printf("{\"execute\":\"blockdev-set-active\","
                           "\"arguments\":{\"node-name\":%s,\"active\":false}}",
                           name);
}

BitmapDecision
handback_decide(const Bitmap *bitmap, PolicyOnReturn on_return, const char **reason)
{
    BitmapCase facts = {
        .storage = bitmap->on_stream ? BITMAP_STORAGE_COPIED : BITMAP_STORAGE_SHARED,
        .on_stream = bitmap->on_stream,
        .phase = BITMAP_PHASE_COMPLETED,
        /* An image that had stored one from the stream would have been ejected. */
        .image = bitmap->inconsistent || bitmap->on_stream ? BITMAP_IMAGE_IN_USE
                                                           : BITMAP_IMAGE_CONSISTENT,
        .on_return = on_return,
    };

    return bitmap_decide(&facts, reason);
}

char *
handback_drop_command(const Bitmap *bitmap)
{
    g_autofree char *node = json_quote(bitmap->node);
    g_autofree char *name = json_quote(bitmap->name);

    return g_strdup_printf("{\"execute\":\"block-dirty-bitmap-remove\","
                           "\"arguments\":{\"node\":%s,\"name\":%s}}",
                           node, name);
}
