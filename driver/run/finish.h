/*
 * finish.h: Finish, which starts the guest on the destination
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

#include "run/migration.h"

/** libvirt's Finish. Waits while postcopy is paused, and reports the migration's outcome. */
virDomainPtr finish_call(virConnectPtr dconn,
                         virTypedParameterPtr params,
                         int nparams,
                         const char *cookiein,
                         int cookieinlen,
                         char **cookieout,
                         int *cookieoutlen,
                         unsigned int flags,
                         int cancelled);

/** Finish in place of a client that has not called it. On a thread of its own: it lasts long. */
void finish_ourselves(Migration *migration);

/** For host_run(): takes over a reference to the Migration, whose QEMU has failed here: tells the
 * engine when the domain has ended. libvirt drops one that ends while Finish is at work without a
 * word. */
void finish_look_job(gpointer migration, gpointer unused);

/** Sees to it that no Finish starts the guest any more, unless one is at it already, and destroys
 * the domain here. Tells the engine when that is so. May block. */
void finish_cancel(Migration *migration);
