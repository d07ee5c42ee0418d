/*
 * policy-hostile.c: what else may arrive where a policy is expected, and from many threads at once
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/policy.h"

#include <string.h>

#define NS    "xmlns:holdfast='" POLICY_NAMESPACE "'"
#define OPEN  "<domain type='kvm'>\n<metadata>\n"
#define CLOSE "\n</metadata></domain>"

static Policy *defaults;

/** A domain's policy, or @code and a message that has @message in it. */
static void
assert_refused(const char *domain_xml, PolicyError code, const char *message)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = policy_from_domain_xml(domain_xml, defaults, &error);

    g_test_message("%s", error ? error->message : "no error");
    g_assert_null(policy);
    g_assert_error(error, POLICY_ERROR, (gint)code);
    g_assert_nonnull(strstr(error->message, message));
    g_assert_true(g_utf8_validate(error->message, -1, NULL));
    g_assert_cmpuint(strlen(error->message), <, 600);
    g_assert_null(strchr(error->message, '\n'));
}

static void
test_without_policy(void)
{
    /* As in libvirt: only the first <metadata> of the domain itself counts. */
    static const char *const rows[] = {
        "<domain/>",
        "<domain><metadata/></domain>",
        "<domain><name>holdfast:migration</name></domain>",
        "<domain><metadata><nova:instance xmlns:nova='urn:nova'/></metadata></domain>",
        "<domain><metadata><m:migration xmlns:m='urn:holdfast:migrations:1'/></metadata></domain>",
        "<domain><metadata/><metadata><holdfast:migration " NS "/></metadata></domain>",
        "<domain><holdfast:migration " NS " detect='x'/></domain>",
        "<domain><metadata><a:b xmlns:a='urn:a'><holdfast:migration " NS "/></a:b></metadata>"
        "</domain>",
        "<!DOCTYPE domain><domain/>",
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Policy) policy = policy_from_domain_xml(rows[i], defaults, &error);

        g_test_message("%s", rows[i]);
        g_assert_no_error(error);
        g_assert_true(policy == defaults);
    }
}

static void
test_envelopes(void)
{
    assert_refused("", POLICY_ERROR_SYNTAX, "not well-formed");
    assert_refused("domain", POLICY_ERROR_SYNTAX, "line 1");
    assert_refused("<domain>\n<metadata>", POLICY_ERROR_SYNTAX, "line 2");
    assert_refused("<domain>\xff</domain>", POLICY_ERROR_SYNTAX, "not well-formed");
    assert_refused("<network/>", POLICY_ERROR_SYNTAX, "<network>");
    assert_refused("<d:domain xmlns:d='urn:d'/>", POLICY_ERROR_SYNTAX, "give a <domain>");
    assert_refused(OPEN "<holdfast:migration/>" CLOSE, POLICY_ERROR_NAMESPACE,
                   "line 3: the prefix \"holdfast\" is not declared");
    assert_refused(OPEN "<migration xmlns='urn:holdfast:migration:12'/>" CLOSE,
                   POLICY_ERROR_NAMESPACE, "give \"" POLICY_NAMESPACE "\"");
    assert_refused(OPEN "<migration xmlns='urn:holdfast:migration:&#10;&#x202e;'/>" CLOSE,
                   POLICY_ERROR_NAMESPACE, "migration:??");
    assert_refused("<!DOCTYPE domain>" OPEN "<holdfast:migration " NS "/>" CLOSE,
                   POLICY_ERROR_SYNTAX, "DOCTYPE");
    assert_refused(OPEN "<holdfast:migration " NS "/><holdfast:other " NS "/>" CLOSE,
                   POLICY_ERROR_DUPLICATE, "second policy");
}

/** @n times @text between a policy's tags, in a domain. */
static char *
stuffed(const char *before, const char *text, gsize n, const char *after)
{
    g_autoptr(GString) xml = g_string_new(OPEN "<holdfast:migration " NS);

    g_string_append(xml, before);
    for (gsize i = 0; i < n; i++)
        g_string_append(xml, text);
    g_string_append(xml, after);
    g_string_append(xml, CLOSE);
    return g_string_free(g_steal_pointer(&xml), FALSE);
}

