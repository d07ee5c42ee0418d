/*
 * secret.c: a secret is never another's, and none is nobody's
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/secret.h"

#include <string.h>

static void
test_made(void)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (guint i = 0; i < 1000; i++) {
        Secret secret, back = {0};
        char *text;

        g_assert_true(secret_make(&secret));
        text = secret_format(&secret);
        g_assert_cmpuint(strlen(text), ==, 2 * SECRET_BYTES);
        g_assert_true(secret_parse(text, &back));
        g_assert_true(secret_equal(&secret, &back));
        g_assert_true(g_hash_table_add(seen, text));
    }
}

/* Each byte counts. */
static void
test_equal(void)
{
    Secret secret;

    g_assert_true(secret_make(&secret));
    for (gsize i = 0; i < SECRET_BYTES; i++) {
        Secret other = secret;

        other.bytes[i] ^= 1;
        g_assert_false(secret_equal(&secret, &other));
    }
}

static void
test_none(void)
{
    Secret none = {0}, again = {0};

    g_assert_true(secret_is_none(&none));
    g_assert_false(secret_equal(&none, &again));
}

static void
test_refused(void)
{
    static const char *const bad[] = {
        "",
        "0123456789abcdef0123456789abcde",
        "0123456789abcdef0123456789abcdef0",
        "0123456789abcdef0123456789abcdeg",
        "6f9d9c1e-0d0c-4c3c-9d5e-4e2c6bb0",
        "00000000000000000000000000000000",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        Secret secret = {.bytes = {77}};

        g_assert_false(secret_parse(bad[i], &secret));
        g_assert_cmpuint(secret.bytes[0], ==, 77);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/secret/made", test_made);
    g_test_add_func("/secret/equal", test_equal);
    g_test_add_func("/secret/none", test_none);
    g_test_add_func("/secret/refused", test_refused);
    return g_test_run();
}
