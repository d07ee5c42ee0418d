/*
 * live-oob.h: out-of-band commands to a QEMU that does not answer others
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

/** The domain runs, and does so afterwards: another QEMU, since the first is killed. */
void live_oob_test(virDomainPtr dom);
