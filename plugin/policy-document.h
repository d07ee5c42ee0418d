/*
 * policy-document.h: a domain's migration policy as the XML that it is
 *
 * Checked by what checks it in the daemon too (driver/model, which knows nothing of libvirt),
 * changed one attribute at a time, and written. A value that is left out stays out: the host's
 * defaults hold.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

typedef struct PolicyDocument PolicyDocument;

/** policy_document_new: one that says nothing. */
PolicyDocument *policy_document_new(void);
void policy_document_free(PolicyDocument *document);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PolicyDocument, policy_document_free)

/**
 * policy_document_parse: XML is a policy, with or without its namespace, or a whole domain with one
 * in its metadata. NULL with POLICY_ERROR (model/policy.h): it is not valid; the message names the
 * line, the element and what is allowed there.
 */
PolicyDocument *policy_document_parse(const char *xml, GError **error);

/** policy_document_check: after changes; the error is as above. */
gboolean policy_document_check(const PolicyDocument *document, GError **error);

/** policy_document_set: an attribute of ELEMENT, which is made if need be; "" takes it away. */
void policy_document_set(PolicyDocument *document,
                         const char *element,
                         const char *attribute,
                         const char *value);

/** policy_document_set_paths: in place of those that are there; URIS are separated by semicolons.
 */
void policy_document_set_paths(PolicyDocument *document, const char *uris);

/** policy_document_to_xml: without its namespace, as libvirt's metadata calls take and give it;
 * ends a line. */
char *policy_document_to_xml(const PolicyDocument *document);

/** policy_document_to_json: {"recovery": {"detect": 1500, "paths": [...]}}; ends a line. */
char *policy_document_to_json(const PolicyDocument *document);
