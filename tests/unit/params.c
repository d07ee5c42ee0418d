/*
 * params.c: parameters of a migration are passed on whole
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/params.h"

#include <libvirt/virterror.h>

static void
say_nothing(void *opaque, virErrorPtr error)
{
}

static Params
one_of_each(void)
{
    Params p = {0};

    g_assert_cmpint(virTypedParamsAddInt(&p.list, &p.n, &p.max, "int", -1), ==, 0);
    g_assert_cmpint(virTypedParamsAddUInt(&p.list, &p.n, &p.max, "uint", G_MAXUINT), ==, 0);
    g_assert_cmpint(virTypedParamsAddLLong(&p.list, &p.n, &p.max, "llong", G_MININT64), ==, 0);
    g_assert_cmpint(virTypedParamsAddULLong(&p.list, &p.n, &p.max, "ullong", G_MAXUINT64), ==, 0);
    g_assert_cmpint(virTypedParamsAddDouble(&p.list, &p.n, &p.max, "double", 0.5), ==, 0);
    g_assert_cmpint(virTypedParamsAddBoolean(&p.list, &p.n, &p.max, "boolean", 1), ==, 0);
    g_assert_cmpint(virTypedParamsAddString(&p.list, &p.n, &p.max, "disk", "vda"), ==, 0);
    g_assert_cmpint(virTypedParamsAddString(&p.list, &p.n, &p.max, "disk", "vdb"), ==, 0);
    return p;
}

static void
test_copy(void)
{
    g_auto(Params) from = one_of_each();
    g_auto(Params) copy = {0};
    g_auto(Params) empty = {0};

    params_copy(&copy, from.list, from.n);
    g_assert_cmpint(copy.n, ==, from.n);
    for (int i = 0; i < from.n; i++) {
        g_assert_cmpstr(copy.list[i].field, ==, from.list[i].field);
        g_assert_cmpint(copy.list[i].type, ==, from.list[i].type);
    }
    g_assert_cmpint(copy.list[0].value.i, ==, -1);
    g_assert_cmpuint(copy.list[1].value.ui, ==, G_MAXUINT);
    g_assert_cmpint(copy.list[2].value.l, ==, G_MININT64);
    g_assert_cmpuint(copy.list[3].value.ul, ==, G_MAXUINT64);
    g_assert_cmpfloat(copy.list[4].value.d, ==, 0.5);
    g_assert_cmpint(copy.list[5].value.b, ==, 1);
    g_assert_cmpstr(copy.list[6].value.s, ==, "vda");
    g_assert_cmpstr(copy.list[7].value.s, ==, "vdb");
    g_assert_true(copy.list[7].value.s != from.list[7].value.s);
    params_copy(&empty, NULL, 0);
    g_assert_cmpint(empty.n, ==, 0);
}

static void
test_copy_without(void)
{
    static const char *const without[] = {"disk", "int", "not-there", NULL};
    g_auto(Params) from = one_of_each();
    g_auto(Params) copy = {0};

    params_copy_without(&copy, from.list, from.n, without);
    g_assert_cmpint(copy.n, ==, from.n - 3);
    for (int i = 0; i < copy.n; i++)
        g_assert_cmpstr(copy.list[i].field, ==, from.list[i + 1].field);
}

static void
test_set_string(void)
{
    g_auto(Params) params = one_of_each();
    int n = params.n;

    params_set_string(&params, "name", "guest");
    g_assert_cmpint(params.n, ==, n + 1);
    params_set_string(&params, "name", "other");
    g_assert_cmpint(params.n, ==, n + 1);
    g_assert_cmpstr(params_get_string(params.list, params.n, "name"), ==, "other");
    g_assert_null(params_get_string(params.list, params.n, "nobody"));
    g_assert_null(params_get_string(params.list, params.n, "int"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(virInitialize(), ==, 0);
    virSetErrorFunc(NULL, say_nothing);
    g_test_add_func("/params/copy", test_copy);
    g_test_add_func("/params/copy-without", test_copy_without);
    g_test_add_func("/params/set-string", test_set_string);
    return g_test_run();
}
