/*
 * cookie.c: our element travels in libvirt's cookie, and a bad cookie costs nothing
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/cookie.h"

#include <stdlib.h>
#include <string.h>

#define ID     "6f9d9c1e-0d0c-4c3c-9d5e-4e2c6bb0a001"
#define SECRET "000102030405060708090a0b0c0d0eff"
#define WHO    "id='" ID "' secret='" SECRET "'"

static const Secret secret = {.bytes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255}};

static const char stock[] = "<qemu-migration>\n"
                            "  <name>guest</name>\n"
                            "  <uuid>0b6a3c2c-5a6e-4c53-8b0e-bd3a7bd1c001</uuid>\n"
                            "  <hostname>a.example</hostname>\n"
                            "  <hostuuid>b6b3d6a3-26a5-4f8f-8c43-5c5c1f6d0001</hostuuid>\n"
                            "  <feature name='memory-hotplug'/>\n"
                            "</qemu-migration>\n";

static const char *const addresses[] = {"10.79.0.2", "2001:db8::2", "10.80.0.2", NULL};

static Cookie
make(guint16 port, const char *const *offered)
{
    return (Cookie){
        .id = (char *)ID,
        .secret = secret,
        .recover_port = port,
        .addresses = (char **)offered,
    };
}

static void
test_round_trip(void)
{
    static const guint16 ports[] = {0, 1, 49215, 65535};

    for (gsize i = 0; i < G_N_ELEMENTS(ports) * 2; i++) {
        Cookie ours = make(ports[i / 2], i % 2 ? addresses : NULL);
        char *data = strdup(stock);
        int length = sizeof(stock);
        g_autoptr(GError) error = NULL;
        g_auto(Cookie) cookie = {0};

        g_assert_true(cookie_add(&data, &length, &ours, &error));
        g_assert_cmpint(length, ==, strlen(data) + 1);
        g_assert_nonnull(strstr(data, "<feature name=\"memory-hotplug\"/>"));
        g_assert_true(cookie_read(data, length, &cookie, &error));
        g_assert_cmpstr(cookie.id, ==, ID);
        g_assert_true(secret_equal(&cookie.secret, &secret));
        g_assert_cmpuint(cookie.recover_port, ==, ours.recover_port);
        g_assert_cmpstr(cookie.name, ==, "guest");
        g_assert_cmpstr(cookie.hostname, ==, "a.example");
        if (ours.recover_port && ours.addresses)
            g_assert_cmpstrv(cookie.addresses, addresses);
        else
            g_assert_true(!cookie.addresses || !*cookie.addresses);
        free(data);
    }
}

/* What the hosts agree on about postcopy; nothing said is nothing. */
static void
test_postcopy(void)
{
    for (guint i = 0; i < COOKIE_POSTCOPY_LAST; i++) {
        Cookie ours = make(0, NULL);
        char *data = strdup(stock);
        int length = sizeof(stock);
        g_auto(Cookie) cookie = {0};

        ours.postcopy = i;
        g_assert_true(cookie_add(&data, &length, &ours, NULL));
        g_assert_cmpint(strstr(data, "postcopy=") != NULL, ==, i != COOKIE_POSTCOPY_NONE);
        g_assert_true(cookie_read(data, length, &cookie, NULL));
        g_assert_cmpint(cookie.postcopy, ==, i);
        free(data);
    }
}

/* Which start of the destination it is; an older build does not say. */
static void
test_boot(void)
{
    static const char *const boots[] = {NULL, "1c9d4b9e-6a3a-4c0e-9a55-2f0c7f1e0001"};

    for (gsize i = 0; i < G_N_ELEMENTS(boots); i++) {
        Cookie ours = make(49215, addresses);
        char *data = strdup(stock);
        int length = sizeof(stock);
        g_auto(Cookie) cookie = {0};

        ours.boot = (char *)boots[i];
        g_assert_true(cookie_add(&data, &length, &ours, NULL));
        g_assert_true(cookie_read(data, length, &cookie, NULL));
        g_assert_cmpstr(cookie.boot, ==, boots[i]);
        free(data);
    }
}

