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
 * decided_tell: a line in the log
 * @migration: (nullable): the one that it is about; NULL where it is not known any more
 * @dom: the domain on this host
 * @node: the block node that has the bitmap
 * @reason: why, for a person; without a full stop
 *
 * When it is done, or found that it cannot be. Any thread.
 */
void decided_tell(Migration *migration,
                  virDomainPtr dom,
                  const char *node,
                  const char *bitmap,
                  BitmapDecision decision,
                  const char *reason);
