/*
 * policy-path.c: the URI of a further network to the destination
 *
 * Stricter than a URI needs to be: QEMU is given the host and the port alone, so anything else in
 * it would be lost without a word.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/policy.h"

#include <arpa/inet.h>
#include <string.h>

/** A numeric address that can be connected to: not the wildcard, which leads to this very host. */
static gboolean
is_address(int family, const char *host)
{
    static const struct in6_addr any;
    struct in6_addr address = {0};
    gsize length = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);

    return inet_pton(family, host, &address) == 1 && memcmp(&address, &any, length) != 0;
}

/** Labels of letters, digits, `-` and `_`, none empty; 63 and 253 bytes are DNS's bounds. */
static gboolean
is_name(const char *host)
{
    g_auto(GStrv) labels = g_strsplit(host, ".", -1);

    if (strlen(host) > 253)
        return FALSE;
    for (char **label = labels; *label; label++) {
        gsize length = strlen(*label);

        if (length == 0 || length > 63 || (*label)[0] == '-' || (*label)[length - 1] == '-')
            return FALSE;
        for (const char *c = *label; *c; c++) {
            if (!g_ascii_isalnum(*c) && *c != '-' && *c != '_')
                return FALSE;
        }
    }
    return TRUE;
}

static gboolean
is_host(const char *host, gboolean bracketed)
{
    if (bracketed)
        return is_address(AF_INET6, host);
    /* Digits and dots are an IPv4 address or a slip, never a name. */
    if (strspn(host, "0123456789.") == strlen(host))
        return is_address(AF_INET, host);
    return is_name(host);
}

gboolean
policy_path_parse(const char *uri, char **host, guint16 *port)
{
    g_autofree char *name = NULL;
    const char *rest, *end;
    gboolean bracketed;
    guint64 number = 0;

    if (strnlen(uri, POLICY_URI_MAX_BYTES + 1) > POLICY_URI_MAX_BYTES ||
        !g_str_has_prefix(uri, "tcp://"))
        return FALSE;
    rest = uri + strlen("tcp://");
    bracketed = *rest == '[';
    if (bracketed)
        rest++;
    end = rest + strcspn(rest, bracketed ? "]" : ":");
    name = g_strndup(rest, end - rest);
    if (bracketed && *end++ != ']')
        return FALSE;
    if (*end == ':' &&
        (end[1] == '0' || !g_ascii_string_to_unsigned(end + 1, 10, 1, G_MAXUINT16, &number, NULL)))
        return FALSE;
    if ((*end && *end != ':') || !is_host(name, bracketed))
        return FALSE;

    if (host)
        *host = g_steal_pointer(&name);
    if (port)
        *port = number;
    return TRUE;
}