/* More than a host has is left out, whoever sends it. */
static void
test_many_addresses(void)
{
    g_autoptr(GString) xml =
        g_string_new("<qemu-migration><holdfast version='1' oldest='1' " WHO "><recover port='1'>");
    const char *many[2 * COOKIE_ADDRESSES_MAX + 1];
    Cookie ours = make(1, many);
    char *data = strdup(stock);
    int length = sizeof(stock);
    g_auto(Cookie) sent = {0}, got = {0};

    for (guint i = 0; i < 2 * COOKIE_ADDRESSES_MAX; i++) {
        many[i] = "10.79.0.2";
        g_string_append(xml, "<address host='10.79.0.2'/>");
    }
    many[2 * COOKIE_ADDRESSES_MAX] = NULL;
    g_string_append(xml, "</recover></holdfast></qemu-migration>");
    g_assert_true(cookie_add(&data, &length, &ours, NULL));
    g_assert_true(cookie_read(data, length, &sent, NULL));
    g_assert_cmpuint(g_strv_length(sent.addresses), ==, COOKIE_ADDRESSES_MAX);
    g_assert_true(cookie_read(xml->str, (int)xml->len, &got, NULL));
    g_assert_cmpuint(g_strv_length(got.addresses), ==, COOKIE_ADDRESSES_MAX);
    free(data);
}

/* The destination's cookie may come back through the source: ours is there once. */
static void
test_added_once(void)
{
    Cookie ours = make(49215, addresses);
    char *data = strdup(stock);
    int length = sizeof(stock);

    for (guint i = 0; i < 3; i++)
        g_assert_true(cookie_add(&data, &length, &ours, NULL));
    g_assert_null(strstr(strstr(data, "<holdfast") + 1, "<holdfast"));
    free(data);
}

static void
test_stock_peer(void)
{
    g_auto(Cookie) cookie = {0};
    g_auto(Cookie) none = {0};

    g_assert_true(cookie_read(stock, sizeof(stock), &cookie, NULL));
    g_assert_null(cookie.id);
    g_assert_cmpstr(cookie.uuid, ==, "0b6a3c2c-5a6e-4c53-8b0e-bd3a7bd1c001");
    g_assert_true(cookie_read(NULL, 0, &none, NULL));
    g_assert_null(none.id);
}

static const struct {
    const char *xml;
    CookieError code;
} refused[] = {
    {"", COOKIE_ERROR_SYNTAX},
    {"<qemu-migration>", COOKIE_ERROR_SYNTAX},
    {"<domain/>", COOKIE_ERROR_SYNTAX},
    {"<!DOCTYPE qemu-migration [<!ENTITY a 'b'>]><qemu-migration/>", COOKIE_ERROR_SYNTAX},
    {"<qemu-migration><holdfast/></qemu-migration>", COOKIE_ERROR_INVALID},
    {"<qemu-migration><holdfast version='1' oldest='0' " WHO "/></qemu-migration>",
     COOKIE_ERROR_INVALID},
    {"<qemu-migration><holdfast version='9' oldest='2' " WHO "/></qemu-migration>",
     COOKIE_ERROR_VERSION},
    {"<qemu-migration><holdfast version='1' oldest='1' id='x' secret='" SECRET
     "'/></qemu-migration>",
     COOKIE_ERROR_INVALID},
    {"<qemu-migration><holdfast version='1' oldest='1' id='" ID "'/></qemu-migration>",
     COOKIE_ERROR_INVALID},
    {"<qemu-migration><holdfast version='1' oldest='1' id='" ID "' secret='" ID
     "'/></qemu-migration>",
     COOKIE_ERROR_INVALID},
    {"<qemu-migration><holdfast version='1' oldest='1' id='" ID
     "' secret='00000000000000000000000000000000'/></qemu-migration>",
     COOKIE_ERROR_INVALID},
    {"<qemu-migration><holdfast version='1' oldest='1' " WHO " postcopy=''/></qemu-migration>",
     COOKIE_ERROR_INVALID},
    {"<qemu-migration><holdfast version='1' oldest='1' " WHO " postcopy='soon'/></qemu-migration>",
     COOKIE_ERROR_INVALID},
    {"<qemu-migration><holdfast version='1' oldest='1' " WHO " boot='today'/></qemu-migration>",
     COOKIE_ERROR_INVALID},
    {"<qemu-migration><holdfast version='1' oldest='1' " WHO "><recover/></holdfast>"
     "</qemu-migration>",
     COOKIE_ERROR_INVALID},
    {"<qemu-migration><holdfast version='1' oldest='1' " WHO "><recover port='1'><address/>"
     "</recover></holdfast></qemu-migration>",
     COOKIE_ERROR_INVALID},
    {"<qemu-migration><holdfast version='1' oldest='1' " WHO "><recover port='1'>"
     "<address host='b.example'/></recover></holdfast></qemu-migration>",
     COOKIE_ERROR_INVALID},
    {"<qemu-migration><holdfast version='1' oldest='1' " WHO "><recover port='65536'/>"
     "</holdfast></qemu-migration>",
     COOKIE_ERROR_INVALID},
};

