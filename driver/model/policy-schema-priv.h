/*
 * policy-schema-priv.h: the RelaxNG schema, as built into the library, and libxml2's complaints
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libxml/tree.h>
#include <libxml/xmlerror.h>

/* The argument of a structured error handler became const in libxml2 2.12. */
#if LIBXML_VERSION >= 21200
typedef const xmlError *PolicyXmlError;
#else
typedef xmlErrorPtr PolicyXmlError;
#endif

/** The first complaint of one context; later ones are consequences of it. */
typedef struct {
    char *message; /* one line; NULL while there is none */
    int line;
} PolicyXmlFault;

void policy_xml_fault_clear(PolicyXmlFault *fault);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PolicyXmlFault, policy_xml_fault_clear)

/** Structured error handlers: @data is the fault, or the parser's context with the fault in its
 * `_private`, as libxml2 gives a SAX handler its context. */
void policy_xml_fault_take(void *data, PolicyXmlError error);
void policy_xml_fault_take_parser(void *data, PolicyXmlError error);

/**
 * policy_schema_validate:
 * @fault: (out): has a message if @doc does not fit
 *
 * Returns: FALSE if it could not be told.
 */
gboolean policy_schema_validate(xmlDoc *doc, PolicyXmlFault *fault, GError **error);
