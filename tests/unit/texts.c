/*
 * texts.c: a list of texts survives the wire, and nothing else gets through
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/texts.h"

#include <string.h>

static GBytes *
encode(const char *const *list, guint n)
{
    g_autoptr(GPtrArray) texts = g_ptr_array_new();

    for (guint i = 0; i < n; i++)
        g_ptr_array_add(texts, (gpointer)list[i]);
    return texts_encode(texts);
}

static void
test_round_trip(void)
{
    static const char *const list[] = {"monday", "", "Dienstag, fünf Uhr", "<a/>\n"};

    for (guint n = 0; n <= G_N_ELEMENTS(list); n++) {
        g_autoptr(GBytes) bytes = encode(list, n);
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) texts = texts_decode(bytes, &error);

        g_assert_no_error(error);
        g_assert_cmpuint(texts->len, ==, n);
        for (guint i = 0; i < n; i++)
            g_assert_cmpstr(texts->pdata[i], ==, list[i]);
    }
}

static void
assert_refused(const guint8 *data, gsize size, TextsError code)
{
    g_autoptr(GBytes) bytes = g_bytes_new(data, size);
    g_autoptr(GError) error = NULL;

    g_assert_null(texts_decode(bytes, &error));
    g_assert_error(error, TEXTS_ERROR, (gint)code);
}

static void
test_cut(void)
{
    static const char *const list[] = {"monday", "tuesday"};
    g_autoptr(GBytes) bytes = encode(list, G_N_ELEMENTS(list));
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);
    g_autofree guint8 *longer = g_malloc0(size + 1);

    for (gsize cut = 0; cut < size; cut++)
        assert_refused(data, cut, TEXTS_ERROR_INVALID);
    memcpy(longer, data, size);
    assert_refused(longer, size + 1, TEXTS_ERROR_INVALID);
}

/* Lengths and numbers that are not so, a text that is none, versions. */
static void
test_spoilt(void)
{
    static const struct {
        gsize at;
        guint8 byte;
        TextsError code;
    } cases[] = {
        {1, 0, TEXTS_ERROR_VERSION},     {3, TEXTS_VERSION + 1, TEXTS_ERROR_VERSION},
        {4, 0xff, TEXTS_ERROR_INVALID},  {7, 0, TEXTS_ERROR_INVALID},
        {7, 3, TEXTS_ERROR_INVALID},     {8, 0xff, TEXTS_ERROR_INVALID},
        {11, 5, TEXTS_ERROR_INVALID},    {11, 7, TEXTS_ERROR_INVALID},
        {12, 0xff, TEXTS_ERROR_INVALID}, {12, 0, TEXTS_ERROR_INVALID},
    };
    static const char *const list[] = {"monday", "tuesday"};
    g_autoptr(GBytes) bytes = encode(list, G_N_ELEMENTS(list));
    gsize size = g_bytes_get_size(bytes);

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree guint8 *data = g_memdup2(g_bytes_get_data(bytes, NULL), size);

        g_assert_cmpuint(data[cases[i].at], !=, cases[i].byte);
        data[cases[i].at] = cases[i].byte;
        assert_refused(data, size, cases[i].code);
    }
}

/* Empty ones would take far more memory than they have bytes. */
static void
test_too_many(void)
{
    guint32 number = TEXTS_MAX + 1;
    gsize size = 8 + 4 * (gsize)number;
    g_autofree guint8 *data = g_malloc0(size);

    data[1] = TEXTS_VERSION;
    data[3] = TEXTS_OLDEST;
    number = GUINT32_TO_BE(number);
    memcpy(data + 4, &number, sizeof(number));
    assert_refused(data, size, TEXTS_ERROR_INVALID);
}

/* A build to come that this one can still read. */
static void
test_newer(void)
{
    static const char *const list[] = {"monday"};
    g_autoptr(GBytes) bytes = encode(list, 1);
    gsize size = g_bytes_get_size(bytes);
    g_autofree guint8 *data = g_memdup2(g_bytes_get_data(bytes, NULL), size);
    g_autoptr(GBytes) newer = NULL;
    g_autoptr(GPtrArray) texts = NULL;

    data[1] = TEXTS_VERSION + 1;
    newer = g_bytes_new(data, size);
    texts = texts_decode(newer, NULL);
    g_assert_cmpuint(texts->len, ==, 1);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/texts/round-trip", test_round_trip);
    g_test_add_func("/texts/cut", test_cut);
    g_test_add_func("/texts/spoilt", test_spoilt);
    g_test_add_func("/texts/too-many", test_too_many);
    g_test_add_func("/texts/newer", test_newer);
    return g_test_run();
}
