/*
 * bitmap-half.c: what is dirty goes to another host as it is, and nothing that comes is believed
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bitmap/half.h"

#include <string.h>

#define GRANULARITY 65536
#define SIZE        (1ull << 40)

static BitmapHalf *
make(const char *node, const char *alias, guint n_extents)
{
    BitmapHalf *half = half_new(node, alias);

    half->granularity_bytes = GRANULARITY;
    half->size_bytes = SIZE;
    half->recording = n_extents % 2;
    half->persistent = n_extents % 3;
    for (guint i = 0; i < n_extents; i++)
        g_array_append_val(half->extents, ((Extent){i * 2 * GRANULARITY, GRANULARITY}));
    return half;
}

static GPtrArray *
make_several(void)
{
    GPtrArray *halves = g_ptr_array_new_with_free_func((GDestroyNotify)half_free);

    g_ptr_array_add(halves, make("vda", "libvirt-vda-monday", 0));
    g_ptr_array_add(halves, make("vda", "libvirt-vda-d\xc3\xa9j\xc3\xa0", 1));
    g_ptr_array_add(halves, make("vdb", "x", 7));
    return halves;
}

static void
assert_same(const BitmapHalf *a, const BitmapHalf *b)
{
    g_assert_cmpstr(a->node_alias, ==, b->node_alias);
    g_assert_cmpstr(a->alias, ==, b->alias);
    g_assert_cmpuint(a->granularity_bytes, ==, b->granularity_bytes);
    g_assert_cmpuint(a->size_bytes, ==, b->size_bytes);
    g_assert_cmpint(a->recording, ==, b->recording);
    g_assert_cmpint(a->persistent, ==, b->persistent);
    g_assert_cmpmem(a->extents->data, a->extents->len * sizeof(Extent), b->extents->data,
                    b->extents->len * sizeof(Extent));
}

static void
test_there_and_back(void)
{
    g_autoptr(GPtrArray) halves = make_several();
    g_autoptr(GBytes) bytes = half_encode(halves);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) again = half_decode(bytes, &error);
    gsize size = 8;

    g_assert_no_error(error);
    g_assert_cmpuint(again->len, ==, halves->len);
    for (guint i = 0; i < halves->len; i++) {
        assert_same(halves->pdata[i], again->pdata[i]);
        size += half_get_size(halves->pdata[i]);
    }
    g_assert_cmpuint(g_bytes_get_size(bytes), ==, size);
    g_assert_true(half_find(again, "vdb", "x") == again->pdata[2]);
    g_assert_null(half_find(again, "vda", "x"));
}

/* Whatever is read either fails with an error, or holds what is promised. */
static void
assert_harmless(const guint8 *data, gsize length)
{
    g_autoptr(GBytes) bytes = g_bytes_new(data, length);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) halves = half_decode(bytes, &error);

    g_assert_true(!halves == !!error);
    for (guint i = 0; halves && i < halves->len; i++) {
        const BitmapHalf *half = halves->pdata[i];
        guint64 end = 0;

        g_assert_true(g_utf8_validate(half->alias, -1, NULL) && *half->alias && *half->node_alias);
        g_assert_cmpuint(half->granularity_bytes, >=, 512);
        g_assert_cmpuint(half->granularity_bytes & (half->granularity_bytes - 1), ==, 0);
        for (guint j = 0; j < half->extents->len; j++) {
            const Extent *extent = &g_array_index(half->extents, Extent, j);

            g_assert_cmpuint(extent->length_bytes, >, 0);
            g_assert_true(j == 0 || extent->offset_bytes > end);
            end = extent->offset_bytes + extent->length_bytes;
            g_assert_cmpuint(end, >, extent->offset_bytes);
            g_assert_cmpuint(end, <=, half->size_bytes);
        }
    }
}

