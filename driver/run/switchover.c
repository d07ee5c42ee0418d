/*
 * switchover.c: the moment before a stopped guest's source gives it up
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/switchover.h"

#include <libintl.h>

#include "run/guard.h"
#include "run/migration.h"
#include "stock/error.h"
#include "stock/hooks.h"
#include "stock/qmp.h"

/* What QEMU has heard of the channel's end by now, from the thread that reads what the destination
 * says, it keeps to itself. In precopy it fails for that later, and the guest runs on; a switch to
 * postcopy goes on until something is sent, and the failure then leaves a QEMU that is in `device`
 * for good, where nothing lets the guest run (source_return_path_thread(), postcopy_start() and
 * migration_iteration_finish(), migration/migration.c, QEMU 10.0). In pre-switchover it still can
 * be cancelled. */
static gboolean
has_channel(gpointer monitor)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *reply = hooks_ask(monitor, "{\"execute\":\"query-migrate\"}", &error);
    g_autofree char *why = reply ? qmp_reply_string(reply, "error-desc") : NULL;

    if (!why)
        return TRUE;
    /* libvirt's message, in its translation, for a failure of QEMU's. */
    stock_error_raise(VIR_ERR_OPERATION_FAILED, dgettext("libvirt", "job '%1$s' failed: %2$s"),
                      dgettext("libvirt", "migration out"), why);
    return FALSE;
}

static gboolean
on_continue(const unsigned char *uuid, gpointer monitor, gpointer opaque)
{
    g_autoptr(Migration) migration = migration_find(uuid);

    if (!migration || migration_get_role(migration) != ROLE_SOURCE)
        return TRUE;
    if ((migration_get_flags(migration) & VIR_MIGRATE_POSTCOPY) && !has_channel(monitor))
        return FALSE;
    guard_make(migration, monitor);
    return TRUE;
}

void
switchover_watch(void)
{
    hooks_set_continue_listener(on_continue, NULL);
}
