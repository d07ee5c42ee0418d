/*
 * bitmap-repair.c: what is repaired, from where on, and with which commands
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bitmap/repair.h"

#include <string.h>

typedef enum {
    INACTIVE = 1,
    DISABLED = 2,
    BUSY = 4,
    TRANSIENT = 8,
    BROKEN = 16,
    AT_HOME = 32, /* not on the stream */
} Kind;

static void
add(GPtrArray *view, const char *name, guint kind)
{
    Bitmap *bitmap = g_new0(Bitmap, 1);

    bitmap->node = g_strdup("n1");
    bitmap->name = g_strdup(name);
    bitmap->granularity_bytes = 65536;
    bitmap->active = !(kind & INACTIVE);
    bitmap->recording = !(kind & DISABLED);
    bitmap->busy = (kind & BUSY) != 0;
    bitmap->persistent = !(kind & TRANSIENT);
    bitmap->inconsistent = (kind & BROKEN) != 0;
    bitmap->on_stream = !(kind & AT_HOME);
    g_ptr_array_add(view, bitmap);
}

static char *
describe(const GArray *plan)
{
    static const char *const words[] = {"copy", "remove", "renew", "clean"};
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < plan->len; i++) {
        const Repair *repair = &g_array_index(plan, Repair, i);

        g_string_append_printf(text, "%s%s:%s", i ? " " : "", repair->bitmap->name,
                               words[repair->first]);
    }
    return g_string_free(text, FALSE);
}

static void
assert_plan(const GPtrArray *view, const char *expected, gboolean busy)
{
    g_autoptr(GArray) plan = repair_plan(view);
    g_autofree char *text = describe(plan);

    g_assert_cmpstr(text, ==, expected);
    g_assert_cmpint(repair_is_busy(plan), ==, busy);
}

static void
test_plan(void)
{
    static const struct {
        guint kind;
        const char *expected;
        gboolean busy;
    } cases[] = {
        {0, "b:copy", FALSE}, {DISABLED, "b:copy", FALSE}, {BUSY, "b:copy", TRUE},
        {AT_HOME, "", FALSE}, {AT_HOME | BUSY, "", FALSE}, {TRANSIENT, "", FALSE},
        {BROKEN, "", FALSE},  {INACTIVE, "", FALSE},       {INACTIVE | BUSY, "", FALSE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GPtrArray) view = g_ptr_array_new_with_free_func((GDestroyNotify)bitmap_free);

        add(view, "b", cases[i].kind);
        assert_plan(view, cases[i].expected, cases[i].busy);
    }
}

/* A daemon that was killed after each of the steps, and what its successor does. */
static void
test_interrupted(void)
{
    static const struct {
        int bitmap; /* -1: gone */
        const char *expected;
    } cases[] = {
        {0, "b:clean b:copy"}, /* after copy: both are right, and it is begun anew */
        {DISABLED, "b:clean b:copy"},
        {-1, "b:renew"},      /* after remove: the copy is all there is */
        {AT_HOME, "b:clean"}, /* of a bitmap that is no business of a migration */
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (guint order = 0; order < 2; order++) {
            g_autoptr(GPtrArray) view = g_ptr_array_new_with_free_func((GDestroyNotify)bitmap_free);

            if (order == 0)
                add(view, "holdfast-repair-b", TRANSIENT | AT_HOME);
            if (cases[i].bitmap >= 0)
                add(view, "b", (guint)cases[i].bitmap);
            if (order == 1)
                add(view, "holdfast-repair-b", TRANSIENT | AT_HOME);
            assert_plan(view, cases[i].expected, FALSE);
        }
    }
}

static void
test_several(void)
{
    g_autoptr(GPtrArray) view = g_ptr_array_new_with_free_func((GDestroyNotify)bitmap_free);

    add(view, "one", 0);
    add(view, "two", AT_HOME);
    add(view, "three", DISABLED);
    add(view, "four", BUSY);
    assert_plan(view, "one:copy three:copy four:copy", TRUE);
}

/* QEMU takes 1023 bytes; a copy's name is longer than the bitmap's. */
static void
test_long_names(void)
{
    gsize most = 1023 - strlen("holdfast-repair-");

    for (gsize length = most - 1; length <= most + 2; length++) {
        g_autoptr(GPtrArray) view = g_ptr_array_new_with_free_func((GDestroyNotify)bitmap_free);
        g_autofree char *name = g_strnfill(length, 'x');
        g_autofree char *expected = g_strconcat(name, ":copy", NULL);

        add(view, name, 0);
        assert_plan(view, length <= most ? expected : "", FALSE);
    }
}

/* Enabled or disabled, the granularity, and a name that JSON has to quote. */
static void
test_commands(void)
{
    Bitmap bitmap = {
        .node = (char *)"n1",
        .name = (char *)"a \"b\"",
        .granularity_bytes = 512,
    };

    for (guint recording = 0; recording < 2; recording++) {
        g_autofree char *copy = NULL, *renew = NULL;
        const char *disabled = recording ? "\"disabled\":false" : "\"disabled\":true";

        bitmap.recording = recording != 0;
        copy = repair_command(&bitmap, REPAIR_COPY);
        renew = repair_command(&bitmap, REPAIR_RENEW);
        g_assert_nonnull(strstr(copy, disabled));
        g_assert_nonnull(strstr(renew, disabled));
        g_assert_nonnull(strstr(copy, "\"persistent\":false"));
        g_assert_nonnull(strstr(renew, "\"persistent\":true"));
        g_assert_nonnull(strstr(copy, "\"granularity\":512,"));
        g_assert_nonnull(strstr(renew, "\"granularity\":512,"));
        g_assert_nonnull(strstr(copy, "\"target\":\"holdfast-repair-a \\\"b\\\"\""));
        g_assert_nonnull(strstr(copy, "\"bitmaps\":[\"a \\\"b\\\"\"]"));
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/repair/plan", test_plan);
    g_test_add_func("/repair/interrupted", test_interrupted);
    g_test_add_func("/repair/several", test_several);
    g_test_add_func("/repair/long-names", test_long_names);
    g_test_add_func("/repair/commands", test_commands);
    return g_test_run();
}
