/*
 * params.h: the typed parameters of a migration's calls
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

/** A string parameter, borrowed from @params; NULL if it is not there or no string, without an
 * error. */
const char *params_get_string(virTypedParameterPtr params, int nparams, const char *name);

/** Parameters of our own, which change from phase to phase. Nothing of it fails: libvirt ends a
 * process that is out of memory. */
typedef struct {
    virTypedParameterPtr list;
    int n;
    int max;
} Params;

void params_clear(Params *params);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Params, params_clear)

/** params_copy: adds all of them, several of one name too. */
void params_copy(Params *params, virTypedParameterPtr from, int n);

/** params_copy_without: adds all but those of the names in @without, which NULL ends. */
void
params_copy_without(Params *params, virTypedParameterPtr from, int n, const char *const *without);

/** params_set_string: in place of the one that is there. @name: of libvirt's (short). */
void params_set_string(Params *params, const char *name, const char *value);
