/*
 * cookie.c: our element in libvirt's migration cookie
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/cookie.h"

#include <arpa/inet.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdlib.h>
#include <string.h>

#include "util/xml.h"

#define ROOT    "qemu-migration"
#define ELEMENT "holdfast"

typedef xmlDoc XmlDoc;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(XmlDoc, xmlFreeDoc)

static const char *const postcopy_words[COOKIE_POSTCOPY_LAST] = {
    [COOKIE_POSTCOPY_NONE] = "none",       [COOKIE_POSTCOPY_PREFER] = "prefer",
    [COOKIE_POSTCOPY_REQUIRE] = "require", [COOKIE_POSTCOPY_ON] = "on",
    [COOKIE_POSTCOPY_OFF] = "off",
};

G_DEFINE_QUARK(holdfast - cookie - error - quark, cookie_error)

void
cookie_clear(Cookie *cookie)
{
    g_clear_pointer(&cookie->id, g_free);
    g_clear_pointer(&cookie->name, g_free);
    g_clear_pointer(&cookie->uuid, g_free);
    g_clear_pointer(&cookie->hostname, g_free);
    g_clear_pointer(&cookie->boot, g_free);
    g_clear_pointer(&cookie->addresses, g_strfreev);
    g_clear_pointer(&cookie->taken, g_ptr_array_unref);
    g_clear_pointer(&cookie->bitmaps, g_ptr_array_unref);
    memset(&cookie->secret, 0, sizeof(cookie->secret));
    cookie->postcopy = COOKIE_POSTCOPY_NONE;
    cookie->recover_port = 0;
}

/* No network, no entities, no messages on the daemon's standard error. */
static XmlDoc *
parse(const char *data, int length, GError **error)
{
    g_autoptr(XmlDoc) doc = NULL;
    xmlNode *root;

    /* libvirt counts the terminating NUL in. */
    while (length > 0 && data[length - 1] == '\0')
        length--;
    doc = xmlReadMemory(data, length, "cookie.xml", NULL,
                        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    root = doc ? xmlDocGetRootElement(doc) : NULL;
    if (!root || !xmlStrEqual(root->name, BAD_CAST ROOT) || doc->intSubset) {
        g_set_error_literal(error, COOKIE_ERROR, COOKIE_ERROR_SYNTAX,
                            "not a migration cookie of libvirt");
        return NULL;
    }
    return g_steal_pointer(&doc);
}

static gboolean
get_number(
    xmlNode *node, const char *name, guint64 min, guint64 max, guint64 *number, GError **error)
{
    g_autofree char *text = xml_get_attribute(node, name);

    if (!text || !g_ascii_string_to_unsigned(text, 10, min, max, number, NULL)) {
        g_set_error(error, COOKIE_ERROR, COOKIE_ERROR_INVALID,
                    "the peer's migration cookie has no valid '%s' in <%s>", name,
                    (const char *)node->name);
        return FALSE;
    }
    return TRUE;
}

static gboolean
is_address(const char *host)
{
    struct in6_addr address;

    return host &&
           (inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1);
}

static gboolean
read_addresses(xmlNode *recover, char ***addresses, GError **error)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);

    for (xmlNode *node = recover->children; node; node = node->next) {
        char *host;

        if (node->type != XML_ELEMENT_NODE || !xmlStrEqual(node->name, BAD_CAST "address") ||
            list->len == COOKIE_ADDRESSES_MAX)
            continue;
        host = xml_get_attribute(node, "host");
        if (host)
            g_ptr_array_add(list, host);
        if (!is_address(host)) {
            g_set_error_literal(error, COOKIE_ERROR, COOKIE_ERROR_INVALID,
                                "the peer's migration cookie offers an address that is none");
            return FALSE;
        }
    }
    g_ptr_array_add(list, NULL);
    *addresses = (char **)g_ptr_array_steal(list, NULL);
    return TRUE;
}

/* --- bitmaps --- */

CookieBitmap *
cookie_bitmap_new(const char *disk, const char *name)
{
    CookieBitmap *bitmap = g_new(CookieBitmap, 1);

    bitmap->disk = g_strdup(disk);
    bitmap->name = g_strdup(name);
    return bitmap;
}

void
cookie_bitmap_free(CookieBitmap *bitmap)
{
    g_free(bitmap->disk);
    g_free(bitmap->name);
    g_free(bitmap);
}

gboolean
cookie_has_bitmap(const GPtrArray *bitmaps, const char *disk, const char *name)
{
    for (guint i = 0; bitmaps && i < bitmaps->len; i++) {
        const CookieBitmap *bitmap = bitmaps->pdata[i];

        if (g_str_equal(bitmap->disk, disk) && (!name || g_str_equal(bitmap->name, name)))
            return TRUE;
    }
    return FALSE;
}

