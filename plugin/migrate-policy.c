/*
 * migrate-policy.c: `virsh migrate-policy`, a domain's migration policy shown, set and checked
 *
 * The policy stands in the domain's metadata and is read and written with libvirt's own calls; what
 * is added is the check against the schema before anything is sent, and an option for each word.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <glib/gi18n.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "connection.h"
#include "model/policy.h"
#include "policy-document.h"
#include "program.h"

/* The prefix that the element gets in the domain's XML. */
#define METADATA_KEY "holdfast"
/* clang-format off */
enum {
    DOMAIN, SET, CHECK, REMOVE, JSON,
    POSTCOPY, SWITCH, AFTER, RECOVERY, DETECT, MIN_INTERVAL, MAX_INTERVAL, GIVE_UP,
    PATHS, ON_DEPARTURE, ON_RETURN, GUARD, GRANULARITY, CHECKPOINTS,
};

static const CommandOption options[] = {
    [DOMAIN]       = {"domain", OPTION_OPTIONAL, N_("domain name, id or uuid")},
    [SET]          = {"set", OPTION_STRING, N_("file with the policy to set, '-' for standard input")},
    [CHECK]        = {"check", OPTION_STRING, N_("file with a policy, or with a domain that has one, to check only")},
    [REMOVE]       = {"remove", OPTION_FLAG, N_("takes the policy away: the host's defaults hold")},
    [JSON]         = {"json", OPTION_FLAG, N_("shows the policy as JSON")},
    [POSTCOPY]     = {"postcopy", OPTION_STRING, N_("never, allow, prefer or require")},
    [SWITCH]       = {"switch", OPTION_STRING, N_("manual or after-precopy: when the guest moves")},
    [AFTER]        = {"after", OPTION_NUMBER, N_("seconds after which the guest moves, instead of --switch")},
    [RECOVERY]     = {"recovery", OPTION_STRING, N_("auto or manual")},
    [DETECT]       = {"detect", OPTION_NUMBER, N_("milliseconds of silence until the network counts as failed")},
    [MIN_INTERVAL] = {"min-interval", OPTION_NUMBER, N_("milliseconds between the first two attempts")},
    [MAX_INTERVAL] = {"max-interval", OPTION_NUMBER, N_("milliseconds that this grows to")},
    [GIVE_UP]      = {"give-up", OPTION_STRING, N_("never, or the seconds that a migration may stay paused")},
    [PATHS]        = {"paths", OPTION_STRING, N_("further networks to the destination, tcp://HOST[:PORT];...")},
    [ON_DEPARTURE] = {"on-departure", OPTION_STRING, N_("proceed, drop or refuse: bitmaps that cannot travel")},
    [ON_RETURN]    = {"on-return", OPTION_STRING, N_("auto, restore, merge or drop: bitmaps of a guest that is back")},
    [GUARD]        = {"guard", OPTION_STRING, N_("auto, on or off: a bitmap that guards the others")},
    [GRANULARITY]  = {"granularity", OPTION_NUMBER, N_("bytes of the image to one bit of the guard")},
    [CHECKPOINTS]  = {"checkpoints", OPTION_STRING, N_("carry or leave")},
    {0},
};
G_STATIC_ASSERT(G_N_ELEMENTS(options) <= COMMAND_MAX_OPTIONS);

/* Where the value of an option stands; WORDS: what it may be, for completion. */
static const struct {
    int option;
    const char *element;
    const char *attribute;
    const char *excludes; /* an attribute that cannot stand beside it, or NULL */
    const char *words;
} settings[] = {
    { POSTCOPY,     "postcopy", "mode",         NULL,     "never allow prefer require" },
    { SWITCH,       "postcopy", "switch",       "after",  "manual after-precopy" },
    { AFTER,        "postcopy", "after",        "switch", NULL },
    { RECOVERY,     "recovery", "mode",         NULL,     "auto manual" },
    { DETECT,       "recovery", "detect",       NULL,     NULL },
    { MIN_INTERVAL, "recovery", "min-interval", NULL,     NULL },
    { MAX_INTERVAL, "recovery", "max-interval", NULL,     NULL },
    { GIVE_UP,      "recovery", "give-up",      NULL,     "never" },
    { ON_DEPARTURE, "bitmaps",  "on-departure", NULL,     "proceed drop refuse" },
    { ON_RETURN,    "bitmaps",  "on-return",    NULL,     "auto restore merge drop" },
    { GUARD,        "bitmaps",  "guard",        NULL,     "auto on off" },
    { GRANULARITY,  "bitmaps",  "granularity",  NULL,     NULL },
    { CHECKPOINTS,  "bitmaps",  "checkpoints",  NULL,     "carry leave" },
};
/* clang-format on */

