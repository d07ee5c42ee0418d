/*
 * abi.c: the rows of the libvirt versions we know
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/abi.h"

#include <string.h>

static const AbiRow rows[] = {
#include "stock/abi-rows.inc"
    {.version = 0},
};

const AbiRow *
abi_find(unsigned long version)
{
    for (const AbiRow *row = rows; row->version; row++) {
        if (row->version == version)
            return row;
    }
    return NULL;
}

const AbiRow *
abi_get(unsigned int index)
{
    return index < sizeof(rows) / sizeof(rows[0]) - 1 ? &rows[index] : NULL;
}

const char *
abi_slot_name(StockSlot slot)
{
    static const char *const names[] = {
#define SLOT_NAME(name, ret, args) #name,
        STOCK_SLOTS(SLOT_NAME)
#undef SLOT_NAME
    };

    return (unsigned int)slot < SLOT_LAST ? names[slot] : "unknown";
}

const char *
abi_migration_status(const AbiRow *row, int status)
{
    for (int i = 0; i <= status; i++) {
        if (!row->migration_status[i])
            return NULL;
        if (i == status)
            return row->migration_status[i];
    }
    return NULL;
}

int
abi_find_migration_status(const AbiRow *row, const char *name)
{
    for (int i = 0; row->migration_status[i]; i++) {
        if (strcmp(row->migration_status[i], name) == 0)
            return i;
    }
    return -1;
}
