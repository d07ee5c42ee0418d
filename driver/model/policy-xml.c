/*
 * policy-xml.c: reads a domain's policy out of its XML
 *
 * How it works: libxml2 parses the document as libvirt parses it (no network, no DTD, no entities
 * replaced, its limits on); the element is found where libvirt keeps it; its size is bounded; a
 * reader that knows the table of policy.c takes it in and says precisely what is wrong; and the
 * RelaxNG schema has the last word. The schema comes last because libxml2's messages about it name
 * neither the attribute nor what is allowed. Tests hold reader and schema to the same opinion.
 *
 * libxml2's global state belongs to the daemon: errors are taken per context, never through the
 * global handlers, and nothing global is set or cleaned up.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/policy-priv.h"
#include "model/policy-schema-priv.h"

#include <string.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <glib/gi18n-lib.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlParserCtxt, xmlFreeParserCtxt)

typedef char XmlString; /* from libxml2's allocator */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(XmlString, xmlFree)

static char *
where_node(const xmlNode *node)
{
    return g_strdup_printf(_("Holdfast policy, line %1$ld"), xmlGetLineNo((xmlNode *)node));
}

static gboolean G_GNUC_PRINTF(4, 5)
    fail_at(const xmlNode *node, GError **error, PolicyError code, const char *format, ...)
{
    g_autofree char *where = where_node(node);
    g_autofree char *message = NULL;
    va_list args;

    va_start(args, format);
    message = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, POLICY_ERROR, code, "%s: %s", where, message);
    return FALSE;
}

static xmlDoc *
parse_document(const char *xml, GError **error)
{
    g_autoptr(xmlParserCtxt) context = xmlNewParserCtxt();
    g_autoptr(xmlDoc) doc = NULL;
    g_auto(PolicyXmlFault) fault = {0};
    gsize length = strlen(xml);

    if (length > POLICY_DOMAIN_XML_MAX_BYTES) {
        g_set_error(error, POLICY_ERROR, POLICY_ERROR_TOO_LARGE,
                    _("The XML is too large: give at most %1$d bytes"),
                    POLICY_DOMAIN_XML_MAX_BYTES);
        return NULL;
    }
    if (context && context->sax) {
        context->_private = &fault;
        context->sax->serror = policy_xml_fault_take_parser;
        doc = xmlCtxtReadMemory(context, xml, length, NULL, NULL,
                                XML_PARSE_NONET | XML_PARSE_NOWARNING | XML_PARSE_BIG_LINES);
    }
    if (doc && xmlDocGetRootElement(doc))
        return g_steal_pointer(&doc);
    if (fault.message)
        g_set_error(error, POLICY_ERROR, POLICY_ERROR_SYNTAX,
                    _("The XML is not well-formed: line %1$d: %2$s"), fault.line, fault.message);
    else
        g_set_error_literal(error, POLICY_ERROR, POLICY_ERROR_INTERNAL,
                            _("libxml2 could not read the XML"));
    return NULL;
}

static gboolean
is_versioned(const char *namespace)
{
    static const char stem[] = "urn:holdfast:migration";
    gsize length = strlen(stem);

    return strncmp(namespace, stem, length) == 0 &&
           (namespace[length] == ':' || namespace[length] == '\0');
}

/** Whether the element is meant to be a policy, of whatever version. */
static gboolean
is_policy(const xmlNode *node)
{
    if (node->type != XML_ELEMENT_NODE)
        return FALSE;
    if (node->ns && node->ns->href)
        return is_versioned((const char *)node->ns->href);
    /* A prefix without a declaration: libvirt would drop the element without a word. */
    return g_str_has_prefix((const char *)node->name, POLICY_PREFIX ":");
}

/** Bytes of names, values and text below @node, counted until they pass @limit. Recursion is
 * bounded by the parser, which refuses documents deeper than 256 elements. */
static gsize
measure(const xmlNode *node, gsize limit)
{
    gsize size = 0;

    if (node->type != XML_ELEMENT_NODE)
        return node->content ? strlen((const char *)node->content) : 1;
    size += strlen((const char *)node->name) * 2 + strlen("<></>");
    for (const xmlNs *ns = node->nsDef; ns && size <= limit; ns = ns->next)
        size += strlen(" xmlns=''") + (ns->href ? strlen((const char *)ns->href) : 0);
    for (const xmlAttr *a = node->properties; a && size <= limit; a = a->next) {
        size += strlen((const char *)a->name) + strlen(" =''");
        for (const xmlNode *text = a->children; text; text = text->next)
            size += text->content ? strlen((const char *)text->content) : 1;
    }
    for (const xmlNode *child = node->children; child && size <= limit; child = child->next)
        size += measure(child, limit - size);
    return size;
}

