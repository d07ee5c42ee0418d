/*
 * config.c: reads of the stock QEMU driver's configuration
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/config.h"

#include <string.h>

#include "stock/symbols.h"
#include "stock/table.h"

StockKeepalive
stock_config_get_keepalive(virConnectPtr conn)
{
    const AbiRow *row = table_row();
    StockKeepalive keepalive;
    gpointer driver, config;

    ABI_READ(&driver, conn, row->connect_private_data);
    config = symbols.virQEMUDriverGetConfig(driver);
    ABI_READ(&keepalive.interval_s, config, row->config_keepalive);
    ABI_READ(&keepalive.count, config, row->config_keepalive_count);
    symbols.virObjectUnref(config);
    return keepalive;
}