static void
test_too_large(void)
{
    const gsize mebibyte = 1024 * 1024;
    g_autofree char *elements = stuffed(">", "<a/>", mebibyte / 4, "</holdfast:migration>");
    g_autofree char *known =
        stuffed(">", "<holdfast:recovery/>", mebibyte / 20, "</holdfast:migration>");
    g_autofree char *blanks = stuffed(">", "    ", mebibyte / 4, "</holdfast:migration>");
    g_autofree char *comment = stuffed("><!--", "    ", mebibyte / 4, "--></holdfast:migration>");
    g_autofree char *instruction =
        stuffed("><?a ", "abcd", mebibyte / 4, "?></holdfast:migration>");
    g_autofree char *attribute = stuffed(" a='", "aaaa", mebibyte / 4, "'/>");
    g_autofree char *name = stuffed("><a", "aaaa", 10000, "/></holdfast:migration>");
    g_autofree char *namespaces =
        stuffed("><a xmlns='", "aaaa", mebibyte / 4, "'/></holdfast:migration>");
    const char *all[] = {elements,    known,     blanks, comment,
                         instruction, attribute, name,   namespaces};

    for (guint i = 0; i < G_N_ELEMENTS(all); i++)
        assert_refused(all[i], POLICY_ERROR_TOO_LARGE, "give at most 65536 bytes");
}

/** The bound is the policy's: the domain around it may be large, and nearly as much is taken. */
static void
test_large_enough(void)
{
    g_autofree char *blanks = stuffed(">", "    ", 16000, "</holdfast:migration>");
    g_autofree char *devices = g_strnfill(3 * 1024 * 1024, 'x');
    g_autofree char *domain = g_strconcat(
        "<domain><description>", devices, "</description><metadata><holdfast:migration ", NS,
        "><holdfast:recovery mode='manual'/></holdfast:migration>", CLOSE, NULL);
    g_autofree char *too_much = g_strnfill(POLICY_DOMAIN_XML_MAX_BYTES + 1, ' ');
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) blank = policy_from_domain_xml(blanks, defaults, &error);
    g_autoptr(Policy) policy = policy_from_domain_xml(domain, defaults, &error);

    g_assert_no_error(error);
    g_assert_true(policy_equal(blank, defaults));
    g_assert_cmpint(policy->recovery_mode, ==, POLICY_RECOVERY_MANUAL);
    assert_refused(too_much, POLICY_ERROR_TOO_LARGE, "too large");
}

static void
test_deep(void)
{
    g_autofree char *within = stuffed(">", "<holdfast:recovery>", 200, "");
    g_autoptr(GString) deep = g_string_new(within);

    g_string_truncate(deep, deep->len - strlen(CLOSE));
    for (guint i = 0; i < 200; i++)
        g_string_append(deep, "</holdfast:recovery>");
    g_string_append(deep, "</holdfast:migration>" CLOSE);
    assert_refused(deep->str, POLICY_ERROR_UNKNOWN, "only path can stand there");

    g_string_assign(deep, "<domain>");
    for (guint i = 0; i < 100000; i++)
        g_string_append(deep, "<a>");
    assert_refused(deep->str, POLICY_ERROR_SYNTAX, "not well-formed");
}

