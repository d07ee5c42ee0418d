/*
 * calls.h: the calls of libvirt's API that pass through Holdfast
 *
 * The list of everything that is not stock. On the thread of the client's call.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "stock/table.h"

/** What is put over the stock table; static. */
const TableOverride *calls_overrides(gsize *n);
