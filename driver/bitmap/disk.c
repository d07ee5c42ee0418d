/*
 * disk.c: the disks of a domain, and which block nodes of QEMU's are whose
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bitmap/disk.h"

#include <string.h>

#include <libxml/parser.h>
#include <libxml/tree.h>

#include "util/xml.h"

#define NODE_PREFIX "libvirt-"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)

static void
disk_free(gpointer opaque)
{
    Disk *disk = opaque;

    g_free(disk->target);
    g_array_unref(disk->indexes);
    g_free(disk);
}

/* From the disk, or the image below it, downwards: an image and its <backingStore> look alike. */
static void
read_indexes(xmlNode *image, GArray *indexes)
{
    for (; image; image = xml_find_child(image, "backingStore")) {
        g_autofree char *text = xml_get_attribute(xml_find_child(image, "source"), "index");
        guint64 number;

        if (text && g_ascii_string_to_unsigned(text, 10, 1, G_MAXUINT, &number, NULL)) {
            guint index = (guint)number;

            g_array_append_val(indexes, index);
        }
    }
}

/* NULL for one without a target, which libvirt never prints. */
static Disk *
read_disk(xmlNode *node)
{
    g_autofree char *target = xml_get_attribute(xml_find_child(node, "target"), "dev");
    Disk *disk;

    if (!target)
        return NULL;
    disk = g_new0(Disk, 1);
    disk->target = g_steal_pointer(&target);
    disk->indexes = g_array_new(FALSE, FALSE, sizeof(guint));
    read_indexes(node, disk->indexes);
    disk->read_only = xml_find_child(node, "readonly") != NULL;
    disk->shareable = xml_find_child(node, "shareable") != NULL;
    return disk;
}

static xmlNode *
find_devices(xmlDoc *doc)
{
    xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;

    if (root && xmlStrEqual(root->name, BAD_CAST "domstatus"))
        root = xml_find_child(root, "domain");
    return xml_find_child(root, "devices");
}

GPtrArray *
disk_parse_all(const char *xml)
{
    GPtrArray *disks = g_ptr_array_new_with_free_func(disk_free);
    gsize length = strlen(xml);
    g_autoptr(xmlDoc) doc =
        length <= G_MAXINT
            ? xmlReadMemory(xml, (int)length, "domain.xml", NULL,
                            XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING)
            : NULL;
    xmlNode *devices = find_devices(doc);

    for (xmlNode *node = devices ? devices->children : NULL; node; node = node->next) {
        Disk *disk = node->type == XML_ELEMENT_NODE && xmlStrEqual(node->name, BAD_CAST "disk")
                         ? read_disk(node)
                         : NULL;

        if (disk)
            g_ptr_array_add(disks, disk);
    }
    return disks;
}

/* 0 for a node that libvirt has not named. */
static guint
get_index(const char *node)
{
    const char *digits = node + strlen(NODE_PREFIX);
    char *end;
    guint64 index;

    if (!g_str_has_prefix(node, NODE_PREFIX) || !g_ascii_isdigit(*digits))
        return 0;
    index = g_ascii_strtoull(digits, &end, 10);
    return *end == '-' && index <= G_MAXUINT ? (guint)index : 0;
}

const Disk *
disk_find_node(const GPtrArray *disks, const char *node)
{
    guint index = get_index(node);

    for (guint i = 0; index && i < disks->len; i++) {
        const Disk *disk = disks->pdata[i];

        for (guint j = 0; j < disk->indexes->len; j++) {
            if (g_array_index(disk->indexes, guint, j) == index)
                return disk;
        }
    }
    return NULL;
}

const char *
disk_name_node(const GPtrArray *disks, const char *node)
{
    const Disk *disk = disks ? disk_find_node(disks, node) : NULL;

    return disk ? disk->target : node;
}

gboolean
disk_has_on_top(const Disk *disk, const char *node)
{
    return disk->indexes->len > 0 && g_array_index(disk->indexes, guint, 0) == get_index(node);
}