static void
test_cut(void)
{
    g_autoptr(GPtrArray) halves = make_several();
    g_autoptr(GBytes) bytes = half_encode(halves);
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);

    for (gsize length = 0; length < size; length++) {
        g_autoptr(GBytes) part = g_bytes_new(data, length);
        g_autoptr(GError) error = NULL;

        g_assert_null(half_decode(part, &error));
        g_assert_error(error, HALF_ERROR, HALF_ERROR_INVALID);
    }
}

static void
test_too_long(void)
{
    g_autoptr(GPtrArray) halves = make_several();
    g_autoptr(GBytes) bytes = half_encode(halves);
    g_autoptr(GByteArray) longer = g_byte_array_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) all = NULL;

    g_byte_array_append(longer, g_bytes_get_data(bytes, NULL), (guint)g_bytes_get_size(bytes));
    g_byte_array_append(longer, (const guint8 *)"", 1);
    all = g_byte_array_free_to_bytes(g_steal_pointer(&longer));
    g_assert_null(half_decode(all, &error));
    g_assert_error(error, HALF_ERROR, HALF_ERROR_INVALID);
}

/* Each byte with each value: lengths, numbers, names. */
static void
test_hostile(void)
{
    g_autoptr(GPtrArray) halves = make_several();
    g_autoptr(GBytes) bytes = half_encode(halves);
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);
    g_autofree guint8 *copy = g_memdup2(data, size);

    for (gsize at = 0; at < size; at++) {
        for (guint value = 0; value < 256; value++) {
            copy[at] = (guint8)value;
            assert_harmless(copy, size);
        }
        copy[at] = data[at];
    }
}

static void
assert_refused(const BitmapHalf *half)
{
    g_autoptr(GPtrArray) halves = g_ptr_array_new();
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;

    g_ptr_array_add(halves, (gpointer)half);
    bytes = half_encode(halves);
    g_assert_null(half_decode(bytes, &error));
    g_assert_error(error, HALF_ERROR, HALF_ERROR_INVALID);
}

static void
test_extents(void)
{
    static const Extent bad[][2] = {
        {{0, 0}, {10, 1}},           /* empty */
        {{0, 10}, {5, 10}},          /* one in another */
        {{0, 10}, {10, 10}},         /* one and the same */
        {{20, 10}, {0, 10}},         /* backwards */
        {{0, 10}, {SIZE - 5, 6}},    /* beyond the disk */
        {{0, 10}, {SIZE + 1, 1}},    /* ... altogether */
        {{0, 10}, {20, G_MAXUINT64}} /* ... and around */
    };

    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(BitmapHalf) half = make("vda", "x", 0);

        g_array_append_vals(half->extents, bad[i], 2);
        assert_refused(half);
    }
}

static void
test_granularity(void)
{
    static const guint64 bad[] = {0, 1, 256, 513, 65537, 1ull << 32, G_MAXUINT64};

    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(BitmapHalf) half = make("vda", "x", 1);

        half->granularity_bytes = bad[i];
        assert_refused(half);
    }
}

static void
test_version(void)
{
    static const guint8 newer[] = {0, 2, 0, 2, 0, 0, 0, 0};
    static const guint8 newer_but_readable[] = {0, 2, 0, 1, 0, 0, 0, 0};
    g_autoptr(GBytes) bytes = g_bytes_new_static(newer, sizeof(newer));
    g_autoptr(GBytes) readable = g_bytes_new_static(newer_but_readable, sizeof(newer_but_readable));
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) none = NULL;

    g_assert_null(half_decode(bytes, &error));
    g_assert_error(error, HALF_ERROR, HALF_ERROR_VERSION);
    g_clear_error(&error);
    none = half_decode(readable, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(none->len, ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bitmap-half/there-and-back", test_there_and_back);
    g_test_add_func("/bitmap-half/cut", test_cut);
    g_test_add_func("/bitmap-half/too-long", test_too_long);
    g_test_add_func("/bitmap-half/hostile", test_hostile);
    g_test_add_func("/bitmap-half/extents", test_extents);
    g_test_add_func("/bitmap-half/granularity", test_granularity);
    g_test_add_func("/bitmap-half/version", test_version);
    return g_test_run();
}
