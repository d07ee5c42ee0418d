/*
 * bitmap-rebuild.c: what is recorded, what is missing, and what the source has of it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bitmap/rebuild.h"

#include <string.h>

typedef enum { BUSY = 1, DISABLED = 2, TRANSIENT = 4, BROKEN = 8 } Kind;

static GPtrArray *
new_view(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)bitmap_free);
}

static void
add(GPtrArray *view, const char *node, const char *name, guint64 granularity, guint kind)
{
    Bitmap *bitmap = g_new0(Bitmap, 1);

    bitmap->node = g_strdup(node);
    bitmap->name = g_strdup(name);
    bitmap->granularity_bytes = granularity;
    bitmap->recording = !(kind & DISABLED);
    bitmap->busy = (kind & BUSY) != 0;
    bitmap->persistent = !(kind & TRANSIENT);
    bitmap->inconsistent = (kind & BROKEN) != 0;
    g_ptr_array_add(view, bitmap);
}

/* "NODE/NAME NODE/NAME"; the aliases are the same in capitals. */
static GPtrArray *
make_mapping(const char *text)
{
    GPtrArray *mapping = g_ptr_array_new_with_free_func((GDestroyNotify)mapped_bitmap_free);
    g_auto(GStrv) words = g_strsplit(text, " ", -1);

    for (char **word = words; *word && **word; word++) {
        g_auto(GStrv) parts = g_strsplit(*word, "/", 2);
        MappedBitmap *mapped = g_new0(MappedBitmap, 1);

        mapped->node = g_strdup(parts[0]);
        mapped->name = g_strdup(parts[1]);
        mapped->node_alias = g_ascii_strup(parts[0], -1);
        mapped->alias = g_ascii_strup(parts[1], -1);
        g_ptr_array_add(mapping, mapped);
    }
    return mapping;
}

static void
assert_trackers(const char *mapped, const GPtrArray *view, const char *expected)
{
    g_autoptr(GPtrArray) mapping = make_mapping(mapped);
    g_autoptr(GArray) plan = rebuild_plan_trackers(mapping, view);
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < plan->len; i++) {
        const Tracker *tracker = &g_array_index(plan, Tracker, i);

        g_string_append_printf(text, "%s%s:%" G_GUINT64_FORMAT, i ? " " : "", tracker->node,
                               tracker->granularity_bytes);
    }
    g_assert_cmpstr(text->str, ==, expected);
}

/* One for a node, as fine as the finest of those that are still coming. */
static void
test_trackers(void)
{
    g_autoptr(GPtrArray) view = new_view();

    add(view, "n1", "a", 65536, BUSY);
    add(view, "n1", "b", 32768, BUSY);
    add(view, "n1", "there", 512, 0);
    add(view, "n2", "a", 1048576, BUSY);
    add(view, "n2", "mine", 512, BUSY); /* nobody's business */
    assert_trackers("", view, "");
    assert_trackers("n1/there", view, "");
    assert_trackers("n1/a n1/b n1/there n2/a", view, "n1:32768 n2:1048576");
    /* Given up already: what it was nobody here knows. */
    assert_trackers("n1/a n1/lost n3/lost", view, "n1:4096 n3:4096");
    add(view, "n1", "holdfast-tracker", 65536, TRANSIENT);
    assert_trackers("n1/a n2/a", view, "n2:1048576");
}

static void
test_whose(void)
{
    g_autoptr(GPtrArray) view = new_view();
    g_autofree char *scratch = rebuild_get_scratch(G_MAXUINT);

    g_assert_true(rebuild_is_scratch(scratch));
    g_assert_cmpuint(strlen(scratch), <, 32); /* a node's name, block.c, QEMU 10.0 */
    g_assert_false(rebuild_is_scratch("libvirt-1-format"));
    g_assert_false(rebuild_has_trackers(view));
    add(view, "n1", "holdfast-tracker", 65536, TRANSIENT);
    add(view, "n2", "holdfast-tracker", 65536, TRANSIENT | DISABLED);
    g_assert_true(rebuild_has_trackers(view));
    g_assert_true(rebuild_is_tracked("n1", view));
    g_assert_false(rebuild_is_tracked("n2", view));
    g_assert_false(rebuild_is_tracked("n3", view));
}

static void
test_arrived(void)
{
    g_autoptr(GPtrArray) view = new_view();
    g_autoptr(GPtrArray) mapping = make_mapping("n1/there n1/coming n1/gone n2/there");

    add(view, "n1", "there", 65536, 0);
    add(view, "n1", "coming", 65536, BUSY);
    for (guint i = 0; i < mapping->len; i++)
        g_assert_cmpint(rebuild_has_arrived(mapping->pdata[i], view), ==, i == 0);
}

static GPtrArray *
make_nodes(guint64 size)
{
    GPtrArray *nodes = g_ptr_array_new_with_free_func((GDestroyNotify)block_node_free);
    BlockNode *node = g_new0(BlockNode, 1);

    node->name = g_strdup("n1");
    node->size_bytes = size;
    g_ptr_array_add(nodes, node);
    return nodes;
}

/* What is not right is not sent. */
static void
test_halves(void)
{
    static const guint bad[] = {BUSY, BROKEN};
    g_autoptr(GPtrArray) mapping = make_mapping("n1/x");
    g_autoptr(GPtrArray) nodes = make_nodes(1 << 30);
    g_autoptr(GPtrArray) unknown = make_nodes(0);
    MappedBitmap *mapped = mapping->pdata[0];

    for (guint kind = 0; kind < 8; kind += DISABLED) {
        g_autoptr(GPtrArray) view = new_view();
        g_autoptr(BitmapHalf) half = NULL;

        add(view, "n1", "x", 32768, kind);
        half = rebuild_plan_half(mapped, view, nodes);
        g_assert_cmpstr(half->node_alias, ==, "N1");
        g_assert_cmpstr(half->alias, ==, "X");
        g_assert_cmpuint(half->granularity_bytes, ==, 32768);
        g_assert_cmpuint(half->size_bytes, ==, 1 << 30);
        g_assert_cmpint(half->recording, ==, !(kind & DISABLED));
        g_assert_cmpint(half->persistent, ==, !(kind & TRANSIENT));
        g_assert_null(rebuild_plan_half(mapped, view, unknown));
        /* libvirt's own copy of a chain's bitmaps, which is to persist over there. */
        mapped->persists = TRUE;
        half_free(g_steal_pointer(&half));
        half = rebuild_plan_half(mapped, view, nodes);
        g_assert_true(half->persistent);
        mapped->persists = FALSE;
    }
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GPtrArray) view = new_view();

        add(view, "n1", "x", 32768, bad[i]);
        g_assert_null(rebuild_plan_half(mapped, view, nodes));
    }
    {
        g_autoptr(GPtrArray) empty = new_view();

        g_assert_null(rebuild_plan_half(mapped, empty, nodes));
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bitmap-rebuild/trackers", test_trackers);
    g_test_add_func("/bitmap-rebuild/whose", test_whose);
    g_test_add_func("/bitmap-rebuild/arrived", test_arrived);
    g_test_add_func("/bitmap-rebuild/halves", test_halves);
    return g_test_run();
}
