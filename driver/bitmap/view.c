/*
 * view.c: the dirty bitmaps of a QEMU, as it tells of them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bitmap/view.h"

#include <glib/gi18n-lib.h>

#include "stock/json.h"
#include "stock/symbols.h"

G_DEFINE_QUARK(holdfast - view - error - quark, view_error)

void
bitmap_free(Bitmap *bitmap)
{
    if (!bitmap)
        return;
    g_free(bitmap->node);
    g_free(bitmap->name);
    g_free(bitmap);
}

void
block_node_free(BlockNode *node)
{
    g_free(node->name);
    g_free(node->driver);
    g_free(node->file);
    g_free(node);
}

void
mapped_bitmap_free(MappedBitmap *mapped)
{
    g_free(mapped->node);
    g_free(mapped->name);
    g_free(mapped->node_alias);
    g_free(mapped->alias);
    g_free(mapped);
}

/* --- JSON --- */

/* NULL, and 0 elements, for what is no array. */
static Json *
get_array(Json *object, const char *key, guint *n)
{
    Json *array = object ? symbols.virJSONValueObjectGetArray(object, key) : NULL;

    *n = array ? (guint)symbols.virJSONValueArraySize(array) : 0;
    return array;
}

static const char *
get_string(Json *object, const char *key)
{
    return object ? symbols.virJSONValueObjectGetString(object, key) : NULL;
}

static gboolean
get_boolean(Json *object, const char *key, gboolean otherwise)
{
    bool value;

    return symbols.virJSONValueObjectGetBoolean(object, key, &value) == 0 ? value : otherwise;
}

/* --- the mapping --- */

/* Owns nothing: the JSON has the names. */
typedef struct {
    Json *nodes;
    guint n;
} Mapping;

static Mapping
get_mapping(Json *parameters)
{
    Json *result = parameters ? symbols.virJSONValueObjectGetObject(parameters, "return") : NULL;
    Mapping mapping;

    mapping.nodes = get_array(result, "block-bitmap-mapping", &mapping.n);
    return mapping;
}

static gboolean
has_name(Json *node, const char *name)
{
    guint n;
    Json *bitmaps = get_array(node, "bitmaps", &n);

    for (guint i = 0; i < n; i++) {
        if (!name ||
            g_strcmp0(get_string(symbols.virJSONValueArrayGet(bitmaps, i), "name"), name) == 0)
            return TRUE;
    }
    return FALSE;
}

/* @node, @name: NULL for any. */
static gboolean
is_mapped(const Mapping *mapping, const char *node, const char *name)
{
    for (guint i = 0; i < mapping->n; i++) {
        Json *entry = symbols.virJSONValueArrayGet(mapping->nodes, i);

        if ((!node || g_strcmp0(get_string(entry, "node-name"), node) == 0) &&
            has_name(entry, name))
            return TRUE;
    }
    return FALSE;
}

gboolean
view_has_mapping(const char *parameters)
{
    g_autoptr(Json) json = json_parse(parameters);
    Mapping mapping = get_mapping(json);

    return is_mapped(&mapping, NULL, NULL);
}

static void
add_mapped(Json *node, Json *bitmap, GPtrArray *list)
{
    const char *names[] = {get_string(node, "node-name"), get_string(bitmap, "name"),
                           get_string(node, "alias"), get_string(bitmap, "alias")};
    Json *transform = bitmap ? symbols.virJSONValueObjectGetObject(bitmap, "transform") : NULL;
    MappedBitmap *mapped;

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        if (!names[i])
            return;
    }
    mapped = g_new(MappedBitmap, 1);
    mapped->node = g_strdup(names[0]);
    mapped->name = g_strdup(names[1]);
    mapped->node_alias = g_strdup(names[2]);
    mapped->alias = g_strdup(names[3]);
    mapped->persists = transform && get_boolean(transform, "persistent", FALSE);
    g_ptr_array_add(list, mapped);
}

GPtrArray *
view_parse_mapping(const char *parameters)
{
    g_autoptr(Json) json = json_parse(parameters);
    Mapping mapping = get_mapping(json);
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)mapped_bitmap_free);

    for (guint i = 0; i < mapping.n; i++) {
        Json *node = symbols.virJSONValueArrayGet(mapping.nodes, i);
        guint n;
        Json *bitmaps = get_array(node, "bitmaps", &n);

        for (guint j = 0; j < n; j++)
            add_mapped(node, symbols.virJSONValueArrayGet(bitmaps, j), list);
    }
    return list;
}

/* --- the bitmaps --- */

