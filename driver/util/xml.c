/*
 * xml.c: a child, an attribute or the text of an element, which may be missing
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/xml.h"

#include <glib.h>

xmlNode *
xml_find_child(xmlNode *parent, const char *name)
{
    for (xmlNode *node = parent ? parent->children : NULL; node; node = node->next) {
        if (node->type == XML_ELEMENT_NODE && xmlStrEqual(node->name, BAD_CAST name))
            return node;
    }
    return NULL;
}

/* libxml2's allocator need not be GLib's. */
static char *
take(xmlChar *text)
{
    char *copy = g_strdup((const char *)text);

    xmlFree(text);
    return copy;
}

char *
xml_get_attribute(xmlNode *node, const char *name)
{
    return node ? take(xmlGetNoNsProp(node, BAD_CAST name)) : NULL;
}

char *
xml_get_text(xmlNode *node)
{
    return node ? take(xmlNodeGetContent(node)) : NULL;
}
