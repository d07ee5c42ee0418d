/*
 * policy.c: the policy as a value, the table of what it may say, and its canonical form
 *
 * Readers are in policy-xml.c and policy-conf.c. A new attribute is a field in policy.h, a row in
 * the table below, a default, and a definition in xml-schemas/holdfast-migration.rng; the tests
 * compare the table with the schema.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/policy-priv.h"

#include <string.h>
#include <glib/gi18n-lib.h>

G_STATIC_ASSERT(sizeof(PolicyPostcopy) == sizeof(guint));

/* Bounds. A value outside is a mistake of its writer, so it is refused and not clamped. */
enum {
    /* TCP sends a lost segment again after 200 and then 400 ms: both must have had their chance,
     * or every lost packet is an outage. */
    DETECT_MIN_MS = 500,
    /* libvirt's keepalive closes the connection between the daemons after 30 s of silence; a later
     * detection would never come first. */
    DETECT_MAX_MS = 30 * 1000,
    /* An attempt takes about 50 ms itself, and a fresh port at the destination. */
    INTERVAL_MIN_MS = 50,
    /* Nobody should wait for longer than this when the network is back. */
    INTERVAL_MAX_MS = 60 * 60 * 1000,
    /* The shortest time that has room for some attempts. */
    GIVE_UP_MIN_S = 1,
    /* Thirty days; whoever means longer means "never". */
    GIVE_UP_MAX_S = 30 * 24 * 60 * 60,
    /* More do not fit into a host's memory. */
    AT_ONCE_MAX = 4096,
    /* "At once" cannot be had: QEMU needs the migration to be running. */
    AFTER_MIN_S = 1,
    /* A day; whoever means longer means switch="manual". */
    AFTER_MAX_S = 24 * 60 * 60,
    /* qcow2's usual cluster and QEMU's usual granularity: a finer guard tells no more, and is
     * longer to store while the guest stands still. */
    GRANULARITY_MIN_BYTES = 64 * 1024,
};
/* The largest that qcow2 stores (BME_MAX_GRANULARITY_BITS, block/qcow2-bitmap.c, QEMU 10.0.2). */
#define GRANULARITY_MAX_BYTES (2048u * 1024 * 1024)

static const char *const postcopy_words[] = {"never", "allow", "prefer", "require", NULL};
static const char *const switch_words[] = {"manual", "after-precopy", NULL};
static const char *const recovery_words[] = {"auto", "manual", NULL};
static const char *const on_departure_words[] = {"proceed", "drop", "refuse", NULL};
static const char *const on_return_words[] = {"auto", "restore", "merge", "drop", NULL};
static const char *const guard_words[] = {"auto", "on", "off", NULL};
static const char *const checkpoint_words[] = {"carry", "leave", NULL};

const char *const policy_elements[] = {"postcopy", "recovery", "bitmaps", NULL};

typedef enum {
    RULE_MODE,
    RULE_SWITCH,
    RULE_AFTER,
    RULE_RECOVERY,
    RULE_DETECT,
    RULE_MIN_INTERVAL,
    RULE_MAX_INTERVAL,
    RULE_GIVE_UP,
    RULE_AT_ONCE,
    RULE_ON_DEPARTURE,
    RULE_ON_RETURN,
    RULE_GUARD,
    RULE_GRANULARITY,
    RULE_CHECKPOINTS,
    RULE_LAST,
} RuleIndex;

#define WORDS(w, field) .words = w, .offset = G_STRUCT_OFFSET(Policy, field)
#define NUMBER(lo, hi, u, field)                                                                   \
    .min = lo, .max = hi, .unit = u, .offset = G_STRUCT_OFFSET(Policy, field)

