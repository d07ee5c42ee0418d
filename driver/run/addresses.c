/*
 * addresses.c: the addresses of hosts, in numbers
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/addresses.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

#include <gio/gio.h>

/* Of one name. */
#define LOOKUP_MAX 4

#define MAPPED "::ffff:"

char *
addresses_format(const struct sockaddr *address, socklen_t length)
{
    char text[NI_MAXHOST];

    if ((address->sa_family != AF_INET && address->sa_family != AF_INET6) ||
        getnameinfo(address, length, text, sizeof(text), NULL, 0, NI_NUMERICHOST) != 0)
        return NULL;
    if (g_str_has_prefix(text, MAPPED) && strchr(text, '.'))
        return g_strdup(text + strlen(MAPPED));
    return g_strdup(text);
}

/* Without the scope that a link-local one may have behind a `%`. */
static GInetAddress *
parse(const char *host)
{
    g_autofree char *address = g_strndup(host, strcspn(host, "%"));

    return g_inet_address_new_from_string(address);
}

gboolean
addresses_is_numeric(const char *host)
{
    g_autoptr(GInetAddress) address = parse(host);

    return address != NULL;
}

gboolean
addresses_is_any(const char *host)
{
    g_autoptr(GInetAddress) address = parse(host);

    return address && g_inet_address_get_is_any(address);
}

static gboolean
is_for_others(const char *host)
{
    g_autoptr(GInetAddress) address = parse(host);

    return address && !g_inet_address_get_is_any(address) &&
           !g_inet_address_get_is_loopback(address) && !g_inet_address_get_is_link_local(address) &&
           !g_inet_address_get_is_multicast(address);
}

/* Takes @host, which may be NULL. */
static void
add_once(GPtrArray *list, char *host)
{
    if (host && !g_ptr_array_find_with_equal_func(list, host, g_str_equal, NULL))
        g_ptr_array_add(list, host);
    else
        g_free(host);
}

static char **
end(GPtrArray *list)
{
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_free(list, FALSE);
}

char **
addresses_lookup(const char *host, GError **error)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    GPtrArray *list;
    int rc = getaddrinfo(host, NULL, &hints, &found);

    if (rc != 0 || !found) {
        g_set_error(error, G_RESOLVER_ERROR, G_RESOLVER_ERROR_NOT_FOUND, "host '%s': %s", host,
                    gai_strerror(rc));
        return NULL;
    }
    list = g_ptr_array_new();
    for (struct addrinfo *info = found; info && list->len < LOOKUP_MAX; info = info->ai_next)
        add_once(list, addresses_format(info->ai_addr, info->ai_addrlen));
    freeaddrinfo(found);
    return end(list);
}

static void
add_interface(GPtrArray *list, const struct ifaddrs *interface)
{
    g_autofree char *host = NULL;
    socklen_t length;

    if (!interface->ifa_addr || !(interface->ifa_flags & IFF_UP))
        return;
    length = interface->ifa_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                        : sizeof(struct sockaddr_in);
    host = addresses_format(interface->ifa_addr, length);
    if (host && is_for_others(host))
        add_once(list, g_steal_pointer(&host));
}

char **
addresses_list_local(const char *first)
{
    GPtrArray *list = g_ptr_array_new();
    struct ifaddrs *interfaces = NULL;
    guint at = 0;

    if (getifaddrs(&interfaces) == 0) {
        for (struct ifaddrs *each = interfaces; each; each = each->ifa_next)
            add_interface(list, each);
        freeifaddrs(interfaces);
    }
    if (first && g_ptr_array_find_with_equal_func(list, first, g_str_equal, &at) && at > 0)
        g_ptr_array_insert(list, 0, g_ptr_array_steal_index(list, at));
    return end(list);
}