/** Entities that double or come from elsewhere; the file must not be read. */
static void
test_entities(void)
{
    g_autoptr(GString) bomb = g_string_new("<!DOCTYPE domain [<!ENTITY e0 'lol'>");
    g_autofree char *in_text = NULL, *in_attribute = NULL;

    for (guint i = 1; i < 30; i++)
        g_string_append_printf(bomb, "<!ENTITY e%u '&e%u;&e%u;&e%u;&e%u;&e%u;&e%u;&e%u;&e%u;'>", i,
                               i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    g_string_append(bomb, "]>");
    in_text = g_strconcat(bomb->str, OPEN "<holdfast:migration " NS ">&e29;</holdfast:migration>",
                          CLOSE, NULL);
    in_attribute =
        g_strconcat(bomb->str, OPEN "<holdfast:migration " NS " a='&e29;'/>" CLOSE, NULL);
    assert_refused(in_text, POLICY_ERROR_SYNTAX, "");
    assert_refused(in_attribute, POLICY_ERROR_SYNTAX, "");
    assert_refused("<!DOCTYPE domain [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>" OPEN
                   "<holdfast:migration " NS ">&x;</holdfast:migration>" CLOSE,
                   POLICY_ERROR_SYNTAX, "DOCTYPE");
    assert_refused("<!DOCTYPE domain SYSTEM 'file:///nonexistent.dtd'>" OPEN
                   "<holdfast:migration " NS "/>" CLOSE,
                   POLICY_ERROR_SYNTAX, "DOCTYPE");
}

/** The element as it passes through virDomainSetMetadata() and virDomainGetMetadata(). */
static void
test_metadata_elements(void)
{
    static const struct {
        const char *xml, *uri;
        gboolean is_policy;
        int code; /* 0: accepted */
    } rows[] = {
        {"<migration><recovery mode='manual'/></migration>", POLICY_NAMESPACE, TRUE, 0},
        {"<holdfast:migration " NS "><holdfast:recovery mode='manual'/></holdfast:migration>",
         POLICY_NAMESPACE, TRUE, 0},
        {"<migration xmlns='" POLICY_NAMESPACE "'><recovery mode='manual'/></migration>", NULL,
         TRUE, 0},
        {"<migration><recovery mode='manual'/></migration>", NULL, FALSE, 0},
        {"<migration><recovery mode='manual'/></migration>", "urn:other", FALSE, 0},
        {"<migration/>", "urn:holdfast:migration:2", TRUE, POLICY_ERROR_NAMESPACE},
        {"<migration xmlns='urn:holdfast:migration:2'/>", POLICY_NAMESPACE, TRUE,
         POLICY_ERROR_NAMESPACE},
        {"<migration xmlns='" POLICY_NAMESPACE "'><recovery mode='x'/></migration>", "urn:other",
         TRUE, POLICY_ERROR_VALUE},
        {"<holdfast:migration " NS "><recovery/></holdfast:migration>", "urn:other", TRUE,
         POLICY_ERROR_UNKNOWN},
        {"<holdfast:migration " NS "><recovery mode='manual'/></holdfast:migration>",
         POLICY_NAMESPACE, TRUE, 0},
        {"<policy/>", POLICY_NAMESPACE, TRUE, POLICY_ERROR_UNKNOWN},
        {"<migration>", POLICY_NAMESPACE, TRUE, POLICY_ERROR_SYNTAX},
        {"<a/><b/>", "urn:other", TRUE, POLICY_ERROR_SYNTAX},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Policy) policy =
            policy_from_element_xml(rows[i].xml, rows[i].uri, defaults, &error);

        g_test_message("row %u: %s", i, error ? error->message : "accepted");
        /* POLICY_ERROR_IO, which is 0, cannot come from XML. */
        if (rows[i].code) {
            g_assert_null(policy);
            g_assert_error(error, POLICY_ERROR, rows[i].code);
            continue;
        }
        g_assert_no_error(error);
        if (rows[i].is_policy)
            g_assert_cmpint(policy->recovery_mode, ==, POLICY_RECOVERY_MANUAL);
        else
            g_assert_true(policy == defaults);
    }
}

static void
test_large_element(void)
{
    g_autofree char *blanks = g_strnfill(POLICY_XML_MAX_BYTES, ' ');
    g_autofree char *xml = g_strconcat("<migration>", blanks, "</migration>", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) foreign = policy_from_element_xml(xml, "urn:other", defaults, &error);

    g_assert_no_error(error);
    g_assert_true(foreign == defaults);
    g_assert_null(policy_from_element_xml(xml, POLICY_NAMESPACE, defaults, &error));
    g_assert_error(error, POLICY_ERROR, POLICY_ERROR_TOO_LARGE);
}

static const char whole[] =
    OPEN "<holdfast:migration " NS ">\n"
         "<!-- c --><?p i?>\n"
         "<holdfast:postcopy mode='prefer' after='30'/>\n"
         "<holdfast:recovery detect='900' give-up='never'><holdfast:path uri='tcp://[::1]:1'/>"
         "</holdfast:recovery>\n"
         "<holdfast:bitmaps guard='off' granularity='65536'/>\n"
         "</holdfast:migration>" CLOSE;

/** Either a policy or an error, for both readers. */
static void
read_anything(const char *xml)
{
    g_autoptr(GError) domain_error = NULL, element_error = NULL;
    g_autoptr(Policy) domain = policy_from_domain_xml(xml, defaults, &domain_error);
    g_autoptr(Policy) element =
        policy_from_element_xml(xml, POLICY_NAMESPACE, defaults, &element_error);

    g_assert_true((domain == NULL) == (domain_error != NULL));
    g_assert_true((element == NULL) == (element_error != NULL));
    if (domain_error)
        g_assert_cmpint(domain_error->code, !=, POLICY_ERROR_INTERNAL);
    if (!policy_may_be_in(xml))
        g_assert_true(domain == defaults || domain_error->code == POLICY_ERROR_SYNTAX);
}

static void
test_truncated(void)
{
    for (gsize length = 0; length < strlen(whole); length++) {
        g_autofree char *cut = g_strndup(whole, length);
        g_autofree char *element = g_strndup(strstr(whole, "<holdfast"), length);

        assert_refused(cut, POLICY_ERROR_SYNTAX, "not well-formed");
        read_anything(element);
    }
}

