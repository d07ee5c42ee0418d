/*
 * policy.c: every word and bound of the policy, in XML and in the host's file, and which one wins
 *
 * The tables here are written out a second time on purpose: they are the contract.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/policy.h"
#include "model/policy-schema-priv.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <libxml/parser.h>
#include <glib/gstdio.h>

#define FIELD(name) G_STRUCT_OFFSET(Policy, name)

typedef struct {
    const char *element, *attribute, *value;
    gsize offset;
    guint expected;
} Word;

/* clang-format off */
static const Word words[] = {
    {"postcopy", "mode", "never", FIELD(postcopy_mode), POLICY_POSTCOPY_NEVER},
    {"postcopy", "mode", "allow", FIELD(postcopy_mode), POLICY_POSTCOPY_ALLOW},
    {"postcopy", "mode", "prefer", FIELD(postcopy_mode), POLICY_POSTCOPY_PREFER},
    {"postcopy", "mode", "require", FIELD(postcopy_mode), POLICY_POSTCOPY_REQUIRE},
    {"postcopy", "switch", "manual", FIELD(switch_when), POLICY_SWITCH_MANUAL},
    {"postcopy", "switch", "after-precopy", FIELD(switch_when), POLICY_SWITCH_AFTER_PRECOPY},
    {"postcopy", "after", "30", FIELD(switch_when), POLICY_SWITCH_AFTER},
    {"postcopy", "after", "30", FIELD(switch_after_s), 30},
    {"recovery", "mode", "auto", FIELD(recovery_mode), POLICY_RECOVERY_AUTO},
    {"recovery", "mode", "manual", FIELD(recovery_mode), POLICY_RECOVERY_MANUAL},
    {"recovery", "give-up", "never", FIELD(give_up_s), POLICY_NEVER},
    {"bitmaps", "on-departure", "proceed", FIELD(bitmaps_on_departure),
     POLICY_ON_DEPARTURE_PROCEED},
    {"bitmaps", "on-departure", "drop", FIELD(bitmaps_on_departure), POLICY_ON_DEPARTURE_DROP},
    {"bitmaps", "on-departure", "refuse", FIELD(bitmaps_on_departure), POLICY_ON_DEPARTURE_REFUSE},
    {"bitmaps", "on-return", "auto", FIELD(bitmaps_on_return), POLICY_ON_RETURN_AUTO},
    {"bitmaps", "on-return", "restore", FIELD(bitmaps_on_return), POLICY_ON_RETURN_RESTORE},
    {"bitmaps", "on-return", "merge", FIELD(bitmaps_on_return), POLICY_ON_RETURN_MERGE},
    {"bitmaps", "on-return", "drop", FIELD(bitmaps_on_return), POLICY_ON_RETURN_DROP},
    {"bitmaps", "guard", "auto", FIELD(bitmaps_guard), POLICY_GUARD_AUTO},
    {"bitmaps", "guard", "on", FIELD(bitmaps_guard), POLICY_GUARD_ON},
    {"bitmaps", "guard", "off", FIELD(bitmaps_guard), POLICY_GUARD_OFF},
    {"bitmaps", "checkpoints", "carry", FIELD(checkpoints), POLICY_CHECKPOINTS_CARRY},
    {"bitmaps", "checkpoints", "leave", FIELD(checkpoints), POLICY_CHECKPOINTS_LEAVE},
};

typedef struct {
    const char *element, *attribute;
    gsize offset;
    gint64 min, max;
    gboolean power_of_two;
} Number;

static const Number numbers[] = {
    {"postcopy", "after", FIELD(switch_after_s), 1, 86400},
    {"recovery", "detect", FIELD(detect_ms), 500, 30000},
    {"recovery", "min-interval", FIELD(min_interval_ms), 50, 3600000},
    {"recovery", "max-interval", FIELD(max_interval_ms), 50, 3600000},
    {"recovery", "give-up", FIELD(give_up_s), 1, 2592000},
    {"bitmaps", "granularity", FIELD(granularity_bytes), 65536, 2147483648, TRUE},
};

static const char *const attributes[][2] = {
    {"postcopy", "mode"}, {"postcopy", "switch"}, {"postcopy", "after"},
    {"recovery", "mode"}, {"recovery", "detect"}, {"recovery", "min-interval"},
    {"recovery", "max-interval"}, {"recovery", "give-up"},
    {"bitmaps", "on-departure"}, {"bitmaps", "on-return"}, {"bitmaps", "guard"}, {"bitmaps", "granularity"},
    {"bitmaps", "checkpoints"},
};
/* clang-format on */