/* The children of @parent that are bitmaps, until the list has @max; what does not hold is nobody's
 * bitmap. @disk: NULL: each says it itself. */
static void
read_bitmaps(xmlNode *parent,
             const char *element,
             const char *disk,
             const char *attribute,
             guint max,
             GPtrArray *list)
{
    for (xmlNode *node = parent->children; node; node = node->next) {
        g_autofree char *name = NULL;
        g_autofree char *own = NULL;

        if (node->type != XML_ELEMENT_NODE || !xmlStrEqual(node->name, BAD_CAST element) ||
            list->len == max)
            continue;
        name = xml_get_attribute(node, attribute);
        own = disk ? g_strdup(disk) : xml_get_attribute(node, "disk");
        if (name && own)
            g_ptr_array_add(list, cookie_bitmap_new(own, name));
    }
}

/* libvirt's own (qemuMigrationCookieBlockDirtyBitmapsFormat(), src/qemu/qemu_migration_cookie.c,
 * 9.0.0 and 11.3.0): <blockDirtyBitmaps><disk target='vda'><bitmap name='monday' alias='...'/>. */
static GPtrArray *
read_stock_bitmaps(xmlNode *root)
{
    xmlNode *element = xml_find_child(root, "blockDirtyBitmaps");
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)cookie_bitmap_free);

    for (xmlNode *node = element ? element->children : NULL; node; node = node->next) {
        g_autofree char *target = NULL;

        if (node->type != XML_ELEMENT_NODE || !xmlStrEqual(node->name, BAD_CAST "disk"))
            continue;
        target = xml_get_attribute(node, "target");
        if (target)
            read_bitmaps(node, "bitmap", target, "name", G_MAXUINT, list);
    }
    return list;
}

/* The attribute is left out by a peer that does not know it, or has nothing to say. */
static gboolean
read_postcopy(xmlNode *element, CookiePostcopy *postcopy, GError **error)
{
    g_autofree char *word = xml_get_attribute(element, "postcopy");

    for (guint i = 0; i < COOKIE_POSTCOPY_LAST; i++) {
        if (g_str_equal(word ? word : "none", postcopy_words[i])) {
            *postcopy = i;
            return TRUE;
        }
    }
    g_set_error_literal(error, COOKIE_ERROR, COOKIE_ERROR_INVALID,
                        "the peer's migration cookie has no valid 'postcopy' in <holdfast>");
    return FALSE;
}

static gboolean
read_element(xmlNode *element, Cookie *cookie, GError **error)
{
    xmlNode *recover = xml_find_child(element, "recover");
    g_autofree char *id = xml_get_attribute(element, "id");
    g_autofree char *text = xml_get_attribute(element, "secret");
    g_autofree char *boot = xml_get_attribute(element, "boot");
    CookiePostcopy postcopy;
    Secret secret;
    guint64 version, oldest, port;

    if (!get_number(element, "version", 0, G_MAXUINT, &version, error) ||
        !get_number(element, "oldest", 1, G_MAXUINT, &oldest, error))
        return FALSE;
    if (version < COOKIE_OLDEST) {
        g_set_error(error, COOKIE_ERROR, COOKIE_ERROR_VERSION,
                    "the peer's Holdfast speaks version %" G_GUINT64_FORMAT
                    " of the protocol, this one needs at least %u",
                    version, COOKIE_OLDEST);
        return FALSE;
    }
    if (oldest > COOKIE_VERSION) {
        g_set_error(error, COOKIE_ERROR, COOKIE_ERROR_VERSION,
                    "the peer's Holdfast needs version %" G_GUINT64_FORMAT
                    " of the protocol, this one speaks %u",
                    oldest, COOKIE_VERSION);
        return FALSE;
    }
    if (!id || !g_uuid_string_is_valid(id)) {
        g_set_error_literal(error, COOKIE_ERROR, COOKIE_ERROR_INVALID,
                            "the peer's migration cookie has no valid 'id' in <holdfast>");
        return FALSE;
    }
    if (!text || !secret_parse(text, &secret)) {
        g_set_error_literal(error, COOKIE_ERROR, COOKIE_ERROR_INVALID,
                            "the peer's migration cookie has no valid 'secret' in <holdfast>");
        return FALSE;
    }
    if (!read_postcopy(element, &postcopy, error))
        return FALSE;
    if (boot && !g_uuid_string_is_valid(boot)) {
        g_set_error_literal(error, COOKIE_ERROR, COOKIE_ERROR_INVALID,
                            "the peer's migration cookie has no valid 'boot' in <holdfast>");
        return FALSE;
    }
    if (recover) {
        if (!get_number(recover, "port", 1, G_MAXUINT16, &port, error) ||
            !read_addresses(recover, &cookie->addresses, error))
            return FALSE;
        cookie->recover_port = (guint16)port;
    }
    cookie->taken = g_ptr_array_new_with_free_func((GDestroyNotify)cookie_bitmap_free);
    read_bitmaps(element, "taken", NULL, "bitmap", COOKIE_BITMAPS_MAX, cookie->taken);
    cookie->id = g_ascii_strdown(id, -1);
    cookie->secret = secret;
    cookie->postcopy = postcopy;
    cookie->boot = g_steal_pointer(&boot);
    return TRUE;
}

