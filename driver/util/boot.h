/*
 * boot.h: which start of a host it is
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

/** The kernel's id of this host's present start, a UUID in text, another after each; NULL where the
 * kernel does not tell. Read once, and then the same for good. Any thread. */
const char *boot_get_id(void);
