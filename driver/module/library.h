/*
 * library.h: whether a library is all there
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdbool.h>

/**
 * library_is_whole:
 *
 * FALSE for an ELF file that ends before what it says it holds, as a full disk or a cut copy leaves
 * it: dlopen() does not look and dies of SIGBUS. Anything else, a file that is no ELF or none at
 * all too, is TRUE: dlopen() itself says what is wrong with it. Plain C, for the shim.
 */
bool library_is_whole(const char *path);