/** The checks that come before any look inside. */
static gboolean
check_envelope(const xmlNode *node, GError **error)
{
    if (!node->ns || !node->ns->href)
        return fail_at(node, error, POLICY_ERROR_NAMESPACE,
                       _("the prefix \"%1$s\" is not declared: give xmlns:%1$s=\"%2$s\""),
                       POLICY_PREFIX, POLICY_NAMESPACE);
    if (!g_str_equal((const char *)node->ns->href, POLICY_NAMESPACE)) {
        g_autofree char *href = policy_quote((const char *)node->ns->href);

        return fail_at(node, error, POLICY_ERROR_NAMESPACE,
                       _("the namespace \"%1$s\" is of a version that is not supported here: give "
                         "\"%2$s\""),
                       href, POLICY_NAMESPACE);
    }
    if (node->doc->intSubset)
        return fail_at(node, error, POLICY_ERROR_SYNTAX,
                       _("the document has a DOCTYPE: leave it out"));
    if (measure(node, POLICY_XML_MAX_BYTES) > POLICY_XML_MAX_BYTES)
        return fail_at(node, error, POLICY_ERROR_TOO_LARGE,
                       _("the policy is too large: give at most %1$d bytes"), POLICY_XML_MAX_BYTES);
    return TRUE;
}

/** The first <metadata> of a <domain>, or NULL. */
static const xmlNode *
find_metadata(const xmlNode *domain)
{
    for (const xmlNode *node = domain->children; node; node = node->next) {
        if (node->type == XML_ELEMENT_NODE && !node->ns &&
            g_str_equal((const char *)node->name, "metadata"))
            return node;
    }
    return NULL;
}

/** @found is NULL if the domain has no policy. */
static gboolean
find_policy(xmlDoc *doc, const xmlNode **found, GError **error)
{
    const xmlNode *root = xmlDocGetRootElement(doc);
    const xmlNode *metadata, *policy = NULL;

    if (root->ns || !g_str_equal((const char *)root->name, "domain")) {
        g_autofree char *name = policy_quote((const char *)root->name);

        g_set_error(error, POLICY_ERROR, POLICY_ERROR_SYNTAX,
                    _("The XML is of a <%1$s>: give a <domain>"), name);
        return FALSE;
    }
    metadata = find_metadata(root);
    for (const xmlNode *node = metadata ? metadata->children : NULL; node; node = node->next) {
        if (!is_policy(node))
            continue;
        if (policy)
            return fail_at(node, error, POLICY_ERROR_DUPLICATE,
                           _("this is a second policy, the first is in line %1$ld: leave one out"),
                           xmlGetLineNo((xmlNode *)policy));
        if (!check_envelope(node, error))
            return FALSE;
        policy = node;
    }
    *found = policy;
    return TRUE;
}

static gboolean
in_namespace(const xmlNode *node)
{
    return node->ns && node->ns->href &&
           g_str_equal((const char *)node->ns->href, POLICY_NAMESPACE);
}

static gboolean
fail_element(const xmlNode *node, const char *allowed, GError **error)
{
    g_autofree char *name = policy_quote((const char *)node->name);
    g_autofree char *parent = policy_quote((const char *)node->parent->name);

    if (!in_namespace(node))
        return fail_at(node, error, POLICY_ERROR_UNKNOWN,
                       _("<%1$s> in <%2$s> is not in the namespace \"%3$s\": leave it out, or give "
                         "it the prefix of the policy"),
                       name, parent, POLICY_NAMESPACE);
    if (!allowed[0])
        return fail_at(
            node, error, POLICY_ERROR_UNKNOWN,
            _("<%1$s> is not known in <%2$s>: leave it out, no element is allowed there"), name,
            parent);
    return fail_at(node, error, POLICY_ERROR_UNKNOWN,
                   _("<%1$s> is not known in <%2$s>: only %3$s can stand there"), name, parent,
                   allowed);
}

static gboolean
fail_attribute(const xmlNode *node, const xmlAttr *attribute, const char *allowed, GError **error)
{
    g_autofree char *full = g_strconcat(
        attribute->ns && attribute->ns->prefix ? (const char *)attribute->ns->prefix : "",
        attribute->ns ? ":" : "", (const char *)attribute->name, NULL);
    g_autofree char *name = policy_quote(full);

    if (!allowed[0])
        return fail_at(node, error, POLICY_ERROR_UNKNOWN,
                       _("<%1$s> has an attribute %2$s: leave it out, none is allowed there"),
                       (const char *)node->name, name);
    return fail_at(node, error, POLICY_ERROR_UNKNOWN,
                   _("<%1$s> has an attribute %2$s that is not known: give one of %3$s"),
                   (const char *)node->name, name, allowed);
}