static void
test_refused(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autoptr(GError) error = NULL;
        g_auto(Cookie) cookie = {0};

        if (cookie_read(refused[i].xml, (int)strlen(refused[i].xml) + 1, &cookie, &error))
            g_error("accepted: %s", refused[i].xml);
        g_assert_error(error, COOKIE_ERROR, (int)refused[i].code);
        g_assert_null(cookie.id);
    }
}

/* What libvirt itself says holds all the same: whose migration it is that we have no part in. */
static void
test_refused_yet_named(void)
{
    static const char xml[] = "<qemu-migration><name>guest</name><uuid>" ID "</uuid>"
                              "<hostname>a.example</hostname>"
                              "<holdfast version='9' oldest='9' " WHO "><recover port='1'/>"
                              "</holdfast></qemu-migration>";
    g_autoptr(GError) error = NULL;
    g_auto(Cookie) cookie = {0};

    g_assert_false(cookie_read(xml, sizeof(xml), &cookie, &error));
    g_assert_error(error, COOKIE_ERROR, COOKIE_ERROR_VERSION);
    g_assert_cmpstr(cookie.name, ==, "guest");
    g_assert_cmpstr(cookie.uuid, ==, ID);
    g_assert_cmpstr(cookie.hostname, ==, "a.example");
    g_assert_null(cookie.id);
    g_assert_true(secret_is_none(&cookie.secret));
    g_assert_cmpuint(cookie.recover_port, ==, 0);
}

/* To a peer that is of no use to us, our version alone. */
static void
test_version_alone(void)
{
    static const Cookie ours = {0};
    char *data = strdup(stock);
    int length = sizeof(stock);
    g_autoptr(GError) error = NULL;
    g_auto(Cookie) cookie = {0};

    g_assert_true(cookie_add(&data, &length, &ours, &error));
    g_assert_nonnull(strstr(data, "<holdfast version=\"1\" oldest=\"1\"/>"));
    g_assert_false(cookie_read(data, length, &cookie, &error));
    g_assert_cmpstr(cookie.name, ==, "guest");
    g_assert_null(cookie.id);
    free(data);
}

/* One that is too old for us; there is none yet, so version 0 stands in for it. */
static void
test_older_peer(void)
{
    static const char xml[] = "<qemu-migration><holdfast version='0' oldest='1' " WHO "/>"
                              "</qemu-migration>";
    g_autoptr(GError) error = NULL;
    g_auto(Cookie) cookie = {0};

    g_assert_false(cookie_read(xml, sizeof(xml), &cookie, &error));
    g_assert_error(error, COOKIE_ERROR, COOKIE_ERROR_VERSION);
    g_assert_nonnull(strstr(error->message, "needs at least 1"));
    g_assert_null(cookie.id);
}

/* A newer peer that can still be understood is: what we do not know is passed over. */
static void
test_newer_peer(void)
{
    static const char xml[] = "<qemu-migration><holdfast version='7' oldest='1' " WHO
                              " colour='red'><carrier port='1'/><recover port='2'/></holdfast>"
                              "</qemu-migration>";
    g_auto(Cookie) cookie = {0};

    g_assert_true(cookie_read(xml, sizeof(xml), &cookie, NULL));
    g_assert_cmpuint(cookie.recover_port, ==, 2);
}

/* Cut at every offset: refused or read as what it still is, never more. */
static void
test_truncated(void)
{
    Cookie ours = make(49215, addresses);
    char *data = strdup(stock);
    int length = sizeof(stock);

    g_assert_true(cookie_add(&data, &length, &ours, NULL));
    for (int n = 1; n < (int)strlen(data) - 1; n++) {
        g_autofree char *cut = g_memdup2(data, n);
        g_auto(Cookie) cookie = {0};

        g_assert_false(cookie_read(cut, n, &cookie, NULL));
    }
    free(data);
}