static char *folder; /* of the test's own files */

static Policy *
load_text(const char *text, GError **error)
{
    g_autofree char *path = g_build_filename(folder, "holdfast.conf", NULL);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    return policy_load_host(path, error);
}

static char *
one_attribute_xml(const char *element, const char *attribute, const char *value)
{
    return g_strdup_printf("<migration xmlns='%s'><%s %s='%s'/></migration>", POLICY_NAMESPACE,
                           element, attribute, value);
}

static gboolean
schema_accepts(const char *xml)
{
    xmlDoc *doc = xmlReadMemory(xml, strlen(xml), NULL, NULL, XML_PARSE_NONET);
    g_auto(PolicyXmlFault) fault = {0};
    g_autoptr(GError) error = NULL;

    g_assert_true(policy_schema_validate(doc, &fault, &error));
    g_assert_no_error(error);
    xmlFreeDoc(doc);
    return fault.message == NULL;
}

/** The attribute read out of XML and of the host's file, which must have the same opinion; and the
 * schema must have it too. NULL if it is refused. */
static Policy *
read_attribute(const char *element, const char *attribute, const char *value)
{
    g_autoptr(Policy) defaults = policy_default();
    g_autofree char *xml = one_attribute_xml(element, attribute, value);
    g_autofree char *ini = g_strdup_printf("[%s]\n%s = %s\n", element, attribute, value);
    g_autoptr(GError) xml_error = NULL;
    g_autoptr(GError) ini_error = NULL;
    g_autoptr(Policy) from_xml = policy_from_element_xml(xml, NULL, defaults, &xml_error);
    g_autoptr(Policy) from_ini = load_text(ini, &ini_error);

    g_test_message("<%s %s=\"%s\">", element, attribute, value);
    g_assert_true(schema_accepts(xml) == (from_xml != NULL));
    if (!from_xml) {
        g_assert_error(xml_error, POLICY_ERROR, POLICY_ERROR_VALUE);
        g_assert_error(ini_error, POLICY_ERROR, POLICY_ERROR_VALUE);
        g_assert_nonnull(strstr(xml_error->message, "line 1: "));
        g_assert_nonnull(strstr(xml_error->message, attribute));
        g_assert_nonnull(strstr(ini_error->message, "line 2: "));
        return NULL;
    }
    g_assert_no_error(ini_error);
    g_assert_true(policy_equal(from_xml, from_ini));
    return g_steal_pointer(&from_xml);
}

static void
test_words(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        const Word *w = &words[i];
        g_autoptr(Policy) policy = read_attribute(w->element, w->attribute, w->value);

        g_assert_nonnull(policy);
        g_assert_cmpuint(G_STRUCT_MEMBER(guint, policy, w->offset), ==, w->expected);
    }
}

static void
test_not_words(void)
{
    static const char *const bad[] = {"", "x", "never ever", "Auto", "auto,manual", "on;off", "-"};

    for (guint a = 0; a < G_N_ELEMENTS(attributes); a++) {
        for (guint i = 0; i < G_N_ELEMENTS(bad); i++)
            g_assert_null(read_attribute(attributes[a][0], attributes[a][1], bad[i]));
    }
}

/** What is a number for the schema's type is one for the readers, and nothing else is. */
static void
test_spellings(void)
{
    static const char *const spellings[] = {
        "1048576",  " 30 ",   "030", "+30", "-30",   "30.0", "3e1", "0x1e", "1 000",
        "000001e9", "65536 ", "0",   "-0",  "1e400", "NaN",  "30s", "٣٠",   "18446744073709551646",
    };

    for (guint n = 0; n < G_N_ELEMENTS(numbers); n++) {
        for (guint i = 0; i < G_N_ELEMENTS(spellings); i++) {
            policy_unref(read_attribute(numbers[n].element, numbers[n].attribute, spellings[i]));
        }
    }
}