static const Command command = {
    .name = "migrate-policy",
    .summary = N_("a domain's migration policy shown, set, checked"),
    .description = N_(
        "Without further options shows the policy in the domain's metadata. With --set, or with\n"
        "    options for single words of it (an empty value takes a word away), checks the policy\n"
        "    and then changes it, of the running domain and for its next start."),
    .options = options,
};

/* --- the policy in the metadata --- */

/* FALSE: reported. *POLICY is NULL if the domain has none. */
static gboolean
fetch(virDomainPtr domain, PolicyDocument **policy)
{
    g_autoptr(GError) error = NULL;
    char *xml = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, POLICY_NAMESPACE,
                                     VIR_DOMAIN_AFFECT_CURRENT);

    *policy = NULL;
    if (!xml && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN_METADATA)
        return TRUE;
    if (!xml) {
        command_report("%s", virGetLastErrorMessage());
        return FALSE;
    }
    *policy = policy_document_parse(xml, &error);
    free(xml);
    if (!*policy)
        command_report("%s", error->message);
    return *policy != NULL;
}

/* The running domain and its next start; what a domain does not have is left out. */
static gboolean
store(virDomainPtr domain, const char *xml)
{
    unsigned int flags = (virDomainIsActive(domain) == 1 ? VIR_DOMAIN_AFFECT_LIVE : 0) |
                         (virDomainIsPersistent(domain) == 1 ? VIR_DOMAIN_AFFECT_CONFIG : 0);

    if (virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, xml, METADATA_KEY,
                             POLICY_NAMESPACE, flags) == 0)
        return TRUE;
    command_report("%s", virGetLastErrorMessage());
    return FALSE;
}

/* --- what a person gives --- */

static char *
read_file(const char *path, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    char *contents = NULL;
    char buffer[4096];
    gsize n;

    if (!g_str_equal(path, "-"))
        return g_file_get_contents(path, &contents, NULL, error) ? contents : NULL;
    while ((n = fread(buffer, 1, sizeof(buffer), stdin)) > 0 &&
           text->len < POLICY_DOMAIN_XML_MAX_BYTES)
        g_string_append_len(text, buffer, (gssize)n);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static PolicyDocument *
load(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *xml = read_file(path, &error);
    g_autoptr(PolicyDocument) policy = xml ? policy_document_parse(xml, &error) : NULL;

    if (!policy && error->domain == POLICY_ERROR)
        command_report("%s: %s", g_str_equal(path, "-") ? _("standard input") : path,
                       error->message);
    else if (!policy)
        command_report("%s", error->message);
    return g_steal_pointer(&policy);
}

static gboolean
has_settings(const CommandArgs *args)
{
    for (gsize i = 0; i < G_N_ELEMENTS(settings); i++) {
        if (args->values[settings[i].option])
            return TRUE;
    }
    return args->values[PATHS] != NULL;
}

/* The domain's policy with what the options say. */
static PolicyDocument *
change(virDomainPtr domain, const CommandArgs *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PolicyDocument) policy = NULL;

    if (!fetch(domain, &policy))
        return NULL;
    if (!policy)
        policy = policy_document_new();
    for (gsize i = 0; i < G_N_ELEMENTS(settings); i++) {
        const char *value = args->values[settings[i].option];

        if (!value)
            continue;
        policy_document_set(policy, settings[i].element, settings[i].attribute, value);
        if (*value && settings[i].excludes)
            policy_document_set(policy, settings[i].element, settings[i].excludes, "");
    }
    if (args->values[PATHS])
        policy_document_set_paths(policy, args->values[PATHS]);
    if (policy_document_check(policy, &error))
        return g_steal_pointer(&policy);
    command_report("%s", error->message);
    return NULL;
}

/* --- what is done --- */