/* NULL for one that QEMU uses for itself: it has no name. */
static Bitmap *
read_bitmap(Json *info, const char *node, gboolean active, const Mapping *mapping)
{
    const char *name = get_string(info, "name");
    unsigned long long granularity, count;
    Bitmap *bitmap;

    if (!name || !*name ||
        symbols.virJSONValueObjectGetNumberUlong(info, "granularity", &granularity) < 0)
        return NULL;
    bitmap = g_new0(Bitmap, 1);
    bitmap->node = g_strdup(node);
    bitmap->name = g_strdup(name);
    bitmap->granularity_bytes = granularity;
    if (symbols.virJSONValueObjectGetNumberUlong(info, "count", &count) == 0)
        bitmap->dirty_bytes = count;
    bitmap->active = active;
    bitmap->recording = get_boolean(info, "recording", FALSE);
    bitmap->busy = get_boolean(info, "busy", FALSE);
    bitmap->persistent = get_boolean(info, "persistent", FALSE);
    bitmap->inconsistent = get_boolean(info, "inconsistent", FALSE);
    bitmap->on_stream = is_mapped(mapping, node, name);
    return bitmap;
}

static guint64
get_size(Json *info)
{
    Json *image = symbols.virJSONValueObjectGetObject(info, "image");
    unsigned long long size = 0;

    if (image)
        symbols.virJSONValueObjectGetNumberUlong(image, "virtual-size", &size);
    return size;
}

/* QEMU before 10.0 does not say; it tells of no bitmap on a node that is inactive. */
static gboolean
is_active(Json *info)
{
    return get_boolean(info, "active", TRUE);
}

static void
read_node(Json *info, const Mapping *mapping, GPtrArray *view)
{
    const char *node = get_string(info, "node-name");
    gboolean active = is_active(info);
    guint n;
    Json *bitmaps = get_array(info, "dirty-bitmaps", &n);

    for (guint i = 0; node && i < n; i++) {
        Bitmap *bitmap =
            read_bitmap(symbols.virJSONValueArrayGet(bitmaps, i), node, active, mapping);

        if (bitmap)
            g_ptr_array_add(view, bitmap);
    }
}

static void
set_error(const char *reply, GError **error)
{
    g_set_error(error, VIEW_ERROR, VIEW_ERROR_REPLY,
                _("QEMU does not tell of its dirty bitmaps: %1$.200s"), reply);
}

GPtrArray *
view_parse(const char *nodes, const char *parameters, GError **error)
{
    g_autoptr(Json) nodes_json = json_parse(nodes);
    g_autoptr(Json) parameters_json = json_parse(parameters);
    g_autoptr(GPtrArray) view = NULL;
    Mapping mapping = get_mapping(parameters_json);
    guint n;
    Json *array = get_array(nodes_json, "return", &n);

    if (!array || !parameters_json) {
        set_error(array ? parameters : nodes, error);
        return NULL;
    }
    view = g_ptr_array_new_with_free_func((GDestroyNotify)bitmap_free);
    for (guint i = 0; i < n; i++)
        read_node(symbols.virJSONValueArrayGet(array, i), &mapping, view);
    return g_steal_pointer(&view);
}

static BlockNode *
make_node(Json *info)
{
    const char *name = get_string(info, "node-name");
    const char *driver = get_string(info, "drv");
    const char *file = get_string(info, "file");
    BlockNode *node = name ? g_new(BlockNode, 1) : NULL;

    if (!node)
        return NULL;
    node->name = g_strdup(name);
    node->driver = g_strdup(driver ? driver : "");
    node->file = g_strdup(file ? file : "");
    node->active = is_active(info);
    node->read_only = get_boolean(info, "ro", FALSE);
    node->size_bytes = get_size(info);
    return node;
}

/* The lists of nodes are alike in what there is in both. */
GPtrArray *
view_parse_names(const char *blockstats, GError **error)
{
    return view_parse_nodes(blockstats, error);
}

GPtrArray *
view_parse_nodes(const char *nodes, GError **error)
{
    g_autoptr(Json) json = json_parse(nodes);
    GPtrArray *list;
    guint n;
    Json *array = get_array(json, "return", &n);

    if (!array) {
        set_error(nodes, error);
        return NULL;
    }
    list = g_ptr_array_new_with_free_func((GDestroyNotify)block_node_free);
    for (guint i = 0; i < n; i++) {
        BlockNode *node = make_node(symbols.virJSONValueArrayGet(array, i));

        if (node)
            g_ptr_array_add(list, node);
    }
    return list;
}

const BlockNode *
view_find_node(const GPtrArray *nodes, const char *name)
{
    for (guint i = 0; i < nodes->len; i++) {
        const BlockNode *node = nodes->pdata[i];

        if (g_str_equal(node->name, name))
            return node;
    }
    return NULL;
}

gboolean
bitmap_is_ours(const Bitmap *bitmap)
{
    return g_str_has_prefix(bitmap->name, "holdfast-");
}

const Bitmap *
view_find(const GPtrArray *view, const char *node, const char *name)
{
    for (guint i = 0; i < view->len; i++) {
        const Bitmap *bitmap = view->pdata[i];

        if (g_str_equal(bitmap->node, node) && g_str_equal(bitmap->name, name))
            return bitmap;
    }
    return NULL;
}
