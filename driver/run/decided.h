/*
 * decided.h: what has become of a guest's dirty bitmaps, told to whoever wants to know
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

#include "bitmap/decision.h"
#include "run/migration.h"

/**
 * decided_tell: what was decided of a bitmap: a line in the log, and shown with the migration
 * @migration: (nullable): the one that it is about; NULL where it is not known any more
 * @dom: the domain on this host
 * @node: the block node that has the bitmap
 * @reason: why, for a person; without a full stop
 *
 * When it is done, or found that it cannot be. Any thread; also in a QmpJob.
 */
void decided_tell(Migration *migration,
                  virDomainPtr dom,
                  const char *node,
                  const char *bitmap,
                  BitmapDecision decision,
                  const char *reason);

/**
 * decided_tell_checkpoint: the same of a checkpoint, which was not carried: a warning
 * @decision: a word
 */
void decided_tell_checkpoint(Migration *migration,
                             virDomainPtr dom,
                             const char *checkpoint,
                             const char *decision,
                             const char *reason);
