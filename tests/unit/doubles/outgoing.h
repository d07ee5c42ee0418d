/*
 * outgoing.h: libvirt's Confirm, for world.c's table
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

int outgoing_confirm(virDomainPtr dom,
                     virTypedParameterPtr params,
                     int nparams,
                     const char *cookiein,
                     int cookieinlen,
                     unsigned int flags,
                     int cancelled);