/* clang-format off */
static const PolicyRule rules[RULE_LAST] = {
    [RULE_MODE]         = { "postcopy", "mode",         WORDS(postcopy_words, postcopy_mode) },
    [RULE_SWITCH]       = { "postcopy", "switch",       WORDS(switch_words, switch_when) },
    [RULE_AFTER]        = { "postcopy", "after",        NUMBER(AFTER_MIN_S, AFTER_MAX_S, N_("seconds"), switch_after_s) },
    [RULE_RECOVERY]     = { "recovery", "mode",         WORDS(recovery_words, recovery_mode) },
    [RULE_DETECT]       = { "recovery", "detect",       NUMBER(DETECT_MIN_MS, DETECT_MAX_MS, N_("milliseconds"), detect_ms) },
    [RULE_MIN_INTERVAL] = { "recovery", "min-interval", NUMBER(INTERVAL_MIN_MS, INTERVAL_MAX_MS, N_("milliseconds"), min_interval_ms) },
    [RULE_MAX_INTERVAL] = { "recovery", "max-interval", NUMBER(INTERVAL_MIN_MS, INTERVAL_MAX_MS, N_("milliseconds"), max_interval_ms) },
    [RULE_GIVE_UP]      = { "recovery", "give-up",      NUMBER(GIVE_UP_MIN_S, GIVE_UP_MAX_S, N_("seconds"), give_up_s), .or_never = TRUE },
    [RULE_AT_ONCE]      = { "recovery", "at-once",      NUMBER(1, AT_ONCE_MAX, N_("migrations"), at_once), .host_only = TRUE },
    [RULE_ON_DEPARTURE] = { "bitmaps",  "on-departure", WORDS(on_departure_words, bitmaps_on_departure) },
    [RULE_ON_RETURN]    = { "bitmaps",  "on-return",    WORDS(on_return_words, bitmaps_on_return) },
    [RULE_GUARD]        = { "bitmaps",  "guard",        WORDS(guard_words, bitmaps_guard) },
    [RULE_GRANULARITY]  = { "bitmaps",  "granularity",  NUMBER(GRANULARITY_MIN_BYTES, GRANULARITY_MAX_BYTES, N_("bytes"), granularity_bytes), .power_of_two = TRUE },
    [RULE_CHECKPOINTS]  = { "bitmaps",  "checkpoints",  WORDS(checkpoint_words, checkpoints) },
};
/* clang-format on */

G_DEFINE_QUARK(policy - error - quark, policy_error)

const char *
policy_error_dbus_name(PolicyError code)
{
    static const char *const names[POLICY_ERROR_LAST] = {
        [POLICY_ERROR_IO] = "org.holdfast.Migration1.Error.Policy.Io",
        [POLICY_ERROR_SYNTAX] = "org.holdfast.Migration1.Error.Policy.Syntax",
        [POLICY_ERROR_TOO_LARGE] = "org.holdfast.Migration1.Error.Policy.TooLarge",
        [POLICY_ERROR_NAMESPACE] = "org.holdfast.Migration1.Error.Policy.Namespace",
        [POLICY_ERROR_DUPLICATE] = "org.holdfast.Migration1.Error.Policy.Duplicate",
        [POLICY_ERROR_UNKNOWN] = "org.holdfast.Migration1.Error.Policy.Unknown",
        [POLICY_ERROR_VALUE] = "org.holdfast.Migration1.Error.Policy.Value",
        [POLICY_ERROR_CONFLICT] = "org.holdfast.Migration1.Error.Policy.Conflict",
        [POLICY_ERROR_INTERNAL] = "org.holdfast.Migration1.Error.Policy.Internal",
    };

    g_return_val_if_fail((guint)code < POLICY_ERROR_LAST, names[POLICY_ERROR_INTERNAL]);
    return names[code];
}

static guint *
rule_field(const PolicyRule *rule, const Policy *policy)
{
    return (guint *)G_STRUCT_MEMBER_P(policy, rule->offset);
}

Policy *
policy_default(void)
{
    Policy *policy = g_new0(Policy, 1);

    g_atomic_ref_count_init(&policy->refs);
    policy->postcopy_mode = POLICY_POSTCOPY_ALLOW;
    policy->switch_when = POLICY_SWITCH_MANUAL;
    policy->recovery_mode = POLICY_RECOVERY_AUTO;
    policy->detect_ms = 1500; /* did not fire on a peer that was merely stopped */
    policy->min_interval_ms = 200;
    policy->max_interval_ms = 30 * 1000;
    policy->give_up_s = POLICY_NEVER; /* giving up in postcopy loses the guest */
    /* A handshake takes some ten milliseconds, so hundreds are through in seconds; those that hang
     * have a deadline. */
    policy->at_once = 16;
    policy->paths = g_new0(char *, 1);
    policy->bitmaps_on_departure = POLICY_ON_DEPARTURE_PROCEED;
    policy->bitmaps_on_return = POLICY_ON_RETURN_AUTO;
    policy->bitmaps_guard = POLICY_GUARD_AUTO;
    policy->granularity_bytes = 1024 * 1024;
    policy->checkpoints = POLICY_CHECKPOINTS_CARRY;
    return policy;
}

Policy *
policy_ref(const Policy *policy)
{
    Policy *counted = (Policy *)policy;

    g_atomic_ref_count_inc(&counted->refs);
    return counted;
}

void
policy_unref(Policy *policy)
{
    if (!policy || !g_atomic_ref_count_dec(&policy->refs))
        return;
    g_strfreev(policy->paths);
    g_free(policy);
}

