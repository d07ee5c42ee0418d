/*
 * params.c: the typed parameters of a migration's calls
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/params.h"

#include <stdlib.h>
#include <string.h>

#include <libvirt/virterror.h>

const char *
params_get_string(virTypedParameterPtr params, int nparams, const char *name)
{
    const char *value = NULL;

    if (virTypedParamsGetString(params, nparams, name, &value) < 0)
        virResetLastError();
    return value;
}

void
params_clear(Params *params)
{
    virTypedParamsFree(params->list, params->n);
    *params = (Params){0};
}

static void
add(Params *params, const virTypedParameter *one)
{
    virTypedParameterPtr *list = &params->list;
    int *n = &params->n, *max = &params->max;

    switch ((virTypedParameterType)one->type) {
    case VIR_TYPED_PARAM_INT:
        virTypedParamsAddInt(list, n, max, one->field, one->value.i);
        break;
    case VIR_TYPED_PARAM_UINT:
        virTypedParamsAddUInt(list, n, max, one->field, one->value.ui);
        break;
    case VIR_TYPED_PARAM_LLONG:
        virTypedParamsAddLLong(list, n, max, one->field, one->value.l);
        break;
    case VIR_TYPED_PARAM_ULLONG:
        virTypedParamsAddULLong(list, n, max, one->field, one->value.ul);
        break;
    case VIR_TYPED_PARAM_DOUBLE:
        virTypedParamsAddDouble(list, n, max, one->field, one->value.d);
        break;
    case VIR_TYPED_PARAM_BOOLEAN:
        virTypedParamsAddBoolean(list, n, max, one->field, one->value.b);
        break;
    case VIR_TYPED_PARAM_STRING:
        virTypedParamsAddString(list, n, max, one->field, one->value.s);
        break;
    default:
        break; /* libvirt has checked the types before it calls us */
    }
}

void
params_copy_without(Params *params, virTypedParameterPtr from, int n, const char *const *without)
{
    for (int i = 0; i < n; i++)
        if (!g_strv_contains(without, from[i].field))
            add(params, &from[i]);
}

void
params_copy(Params *params, virTypedParameterPtr from, int n)
{
    static const char *const nothing[] = {NULL};

    params_copy_without(params, from, n, nothing);
}

void
params_set_string(Params *params, const char *name, const char *value)
{
    virTypedParameterPtr there = virTypedParamsGet(params->list, params->n, name);

    if (there && there->type == VIR_TYPED_PARAM_STRING) {
        free(there->value.s);
        there->value.s = strdup(value);
    } else {
        virTypedParamsAddString(&params->list, &params->n, &params->max, name, value);
    }
}
