/*
 * guard.c: a bitmap that tells what the destination has written to a shared image
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bitmap/guard.h"

#include "stock/json.h"

static gboolean
is_guarded(const Bitmap *bitmap, BitmapStorage storage, PolicyGuard wish, PolicyOnReturn on_return)
{
    /* Of an image that only one host has nobody else can tell. */
    if (!bitmap->active || !bitmap->persistent || bitmap->inconsistent ||
        storage != BITMAP_STORAGE_SHARED || g_str_equal(bitmap->name, GUARD_NAME))
        return FALSE;
    switch (wish) {
    case POLICY_GUARD_AUTO:
        return bitmap_guard_tells(storage, bitmap->on_stream, on_return);
    case POLICY_GUARD_ON:
        return TRUE;
    case POLICY_GUARD_OFF:
        break;
    }
    return FALSE;
}

GPtrArray *
guard_plan(const GPtrArray *view, BitmapStorage storage, PolicyGuard wish, PolicyOnReturn on_return)
{
    GPtrArray *nodes = g_ptr_array_new();

    for (guint i = 0; i < view->len; i++) {
        const Bitmap *bitmap = view->pdata[i];

        if (is_guarded(bitmap, storage, wish, on_return) &&
            !g_ptr_array_find_with_equal_func(nodes, bitmap->node, g_str_equal, NULL))
            g_ptr_array_add(nodes, bitmap->node);
    }
    return nodes;
}

char *
guard_add_command(const GPtrArray *nodes, guint granularity_bytes)
{
    GString *actions = g_string_new("{\"execute\":\"transaction\",\"arguments\":{\"actions\":[");

    for (guint i = 0; i < nodes->len; i++) {
        g_autofree char *node = json_quote(nodes->pdata[i]);

        g_string_append_printf(actions,
                               "%s{\"type\":\"block-dirty-bitmap-add\",\"data\":{\"node\":%s,"
                               "\"name\":\"" GUARD_NAME "\",\"granularity\":%u,"
                               "\"persistent\":true}}",
                               i ? "," : "", node, granularity_bytes);
    }
    g_string_append(actions, "]}}");
    return g_string_free(actions, FALSE);
}

BitmapGuard
guard_read(const Bitmap *bitmap, gboolean made)
{
    if (!made)
        return BITMAP_GUARD_NONE;
    if (!bitmap)
        return BITMAP_GUARD_MISSING;
    if (bitmap->inconsistent)
        return BITMAP_GUARD_IN_USE;
    return bitmap->dirty_bytes ? BITMAP_GUARD_WRITTEN : BITMAP_GUARD_EMPTY;
}
