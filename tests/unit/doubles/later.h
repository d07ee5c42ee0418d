/*
 * later.h: what is to run later
 *
 * Stands in for host_run_later(), where world_pass_time() says when that is.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

/** Frees what was not run: the engine has ended. */
void later_clear(void);
