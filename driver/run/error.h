/*
 * error.h: our errors as a libvirt client gets them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libvirt/virterror.h>

/** The libvirt code of one of our errors; VIR_ERR_OPERATION_FAILED for one that is not in the list.
 */
virErrorNumber error_get_libvirt_code(const GError *error);

/** Sets the thread's libvirt error from @error, as a slot does before it returns its failure. */
void error_raise(const GError *error);
