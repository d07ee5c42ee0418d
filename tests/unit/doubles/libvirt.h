/*
 * libvirt.h: libvirt itself as a test needs it, without a daemon
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

/** g_test_init(), and libvirt's private functions at hand (stock/symbols.h), as JSON; what it has
 * to say of an error it keeps to itself. A libvirt that is not known fails the test. */
void libvirt_init(int *argc, char ***argv);