gboolean
policy_equal(const Policy *a, const Policy *b)
{
    for (guint i = 0; i < RULE_LAST; i++) {
        /* What `after` held before the switch was set otherwise means nothing. */
        if (i == RULE_AFTER && a->switch_when != POLICY_SWITCH_AFTER)
            continue;
        if (rules[i].host_only)
            continue;
        if (*rule_field(&rules[i], a) != *rule_field(&rules[i], b))
            return FALSE;
    }
    return g_strv_equal((const char *const *)a->paths, (const char *const *)b->paths);
}

const char *
policy_host_file(void)
{
    return HOLDFAST_CONF;
}

void
policy_draft_init(PolicyDraft *draft, const Policy *defaults)
{
    draft->policy = policy_default();
    draft->said = 0;
    for (guint i = 0; i < RULE_LAST; i++)
        *rule_field(&rules[i], draft->policy) = *rule_field(&rules[i], defaults);
    policy_draft_take_paths(draft, g_strdupv(defaults->paths));
}

void
policy_draft_clear(PolicyDraft *draft)
{
    g_clear_pointer(&draft->policy, policy_unref);
}

void
policy_draft_take_paths(PolicyDraft *draft, GStrv uris)
{
    g_strfreev(draft->policy->paths);
    draft->policy->paths = uris;
}

const PolicyRule *
policy_rule_find(const char *element, const char *attribute, gboolean of_host)
{
    for (guint i = 0; i < RULE_LAST; i++) {
        if (rules[i].host_only && !of_host)
            continue;
        if (g_str_equal(rules[i].element, element) && g_str_equal(rules[i].attribute, attribute))
            return &rules[i];
    }
    return NULL;
}

char *
policy_list_attributes(const char *element, gboolean of_host)
{
    g_autoptr(GString) list = g_string_new(NULL);

    for (guint i = 0; i < RULE_LAST; i++) {
        if (g_str_equal(rules[i].element, element) && (of_host || !rules[i].host_only))
            g_string_append_printf(list, "%s%s", list->len ? ", " : "", rules[i].attribute);
    }
    return g_string_free(g_steal_pointer(&list), FALSE);
}

static char *
rule_allowed(const PolicyRule *rule)
{
    g_autofree char *words = NULL;

    if (rule->words) {
        words = g_strjoinv(", ", (char **)rule->words);
        return g_strdup_printf(_("one of %1$s"), words);
    }
    if (rule->power_of_two)
        return g_strdup_printf(_("a power of two from %1$u to %2$u (%3$s)"), rule->min, rule->max,
                               _(rule->unit));
    if (rule->or_never)
        return g_strdup_printf(_("\"never\" or a whole number of %1$s from %2$u to %3$u"),
                               _(rule->unit), rule->min, rule->max);
    return g_strdup_printf(_("a whole number of %1$s from %2$u to %3$u"), _(rule->unit), rule->min,
                           rule->max);
}

/** Digits only, no sign: what the schema's unsignedInt is to libxml2. */
static gboolean
rule_parse_number(const PolicyRule *rule, const char *value, guint *number)
{
    guint64 n;

    if (rule->or_never && g_str_equal(value, "never")) {
        *number = POLICY_NEVER;
        return TRUE;
    }
    if (!g_ascii_string_to_unsigned(value, 10, rule->min, rule->max, &n, NULL))
        return FALSE;
    if (rule->power_of_two && (n & (n - 1)) != 0)
        return FALSE;
    *number = n;
    return TRUE;
}

static gboolean
rule_parse_word(const PolicyRule *rule, const char *value, guint *number)
{
    for (guint i = 0; rule->words[i]; i++) {
        if (g_str_equal(rule->words[i], value)) {
            *number = i;
            return TRUE;
        }
    }
    return FALSE;
}

gboolean
policy_draft_set(PolicyDraft *draft,
                 const PolicyRule *rule,
                 const char *value,
                 const char *where,
                 const char *what,
                 GError **error)
{
    g_autofree char *stripped = g_strstrip(g_strdup(value));
    guint number;

    if (!(rule->words ? rule_parse_word : rule_parse_number)(rule, stripped, &number)) {
        g_autofree char *allowed = rule_allowed(rule);

        g_set_error(error, POLICY_ERROR, POLICY_ERROR_VALUE,
                    _("%1$s: %2$s is not valid: give %3$s"), where, what, allowed);
        return FALSE;
    }
    *rule_field(rule, draft->policy) = number;
    draft->said |= 1u << (rule - rules);
    return TRUE;
}

gboolean
policy_check_path(const char *uri, const char *where, const char *what, GError **error)
{
    if (policy_path_parse(uri, NULL, NULL))
        return TRUE;
    g_set_error(error, POLICY_ERROR, POLICY_ERROR_VALUE,
                _("%1$s: %2$s is not valid: give tcp://HOST or tcp://HOST:PORT, with an IPv6 "
                  "address in brackets"),
                where, what);
    return FALSE;
}

