/*
 * later.h: what is to run later, or for long
 *
 * Stands in for host_run_later(), where world_pass_time() says when that is, and for
 * host_run_long(), where nothing lasts long.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

/** Frees what was not run: the engine has ended. */
void later_clear(void);
