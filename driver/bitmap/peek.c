/*
 * peek.c: what an image says of its bitmaps, read before this host takes the image into use
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bitmap/peek.h"

#include "stock/json.h"

#define PREFIX "holdfast-peek-"

static void
peek_clear(gpointer opaque)
{
    Peek *peek = opaque;

    g_free(peek->node);
    g_free(peek->name);
    g_free(peek->driver);
    g_free(peek->file);
}

gboolean
peek_is_ours(const char *node)
{
    return g_str_has_prefix(node, PREFIX);
}

/* The node that has the file by that name, and needs no more to open it; NULL for none. A qcow2
 * node has the file's name only where its file needs no more than that. */
static const BlockNode *
find_file(const GPtrArray *nodes, const char *file)
{
    for (guint i = 0; i < nodes->len; i++) {
        const BlockNode *node = nodes->pdata[i];

        if (g_str_equal(node->file, file) &&
            (g_str_equal(node->driver, "file") || g_str_equal(node->driver, "host_device")))
            return node;
    }
    return NULL;
}

GArray *
peek_plan(const GPtrArray *nodes)
{
    GArray *plan = g_array_new(FALSE, FALSE, sizeof(Peek));

    g_array_set_clear_func(plan, peek_clear);
    for (guint i = 0; i < nodes->len; i++) {
        const BlockNode *node = nodes->pdata[i];
        const BlockNode *file =
            g_str_equal(node->driver, "qcow2") && !node->active && !node->read_only
                ? find_file(nodes, node->file)
                : NULL;
        Peek peek;

        if (!file)
            continue;
        peek = (Peek){
            .node = g_strdup(node->name),
            .name = g_strdup_printf(PREFIX "%u", plan->len),
            .driver = g_strdup(file->driver),
            .file = g_strdup(node->file),
        };
        g_array_append_val(plan, peek);
    }
    return plan;
}

char *
peek_open_command(const Peek *peek, gboolean shared)
{
    g_autofree char *file = json_quote(peek->file);

    return g_strdup_printf("{\"execute\":\"blockdev-add\",\"arguments\":{\"driver\":\"qcow2\","
                           "\"node-name\":\"%s\",\"read-only\":true,\"force-share\":%s,"
                           "\"backing\":null,\"file\":{\"driver\":\"%s\",\"filename\":%s}}}",
                           peek->name, shared ? "true" : "false", peek->driver, file);
}

char *
peek_add_command(const Peek *peek)
{
    return g_strdup_printf("{\"execute\":\"block-dirty-bitmap-add\",\"arguments\":{\"node\":\"%s\","
                           "\"name\":\"" PREFIX "probe\",\"disabled\":true}}",
                           peek->name);
}

char *
peek_probe_command(const Peek *peek, const char *name)
{
    g_autofree char *quoted = json_quote(name);

    return g_strdup_printf(
        "{\"execute\":\"block-dirty-bitmap-merge\",\"arguments\":{\"node\":\"%s\","
        "\"target\":\"" PREFIX "probe\",\"bitmaps\":[%s]}}",
        peek->name, quoted);
}

char *
peek_close_command(const char *name)
{
    g_autofree char *quoted = json_quote(name);

    return g_strdup_printf("{\"execute\":\"blockdev-del\",\"arguments\":{\"node-name\":%s}}",
                           quoted);
}
