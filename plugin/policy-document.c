/*
 * policy-document.c: a domain's migration policy as the XML that it is
 *
 * libvirt hands out metadata without its namespace and puts it back by itself, so the elements here
 * have none.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "policy-document.h"

#include <glib/gi18n.h>
#include <libxml/parser.h>
#include <string.h>

#include "json.h"
#include "model/policy.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)

struct PolicyDocument {
    xmlDoc *doc;
};

#define TEXT(string) ((const xmlChar *)(string))

static gboolean
is_named(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && xmlStrEqual(node->name, TEXT(name));
}

static gboolean
is_ours(const xmlNode *node)
{
    return node->ns && xmlStrEqual(node->ns->href, TEXT(POLICY_NAMESPACE));
}

/* Takes DOC over. */
static PolicyDocument *
document_of(xmlDoc *doc)
{
    PolicyDocument *document = g_new0(PolicyDocument, 1);

    document->doc = doc;
    return document;
}

PolicyDocument *
policy_document_new(void)
{
    xmlDoc *doc = xmlNewDoc(TEXT("1.0"));

    xmlDocSetRootElement(doc, xmlNewDocNode(doc, NULL, TEXT("migration"), NULL));
    return document_of(doc);
}

void
policy_document_free(PolicyDocument *document)
{
    if (!document)
        return;
    xmlFreeDoc(document->doc);
    g_free(document);
}

static void
take_namespace_off(xmlNode *node)
{
    for (; node; node = node->next) {
        if (node->type == XML_ELEMENT_NODE && is_ours(node))
            xmlSetNs(node, NULL);
        take_namespace_off(node->children);
    }
}

/* Of a domain that is known to have one at most. */
static xmlNode *
find_in_domain(xmlNode *domain)
{
    for (xmlNode *node = domain->children; node; node = node->next) {
        if (!is_named(node, "metadata"))
            continue;
        for (xmlNode *entry = node->children; entry; entry = entry->next) {
            if (is_named(entry, "migration") && is_ours(entry))
                return entry;
        }
    }
    return NULL;
}

/* In the eyes of the daemon. Elements without a namespace are ours only if all are without, as in
 * what libvirt's metadata calls take and give. */
static gboolean
check(const char *xml, const xmlNode *root, GError **error)
{
    g_autoptr(Policy) defaults = policy_default();
    g_autoptr(Policy) policy = NULL;

    if (root && is_named(root, "domain"))
        policy = policy_from_domain_xml(xml, defaults, error);
    else
        policy = policy_from_element_xml(xml, root && root->ns ? NULL : POLICY_NAMESPACE, defaults,
                                         error);
    return policy != NULL;
}

PolicyDocument *
policy_document_parse(const char *xml, GError **error)
{
    g_autoptr(xmlDoc) doc = xmlReadMemory(
        xml, (int)MIN(strlen(xml), (gsize)POLICY_DOMAIN_XML_MAX_BYTES), NULL, NULL,
        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOBLANKS);
    xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
    xmlDoc *own;

    if (!check(xml, root, error))
        return NULL;
    if (root && is_named(root, "domain"))
        root = find_in_domain(root);
    if (!root || !is_named(root, "migration")) {
        g_set_error(error, POLICY_ERROR, POLICY_ERROR_SYNTAX,
                    _("there is no Holdfast policy in it; in a domain's metadata one begins with "
                      "<holdfast:migration xmlns:holdfast=\"%1$s\">"),
                    POLICY_NAMESPACE);
        return NULL;
    }
    own = xmlNewDoc(TEXT("1.0"));
    root = xmlDocCopyNode(root, own, 1);
    xmlDocSetRootElement(own, root);
    take_namespace_off(root);
    xmlFreeNsList(g_steal_pointer(&root->nsDef));
    return document_of(own);
}