/* What is in the way at the destination is ours to say; what libvirt offers or takes is libvirt's.
 */
static void
test_bitmaps(void)
{
    static const char offered[] =
        "<qemu-migration>\n<name>guest</name>\n"
        "<blockDirtyBitmaps><disk target='vda'><bitmap name='mon' alias='libvirt-vda-mon'/>"
        "<bitmap alias='x'/><bitmap name='tue' alias='y'/></disk>"
        "<disk><bitmap name='wed'/></disk><disk target='vdb'/></blockDirtyBitmaps>\n"
        "</qemu-migration>\n";
    g_autoptr(GPtrArray) taken = g_ptr_array_new_with_free_func((GDestroyNotify)cookie_bitmap_free);
    Cookie ours = make(0, NULL);
    char *data = strdup(offered);
    int length = sizeof(offered);
    g_auto(Cookie) cookie = {0};
    g_auto(Cookie) stock_alone = {0};

    ours.taken = taken;
    g_ptr_array_add(taken, cookie_bitmap_new("vda", "<tue>&"));
    g_assert_true(cookie_read(offered, sizeof(offered), &stock_alone, NULL));
    g_assert_cmpuint(stock_alone.bitmaps->len, ==, 2);
    g_assert_false(cookie_has_bitmap(stock_alone.taken, "vda", NULL));

    for (guint i = 0; i < COOKIE_BITMAPS_MAX + 5; i++)
        g_ptr_array_add(taken, cookie_bitmap_new("vdc", "many"));
    g_assert_true(cookie_add(&data, &length, &ours, NULL));
    g_assert_true(cookie_read(data, length, &cookie, NULL));
    g_assert_cmpuint(cookie.taken->len, ==, COOKIE_BITMAPS_MAX);
    g_assert_true(cookie_has_bitmap(cookie.taken, "vda", "<tue>&"));
    g_assert_false(cookie_has_bitmap(cookie.taken, "vda", "mon"));
    g_assert_true(cookie_has_bitmap(cookie.bitmaps, "vda", "mon"));
    g_assert_true(cookie_has_bitmap(cookie.bitmaps, "vda", "tue"));
    g_assert_true(cookie_has_bitmap(cookie.bitmaps, "vda", NULL));
    g_assert_false(cookie_has_bitmap(cookie.bitmaps, "vdb", NULL));
    free(data);
}

/* One that is offered and not seen would be taken for one that is left behind. */
static void
test_many_bitmaps(void)
{
    g_autoptr(GString) text =
        g_string_new("<qemu-migration><blockDirtyBitmaps><disk target='vda'>");
    g_auto(Cookie) cookie = {0};

    for (guint i = 0; i < 2 * COOKIE_BITMAPS_MAX; i++)
        g_string_append_printf(text, "<bitmap name='m%u' alias='a%u'/>", i, i);
    g_string_append(text, "</disk></blockDirtyBitmaps></qemu-migration>");
    g_assert_true(cookie_read(text->str, (int)text->len + 1, &cookie, NULL));
    for (guint i = 0; i < 2 * COOKIE_BITMAPS_MAX; i++) {
        g_autofree char *name = g_strdup_printf("m%u", i);

        g_assert_true(cookie_has_bitmap(cookie.bitmaps, "vda", name));
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cookie/round-trip", test_round_trip);
    g_test_add_func("/cookie/bitmaps", test_bitmaps);
    g_test_add_func("/cookie/many-bitmaps", test_many_bitmaps);
    g_test_add_func("/cookie/postcopy", test_postcopy);
    g_test_add_func("/cookie/boot", test_boot);
    g_test_add_func("/cookie/many-addresses", test_many_addresses);
    g_test_add_func("/cookie/added-once", test_added_once);
    g_test_add_func("/cookie/stock-peer", test_stock_peer);
    g_test_add_func("/cookie/refused", test_refused);
    g_test_add_func("/cookie/refused-yet-named", test_refused_yet_named);
    g_test_add_func("/cookie/version-alone", test_version_alone);
    g_test_add_func("/cookie/older-peer", test_older_peer);
    g_test_add_func("/cookie/newer-peer", test_newer_peer);
    g_test_add_func("/cookie/truncated", test_truncated);
    return g_test_run();
}
