/*
 * rebuild.c: dirty bitmaps that a pause has cut off on their way, made of two halves
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bitmap/rebuild.h"

#include "stock/json.h"

#define TRACKER        "holdfast-tracker"
#define SCRATCH_PREFIX "holdfast-scratch-"
/* What QEMU gives a bitmap by itself is the image's cluster size, but from this to 64 KiB
 * (bdrv_get_default_bitmap_granularity(), block/dirty-bitmap.c, QEMU 10.0), and libvirt leaves it
 * so: a tracker that is so fine makes all of these exact. 32 MiB of memory for a TiB of disk. */
#define TRACKER_BYTES 4096

/* --- what there is to do --- */

gboolean
rebuild_has_arrived(const MappedBitmap *mapped, const GPtrArray *view)
{
    const Bitmap *bitmap = view_find(view, mapped->node, mapped->name);

    /* QEMU lets go of it when its last bit has come (dirty_bitmap_load_complete(),
     * migration/block-dirty-bitmap.c, QEMU 10.0). */
    return bitmap && !bitmap->busy;
}

gboolean
rebuild_is_tracker(const Bitmap *bitmap)
{
    return g_str_equal(bitmap->name, TRACKER);
}

gboolean
rebuild_is_tracked(const char *node, const GPtrArray *view)
{
    const Bitmap *tracker = view_find(view, node, TRACKER);

    return tracker && tracker->recording && !tracker->busy;
}

gboolean
rebuild_has_trackers(const GPtrArray *view)
{
    for (guint i = 0; i < view->len; i++) {
        if (rebuild_is_tracker(view->pdata[i]))
            return TRUE;
    }
    return FALSE;
}

gboolean
rebuild_is_scratch(const char *node)
{
    return g_str_has_prefix(node, SCRATCH_PREFIX);
}

static Tracker *
find_tracker(GArray *plan, const char *node)
{
    for (guint i = 0; i < plan->len; i++) {
        Tracker *tracker = &g_array_index(plan, Tracker, i);

        if (g_str_equal(tracker->node, node))
            return tracker;
    }
    return NULL;
}

/* That of a bitmap which was given up before the guest ran is known to the source alone. */
static guint64
get_granularity(const MappedBitmap *mapped, const GPtrArray *view)
{
    const Bitmap *bitmap = view_find(view, mapped->node, mapped->name);

    return bitmap ? bitmap->granularity_bytes : TRACKER_BYTES;
}

GArray *
rebuild_plan_trackers(const GPtrArray *mapping, const GPtrArray *view)
{
    GArray *plan = g_array_new(FALSE, FALSE, sizeof(Tracker));

    for (guint i = 0; i < mapping->len; i++) {
        const MappedBitmap *mapped = mapping->pdata[i];
        guint64 granularity = get_granularity(mapped, view);
        Tracker *known = find_tracker(plan, mapped->node);

        if (rebuild_has_arrived(mapped, view) || view_find(view, mapped->node, TRACKER))
            continue;
        if (known)
            known->granularity_bytes = MIN(known->granularity_bytes, granularity);
        else
            g_array_append_val(plan, ((Tracker){mapped->node, granularity}));
    }
    return plan;
}

BitmapHalf *
rebuild_plan_half(const MappedBitmap *mapped, const GPtrArray *view, const GPtrArray *nodes)
{
    const Bitmap *bitmap = view_find(view, mapped->node, mapped->name);
    const BlockNode *node = view_find_node(nodes, mapped->node);
    BitmapHalf *half;

    if (!bitmap || bitmap->busy || bitmap->inconsistent || !node || !node->size_bytes)
        return NULL;
    half = half_new(mapped->node_alias, mapped->alias);
    half->granularity_bytes = bitmap->granularity_bytes;
    half->size_bytes = node->size_bytes;
    half->recording = bitmap->recording;
    half->persistent = bitmap->persistent || mapped->persists;
    return half;
}

/* --- QMP --- */

char *
rebuild_get_scratch(guint number)
{
    return g_strdup_printf(SCRATCH_PREFIX "%u", number);
}

char *
rebuild_tracker_command(const Tracker *tracker)
{
    g_autofree char *node = json_quote(tracker->node);

    return g_strdup_printf("{\"execute\":\"block-dirty-bitmap-add\",\"arguments\":{\"node\":%s,"
                           "\"name\":\"" TRACKER "\",\"granularity\":%" G_GUINT64_FORMAT "}}",
                           node, tracker->granularity_bytes);
}