/** The attribute as it is shown in a message: <recovery detect="20">. */
static char *
show_attribute(const xmlNode *node, const char *name, const char *value)
{
    g_autofree char *quoted = policy_quote(value);

    return g_strdup_printf("<%s %s=\"%s\">", (const char *)node->name, name, quoted);
}

static char *
attribute_value(const xmlNode *node, const xmlAttr *attribute)
{
    g_autoptr(XmlString) value = (char *)xmlNodeListGetString(node->doc, attribute->children, 1);

    return g_strdup(value ? value : "");
}

/**
 * next_element:
 * @node: (inout): a child, or NULL; on success an element, or NULL when there are no more
 *
 * Steps over what means nothing: blanks, comments, processing instructions.
 */
static gboolean
next_element(const xmlNode **node, GError **error)
{
    for (; *node; *node = (*node)->next) {
        switch ((*node)->type) {
        case XML_ELEMENT_NODE:
            return TRUE;
        case XML_COMMENT_NODE:
        case XML_PI_NODE:
            break;
        default:
            if (!xmlIsBlankNode(*node))
                return fail_at((*node)->parent, error, POLICY_ERROR_UNKNOWN,
                               _("<%1$s> holds text: leave it out, values are attributes"),
                               (const char *)(*node)->parent->name);
        }
    }
    return TRUE;
}

static gboolean
read_no_children(const xmlNode *node, GError **error)
{
    const xmlNode *child = node->children;

    return next_element(&child, error) && (!child || fail_element(child, "", error));
}

static gboolean
read_path(GPtrArray *paths, const xmlNode *node, GError **error)
{
    g_autofree char *where = where_node(node);
    g_autofree char *value = NULL;
    g_autofree char *what = NULL;

    for (const xmlAttr *a = node->properties; a; a = a->next) {
        if (a->ns || !g_str_equal((const char *)a->name, "uri"))
            return fail_attribute(node, a, "uri", error);
        value = g_strstrip(attribute_value(node, a));
    }
    if (!value)
        return fail_at(node, error, POLICY_ERROR_VALUE,
                       _("<path> has no uri: give uri=\"tcp://HOST\""));
    what = show_attribute(node, "uri", value);
    if (!policy_check_path(value, where, what, error) ||
        !policy_check_path_count(paths->len + 1, where, error))
        return FALSE;
    g_ptr_array_add(paths, g_steal_pointer(&value));
    return read_no_children(node, error);
}

static gboolean
read_paths(PolicyDraft *draft, const xmlNode *recovery, GError **error)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);

    for (const xmlNode *node = recovery->children;; node = node->next) {
        if (!next_element(&node, error))
            return FALSE;
        if (!node)
            break;
        if (!in_namespace(node) || !g_str_equal((const char *)node->name, "path"))
            return fail_element(node, "path", error);
        if (!read_path(paths, node, error))
            return FALSE;
    }
    if (paths->len > 0) {
        g_ptr_array_add(paths, NULL);
        policy_draft_take_paths(draft, (GStrv)g_ptr_array_free(g_steal_pointer(&paths), FALSE));
    }
    return TRUE;
}

static gboolean
read_element(PolicyDraft *draft, const xmlNode *node, GError **error)
{
    const char *name = (const char *)node->name;
    g_autofree char *where = where_node(node);

    for (const xmlAttr *a = node->properties; a; a = a->next) {
        const PolicyRule *rule =
            a->ns ? NULL : policy_rule_find(name, (const char *)a->name, FALSE);
        g_autofree char *value = NULL;
        g_autofree char *what = NULL;

        if (!rule) {
            g_autofree char *allowed = policy_list_attributes(name, FALSE);

            return fail_attribute(node, a, allowed, error);
        }
        value = attribute_value(node, a);
        what = show_attribute(node, rule->attribute, value);
        if (!policy_draft_set(draft, rule, value, where, what, error))
            return FALSE;
    }
    if (!policy_draft_check(draft, where, error))
        return FALSE;
    if (g_str_equal(name, "recovery"))
        return read_paths(draft, node, error);
    return read_no_children(node, error);
}

