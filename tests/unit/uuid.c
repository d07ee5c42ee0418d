/*
 * uuid.c: text to bytes and back
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/uuid.h"

static void
test_round_trip(void)
{
    for (guint i = 0; i < 1000; i++) {
        g_autofree char *text = g_uuid_string_random();
        g_autofree char *back = NULL;
        guint8 bytes[UUID_BYTES];

        g_assert_true(uuid_parse(text, bytes));
        back = uuid_format(bytes);
        g_assert_cmpstr(back, ==, text);
    }
}

static void
test_refused(void)
{
    static const char *const bad[] = {
        "",
        "6f9d9c1e",
        "6f9d9c1e-0d0c-4c3c-9d5e-4e2c6bb0a00",
        "xf9d9c1e-0d0c-4c3c-9d5e-4e2c6bb0a001",
        "6f9d9c1e0d0c-4c3c-9d5e-4e2c-6bb0a001",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        guint8 bytes[UUID_BYTES] = {77};

        g_assert_false(uuid_parse(bad[i], bytes));
        g_assert_cmpuint(bytes[0], ==, 77);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/uuid/round-trip", test_round_trip);
    g_test_add_func("/uuid/refused", test_refused);
    return g_test_run();
}
