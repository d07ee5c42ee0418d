/*
 * connection.c: opening a connection and finding a domain, as virsh does
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "connection.h"

#include <glib/gi18n.h>
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "handover.h"

/* virsh's values (tools/virsh.c, virshConnect). */
#define KEEPALIVE_INTERVAL_SECONDS 5
#define KEEPALIVE_COUNT            6

static int
number_from_environment(const char *variable)
{
    const char *text = g_getenv(variable);
    guint64 number;

    return text && g_ascii_string_to_unsigned(text, 0, 0, G_MAXINT, &number, NULL) ? (int)number
                                                                                   : -1;
}

void
connection_options_init(ConnectionOptions *options)
{
    *options = (ConnectionOptions){
        .uri = g_getenv(HANDOVER_URI),
        .readonly = g_getenv(HANDOVER_READONLY) != NULL,
        .quiet = g_getenv(HANDOVER_QUIET) != NULL,
        .timing = g_getenv(HANDOVER_TIMING) != NULL,
        .keepalive_interval = number_from_environment(HANDOVER_KEEPALIVE_INTERVAL),
        .keepalive_count = number_from_environment(HANDOVER_KEEPALIVE_COUNT),
    };
}

/* libvirt would print every error by itself; ours are printed once, where they matter. */
static void
ignore_error(void *opaque, virErrorPtr error)
{
}

/* A driver without keepalive (a local one) is no failure, unless a person asked for it. */
static gboolean
set_keepalive(virConnectPtr conn, const ConnectionOptions *options)
{
    gboolean asked = options->keepalive_interval >= 0 || options->keepalive_count >= 0;
    int interval =
        options->keepalive_interval >= 0 ? options->keepalive_interval : KEEPALIVE_INTERVAL_SECONDS;
    int count = options->keepalive_count >= 0 ? options->keepalive_count : KEEPALIVE_COUNT;

    if (interval == 0 || virConnectSetKeepAlive(conn, interval, count) == 0 || !asked)
        return TRUE;
    command_report(_("Cannot setup keepalive on connection as requested, disconnecting"));
    command_report("%s", virGetLastErrorMessage());
    return FALSE;
}

virConnectPtr
connection_open(const ConnectionOptions *options)
{
    g_autoptr(virConnect) conn = NULL;

    virSetErrorFunc(NULL, ignore_error);
    if (virEventRegisterDefaultImpl() == 0)
        conn = virConnectOpenAuth(options->uri, virConnectAuthPtrDefault,
                                  options->readonly ? VIR_CONNECT_RO : 0);
    if (!conn) {
        command_report(_("failed to connect to the hypervisor"));
        command_report("%s", virGetLastErrorMessage());
        return NULL;
    }
    if (!set_keepalive(conn, options))
        return NULL;
    return g_steal_pointer(&conn);
}

static struct {
    GThread *thread;
    int timer; /* wakes the loop, to end it */
    gint stop; /* atomic */
} events;

static void
on_wake(int timer, void *opaque)
{
}

static gpointer
events_thread(gpointer unused)
{
    while (!g_atomic_int_get(&events.stop)) {
        if (virEventRunDefaultImpl() < 0)
            break;
    }
    return NULL;
}

void
connection_start_events(void)
{
    events.timer = virEventAddTimeout(-1, on_wake, NULL, NULL);
    events.thread = g_thread_new("events", events_thread, NULL);
}

void
connection_stop_events(void)
{
    g_atomic_int_set(&events.stop, TRUE);
    virEventUpdateTimeout(events.timer, 0);
    g_thread_join(events.thread);
    virEventRemoveTimeout(events.timer);
}

virDomainPtr
connection_lookup_domain(virConnectPtr conn, const char *which)
{
    virDomainPtr domain = NULL;
    guint64 id;

    if (g_ascii_string_to_unsigned(which, 10, 0, G_MAXINT, &id, NULL))
        domain = virDomainLookupByID(conn, (int)id);
    if (!domain && strlen(which) == VIR_UUID_STRING_BUFLEN - 1)
        domain = virDomainLookupByUUIDString(conn, which);
    if (!domain)
        domain = virDomainLookupByName(conn, which);
    return domain;
}

virDomainPtr
connection_find_domain(virConnectPtr conn, const char *which)
{
    virDomainPtr domain = connection_lookup_domain(conn, which);

    if (!domain)
        command_report(_("failed to get domain '%1$s'"), which);
    return domain;
}

void
connection_print_domains(const ConnectionOptions *options)
{
    g_autoptr(virConnect) conn = NULL;
    virDomainPtr *domains = NULL;
    int n_domains;

    virSetErrorFunc(NULL, ignore_error);
    conn = virConnectOpenReadOnly(options->uri);
    if (!conn)
        return;
    n_domains = virConnectListAllDomains(conn, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
    for (int i = 0; i < n_domains; i++) {
        g_print("%s\n", virDomainGetName(domains[i]));
        virDomainFree(domains[i]);
    }
    free(domains);
}