static gboolean
read_migration(PolicyDraft *draft, const xmlNode *migration, GError **error)
{
    g_autofree char *allowed = g_strjoinv(", ", (char **)policy_elements);
    guint seen = 0;

    if (!g_str_equal((const char *)migration->name, "migration")) {
        g_autofree char *name = policy_quote((const char *)migration->name);

        return fail_at(migration, error, POLICY_ERROR_UNKNOWN,
                       _("<%1$s> is not a policy: give <migration>"), name);
    }
    if (migration->properties)
        return fail_attribute(migration, migration->properties, "", error);

    for (const xmlNode *node = migration->children;; node = node->next) {
        guint i = 0;

        if (!next_element(&node, error))
            return FALSE;
        if (!node)
            return TRUE;
        while (policy_elements[i] && !g_str_equal((const char *)node->name, policy_elements[i]))
            i++;
        if (!policy_elements[i] || !in_namespace(node))
            return fail_element(node, allowed, error);
        if (seen & (1u << i))
            return fail_at(node, error, POLICY_ERROR_DUPLICATE,
                           _("this is a second <%1$s>: leave one out"), policy_elements[i]);
        seen |= 1u << i;
        if (!read_element(draft, node, error))
            return FALSE;
    }
}

/** The last word: the schema, on a document of the policy alone. */
static gboolean
validate(const xmlNode *node, GError **error)
{
    g_autoptr(xmlDoc) alone = xmlNewDoc(NULL);
    g_auto(PolicyXmlFault) fault = {0};
    xmlNode *copy = alone ? xmlDocCopyNode((xmlNode *)node, alone, 1) : NULL;

    if (!copy) {
        g_set_error_literal(error, POLICY_ERROR, POLICY_ERROR_INTERNAL,
                            _("libxml2 could not copy the policy"));
        return FALSE;
    }
    xmlDocSetRootElement(alone, copy);
    if (!policy_schema_validate(alone, &fault, error))
        return FALSE;
    if (!fault.message)
        return TRUE;
    g_set_error(error, POLICY_ERROR, POLICY_ERROR_VALUE,
                _("Holdfast policy, line %1$d: this does not fit the schema: %2$s"), fault.line,
                fault.message);
    return FALSE;
}

static Policy *
read_policy(const xmlNode *node, const Policy *defaults, GError **error)
{
    g_auto(PolicyDraft) draft = {0};

    policy_draft_init(&draft, defaults);
    if (!read_migration(&draft, node, error) || !validate(node, error))
        return NULL;
    return policy_draft_finish(&draft);
}

Policy *
policy_from_domain_xml(const char *domain_xml, const Policy *defaults, GError **error)
{
    g_autoptr(xmlDoc) doc = parse_document(domain_xml, error);
    const xmlNode *node = NULL;

    if (!doc || !find_policy(doc, &node, error))
        return NULL;
    return node ? read_policy(node, defaults, error) : policy_ref(defaults);
}

gboolean
policy_may_be_in(const char *domain_xml)
{
    static const char *const signs[] = {"holdfast", "&", "<!DOCTYPE", "encoding"};

    for (guint i = 0; i < G_N_ELEMENTS(signs); i++) {
        if (strstr(domain_xml, signs[i]))
            return TRUE;
    }
    /* Anything else, as EBCDIC, is not of ASCII's kind. */
    return domain_xml[strspn(domain_xml, " \t\r\n")] != '<';
}

/** What virXMLInjectNamespace() does: the namespace goes to every element without one. */
static void
inject_namespace(xmlNode *node, xmlNs *ns)
{
    if (node->type != XML_ELEMENT_NODE)
        return;
    if (!node->ns)
        xmlSetNs(node, ns);
    for (xmlNode *child = node->children; child; child = child->next)
        inject_namespace(child, ns);
}

Policy *
policy_from_element_xml(const char *xml, const char *uri, const Policy *defaults, GError **error)
{
    g_autoptr(xmlDoc) doc = NULL;
    xmlNode *root;

    if (uri && is_versioned(uri) && strlen(xml) > POLICY_XML_MAX_BYTES) {
        g_set_error(error, POLICY_ERROR, POLICY_ERROR_TOO_LARGE,
                    _("The Holdfast policy is too large: give at most %1$d bytes"),
                    POLICY_XML_MAX_BYTES);
        return NULL;
    }
    doc = parse_document(xml, error);
    if (!doc)
        return NULL;
    root = xmlDocGetRootElement(doc);
    if (uri) {
        /* The prefix only has to differ from what may be declared there already. */
        xmlNs *ns = xmlNewNs(root, (const xmlChar *)uri, (const xmlChar *)"injected-by-libvirt");

        if (!ns) {
            g_set_error_literal(error, POLICY_ERROR, POLICY_ERROR_INTERNAL,
                                _("libxml2 could not add a namespace"));
            return NULL;
        }
        inject_namespace(root, ns);
    }
    if (!is_policy(root))
        return policy_ref(defaults);
    return check_envelope(root, error) ? read_policy(root, defaults, error) : NULL;
}
