/*
 * addresses.c: the addresses of hosts, in numbers
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/addresses.h"

#include <arpa/inet.h>
#include <string.h>

/* clang-format off */
static const struct {
    const char *host;
    gboolean numeric;
    gboolean any;
} hosts[] = {
    { "10.0.0.1",         TRUE,  FALSE },
    { "2001:db8::1",      TRUE,  FALSE },
    { "fe80::1%eth0",     TRUE,  FALSE },
    { "0.0.0.0",          TRUE,  TRUE },
    { "::",               TRUE,  TRUE },
    { "b.example",        FALSE, FALSE },
    { "10.0.0",           FALSE, FALSE },
    { "[::1]",            FALSE, FALSE },
    { "",                 FALSE, FALSE },
};
/* clang-format on */

static void
test_kinds(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(hosts); i++) {
        g_test_message("%s", hosts[i].host);
        g_assert_cmpint(addresses_is_numeric(hosts[i].host), ==, hosts[i].numeric);
        g_assert_cmpint(addresses_is_any(hosts[i].host), ==, hosts[i].any);
    }
}

static void
test_format(void)
{
    static const char *const mapped[] = {"::ffff:10.0.0.1", "2001:db8::1", "::1"};
    static const char *const expected[] = {"10.0.0.1", "2001:db8::1", "::1"};
    struct sockaddr unix_socket = {.sa_family = AF_UNIX};

    for (gsize i = 0; i < G_N_ELEMENTS(mapped); i++) {
        struct sockaddr_in6 address = {.sin6_family = AF_INET6};
        g_autofree char *text = NULL;

        g_assert_cmpint(inet_pton(AF_INET6, mapped[i], &address.sin6_addr), ==, 1);
        text = addresses_format((struct sockaddr *)&address, sizeof(address));
        g_assert_cmpstr(text, ==, expected[i]);
    }
    g_assert_null(addresses_format(&unix_socket, sizeof(unix_socket)));
}

static void
test_lookup(void)
{
    static const char *const numeric[] = {"10.0.0.1", "2001:db8::1"};
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) local = addresses_lookup("localhost", NULL);

    /* A machine without /etc/hosts may not know it. */
    g_assert_true(!local || g_strv_length(local) >= 1);
    for (char **host = local; host && *host; host++)
        g_assert_true(addresses_is_numeric(*host));
    for (gsize i = 0; i < G_N_ELEMENTS(numeric); i++) {
        g_auto(GStrv) same = addresses_lookup(numeric[i], &error);

        g_assert_no_error(error);
        g_assert_cmpuint(g_strv_length(same), ==, 1);
        g_assert_cmpstr(same[0], ==, numeric[i]);
    }
    /* Reserved: nobody has that name (RFC 6761). */
    g_assert_null(addresses_lookup("b.invalid", &error));
    g_assert_nonnull(error);
}

/* Whatever this machine has, and it may have none. */
static void
test_local(void)
{
    g_auto(GStrv) local = addresses_list_local(NULL);
    guint n = g_strv_length(local);

    for (guint i = 0; i < n; i++) {
        g_auto(GStrv) again = addresses_list_local(local[i]);

        g_assert_true(addresses_is_numeric(local[i]));
        g_assert_false(addresses_is_any(local[i]));
        g_assert_false(g_str_has_prefix(local[i], "127."));
        g_assert_false(g_str_has_prefix(local[i], "fe80:"));
        g_assert_cmpstr(local[i], !=, "::1");
        g_assert_cmpstr(again[0], ==, local[i]);
        g_assert_cmpuint(g_strv_length(again), ==, n);
        for (guint j = 0; j < i; j++)
            g_assert_cmpstr(local[i], !=, local[j]);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/addresses/kinds", test_kinds);
    g_test_add_func("/addresses/format", test_format);
    g_test_add_func("/addresses/lookup", test_lookup);
    g_test_add_func("/addresses/local", test_local);
    return g_test_run();
}
