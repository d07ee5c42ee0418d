/*
 * config.h: what the stock QEMU driver has read from qemu.conf
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

/** keepalive_interval and keepalive_count: how a peer-to-peer migration's connection is watched. */
typedef struct {
    int interval_s; /* 0 or less: not at all */
    unsigned int count;
} StockKeepalive;

/**
 * stock_config_get_keepalive:
 * @conn: a connection to the QEMU driver in this daemon
 *
 * What the driver uses, its defaults included. Any thread, with nothing of libvirt locked.
 */
StockKeepalive stock_config_get_keepalive(virConnectPtr conn);
