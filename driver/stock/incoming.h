/*
 * incoming.h: where qemu.conf lets migrations in
 *
 * Read by libvirt's own parser from the same file and at the same time as libvirt does, and no
 * later: what libvirt goes by is what it read when it was started.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

typedef struct {
    guint16 port_min; /* migration_port_min */
    guint16 port_max; /* migration_port_max */
    char *address;    /* migration_address, without brackets; NULL: all */
} StockIncoming;

/**
 * stock_incoming_read:
 * @path: a file that does not exist says nothing
 *
 * Always gives something: libvirt's defaults for what the file does not say, or says so that
 * libvirt itself refuses it. To be cleared with stock_incoming_clear().
 */
void stock_incoming_read(const char *path, StockIncoming *incoming);
void stock_incoming_clear(StockIncoming *incoming);
