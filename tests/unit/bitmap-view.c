/*
 * bitmap-view.c: what QEMU says of its bitmaps
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bitmap/view.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <string.h>

#include "doubles/libvirt.h"
#include "stock/symbols.h"

#define NO_MAPPING "{\"return\": {\"max-bandwidth\": 1}}"
#define MAPPING                                                                                    \
    "{\"return\": {\"block-bitmap-mapping\": [{\"node-name\": \"n1\", \"alias\": \"x\", "          \
    "\"bitmaps\": [{\"name\": \"b1\", \"alias\": \"y\"}]}]}}"
#define INFO(name, rest) "{\"name\": \"" name "\", \"granularity\": 65536" rest "}"
#define NODE(name, rest) "{\"node-name\": \"" name "\"" rest "}"
#define BITMAPS(list)    ", \"dirty-bitmaps\": [" list "]"
#define NODES(list)      "{\"return\": [" list "], \"id\": \"libvirt-1\"}"

/* One word a bitmap: node.name, and a letter for each thing that is so. */
static char *
describe(const GPtrArray *view)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < view->len; i++) {
        const Bitmap *bitmap = view->pdata[i];

        g_string_append_printf(text, "%s%s.%s/%" G_GUINT64_FORMAT ":%s%s%s%s%s%s", i ? " " : "",
                               bitmap->node, bitmap->name, bitmap->granularity_bytes,
                               bitmap->active ? "a" : "", bitmap->recording ? "r" : "",
                               bitmap->busy ? "b" : "", bitmap->persistent ? "p" : "",
                               bitmap->inconsistent ? "i" : "", bitmap->on_stream ? "s" : "");
    }
    return g_string_free(text, FALSE);
}

static void
test_bitmaps(void)
{
    static const struct {
        const char *nodes;
        const char *parameters;
        const char *expected;
    } cases[] = {
        {NODES(""), MAPPING, ""},
        {NODES(NODE("n1", "")), MAPPING, ""},
        {NODES(NODE("n1", BITMAPS(""))), MAPPING, ""},
        {NODES(NODE("n1", BITMAPS(INFO("b1", "")))), NO_MAPPING, "n1.b1/65536:a"},
        {NODES(NODE("n1", BITMAPS(INFO("b1", "") ", " INFO("b2", "")))), MAPPING,
         "n1.b1/65536:as n1.b2/65536:a"},
        {NODES(NODE("n1", "") ", " NODE("n2", ", \"active\": false" BITMAPS(INFO("b1", "")))),
         MAPPING, "n2.b1/65536:"},
        {NODES(NODE("n1", ", \"active\": true" BITMAPS(INFO(
                              "b1", ", \"recording\": true, \"persistent\": true, \"count\": 7")))),
         MAPPING, "n1.b1/65536:arps"},
        {NODES(NODE("n1", BITMAPS(INFO("b1", ", \"recording\": false, \"busy\": true")))), MAPPING,
         "n1.b1/65536:abs"},
        {NODES(NODE("n1", BITMAPS(INFO("b9", ", \"persistent\": true, \"inconsistent\": true")))),
         MAPPING, "n1.b9/65536:api"},
        /* QEMU's own have no name; and what is no bitmap is none */
        {NODES(NODE("n1", BITMAPS("{\"granularity\": 512}, " INFO("", "")))), MAPPING, ""},
        {NODES(NODE("n1", BITMAPS("{\"name\": \"b1\"}, 5, null, \"b1\""))), MAPPING, ""},
        {NODES(NODE("n1", ", \"dirty-bitmaps\": {}")), MAPPING, ""},
        {NODES("{" BITMAPS(INFO("b1", "")) "}"), MAPPING, NULL},
        {NODES("{\"ro\": false" BITMAPS(INFO("b1", "")) "}"), MAPPING, ""},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) view = NULL;
        g_autofree char *text = NULL;

        g_test_message("%s", cases[i].nodes);
        view = view_parse(cases[i].nodes, cases[i].parameters, &error);
        if (!cases[i].expected) {
            g_assert_error(error, VIEW_ERROR, VIEW_ERROR_REPLY);
            g_assert_null(view);
            continue;
        }
        g_assert_no_error(error);
        text = describe(view);
        g_assert_cmpstr(text, ==, cases[i].expected);
    }
}

static void
test_find(void)
{
    g_autoptr(GPtrArray) view = view_parse(NODES(NODE("n1", BITMAPS(INFO("b1", ""))) ", " NODE(
                                               "n2", BITMAPS(INFO("b1", "") ", " INFO("b2", "")))),
                                           NO_MAPPING, NULL);

    g_assert_true(view_find(view, "n1", "b1") == view->pdata[0]);
    g_assert_true(view_find(view, "n2", "b2") == view->pdata[2]);
    g_assert_null(view_find(view, "n1", "b2"));
    g_assert_null(view_find(view, "n3", "b1"));
}

