/*
 * params.h: the typed parameters of a migration's calls
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

/** A string parameter, borrowed from @params; NULL if it is not there or no string, without an
 * error. */
const char *params_get_string(virTypedParameterPtr params, int nparams, const char *name);