char *
rebuild_remove_command(const char *node)
{
    g_autofree char *quoted = json_quote(node);

    return g_strdup_printf("{\"execute\":\"block-dirty-bitmap-remove\",\"arguments\":{\"node\":%s,"
                           "\"name\":\"" TRACKER "\"}}",
                           quoted);
}

char *
rebuild_scratch_command(guint number, guint64 size_bytes)
{
    return g_strdup_printf("{\"execute\":\"blockdev-add\",\"arguments\":{\"driver\":\"null-co\","
                           "\"node-name\":\"" SCRATCH_PREFIX "%u\",\"size\":%" G_GUINT64_FORMAT
                           ",\"read-zeroes\":true}}",
                           number, size_bytes);
}

char *
rebuild_drop_scratch_command(const char *node)
{
    g_autofree char *quoted = json_quote(node);

    /* With the bitmaps that it has (bdrv_close(), block.c, QEMU 10.0). */
    return g_strdup_printf("{\"execute\":\"blockdev-del\",\"arguments\":{\"node-name\":%s}}",
                           quoted);
}

char *
rebuild_fill_command(guint number, const MappedBitmap *mapped, const BitmapHalf *half)
{
    g_autofree char *node = json_quote(mapped->node);
    g_autofree char *name = json_quote(mapped->name);

    return g_strdup_printf(
        "{\"execute\":\"transaction\",\"arguments\":{\"actions\":["
        "{\"type\":\"block-dirty-bitmap-add\",\"data\":{\"node\":\"" SCRATCH_PREFIX "%u\","
        "\"name\":\"" REBUILD_SCRATCH_BITMAP "\",\"granularity\":%" G_GUINT64_FORMAT
        ",\"disabled\":true}},"
        "{\"type\":\"block-dirty-bitmap-merge\",\"data\":{\"node\":\"" SCRATCH_PREFIX "%u\","
        "\"target\":\"" REBUILD_SCRATCH_BITMAP "\",\"bitmaps\":[{\"node\":%s,\"name\":%s}]}}]}}",
        number, half->granularity_bytes, number, node, name);
}

char *
rebuild_record_command(guint number, const BitmapHalf *half)
{
    return g_strdup_printf("{\"execute\":\"block-dirty-bitmap-add\",\"arguments\":{"
                           "\"node\":\"" SCRATCH_PREFIX "%u\",\"name\":\"" REBUILD_SCRATCH_BITMAP
                           "\",\"granularity\":%" G_GUINT64_FORMAT "}}",
                           number, half->granularity_bytes);
}

const char *
rebuild_listen_command(void)
{
    return "{\"execute\":\"nbd-server-start\",\"arguments\":{\"addr\":{\"type\":\"fd\","
           "\"data\":{\"str\":\"" REBUILD_FD "\"}}}}";
}

char *
rebuild_export_command(guint number, gboolean writable)
{
    g_autofree char *name = rebuild_get_scratch(number);

    return g_strdup_printf("{\"execute\":\"block-export-add\",\"arguments\":{\"type\":\"nbd\","
                           "\"id\":\"%s\",\"node-name\":\"%s\",\"name\":\"%s\",\"writable\":%s%s}}",
                           name, name, name, writable ? "true" : "false",
                           writable ? "" : ",\"bitmaps\":[\"" REBUILD_SCRATCH_BITMAP "\"]");
}

const char *
rebuild_unlisten_command(void)
{
    return "{\"execute\":\"nbd-server-stop\"}";
}

char *
rebuild_make_command(guint number, const MappedBitmap *mapped, const BitmapHalf *half)
{
    g_autofree char *node = json_quote(mapped->node);
    g_autofree char *name = json_quote(mapped->name);

    return g_strdup_printf(
        "{\"execute\":\"transaction\",\"arguments\":{\"actions\":["
        "{\"type\":\"block-dirty-bitmap-add\",\"data\":{\"node\":%s,\"name\":%s,"
        "\"granularity\":%" G_GUINT64_FORMAT ",\"persistent\":%s,\"disabled\":%s}},"
        "{\"type\":\"block-dirty-bitmap-merge\",\"data\":{\"node\":%s,\"target\":%s,"
        "\"bitmaps\":[{\"node\":\"" SCRATCH_PREFIX "%u\",\"name\":\"" REBUILD_SCRATCH_BITMAP
        "\"}%s]}}]}}",
        node, name, half->granularity_bytes, half->persistent ? "true" : "false",
        half->recording ? "false" : "true", node, name, number,
        half->recording ? ",\"" TRACKER "\"" : "");
}
