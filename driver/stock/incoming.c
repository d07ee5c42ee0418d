/*
 * incoming.c: where qemu.conf lets migrations in
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/incoming.h"

#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

#include "stock/symbols.h"

/* QEMU_MIGRATION_PORT_MIN and _MAX, src/qemu/qemu_conf.c, 9.0.0 and 11.3.0. */
#define PORT_MIN 49152
#define PORT_MAX 49215

static void
read_ports(void *conf, StockIncoming *incoming)
{
    unsigned int min = PORT_MIN, max = PORT_MAX;

    if (symbols.virConfGetValueUInt(conf, "migration_port_min", &min) < 0 ||
        symbols.virConfGetValueUInt(conf, "migration_port_max", &max) < 0 || min == 0 ||
        max > G_MAXUINT16 || max < min)
        return;
    incoming->port_min = (guint16)min;
    incoming->port_max = (guint16)max;
}

/* libvirt takes an IPv6 address in brackets too (virStringStripIPv6Brackets()). */
static char *
strip_brackets(const char *address)
{
    gsize length = strlen(address);

    if (length > 2 && address[0] == '[' && address[length - 1] == ']')
        return g_strndup(address + 1, length - 2);
    return g_strdup(address);
}

void
stock_incoming_read(const char *path, StockIncoming *incoming)
{
    void *conf = NULL;
    char *address = NULL;

    *incoming = (StockIncoming){.port_min = PORT_MIN, .port_max = PORT_MAX};
    if (g_file_test(path, G_FILE_TEST_EXISTS))
        conf = symbols.virConfReadFile(path, 0);
    if (conf) {
        read_ports(conf, incoming);
        if (symbols.virConfGetValueString(conf, "migration_address", &address) > 0 && address)
            incoming->address = strip_brackets(address);
        free(address);
        symbols.virConfFree(conf);
    }
    /* libvirt reads it too, and tells of whatever is wrong with it. */
    virResetLastError();
}

void
stock_incoming_clear(StockIncoming *incoming)
{
    g_clear_pointer(&incoming->address, g_free);
}