static void
test_bounds(void)
{
    for (guint n = 0; n < G_N_ELEMENTS(numbers); n++) {
        const Number *number = &numbers[n];
        const gint64 around[] = {number->min - 1, number->min, number->min + 1,
                                 number->max - 1, number->max, number->max + 1};

        for (guint i = 0; i < G_N_ELEMENTS(around); i++) {
            gint64 value = around[i];
            g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, value);
            g_autoptr(Policy) policy = read_attribute(number->element, number->attribute, text);
            gboolean valid = value >= number->min && value <= number->max &&
                             (!number->power_of_two || (value & (value - 1)) == 0);

            g_assert_true(valid == (policy != NULL));
            if (valid)
                g_assert_cmpuint(G_STRUCT_MEMBER(guint, policy, number->offset), ==, value);
        }
    }
}

static void
test_granularities(void)
{
    for (guint bit = 0; bit < 34; bit++) {
        g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, G_GUINT64_CONSTANT(1) << bit);
        g_autoptr(Policy) policy = read_attribute("bitmaps", "granularity", text);

        g_assert_true((bit >= 16 && bit <= 31) == (policy != NULL));
    }
}

static void
test_defaults(void)
{
    g_autoptr(Policy) policy = policy_default();

    g_assert_cmpint(policy->postcopy_mode, ==, POLICY_POSTCOPY_ALLOW);
    g_assert_cmpint(policy->switch_when, ==, POLICY_SWITCH_MANUAL);
    g_assert_cmpint(policy->recovery_mode, ==, POLICY_RECOVERY_AUTO);
    g_assert_cmpuint(policy->detect_ms, ==, 1500);
    g_assert_cmpuint(policy->min_interval_ms, ==, 200);
    g_assert_cmpuint(policy->max_interval_ms, ==, 30000);
    g_assert_cmpuint(policy->give_up_s, ==, POLICY_NEVER);
    g_assert_null(policy->paths[0]);
    g_assert_cmpint(policy->bitmaps_on_departure, ==, POLICY_ON_DEPARTURE_PROCEED);
    g_assert_cmpint(policy->bitmaps_on_return, ==, POLICY_ON_RETURN_AUTO);
    g_assert_cmpint(policy->bitmaps_guard, ==, POLICY_GUARD_AUTO);
    g_assert_cmpuint(policy->granularity_bytes, ==, 1048576);
    g_assert_cmpint(policy->checkpoints, ==, POLICY_CHECKPOINTS_CARRY);
}

/* Each row: what the host says, what the domain says, and an attribute of the outcome. */
static void
test_precedence(void)
{
    static const struct {
        const char *host, *domain, *expected;
    } rows[] = {
        {"", "", "detect=\"1500\""},
        {"[recovery]\ndetect=2000", "", "detect=\"2000\""},
        {"[recovery]\ndetect=2000", "<recovery detect='3000'/>", "detect=\"3000\""},
        {"[recovery]\ndetect=2000", "<recovery mode='auto'/>", "detect=\"2000\""},
        {"[recovery]\ngive-up=60", "<recovery give-up='never'/>", "give-up=\"never\""},
        {"[postcopy]\nafter=30", "<postcopy/>", "after=\"30\""},
        {"[postcopy]\nafter=30", "<postcopy switch='manual'/>", "switch=\"manual\""},
        {"[postcopy]\nswitch=after-precopy", "<postcopy after='9'/>", "\"allow\" after=\"9\"/>"},
        {"[recovery]\npaths=tcp://a;", "<recovery/>", "<holdfast:path uri=\"tcp://a\"/>\n  </"},
        {"[recovery]\npaths=tcp://a", "<recovery><path uri='tcp://b'/></recovery>",
         "give-up=\"never\">\n    <holdfast:path uri=\"tcp://b\"/>\n  </"},
        /* What is inherited gives way to what is said. */
        {"[recovery]\nmin-interval=500", "<recovery max-interval='100'/>",
         "min-interval=\"100\" max-interval=\"100\""},
        {"[recovery]\nmax-interval=500", "<recovery min-interval='900'/>",
         "min-interval=\"900\" max-interval=\"900\""},
        {"[recovery]\nmin-interval=60000", "", "min-interval=\"60000\" max-interval=\"60000\""},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Policy) host = load_text(rows[i].host, &error);
        g_autoptr(Policy) policy = NULL;
        g_autofree char *before = NULL, *after = NULL, *printed = NULL, *xml = NULL;

        g_assert_no_error(error);
        before = policy_to_xml(host);
        xml = g_strdup_printf("<migration xmlns='%s'>%s</migration>", POLICY_NAMESPACE,
                              rows[i].domain);
        policy = policy_from_element_xml(xml, NULL, host, &error);
        g_assert_no_error(error);
        printed = policy_to_xml(policy);
        g_test_message("row %u: %s", i, printed);
        g_assert_nonnull(strstr(printed, rows[i].expected));
        after = policy_to_xml(host);
        g_assert_cmpstr(before, ==, after);
    }
}