/** Every byte of a good document replaced by each of some awkward ones. */
static void
test_mutated(void)
{
    static const char awkward[] = {'<', '>', '&', '\'', ' ', ':', '9', 'x', '\x01', '\x80', '\xff'};

    for (gsize at = 0; at < strlen(whole); at++) {
        for (guint i = 0; i < G_N_ELEMENTS(awkward); i++) {
            g_autofree char *xml = g_strdup(whole);

            xml[at] = awkward[i];
            read_anything(xml);
        }
    }
}

/** The same policy in other letters. */
static void
test_spelt_otherwise(void)
{
    static const char *const rows[] = {
        whole,
        OPEN "<m:migration xmlns:m='urn:hold&#102;ast:migration:1'>"
             "<m:recovery detect='900'/></m:migration>" CLOSE,
        "<?xml version='1.0' encoding='UTF-7'?><domain><metadata>"
        "<m:migration xmlns:m='urn:h+AG8-ldfast:migration:1'><m:recovery detect='900'/>"
        "</m:migration>" CLOSE,
    };
    static const char plain[] = "\n<domain><name>a</name><metadata><a:b xmlns:a='urn:a'/>" CLOSE;
    g_autofree char *ebcdic = g_convert(whole, -1, "IBM037", "UTF-8", NULL, NULL, NULL);
    g_autofree char *cut = g_strndup(whole, strlen(OPEN));

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Policy) policy = policy_from_domain_xml(rows[i], defaults, &error);

        g_assert_no_error(error);
        g_assert_cmpuint(policy->detect_ms, ==, 900);
        g_assert_true(policy_may_be_in(rows[i]));
    }
    g_assert_nonnull(ebcdic);
    g_assert_true(policy_may_be_in(ebcdic));
    g_assert_true(policy_may_be_in("<!DOCTYPE domain SYSTEM 'a'><domain/>"));
    g_assert_false(policy_may_be_in(plain));
    g_assert_false(policy_may_be_in(cut));
    g_assert_true(policy_may_be_in(""));
}

enum { THREADS = 8, ROUNDS = 200 };

/** Each thread has a mistake of its own, and must be told of that one. */
static gpointer
read_many(gpointer data)
{
    guint id = GPOINTER_TO_UINT(data);
    g_autofree char *good =
        g_strdup_printf(OPEN "<holdfast:migration " NS
                             "><holdfast:recovery detect='%u'/></holdfast:migration>" CLOSE,
                        1000 + id);
    g_autofree char *bad =
        g_strdup_printf(OPEN "<holdfast:migration " NS
                             "><holdfast:recovery detect='%u'/></holdfast:migration>" CLOSE,
                        100 + id);
    g_autofree char *quoted = g_strdup_printf("detect=\"%u\"", 100 + id);

    for (guint i = 0; i < ROUNDS; i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Policy) policy = policy_from_domain_xml(good, defaults, &error);

        g_assert_no_error(error);
        g_assert_cmpuint(policy->detect_ms, ==, 1000 + id);
        g_assert_null(policy_from_domain_xml(bad, defaults, &error));
        g_assert_error(error, POLICY_ERROR, POLICY_ERROR_VALUE);
        g_assert_nonnull(strstr(error->message, quoted));
    }
    return NULL;
}

/* First of all, so that the schema is compiled under the threads' feet. */
static void
test_threads(void)
{
    GThread *threads[THREADS];

    for (guint i = 0; i < THREADS; i++)
        threads[i] = g_thread_new("policy", read_many, GUINT_TO_POINTER(i));
    for (guint i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
}

static void
test_prepare(void)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(policy_prepare(&error));
    g_assert_true(policy_prepare(&error));
    g_assert_no_error(error);
}

int
main(int argc, char **argv)
{
    int failed;

    g_test_init(&argc, &argv, NULL);
    defaults = policy_default();
    g_test_add_func("/policy-hostile/threads", test_threads);
    g_test_add_func("/policy-hostile/prepare", test_prepare);
    g_test_add_func("/policy-hostile/without-policy", test_without_policy);
    g_test_add_func("/policy-hostile/envelopes", test_envelopes);
    g_test_add_func("/policy-hostile/too-large", test_too_large);
    g_test_add_func("/policy-hostile/large-enough", test_large_enough);
    g_test_add_func("/policy-hostile/deep", test_deep);
    g_test_add_func("/policy-hostile/entities", test_entities);
    g_test_add_func("/policy-hostile/metadata-elements", test_metadata_elements);
    g_test_add_func("/policy-hostile/large-element", test_large_element);
    g_test_add_func("/policy-hostile/truncated", test_truncated);
    g_test_add_func("/policy-hostile/mutated", test_mutated);
    g_test_add_func("/policy-hostile/spelt-otherwise", test_spelt_otherwise);
    failed = g_test_run();
    policy_unref(defaults);
    return failed;
}
