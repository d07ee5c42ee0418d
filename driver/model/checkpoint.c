/*
 * checkpoint.c: a checkpoint's definition, as libvirt has it in XML
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/checkpoint.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <string.h>

#include "util/xml.h"

#define ROOT "domaincheckpoint"

typedef xmlDoc XmlDoc;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(XmlDoc, xmlFreeDoc)

struct Checkpoint {
    XmlDoc *doc; /* without the parent and the domain */
    char *name;
    char *parent; /* NULL: none */
    gint64 created_s;
};

G_DEFINE_QUARK(holdfast - checkpoint - error - quark, checkpoint_error)

void
checkpoint_free(Checkpoint *checkpoint)
{
    if (!checkpoint)
        return;
    xmlFreeDoc(checkpoint->doc);
    g_free(checkpoint->name);
    g_free(checkpoint->parent);
    g_free(checkpoint);
}

/* Without the indentation, no network, no entities, no messages on the daemon's standard error. */
static XmlDoc *
parse(const char *xml)
{
    g_autoptr(XmlDoc) doc = NULL;
    gsize length = strlen(xml);
    xmlNode *root;

    if (length > G_MAXINT)
        return NULL;
    doc = xmlReadMemory(xml, (int)length, "checkpoint.xml", NULL,
                        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
                            XML_PARSE_NOBLANKS);
    root = doc ? xmlDocGetRootElement(doc) : NULL;
    if (!root || !xmlStrEqual(root->name, BAD_CAST ROOT) || doc->intSubset)
        return NULL;
    return g_steal_pointer(&doc);
}

static void
remove_child(xmlNode *parent, const char *name)
{
    xmlNode *node = xml_find_child(parent, name);

    if (!node)
        return;
    xmlUnlinkNode(node);
    xmlFreeNode(node);
}

Checkpoint *
checkpoint_parse(const char *xml, GError **error)
{
    g_autoptr(Checkpoint) checkpoint = g_new0(Checkpoint, 1);
    g_autofree char *created = NULL;
    xmlNode *root;

    checkpoint->doc = parse(xml);
    root = checkpoint->doc ? xmlDocGetRootElement(checkpoint->doc) : NULL;
    checkpoint->name = xml_get_text(xml_find_child(root, "name"));
    if (!checkpoint->name || !*checkpoint->name) {
        g_set_error_literal(error, CHECKPOINT_ERROR, CHECKPOINT_ERROR_SYNTAX,
                            "this is no definition of a checkpoint");
        return NULL;
    }
    created = xml_get_text(xml_find_child(root, "creationTime"));
    checkpoint->created_s = created ? g_ascii_strtoll(created, NULL, 10) : 0;
    checkpoint->parent = xml_get_text(xml_find_child(xml_find_child(root, "parent"), "name"));
    remove_child(root, "parent");
    remove_child(root, "domain");
    return g_steal_pointer(&checkpoint);
}

const char *
checkpoint_get_name(const Checkpoint *checkpoint)
{
    return checkpoint->name;
}

const char *
checkpoint_get_parent(const Checkpoint *checkpoint)
{
    return checkpoint->parent;
}

gint64
checkpoint_get_created_s(const Checkpoint *checkpoint)
{
    return checkpoint->created_s;
}

void
checkpoint_set_parent(Checkpoint *checkpoint, const char *parent)
{
    char *copy = g_strdup(parent);

    g_free(checkpoint->parent);
    checkpoint->parent = copy;
}

static char *
dump(XmlDoc *doc)
{
    xmlChar *text = NULL;
    int size = 0;
    char *copy;

    xmlDocDumpMemoryEnc(doc, &text, &size, "UTF-8");
    copy = g_strdup(text ? (const char *)text : "");
    xmlFree(text);
    return copy;
}

char *
checkpoint_format(const Checkpoint *checkpoint)
{
    g_autoptr(XmlDoc) doc = xmlCopyDoc(checkpoint->doc, 1);

    if (checkpoint->parent) {
        xmlNode *parent = xmlNewChild(xmlDocGetRootElement(doc), NULL, BAD_CAST "parent", NULL);

        xmlNewTextChild(parent, NULL, BAD_CAST "name", BAD_CAST checkpoint->parent);
    }
    return dump(doc);
}

gboolean
checkpoint_is_same(const Checkpoint *a, const Checkpoint *b)
{
    g_autofree char *one = dump(a->doc);
    g_autofree char *other = dump(b->doc);

    return g_str_equal(one, other);
}

/* --- their order --- */

static const Checkpoint *
find_latest(const GPtrArray *checkpoints)
{
    const Checkpoint *latest = NULL;

    for (guint i = 0; i < checkpoints->len; i++) {
        const Checkpoint *each = checkpoints->pdata[i];

        /* A second may have seen more than one: the child comes after its parent. */
        if (!latest || each->created_s >= latest->created_s)
            latest = each;
    }
    return latest;
}

void
checkpoint_order(GPtrArray *checkpoints)
{
    const Checkpoint *next = find_latest(checkpoints);
    const char *wanted = next ? next->name : NULL;
    guint led = 0; /* how many are in front already */

    /* From the latest to its root. Whoever is found moves to the front; as a parent stands before
     * its children, its own parent is then still to the left of where it was. */
    for (guint at = checkpoints->len; wanted && at-- > led;) {
        Checkpoint *each = checkpoints->pdata[at];

        if (!g_str_equal(each->name, wanted))
            continue;
        wanted = each->parent;
        g_ptr_array_insert(checkpoints, 0, g_ptr_array_steal_index(checkpoints, at));
        led++;
        at++;
    }
}
