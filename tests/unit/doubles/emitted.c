/*
 * emitted.c: what libvirt is told of QEMU's migration that QEMU has not said, in place of
 * driver/stock/hooks.c
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/hooks.h"
#include "world.h"

static gint cancelled; /* atomic */

gboolean
hooks_emit_migration_status(virDomainPtr dom, const char *status, GError **error)
{
    if (g_str_equal(status, "cancelled"))
        g_atomic_int_inc(&cancelled);
    return TRUE;
}

guint
world_take_cancelled(void)
{
    return (guint)g_atomic_int_exchange(&cancelled, 0);
}