static void
test_mapping(void)
{
    g_assert_true(view_has_mapping(MAPPING));
    g_assert_false(view_has_mapping(NO_MAPPING));
    g_assert_false(view_has_mapping("{\"return\": {\"block-bitmap-mapping\": []}}"));
    g_assert_false(view_has_mapping("{\"return\": {\"block-bitmap-mapping\": [{\"node-name\": "
                                    "\"n1\", \"alias\": \"x\", \"bitmaps\": []}]}}"));
    g_assert_false(view_has_mapping("{\"return\": {\"block-bitmap-mapping\": [1, \"n1\"]}}"));
    g_assert_false(view_has_mapping("nonsense"));
}

static void
test_mapped(void)
{
    g_autoptr(GPtrArray) mapping = view_parse_mapping(
        "{\"return\": {\"block-bitmap-mapping\": ["
        "{\"node-name\": \"n1\", \"alias\": \"vda\", \"bitmaps\": ["
        "{\"name\": \"b1\", \"alias\": \"a1\"}, {\"name\": \"no alias\"}, 1, "
        "{\"name\": \"b2\", \"alias\": \"a2\", \"transform\": {\"persistent\": true}}]}, "
        "{\"node-name\": \"no alias\", \"bitmaps\": [{\"name\": \"b\", \"alias\": \"a\"}]}, 1]}}");
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < mapping->len; i++) {
        const MappedBitmap *mapped = mapping->pdata[i];

        g_string_append_printf(text, "%s.%s=%s.%s%s ", mapped->node, mapped->name,
                               mapped->node_alias, mapped->alias, mapped->persists ? "!" : "");
    }
    g_assert_cmpstr(text->str, ==, "n1.b1=vda.a1 n1.b2=vda.a2! ");
    for (gsize length = 0; length < strlen(MAPPING); length++) {
        g_autofree char *cut = g_strndup(MAPPING, length);
        g_autoptr(GPtrArray) none = view_parse_mapping(cut);

        g_assert_cmpuint(none->len, ==, 0);
    }
}

static void
test_nodes(void)
{
    g_autoptr(GPtrArray) nodes =
        view_parse_nodes(NODES(NODE("n1", ", \"image\": {\"virtual-size\": 67108864}") ", " NODE(
                             "n2", ", \"image\": {}, \"active\": false") ", " NODE("n3", "")),
                         NULL);

    g_assert_cmpuint(nodes->len, ==, 3);
    g_assert_cmpuint(view_find_node(nodes, "n1")->size_bytes, ==, 67108864);
    g_assert_true(view_find_node(nodes, "n1")->active);
    g_assert_cmpuint(view_find_node(nodes, "n2")->size_bytes, ==, 0);
    g_assert_false(view_find_node(nodes, "n2")->active);
    g_assert_cmpuint(view_find_node(nodes, "n3")->size_bytes, ==, 0);
    g_assert_null(view_find_node(nodes, "n4"));
}

/* An answer that is cut short is an error, never a view with fewer bitmaps. */
static void
test_truncated(void)
{
    const char *nodes = NODES(NODE("n1", BITMAPS(INFO("b1", ""))));

    for (gsize length = 0; length < strlen(nodes); length++) {
        g_autofree char *cut = g_strndup(nodes, length);
        g_autoptr(GError) error = NULL;

        g_assert_null(view_parse(cut, MAPPING, &error));
        g_assert_error(error, VIEW_ERROR, VIEW_ERROR_REPLY);
    }
    for (gsize length = 0; length < strlen(MAPPING); length++) {
        g_autofree char *cut = g_strndup(MAPPING, length);
        g_autoptr(GError) error = NULL;

        g_assert_null(view_parse(nodes, cut, &error));
        g_assert_error(error, VIEW_ERROR, VIEW_ERROR_REPLY);
        g_assert_false(view_has_mapping(cut));
    }
    g_assert_null(virGetLastError());
}

int
main(int argc, char **argv)
{
    libvirt_init(&argc, &argv);
    g_test_add_func("/view/bitmaps", test_bitmaps);
    g_test_add_func("/view/find", test_find);
    g_test_add_func("/view/mapping", test_mapping);
    g_test_add_func("/view/mapped", test_mapped);
    g_test_add_func("/view/nodes", test_nodes);
    g_test_add_func("/view/truncated", test_truncated);
    return g_test_run();
}
