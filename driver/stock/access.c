/*
 * access.c: what libvirt's access control lets the client of a call see
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/access.h"

#include <string.h>

#include "stock/symbols.h"
#include "stock/table.h"

/* QEMU_DRIVER_NAME (src/qemu/qemu_conf.h) and VIR_ACCESS_PERM_DOMAIN_READ
 * (src/access/viraccessperm.h); scripts/extract-abi asserts both. */
#define DRIVER_NAME "QEMU"
#define PERM_READ   1

gboolean
access_may_read(const char *name, const unsigned char *uuid)
{
    const AbiRow *row = table_row();
    g_autofree char *def = g_malloc0(row->def_size);
    gpointer manager = symbols.virAccessManagerGetDefault();
    const int inactive = -1;
    int rc = 0;

    memcpy(def + row->def_id, &inactive, sizeof(inactive));
    memcpy(def + row->def_uuid, uuid, VIR_UUID_BUFLEN);
    memcpy(def + row->def_name, &name, sizeof(name));
    if (manager) {
        rc = symbols.virAccessManagerCheckDomain(manager, DRIVER_NAME, def, PERM_READ);
        symbols.virObjectUnref(manager);
    }
    if (rc != 1)
        virResetLastError();
    return rc == 1;
}
