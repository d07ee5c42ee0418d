/*
 * table.h: our copy of the stock QEMU driver's function table
 *
 * Registered with libvirt before the stock table, so that every qemu:/// connection is offered to
 * us first. The first one copies the stock table (found through a nested connection that we
 * decline), puts our functions over it and from then on serves all connections: what is not
 * overridden runs the stock function directly. When the stock table cannot be had, or does not look
 * as its row says, we decline: libvirt then goes on to the stock driver, and the next connection
 * tries again. Embedded connections (qemu:///embed) are always left to the stock driver.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

#include "stock/abi.h"
#include "stock/slots.h"

typedef struct {
    StockSlot slot;
    gpointer function; /* of type StockFn_SLOT */
} TableOverride;

/** TABLE_OVERRIDE(domainDestroy, calls_destroy): an entry whose function's type is checked. */
#define TABLE_OVERRIDE(name, fn)                                                                   \
    {                                                                                              \
        SLOT_##name, (gpointer)(1 ? (fn) : (StockFn_##name)NULL)                                   \
    }

/**
 * table_register:
 * @row: the running libvirt's
 * @stock: the stock module's dlopen handle: every function of its table must be in it
 * @overrides: copied; connectOpen cannot be among them
 * @n_overrides: its length
 *
 * Registers our table with libvirt. Once, from the thread that loads the module and before the
 * stock driver is registered. The table lives as long as the process: connections point to it.
 */
gboolean table_register(const AbiRow *row,
                        gpointer stock,
                        const TableOverride *overrides,
                        gsize n_overrides,
                        GError **error);

/** Declines every connection from now on, for a start that failed after table_register(). */
void table_retire(void);

/**
 * table_stock:
 *
 * The stock function of a slot; NULL when the stock driver has none or before the first connection.
 * Never NULL inside an override whose slot the stock driver fills. Any thread.
 */
gpointer table_stock(StockSlot slot);

/** TABLE_STOCK(domainDestroy)(dom): table_stock() with the slot's type. */
#define TABLE_STOCK(name) ((StockFn_##name)table_stock(SLOT_##name))

/** The row of the running libvirt; NULL before table_register(). Any thread. */
const AbiRow *table_row(void);
