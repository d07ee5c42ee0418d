/*
 * verdict.c: what is told of a bitmap is kept as it was told, within bounds
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/verdict.h"

static void
test_texts(void)
{
    g_autofree char *long_reason = g_strnfill(5000, 'x');
    g_autoptr(Verdict) verdict =
        verdict_new(VERDICT_BITMAP, "vda", "m\xff", "drop", "caf\xe9, caf\xc3\xa9", 4711);
    g_autoptr(Verdict) another = verdict_ref(verdict);
    g_autoptr(Verdict) cut = verdict_new(VERDICT_CHECKPOINT, "", "c", "carry", long_reason, 0);

    g_assert_cmpstr(another->disk, ==, "vda");
    g_assert_cmpstr(another->name, ==, "m\xff"); /* QEMU's own name of it */
    g_assert_cmpstr(another->reason, ==, "caf\xef\xbf\xbd, caf\xc3\xa9");
    g_assert_cmpint(another->at_usec, ==, 4711);
    g_assert_cmpuint(strlen(cut->reason), ==, 400);
}

static void
test_same(void)
{
    static const struct {
        VerdictKind kind;
        const char *disk;
        const char *name;
        gboolean same;
    } others[] = {
        {VERDICT_BITMAP, "vda", "monday", TRUE},
        {VERDICT_CHECKPOINT, "vda", "monday", FALSE},
        {VERDICT_BITMAP, "vdb", "monday", FALSE},
        {VERDICT_BITMAP, "vda", "tuesday", FALSE},
    };
    g_autoptr(Verdict) one = verdict_new(VERDICT_BITMAP, "vda", "monday", "drop", "it is", 1);

    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        g_autoptr(Verdict) other =
            verdict_new(others[i].kind, others[i].disk, others[i].name, "repair", "it was", 2);

        g_assert_cmpint(verdict_is_of_same(one, other), ==, others[i].same);
    }
}

static void
test_kinds(void)
{
    VerdictKind kind = VERDICT_KIND_LAST;

    for (guint i = 0; i < VERDICT_KIND_LAST; i++) {
        g_assert_true(verdict_kind_from_string(verdict_kind_to_string(i), &kind));
        g_assert_cmpuint(kind, ==, i);
    }
    g_assert_false(verdict_kind_from_string("disk", &kind));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/verdict/texts", test_texts);
    g_test_add_func("/verdict/same", test_same);
    g_test_add_func("/verdict/kinds", test_kinds);
    return g_test_run();
}