gboolean
cookie_read(const char *data, int length, Cookie *cookie, GError **error)
{
    g_autoptr(XmlDoc) doc = NULL;
    xmlNode *root, *element;

    memset(cookie, 0, sizeof(*cookie));
    if (!data || length <= 0)
        return TRUE;
    doc = parse(data, length, error);
    if (!doc)
        return FALSE;
    root = xmlDocGetRootElement(doc);
    cookie->name = xml_get_text(xml_find_child(root, "name"));
    cookie->uuid = xml_get_text(xml_find_child(root, "uuid"));
    cookie->hostname = xml_get_text(xml_find_child(root, "hostname"));
    cookie->bitmaps = read_stock_bitmaps(root);
    element = xml_find_child(root, ELEMENT);
    if (!element || read_element(element, cookie, error))
        return TRUE;
    cookie->recover_port = 0;
    return FALSE;
}

static void
write_element(xmlNode *element, const Cookie *ours)
{
    g_autofree char *secret = secret_format(&ours->secret);
    g_autofree char *version = g_strdup_printf("%u", COOKIE_VERSION);
    g_autofree char *oldest = g_strdup_printf("%u", COOKIE_OLDEST);
    g_autofree char *port = g_strdup_printf("%u", ours->recover_port);
    xmlNode *recover, *address, *taken;

    xmlNewProp(element, BAD_CAST "version", BAD_CAST version);
    xmlNewProp(element, BAD_CAST "oldest", BAD_CAST oldest);
    if (!ours->id)
        return;
    xmlNewProp(element, BAD_CAST "id", BAD_CAST ours->id);
    xmlNewProp(element, BAD_CAST "secret", BAD_CAST secret);
    if (ours->postcopy != COOKIE_POSTCOPY_NONE)
        xmlNewProp(element, BAD_CAST "postcopy", BAD_CAST postcopy_words[ours->postcopy]);
    if (ours->boot)
        xmlNewProp(element, BAD_CAST "boot", BAD_CAST ours->boot);
    for (guint i = 0; ours->taken && i < ours->taken->len && i < COOKIE_BITMAPS_MAX; i++) {
        const CookieBitmap *bitmap = ours->taken->pdata[i];

        taken = xmlNewChild(element, NULL, BAD_CAST "taken", NULL);
        xmlNewProp(taken, BAD_CAST "disk", BAD_CAST bitmap->disk);
        xmlNewProp(taken, BAD_CAST "bitmap", BAD_CAST bitmap->name);
    }
    if (!ours->recover_port)
        return;
    recover = xmlNewChild(element, NULL, BAD_CAST "recover", NULL);
    xmlNewProp(recover, BAD_CAST "port", BAD_CAST port);
    for (guint i = 0; ours->addresses && ours->addresses[i] && i < COOKIE_ADDRESSES_MAX; i++) {
        address = xmlNewChild(recover, NULL, BAD_CAST "address", NULL);
        xmlNewProp(address, BAD_CAST "host", BAD_CAST ours->addresses[i]);
    }
}

gboolean
cookie_add(char **data, int *length, const Cookie *ours, GError **error)
{
    g_autoptr(XmlDoc) doc = parse(*data ? *data : "", *data ? *length : 0, error);
    xmlNode *root, *old;
    xmlChar *text = NULL;
    char *copy;
    int size = 0;

    if (!doc)
        return FALSE;
    root = xmlDocGetRootElement(doc);
    while ((old = xml_find_child(root, ELEMENT))) {
        xmlUnlinkNode(old);
        xmlFreeNode(old);
    }
    write_element(xmlNewChild(root, NULL, BAD_CAST ELEMENT, NULL), ours);
    xmlDocDumpMemory(doc, &text, &size);
    copy = text ? strndup((const char *)text, size) : NULL;
    xmlFree(text);
    if (!copy) {
        g_set_error_literal(error, COOKIE_ERROR, COOKIE_ERROR_INVALID,
                            "no memory for the migration cookie");
        return FALSE;
    }
    free(*data);
    *data = copy;
    *length = (int)strlen(copy) + 1;
    return TRUE;
}