gboolean
policy_check_path_count(guint n, const char *where, GError **error)
{
    if (n <= POLICY_PATHS_MAX)
        return TRUE;
    g_set_error(error, POLICY_ERROR, POLICY_ERROR_TOO_LARGE,
                _("%1$s: there are too many paths: give at most %2$d"), where, POLICY_PATHS_MAX);
    return FALSE;
}

static gboolean
draft_said(const PolicyDraft *draft, RuleIndex i)
{
    return (draft->said & (1u << i)) != 0;
}

gboolean
policy_draft_check(const PolicyDraft *draft, const char *where, GError **error)
{
    const Policy *policy = draft->policy;

    if (draft_said(draft, RULE_AFTER) && draft_said(draft, RULE_SWITCH)) {
        g_set_error(error, POLICY_ERROR, POLICY_ERROR_CONFLICT,
                    _("%1$s: switch and after exclude each other: give one of them"), where);
        return FALSE;
    }
    if (policy->min_interval_ms > policy->max_interval_ms && draft_said(draft, RULE_MIN_INTERVAL) &&
        draft_said(draft, RULE_MAX_INTERVAL)) {
        g_set_error(error, POLICY_ERROR, POLICY_ERROR_CONFLICT,
                    _("%1$s: min-interval %2$u is above max-interval %3$u: give a min-interval "
                      "that is not above it"),
                    where, policy->min_interval_ms, policy->max_interval_ms);
        return FALSE;
    }
    return TRUE;
}

Policy *
policy_draft_finish(PolicyDraft *draft)
{
    Policy *policy = draft->policy;

    if (draft_said(draft, RULE_AFTER))
        policy->switch_when = POLICY_SWITCH_AFTER;
    if (policy->min_interval_ms > policy->max_interval_ms) {
        if (draft_said(draft, RULE_MIN_INTERVAL))
            policy->max_interval_ms = policy->min_interval_ms;
        else
            policy->min_interval_ms = policy->max_interval_ms;
    }
    return g_steal_pointer(&draft->policy);
}

char *
policy_quote(const char *text)
{
    enum { QUOTE_MAX_CHARS = 40 }; /* enough to be recognised */
    g_autofree char *valid = g_utf8_make_valid(text, strnlen(text, 4 * QUOTE_MAX_CHARS + 4));
    g_autoptr(GString) out = g_string_new(NULL);
    guint n = 0;

    for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        if (n++ == QUOTE_MAX_CHARS) {
            g_string_append(out, "...");
            break;
        }
        g_string_append_unichar(out, g_unichar_isprint(c) ? c : '?');
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}

static void
append_attributes(GString *xml, const Policy *policy, const char *element)
{
    for (guint i = 0; i < RULE_LAST; i++) {
        const PolicyRule *rule = &rules[i];
        guint value = *rule_field(rule, policy);

        if (!g_str_equal(rule->element, element) || rule->host_only)
            continue;
        if ((policy->switch_when == POLICY_SWITCH_AFTER ? RULE_SWITCH : RULE_AFTER) == i)
            continue; /* they exclude each other */
        if (rule->words)
            g_string_append_printf(xml, " %s=\"%s\"", rule->attribute, rule->words[value]);
        else if (rule->or_never && value == POLICY_NEVER)
            g_string_append_printf(xml, " %s=\"never\"", rule->attribute);
        else
            g_string_append_printf(xml, " %s=\"%u\"", rule->attribute, value);
    }
}

char *
policy_to_xml(const Policy *policy)
{
    g_autoptr(GString) xml = g_string_new("<" POLICY_PREFIX ":migration xmlns:" POLICY_PREFIX
                                          "=\"" POLICY_NAMESPACE "\">\n");

    for (guint i = 0; policy_elements[i]; i++) {
        const char *element = policy_elements[i];

        g_string_append_printf(xml, "  <" POLICY_PREFIX ":%s", element);
        append_attributes(xml, policy, element);
        if (!g_str_equal(element, "recovery") || !policy->paths[0]) {
            g_string_append(xml, "/>\n");
            continue;
        }
        g_string_append(xml, ">\n");
        /* A checked URI has no character that XML would need escaped. */
        for (char **path = policy->paths; *path; path++)
            g_string_append_printf(xml, "    <" POLICY_PREFIX ":path uri=\"%s\"/>\n", *path);
        g_string_append_printf(xml, "  </" POLICY_PREFIX ":%s>\n", element);
    }
    g_string_append(xml, "</" POLICY_PREFIX ":migration>\n");
    return g_string_free(g_steal_pointer(&xml), FALSE);
}
