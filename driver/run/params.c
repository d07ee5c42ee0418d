/*
 * params.c: the typed parameters of a migration's calls
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/params.h"

#include <stddef.h>

#include <libvirt/virterror.h>

const char *
params_get_string(virTypedParameterPtr params, int nparams, const char *name)
{
    const char *value = NULL;

    if (virTypedParamsGetString(params, nparams, name, &value) < 0)
        virResetLastError();
    return value;
}