static int
show(virDomainPtr domain, const CommandArgs *args, gboolean quiet)
{
    g_autoptr(PolicyDocument) policy = NULL;
    g_autofree char *text = NULL;

    if (!fetch(domain, &policy))
        return EXIT_FAILURE;
    if (!policy && !args->values[JSON]) {
        if (!quiet)
            g_print(_("Domain '%1$s' has no policy of its own: the host's defaults hold\n"),
                    virDomainGetName(domain));
        return EXIT_SUCCESS;
    }
    if (!policy)
        policy = policy_document_new();
    text = args->values[JSON] ? policy_document_to_json(policy) : policy_document_to_xml(policy);
    fputs(text, stdout);
    return EXIT_SUCCESS;
}

static int
set(virDomainPtr domain, const CommandArgs *args, gboolean quiet)
{
    g_autoptr(PolicyDocument) policy =
        args->values[SET] ? load(args->values[SET]) : change(domain, args);
    g_autofree char *xml = policy ? policy_document_to_xml(policy) : NULL;

    if (!policy || !store(domain, xml))
        return EXIT_FAILURE;
    if (!quiet)
        g_print(_("Policy of domain '%1$s' set\n"), virDomainGetName(domain));
    return EXIT_SUCCESS;
}

static int
take_away(virDomainPtr domain, gboolean quiet)
{
    g_autoptr(PolicyDocument) policy = NULL;

    if (!fetch(domain, &policy) || (policy && !store(domain, NULL)))
        return EXIT_FAILURE;
    if (!quiet)
        g_print(_("Policy of domain '%1$s' removed\n"), virDomainGetName(domain));
    return EXIT_SUCCESS;
}

static int
check_file(const char *path, gboolean quiet)
{
    g_autoptr(PolicyDocument) policy = load(path);

    if (policy && !quiet)
        g_print(_("%1$s is valid\n"), path);
    return policy ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* One thing at a time; reports what is wrong. */
static gboolean
check_args(const CommandArgs *args)
{
    guint asked = (args->values[SET] != NULL) + (args->values[CHECK] != NULL) +
                  (args->values[REMOVE] != NULL) + (args->values[JSON] != NULL) +
                  has_settings(args);

    if (asked > 1) {
        command_report(_("options --set, --check, --remove, --json and those for words of the "
                         "policy are mutually exclusive"));
        return FALSE;
    }
    if (args->values[SWITCH] && args->values[AFTER] && *args->values[SWITCH] &&
        *args->values[AFTER]) {
        command_report(_("options --switch and --after are mutually exclusive"));
        return FALSE;
    }
    if (!args->values[DOMAIN] == !args->values[CHECK]) {
        command_report(args->values[CHECK]
                           ? _("option --check needs no domain")
                           : _("command 'migrate-policy' requires <domain> option"));
        return FALSE;
    }
    return TRUE;
}

static int
run(const CommandArgs *args, const ConnectionOptions *connection)
{
    g_autoptr(virConnect) conn = NULL;
    g_autoptr(virDomain) domain = NULL;
    int code;

    if (!check_args(args))
        return EXIT_FAILURE;
    if (args->values[CHECK])
        return check_file(args->values[CHECK], connection->quiet);
    conn = connection_open(connection);
    domain = conn ? connection_find_domain(conn, args->values[DOMAIN]) : NULL;
    if (!domain)
        return EXIT_FAILURE;
    connection_start_events();
    if (args->values[REMOVE])
        code = take_away(domain, connection->quiet);
    else if (args->values[SET] || has_settings(args))
        code = set(domain, args, connection->quiet);
    else
        code = show(domain, args, connection->quiet);
    connection_stop_events();
    return code;
}

static void
complete(const CommandOption *option)
{
    for (gsize i = 0; i < G_N_ELEMENTS(settings); i++) {
        g_auto(GStrv) words = NULL;

        if (option != &options[settings[i].option] || !settings[i].words)
            continue;
        words = g_strsplit(settings[i].words, " ", -1);
        for (char **word = words; *word; word++)
            g_print("%s\n", *word);
    }
}

int
main(int argc, char **argv)
{
    static const Program program = {.command = &command, .run = run, .complete = complete};

    return program_main(&program, argv);
}
