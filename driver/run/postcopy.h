/*
 * postcopy.h: postcopy that the policy begins
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "run/migration.h"

/** For host_run(): has QEMU switch to postcopy. Takes over a reference to a Migration. */
void postcopy_start_job(gpointer migration, gpointer unused);
