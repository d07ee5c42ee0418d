/*
 * policy.c: the examples beside the schema, what they are read as and why they are refused
 *
 * A valid example is compared in its canonical form with policy/NAME.xml, an invalid one by its
 * message with policy/invalid/NAME.txt. The schema is asked as well, as xmllint would ask it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/policy.h"

#include <string.h>
#include <libxml/parser.h>
#include <libxml/relaxng.h>
#include <glib/gstdio.h>

/* Refused by rules that the schema leaves to Holdfast, as its head says, or before it is asked. */
static const char *const beyond_schema[] = {"min-above-max", "path-address", "path-port", "doctype",
                                            NULL};

static xmlRelaxNG *schema;

static char *
root_file(const char *folder, const char *name, const char *suffix)
{
    g_autofree char *file = g_strconcat(name, suffix, NULL);

    return g_build_filename(g_getenv("SOURCE_ROOT"), folder, file, NULL);
}

static char *
read_file(const char *path)
{
    g_autoptr(GError) error = NULL;
    char *text = NULL;

    g_file_get_contents(path, &text, NULL, &error);
    g_assert_no_error(error);
    return text;
}

static void
compare_with_golden(const char *text, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *golden = NULL;

    if (g_getenv("REGENERATE")) {
        g_file_set_contents(path, text, -1, &error);
        g_assert_no_error(error);
    }
    golden = read_file(path);
    g_assert_cmpstr(text, ==, golden);
}

static void
ignore_error(void *data, xmlErrorPtr error)
{
}

static gboolean
schema_accepts(const char *xml)
{
    xmlDoc *doc = xmlReadMemory(xml, strlen(xml), NULL, NULL, XML_PARSE_NONET);
    xmlRelaxNGValidCtxt *context = xmlRelaxNGNewValidCtxt(schema);
    int verdict;

    xmlRelaxNGSetValidStructuredErrors(context, (xmlStructuredErrorFunc)ignore_error, NULL);
    verdict = xmlRelaxNGValidateDoc(context, doc);
    xmlRelaxNGFreeValidCtxt(context);
    xmlFreeDoc(doc);
    g_assert_cmpint(verdict, >=, 0);
    return verdict == 0;
}

static Policy *
read_policy(const char *xml, GError **error)
{
    g_autoptr(Policy) defaults = policy_default();

    return (strstr(xml, "<domain") ? policy_from_domain_xml(xml, defaults, error)
                                   : policy_from_element_xml(xml, NULL, defaults, error));
}

static void
test_valid(gconstpointer data)
{
    const char *name = data;
    g_autofree char *example = root_file("xml-schemas/examples", name, ".xml");
    g_autofree char *golden = root_file("tests/golden/policy", name, ".xml");
    g_autofree char *xml = read_file(example);
    g_autofree char *printed = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = read_policy(xml, &error);
    g_autoptr(Policy) again = NULL;

    g_assert_no_error(error);
    g_assert_true(schema_accepts(xml));
    printed = policy_to_xml(policy);
    compare_with_golden(printed, golden);

    g_assert_true(schema_accepts(printed));
    again = read_policy(printed, &error);
    g_assert_no_error(error);
    g_assert_true(policy_equal(policy, again));
}

static void
test_invalid(gconstpointer data)
{
    const char *name = data;
    g_autofree char *example = root_file("xml-schemas/examples/invalid", name, ".xml");
    g_autofree char *golden = root_file("tests/golden/policy/invalid", name, ".txt");
    g_autofree char *xml = read_file(example);
    g_autofree char *line = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = read_policy(xml, &error);

    g_assert_null(policy);
    g_assert_true(error && error->domain == POLICY_ERROR);
    g_assert_cmpint(error->code, !=, POLICY_ERROR_INTERNAL);
    line = g_strconcat(error->message, "\n", NULL);
    compare_with_golden(line, golden);
    g_assert_true(schema_accepts(xml) == g_strv_contains(beyond_schema, name));
}

/** The host's file as shipped says nothing; and what its comments call the default is it. */
static void
test_host_file(void)
{
    g_autofree char *path = root_file("packaging", "holdfast", ".conf");
    g_autofree char *text = read_file(path);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autofree char *uncommented = NULL, *copy = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) defaults = policy_default();
    g_autoptr(Policy) shipped = policy_load_host(path, &error);
    g_autoptr(Policy) spelt_out = NULL;
    guint n = 0;
    int fd;

    g_assert_no_error(error);
    g_assert_true(policy_equal(shipped, defaults));

    for (char **line = lines; *line; line++) {
        if ((*line)[0] != '#' || !g_ascii_isalpha((*line)[1]) || !strstr(*line, " = "))
            continue;
        if (g_str_has_prefix(*line, "#after") || g_str_has_prefix(*line, "#paths"))
            continue; /* examples: by default there are none */
        (*line)[0] = ' ';
        n++;
    }
    g_assert_cmpuint(n, ==, 13);
    uncommented = g_strjoinv("\n", lines);
    fd = g_file_open_tmp("holdfast-conf-XXXXXX", &copy, &error);
    g_assert_no_error(error);
    g_assert_true(g_close(fd, NULL));
    g_assert_true(g_file_set_contents(copy, uncommented, -1, NULL));
    spelt_out = policy_load_host(copy, &error);
    g_assert_no_error(error);
    g_assert_true(policy_equal(spelt_out, defaults));
    g_assert_cmpuint(spelt_out->at_once, ==, defaults->at_once);
    g_remove(copy);
}

/** A test for every NAME.xml of @folder; the names live as long as the process. */
static void
add_examples(const char *folder, const char *kind, GTestDataFunc test)
{
    g_autofree char *path = root_file(folder, "", "");
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(path, 0, &error);
    const char *file;

    g_assert_no_error(error);
    while ((file = g_dir_read_name(dir))) {
        char *name = g_strdup(file);
        g_autofree char *label = NULL;

        if (!g_str_has_suffix(name, ".xml")) {
            g_free(name);
            continue;
        }
        name[strlen(name) - strlen(".xml")] = '\0';
        label = g_strdup_printf("/policy/%s/%s", kind, name);
        g_test_add_data_func_full(label, name, test, g_free);
    }
}

static void
load_schema(void)
{
    g_autofree char *path = root_file("xml-schemas", "holdfast-migration", ".rng");
    xmlRelaxNGParserCtxt *context = xmlRelaxNGNewParserCtxt(path);

    schema = xmlRelaxNGParse(context);
    g_assert_nonnull(schema);
    xmlRelaxNGFreeParserCtxt(context);
}

int
main(int argc, char **argv)
{
    int failed;

    g_test_init(&argc, &argv, NULL);
    load_schema();
    add_examples("xml-schemas/examples", "valid", test_valid);
    add_examples("xml-schemas/examples/invalid", "invalid", test_invalid);
    g_test_add_func("/policy/host-file", test_host_file);
    failed = g_test_run();
    xmlRelaxNGFree(schema);
    return failed;
}