static void
test_paths(void)
{
    static const struct {
        const char *uri, *host;
        guint16 port;
    } rows[] = {
        {"tcp://a", "a", 0},
        {"tcp://10.0.1.2", "10.0.1.2", 0},
        {"tcp://host-b.example.org:49152", "host-b.example.org", 49152},
        {"tcp://under_score:1", "under_score", 1},
        {"tcp://[::1]", "::1", 0},
        {"tcp://[2001:db8::2]:65535", "2001:db8::2", 65535},
        {"tcp://[::ffff:10.0.0.1]:80", "::ffff:10.0.0.1", 80},
        {"tcp://1a", "1a", 0},
        {"", NULL},
        {"tcp", NULL},
        {"tcp:", NULL},
        {"tcp:a", NULL},
        {"tcp://", NULL},
        {"TCP://a", NULL},
        {"unix:///tmp/s", NULL},
        {"tls://a", NULL},
        {"a:1", NULL},
        {"tcp://a:", NULL},
        {"tcp://a:0", NULL},
        {"tcp://a:01", NULL},
        {"tcp://a:65536", NULL},
        {"tcp://a:-1", NULL},
        {"tcp://a:1x", NULL},
        {"tcp://a:1:2", NULL},
        {"tcp://:1", NULL},
        {"tcp://a/", NULL},
        {"tcp://a?b", NULL},
        {"tcp://u@a", NULL},
        {"tcp://a b", NULL},
        {"tcp://a..b", NULL},
        {"tcp://a.", NULL},
        {"tcp://-a", NULL},
        {"tcp://a-", NULL},
        {"tcp://256.1.1.1", NULL},
        {"tcp://1.2.3", NULL},
        {"tcp://0.0.0.0", NULL},
        {"tcp://[::]", NULL},
        {"tcp://::1", NULL},
        {"tcp://[::1", NULL},
        {"tcp://::1]", NULL},
        {"tcp://[]", NULL},
        {"tcp://[10.0.0.1]", NULL},
        {"tcp://[a]", NULL},
        {"tcp://[::1]x", NULL},
        {"tcp://[::1]]", NULL},
        {"tcp://[fe80::1%25eth0]", NULL},
        {"tcp://\xc3\xa4", NULL},
        {"tcp://a,ipv6=on", NULL},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *host = NULL;
        guint16 port = 7;

        g_test_message("%s", rows[i].uri);
        g_assert_true(policy_path_parse(rows[i].uri, &host, &port) == (rows[i].host != NULL));
        g_assert_cmpstr(host, ==, rows[i].host);
        g_assert_cmpuint(port, ==, rows[i].host ? rows[i].port : 7);
    }
}

static void
test_path_lengths(void)
{
    g_autofree char *label = g_strnfill(63, 'a');
    g_autofree char *longest =
        g_strdup_printf("tcp://%s.%s.%s.%.61s:65535", label, label, label, label);
    g_autofree char *long_name =
        g_strdup_printf("tcp://%s.%s.%s.%.62s", label, label, label, label);
    g_autofree char *long_label = g_strdup_printf("tcp://a%s", label);

    g_assert_true(policy_path_parse(longest, NULL, NULL));
    g_assert_cmpuint(strlen(longest), ==, POLICY_URI_MAX_BYTES);
    g_assert_false(policy_path_parse(long_name, NULL, NULL));
    g_assert_false(policy_path_parse(long_label, NULL, NULL));
}

