/*
 * carry.h: a domain's checkpoints are taken along by its migration
 *
 * libvirt stores the bitmaps of checkpoints with the disk, but what it knows of the checkpoints
 * stays on the source, and is removed there with the domain: on the destination no incremental
 * backup could be begun. The definitions are dumped at the source when the guest is at the
 * destination for good and before libvirt lets the source go, and are defined there anew, each with
 * a look whether its bitmap is there.
 *
 * No migration fails of it, nor does one checkpoint keep back another: what was not carried is told
 * on both hosts.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

#include "model/checkpoint.h"
#include "run/migration.h"

/**
 * carry_source: carries the checkpoints of a domain that is at the destination
 * @dom: what is left of it here, whether its QEMU is still there or not; it is not changed
 *
 * Once a migration; does nothing where there are none, or the policy leaves them. Gives up after a
 * minute in which the destination cannot be asked. Blocks, and ends when the daemon stops; leaves
 * the thread's libvirt error as it was; not on the engine thread.
 */
void carry_source(Migration *migration, virDomainPtr dom);

/** carry_take: a ParcelFn, at the destination. What comes takes the place of what has the same name
 * there and is no later; a checkpoint that does not come and has no bitmap any more is forgotten.
 */
gboolean carry_take(const unsigned char *uuid, GBytes *body, GBytes **reply, GError **error);

/** carry_list: (element-type Checkpoint) (transfer full): those of a domain, parents first; NULL
 * with the thread's libvirt error set. May block. */
GPtrArray *carry_list(virDomainPtr dom);
