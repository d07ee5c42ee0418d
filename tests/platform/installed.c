/*
 * installed.c: the libvirt that is installed here has what its row and our lists say
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <dlfcn.h>
#include <glib.h>

#include "stock/abi.h"
#include "stock/symbols.h"

static const AbiRow *
installed_row(void)
{
    unsigned long version = 0;

    g_assert_cmpint(virGetVersion(&version, NULL, NULL), ==, 0);
    if (!abi_find(version))
        g_test_message("libvirt %lu has no row", version);
    return abi_find(version);
}

static void
test_symbols(void)
{
    gpointer stock = dlopen(STOCK_MODULE_DIR "/libvirt_driver_qemu.so", RTLD_NOW | RTLD_LOCAL);
    g_autoptr(GError) error = NULL;

    if (!stock || !installed_row()) {
        g_test_skip("no libvirt with a QEMU driver that we know is installed");
        return;
    }
    symbols_load(stock, &error);
    g_assert_no_error(error);
    g_assert_nonnull(dlsym(stock, "qemuRegister"));
    if (installed_row()->incoming_fd_unchecked)
        g_assert_nonnull(dlsym(stock, "qemuProcessIncomingDefNew"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(virInitialize(), ==, 0);
    g_test_add_func("/installed/symbols", test_symbols);
    return g_test_run();
}
