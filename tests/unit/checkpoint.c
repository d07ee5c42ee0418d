/*
 * checkpoint.c: definitions of checkpoints are read, put in order and given other parents
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/checkpoint.h"

#include <string.h>

/* As libvirt 11.3.0 prints it. */
static const char tuesday[] = "<domaincheckpoint>\n"
                              "  <name>tuesday &amp; &lt;co></name>\n"
                              "  <description>after  work</description>\n"
                              "  <parent>\n"
                              "    <name>mon&amp;day</name>\n"
                              "  </parent>\n"
                              "  <creationTime>1700000000</creationTime>\n"
                              "  <disks>\n"
                              "    <disk name='vda' checkpoint='bitmap' bitmap='tuesday'/>\n"
                              "    <disk name='vdb' checkpoint='no'/>\n"
                              "  </disks>\n"
                              "  <domain type='kvm'>\n"
                              "    <name>guest</name>\n"
                              "    <graphics passwd='secret'/>\n"
                              "  </domain>\n"
                              "</domaincheckpoint>\n";

static Checkpoint *
parse(const char *xml)
{
    g_autoptr(GError) error = NULL;
    Checkpoint *checkpoint = checkpoint_parse(xml, &error);

    g_assert_no_error(error);
    return checkpoint;
}

static void
test_parse(void)
{
    g_autoptr(Checkpoint) checkpoint = parse(tuesday);
    g_autoptr(Checkpoint) again = NULL;
    g_autofree char *xml = checkpoint_format(checkpoint);

    g_assert_cmpstr(checkpoint_get_name(checkpoint), ==, "tuesday & <co>");
    g_assert_cmpstr(checkpoint_get_parent(checkpoint), ==, "mon&day");
    g_assert_null(strstr(xml, "secret"));
    g_assert_nonnull(strstr(xml, "<description>after  work</description>"));
    g_assert_nonnull(strstr(xml, "<disk name=\"vdb\" checkpoint=\"no\"/>"));
    again = parse(xml);
    g_assert_cmpstr(checkpoint_get_name(again), ==, "tuesday & <co>");
    g_assert_cmpstr(checkpoint_get_parent(again), ==, "mon&day");
    g_assert_true(checkpoint_is_same(checkpoint, again));
}

static void
test_parent(void)
{
    g_autoptr(Checkpoint) checkpoint = parse(tuesday);
    g_autoptr(Checkpoint) other = parse(tuesday);

    for (guint i = 0; i < 2; i++) {
        const char *parent = i == 0 ? "sun<day>" : NULL;
        g_autofree char *xml = NULL;
        g_autoptr(Checkpoint) again = NULL;

        checkpoint_set_parent(checkpoint, parent);
        xml = checkpoint_format(checkpoint);
        again = parse(xml);
        g_assert_cmpstr(checkpoint_get_parent(again), ==, parent);
        g_assert_true(checkpoint_is_same(again, other));
    }
}

static void
test_same(void)
{
    static const char *const changes[][2] = {
        {"1700000000", "1700000001"},
        {"after", "before"},
        {"bitmap='tuesday'", "bitmap='t'"},
        {"<name>tuesday", "<name>wednesday"},
    };
    g_autoptr(Checkpoint) checkpoint = parse(tuesday);

    for (gsize i = 0; i < G_N_ELEMENTS(changes); i++) {
        g_auto(GStrv) parts = g_strsplit(tuesday, changes[i][0], -1);
        g_autofree char *xml = g_strjoinv(changes[i][1], parts);
        g_autoptr(Checkpoint) other = parse(xml);

        g_assert_false(checkpoint_is_same(checkpoint, other));
    }
}

static void
test_hostile(void)
{
    static const char *const bad[] = {
        "",
        "monday",
        "<domaincheckpoint>",
        "<domaincheckpoint/>",
        "<domaincheckpoint><name/></domaincheckpoint>",
        "<domainsnapshot><name>monday</name></domainsnapshot>",
        "<!DOCTYPE domaincheckpoint [<!ENTITY e 'x'>]>"
        "<domaincheckpoint><name>&e;</name></domaincheckpoint>",
        "<domaincheckpoint><name>\xff</name></domaincheckpoint>",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(checkpoint_parse(bad[i], &error));
        g_assert_error(error, CHECKPOINT_ERROR, CHECKPOINT_ERROR_SYNTAX);
    }
    for (gsize cut = 0; cut < sizeof(tuesday) - 2; cut++) {
        g_autofree char *xml = g_strndup(tuesday, cut);

        g_assert_null(checkpoint_parse(xml, NULL));
    }
    checkpoint_free(NULL);
}

/* "NAME PARENT TIME ..." in libvirt's order, parents first -> in the order to define them. */
static char *
order(const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func((GDestroyNotify)checkpoint_free);
    g_autoptr(GString) names = g_string_new(NULL);

    for (char **word = words; *word; word += 3) {
        g_autofree char *xml = g_strdup_printf("<domaincheckpoint><name>%s</name><creationTime>%s"
                                               "</creationTime></domaincheckpoint>",
                                               word[0], word[2]);
        Checkpoint *checkpoint = parse(xml);

        checkpoint_set_parent(checkpoint, g_str_equal(word[1], "-") ? NULL : word[1]);
        g_ptr_array_add(list, checkpoint);
    }
    checkpoint_order(list);
    for (guint i = 0; i < list->len; i++)
        g_string_append(names, checkpoint_get_name(list->pdata[i]));
    return g_string_free(g_steal_pointer(&names), FALSE);
}

static void
test_order(void)
{
    static const char *const cases[][2] = {
        {"a - 1", "a"},
        {"a - 1 b a 2 c b 3", "abc"},
        {"a - 1 b a 1 c b 1", "abc"},
        /* the latest on the other branch, whichever libvirt has first */
        {"a - 1 b a 2 c b 3 d a 4", "adbc"},
        {"a - 1 d a 4 b a 2 c b 3", "adbc"},
        {"a - 1 b - 2 c b 5 d a 4", "bcad"},
        /* a parent that is not there */
        {"b a 2 c b 3", "bc"},
        /* no tree at all */
        {"a b 1 b a 2", "ab"},
        {"a a 1", "a"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *ordered = order(cases[i][0]);

        g_assert_cmpstr(ordered, ==, cases[i][1]);
    }
    {
        g_autoptr(GPtrArray) none = g_ptr_array_new();

        checkpoint_order(none);
        g_assert_cmpuint(none->len, ==, 0);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/checkpoint/parse", test_parse);
    g_test_add_func("/checkpoint/parent", test_parent);
    g_test_add_func("/checkpoint/same", test_same);
    g_test_add_func("/checkpoint/hostile", test_hostile);
    g_test_add_func("/checkpoint/order", test_order);
    return g_test_run();
}
