/*
 * policy-priv.h: the table of what a policy may say, for the readers of XML and of the host's file
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "model/policy.h"

/** One attribute of the XML, which is one key of the host's file; or such a key alone. */
typedef struct {
    const char *element;
    const char *attribute;
    const char *const *words; /* in the order of their enum; NULL for a number */
    gboolean or_never;        /* the number may be "never" as well */
    gboolean power_of_two;
    gboolean host_only;
    guint min;
    guint max;
    const char *unit; /* of the number, to be translated */
    gsize offset;     /* in Policy, of a guint or an enum of its size */
} PolicyRule;

/** A policy that is being read: the one kind that is not immutable yet. */
typedef struct {
    Policy *policy;
    guint said; /* a bit a rule: given in this layer, not inherited */
} PolicyDraft;

/** The policy's elements, which are the host file's groups; NULL-terminated. */
extern const char *const policy_elements[];

/** @layer starts as a copy of @defaults. */
void policy_draft_init(PolicyDraft *draft, const Policy *defaults);
void policy_draft_clear(PolicyDraft *draft);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PolicyDraft, policy_draft_clear)

/** @of_host: whether what the host's file alone may say counts, too */
const PolicyRule *policy_rule_find(const char *element, const char *attribute, gboolean of_host);

/**
 * policy_draft_set:
 * @where, @what: for the message: "FILE, line 3" and "[recovery] detect = 20"
 */
gboolean policy_draft_set(PolicyDraft *draft,
                          const PolicyRule *rule,
                          const char *value,
                          const char *where,
                          const char *what,
                          GError **error);

/** Replaces the inherited paths; @uris is taken, and has been checked one by one. */
void policy_draft_take_paths(PolicyDraft *draft, GStrv uris);
gboolean policy_check_path(const char *uri, const char *where, const char *what, GError **error);
gboolean policy_check_path_count(guint n, const char *where, GError **error);

/** Checks what was said so far against itself; to be called after each element or group. */
gboolean policy_draft_check(const PolicyDraft *draft, const char *where, GError **error);

/**
 * policy_draft_finish:
 *
 * Only what one layer says can be in conflict: where it conflicts with something inherited, the
 * inherited value gives way. So whether a policy is valid depends on the policy alone, and never
 * on the host that it comes to.
 *
 * Returns: the policy; the draft, checked before, is empty then.
 */
Policy *policy_draft_finish(PolicyDraft *draft);

/** A name or value from outside, safe and short enough for a message or a log. */
char *policy_quote(const char *text);

/** "a, b, c": the attributes of @element, as what is allowed; @of_host as above. */
char *policy_list_attributes(const char *element, gboolean of_host);
