/*
 * policy-schema.c: the RelaxNG schema, compiled once and shared by all threads
 *
 * The schema's text is built in, so that a daemon whose data files are missing or of another
 * version still validates. The compiled schema is only read by validation and lives as long as the
 * process; everything that is written to belongs to one call.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/policy.h"
#include "model/policy-schema-priv.h"

#include <string.h>
#include <libxml/parser.h>
#include <libxml/relaxng.h>
#include <glib/gi18n-lib.h>

#include "holdfast-migration-rng.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlRelaxNGParserCtxt, xmlRelaxNGFreeParserCtxt)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlRelaxNGValidCtxt, xmlRelaxNGFreeValidCtxt)

void
policy_xml_fault_clear(PolicyXmlFault *fault)
{
    g_clear_pointer(&fault->message, g_free);
}

void
policy_xml_fault_take(void *data, PolicyXmlError error)
{
    enum { MESSAGE_MAX_BYTES = 200 }; /* it may quote the document at any length */
    PolicyXmlFault *fault = data;
    const char *message;

    if (fault->message || !error || error->level < XML_ERR_ERROR)
        return;
    message = error->message ? error->message : "";
    fault->message = g_utf8_make_valid(message, strnlen(message, MESSAGE_MAX_BYTES));
    g_strdelimit(g_strstrip(fault->message), "\r\n", ' ');
    fault->line = error->line;
}

void
policy_xml_fault_take_parser(void *data, PolicyXmlError error)
{
    xmlParserCtxt *context = data;

    policy_xml_fault_take(context->_private, error);
}

static xmlRelaxNG *
schema_compile(void)
{
    g_autoptr(xmlDoc) doc = NULL;
    g_autoptr(xmlRelaxNGParserCtxt) context = NULL;
    g_auto(PolicyXmlFault) fault = {0};

    xmlInitParser();
    doc = xmlReadMemory((const char *)holdfast_migration_rng, sizeof(holdfast_migration_rng), NULL,
                        NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    context = doc ? xmlRelaxNGNewDocParserCtxt(doc) : NULL;
    if (!context)
        return NULL;
    xmlRelaxNGSetParserStructuredErrors(context, (xmlStructuredErrorFunc)policy_xml_fault_take,
                                        &fault);
    return xmlRelaxNGParse(context);
}

/** NULL if libxml2 had no memory for it; it is not tried again. */
static xmlRelaxNG *
schema_get(void)
{
    static gsize compiled;
    static xmlRelaxNG *schema;

    if (g_once_init_enter(&compiled)) {
        schema = schema_compile();
        g_once_init_leave(&compiled, 1);
    }
    return schema;
}

gboolean
policy_prepare(GError **error)
{
    if (schema_get())
        return TRUE;
    g_set_error_literal(error, POLICY_ERROR, POLICY_ERROR_INTERNAL,
                        _("libxml2 could not load the schema of Holdfast policies"));
    return FALSE;
}

gboolean
policy_schema_validate(xmlDoc *doc, PolicyXmlFault *fault, GError **error)
{
    g_autoptr(xmlRelaxNGValidCtxt) context = NULL;
    int verdict;

    if (!policy_prepare(error))
        return FALSE;
    context = xmlRelaxNGNewValidCtxt(schema_get());
    if (context) {
        xmlRelaxNGSetValidStructuredErrors(context, (xmlStructuredErrorFunc)policy_xml_fault_take,
                                           fault);
        verdict = xmlRelaxNGValidateDoc(context, doc);
        if (verdict > 0 && !fault->message)
            fault->message = g_strdup("");
        if (verdict >= 0)
            return TRUE;
    }
    g_set_error_literal(error, POLICY_ERROR, POLICY_ERROR_INTERNAL,
                        _("libxml2 could not validate the Holdfast policy"));
    return FALSE;
}
