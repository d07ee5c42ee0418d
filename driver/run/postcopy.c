/*
 * postcopy.c: postcopy that the policy begins
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/postcopy.h"

#include <libvirt/virterror.h>

#include "run/outcome.h"

void
postcopy_start_job(gpointer opaque, gpointer unused)
{
    g_autoptr(Migration) migration = opaque;
    virDomainPtr dom = outcome_find_own(migration);

    if (dom && virDomainMigrateStartPostCopy(dom, 0) == 0) {
        g_message("migration %s of domain %s: QEMU is to switch to postcopy, by the policy",
                  migration_get_id(migration), migration_get_name(migration));
    } else {
        g_message("migration %s of domain %s: it cannot be switched to postcopy now: %s",
                  migration_get_id(migration), migration_get_name(migration),
                  virGetLastErrorMessage());
        migration_post(migration, EVENT_SWITCH_FAILED, 0, NULL);
    }
    if (dom)
        virDomainFree(dom);
}
