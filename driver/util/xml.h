/*
 * xml.h: a child, an attribute or the text of an element, which may be missing
 *
 * Any thread that may use the document.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libxml/tree.h>

/** The first child element of that name, whatever its namespace; NULL if there is none.
 * @parent: (nullable) */
xmlNode *xml_find_child(xmlNode *parent, const char *name);

/** An attribute without a namespace, or NULL; free with g_free(). @node: (nullable) */
char *xml_get_attribute(xmlNode *node, const char *name);

/** All text in an element, or NULL; free with g_free(). @node: (nullable) */
char *xml_get_text(xmlNode *node);