gboolean
policy_document_check(const PolicyDocument *document, GError **error)
{
    g_autofree char *xml = policy_document_to_xml(document);

    return check(xml, xmlDocGetRootElement(document->doc), error);
}

/* --- changes --- */

static xmlNode *
find_element(const PolicyDocument *document, const char *name)
{
    for (xmlNode *node = xmlDocGetRootElement(document->doc)->children; node; node = node->next) {
        if (is_named(node, name))
            return node;
    }
    return NULL;
}

static xmlNode *
need_element(PolicyDocument *document, const char *name)
{
    xmlNode *node = find_element(document, name);

    return node ? node : xmlNewChild(xmlDocGetRootElement(document->doc), NULL, TEXT(name), NULL);
}

void
policy_document_set(PolicyDocument *document,
                    const char *element,
                    const char *attribute,
                    const char *value)
{
    xmlNode *node = *value ? need_element(document, element) : find_element(document, element);

    if (*value)
        xmlSetProp(node, TEXT(attribute), TEXT(value));
    else if (node)
        xmlUnsetProp(node, TEXT(attribute));
}

void
policy_document_set_paths(PolicyDocument *document, const char *uris)
{
    g_auto(GStrv) each = g_strsplit(uris, ";", -1);
    xmlNode *recovery = need_element(document, "recovery");

    for (xmlNode *node = recovery->children, *next; node; node = next) {
        next = node->next;
        if (is_named(node, "path")) {
            xmlUnlinkNode(node);
            xmlFreeNode(node);
        }
    }
    for (char **uri = each; *uri; uri++) {
        if (**uri)
            xmlSetProp(xmlNewChild(recovery, NULL, TEXT("path"), NULL), TEXT("uri"), TEXT(*uri));
    }
}

/* --- what it says --- */

char *
policy_document_to_xml(const PolicyDocument *document)
{
    xmlBuffer *buffer = xmlBufferCreate();
    char *xml;

    xmlNodeDump(buffer, document->doc, xmlDocGetRootElement(document->doc), 0, 1);
    xml = g_strconcat((const char *)xmlBufferContent(buffer), "\n", NULL);
    xmlBufferFree(buffer);
    return xml;
}

static char *
get_attribute(const xmlNode *node, const char *name)
{
    xmlChar *value = xmlGetNoNsProp(node, TEXT(name));
    char *copy = g_strdup(value ? (const char *)value : "");

    xmlFree(value);
    return copy;
}

static void
add_attributes(GString *json, const xmlNode *node)
{
    for (const xmlAttr *attribute = node->properties; attribute; attribute = attribute->next) {
        const char *name = (const char *)attribute->name;
        g_autofree char *value = get_attribute(node, name);
        guint64 number;

        if (g_ascii_string_to_unsigned(value, 10, 0, G_MAXUINT64, &number, NULL))
            json_add_number(json, name, number);
        else
            json_add_text(json, name, value);
    }
}

static void
add_paths(GString *json, const xmlNode *recovery)
{
    gboolean any = FALSE;

    for (const xmlNode *node = recovery->children; node; node = node->next) {
        g_autofree char *uri = is_named(node, "path") ? get_attribute(node, "uri") : NULL;

        if (uri && !any)
            json_open(json, "paths", '[');
        if (uri)
            json_add_text(json, NULL, uri);
        any |= uri != NULL;
    }
    if (any)
        json_close(json, ']');
}

char *
policy_document_to_json(const PolicyDocument *document)
{
    GString *json = g_string_new(NULL);

    json_open(json, NULL, '{');
    for (const xmlNode *node = xmlDocGetRootElement(document->doc)->children; node;
         node = node->next) {
        if (node->type != XML_ELEMENT_NODE)
            continue;
        json_open(json, (const char *)node->name, '{');
        add_attributes(json, node);
        add_paths(json, node);
        json_close(json, '}');
    }
    json_close(json, '}');
    g_string_append_c(json, '\n');
    return g_string_free(json, FALSE);
}