static void
test_path_count(void)
{
    for (guint n = 1; n <= POLICY_PATHS_MAX + 1; n++) {
        g_autoptr(Policy) defaults = policy_default();
        g_autoptr(GString) xml = g_string_new("<migration xmlns='" POLICY_NAMESPACE "'><recovery>");
        g_autoptr(GString) ini = g_string_new("[recovery]\npaths = ");
        g_autoptr(GError) xml_error = NULL, ini_error = NULL;
        g_autoptr(Policy) from_xml = NULL, from_ini = NULL;

        for (guint i = 0; i < n; i++) {
            g_string_append_printf(xml, "<path uri='tcp://h%u'/>", i);
            g_string_append_printf(ini, " tcp://h%u ;", i);
        }
        g_string_append(xml, "</recovery></migration>");
        from_xml = policy_from_element_xml(xml->str, NULL, defaults, &xml_error);
        from_ini = load_text(ini->str, &ini_error);
        g_assert_true(schema_accepts(xml->str) == (n <= POLICY_PATHS_MAX));
        if (n > POLICY_PATHS_MAX) {
            g_assert_error(xml_error, POLICY_ERROR, POLICY_ERROR_TOO_LARGE);
            g_assert_error(ini_error, POLICY_ERROR, POLICY_ERROR_TOO_LARGE);
            continue;
        }
        g_assert_no_error(xml_error);
        g_assert_no_error(ini_error);
        g_assert_cmpuint(g_strv_length(from_xml->paths), ==, n);
        g_assert_true(policy_equal(from_xml, from_ini));
        g_assert_false(policy_equal(from_xml, defaults));
    }
}

/* A key of the host's file that no domain has. */
static void
test_at_once(void)
{
    static const char domain[] = "<migration xmlns='" POLICY_NAMESPACE "'><recovery at-once='2'/>"
                                 "</migration>";
    g_autoptr(Policy) defaults = policy_default();
    g_autoptr(Policy) host = load_text("[recovery]\nat-once = 2\n", NULL);
    g_autoptr(Policy) refused = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *xml = NULL;

    g_assert_cmpuint(defaults->at_once, ==, 16);
    g_assert_cmpuint(host->at_once, ==, 2);
    g_assert_true(policy_equal(host, defaults));
    xml = policy_to_xml(host);
    g_assert_null(strstr(xml, "at-once"));
    g_assert_false(schema_accepts(domain));
    refused = policy_from_element_xml(domain, NULL, defaults, &error);
    g_assert_null(refused);
    g_assert_error(error, POLICY_ERROR, POLICY_ERROR_UNKNOWN);
    g_assert_null(strstr(error->message, "at-once,"));
}

static void
test_conf_errors(void)
{
    static const struct {
        const char *text;
        PolicyError code;
        const char *message; /* what it ends with, after the file's name */
    } rows[] = {
        {"\n[recover]\nmode=auto\n", POLICY_ERROR_UNKNOWN,
         ", line 2: the group [recover] is not known: give one of [postcopy], [recovery], "
         "[bitmaps]"},
        {"[bitmaps]\n# guard\nguards = on\n", POLICY_ERROR_UNKNOWN,
         ", line 3: the key guards is not known in [bitmaps]: give one of on-departure, on-return, "
         "guard, "
         "granularity, checkpoints"},
        {"[recovery]\nmode[de]=auto\n", POLICY_ERROR_UNKNOWN,
         "the key mode[de] is not known in [recovery]: give one of mode, detect, min-interval, "
         "max-interval, give-up, at-once, paths"},
        {"[recovery]\nat-once=0\n", POLICY_ERROR_VALUE,
         ", line 2: [recovery] at-once = 0 is not valid: give a whole number of migrations from 1 "
         "to 4096"},
        {"[postcopy]\npaths=tcp://a\n", POLICY_ERROR_UNKNOWN,
         ", line 2: the key paths is not known in [postcopy]: give one of mode, switch, after"},
        {"[recovery]\nmode=auto\n\ndetect = 20\n", POLICY_ERROR_VALUE,
         ", line 4: [recovery] detect = 20 is not valid: give a whole number of milliseconds from "
         "500 to 30000"},
        {"[bitmaps]\nguard = \"on\"\n", POLICY_ERROR_VALUE,
         ", line 2: [bitmaps] guard = \"on\" is not valid: give one of auto, on, off"},
        {"[bitmaps]\nguard = on # always\n", POLICY_ERROR_VALUE,
         ", line 2: [bitmaps] guard = on # always is not valid: give one of auto, on, off"},
        {"[recovery]\npaths = tcp://a; b", POLICY_ERROR_VALUE,
         ", line 2: [recovery] paths = b is not valid: give tcp://HOST or tcp://HOST:PORT, with an "
         "IPv6 address in brackets"},
        {"[postcopy]\nmode=allow\n[recovery]\nmin-interval=2000\nmax-interval=1000\n",
         POLICY_ERROR_CONFLICT,
         ", line 3: min-interval 2000 is above max-interval 1000: give a min-interval that is not "
         "above it"},
        {"[postcopy]\nswitch=manual\nafter=3\n", POLICY_ERROR_CONFLICT,
         ", line 1: switch and after exclude each other: give one of them"},
        {"mode=auto\n", POLICY_ERROR_SYNTAX, NULL},
        {"[recovery]\ndetect\n", POLICY_ERROR_SYNTAX, NULL},
        {"[recovery]\nmode = \xff\xfe\n", POLICY_ERROR_VALUE, NULL},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Policy) policy = load_text(rows[i].text, &error);

        g_test_message("row %u: %s", i, error ? error->message : "no error");
        g_assert_null(policy);
        g_assert_error(error, POLICY_ERROR, (gint)rows[i].code);
        g_assert_true(g_str_has_prefix(error->message, folder));
        if (rows[i].message)
            g_assert_true(g_str_has_suffix(error->message, rows[i].message));
        g_assert_true(g_utf8_validate(error->message, -1, NULL));
    }
}

