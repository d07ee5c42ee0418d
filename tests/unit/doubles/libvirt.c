/*
 * libvirt.c: libvirt itself as a test needs it, without a daemon
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "doubles/libvirt.h"

#include <glib.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "stock/symbols.h"

static void
ignore(void *opaque, virErrorPtr error)
{
}

void
libvirt_init(int *argc, char ***argv)
{
    g_autoptr(GError) error = NULL;

    g_test_init(argc, argv, NULL);
    g_assert_cmpint(virInitialize(), ==, 0);
    virSetErrorFunc(NULL, ignore);
    symbols_load(NULL, &error);
    g_assert_no_error(error);
}