static void
test_conf_files(void)
{
    g_autoptr(Policy) defaults = policy_default();
    g_autofree char *missing = g_build_filename(folder, "missing", NULL);
    g_autofree char *fifo = g_build_filename(folder, "fifo", NULL);
    g_autofree char *loop = g_build_filename(folder, "loop", NULL);
    g_autofree char *comment = g_strnfill(POLICY_HOST_FILE_MAX_BYTES + 1, '#');
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) none = policy_load_host(missing, &error);
    g_autoptr(Policy) empty = load_text("", &error);
    g_autoptr(Policy) blank = load_text("\n# nothing\n\n[recovery]\n", &error);
    g_autoptr(Policy) full = NULL;

    g_assert_no_error(error);
    g_assert_true(policy_equal(none, defaults));
    g_assert_true(policy_equal(empty, defaults));
    g_assert_true(policy_equal(blank, defaults));

    g_assert_null(load_text(comment, &error));
    g_assert_error(error, POLICY_ERROR, POLICY_ERROR_TOO_LARGE);
    g_clear_error(&error);
    comment[POLICY_HOST_FILE_MAX_BYTES] = '\0';
    full = load_text(comment, &error);
    g_assert_no_error(error);

    g_assert_true(g_file_set_contents(missing, "[recovery]\0\ndetect=1", 20, NULL));
    g_assert_null(policy_load_host(missing, &error));
    g_assert_error(error, POLICY_ERROR, POLICY_ERROR_SYNTAX);
    g_clear_error(&error);
    g_remove(missing);

    g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
    g_assert_cmpint(symlink(loop, loop), ==, 0);
    for (guint i = 0; i < 3; i++) {
        const char *paths[] = {folder, fifo, loop};

        g_assert_null(policy_load_host(paths[i], &error));
        g_assert_error(error, POLICY_ERROR, POLICY_ERROR_IO);
        g_clear_error(&error);
    }
    g_remove(fifo);
    g_remove(loop);
}

static void
test_error_names(void)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < POLICY_ERROR_LAST; i++) {
        g_assert_true(
            g_str_has_prefix(policy_error_dbus_name(i), "org.holdfast.Migration1.Error."));
        g_assert_true(g_hash_table_add(names, (char *)policy_error_dbus_name(i)));
    }
}

int
main(int argc, char **argv)
{
    g_autofree char *file = NULL;
    int failed;

    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("holdfast-policy-XXXXXX", NULL);
    g_assert_nonnull(folder);
    g_test_add_func("/policy/defaults", test_defaults);
    g_test_add_func("/policy/words", test_words);
    g_test_add_func("/policy/not-words", test_not_words);
    g_test_add_func("/policy/spellings", test_spellings);
    g_test_add_func("/policy/bounds", test_bounds);
    g_test_add_func("/policy/granularities", test_granularities);
    g_test_add_func("/policy/precedence", test_precedence);
    g_test_add_func("/policy/paths", test_paths);
    g_test_add_func("/policy/path-lengths", test_path_lengths);
    g_test_add_func("/policy/path-count", test_path_count);
    g_test_add_func("/policy/conf-at-once", test_at_once);
    g_test_add_func("/policy/conf-errors", test_conf_errors);
    g_test_add_func("/policy/conf-files", test_conf_files);
    g_test_add_func("/policy/error-names", test_error_names);
    failed = g_test_run();
    file = g_build_filename(folder, "holdfast.conf", NULL);
    g_remove(file);
    g_rmdir(folder);
    g_free(folder);
    return failed;
}
