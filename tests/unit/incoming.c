/*
 * incoming.c: qemu.conf, as libvirt reads it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/incoming.h"

#include <glib/gstdio.h>
#include <libvirt/virterror.h>

#include "stock/symbols.h"

/* clang-format off */
static const struct {
    const char *text; /* NULL: no such file */
    guint16 port_min, port_max;
    const char *address;
} files[] = {
    { NULL,                                                      49152, 49215, NULL },
    { "",                                                        49152, 49215, NULL },
    { "# migration_port_min = 1\n",                              49152, 49215, NULL },
    { "migration_port_min = 50000\nmigration_port_max = 50010",  50000, 50010, NULL },
    { "migration_port_max = 49160\n",                            49152, 49160, NULL },
    { "migration_port_min = 50000\n",                            49152, 49215, NULL },
    { "migration_port_min = 0\n",                                49152, 49215, NULL },
    { "migration_port_max = 65536\n",                            49152, 49215, NULL },
    { "migration_port_max = \"x\"\n",                            49152, 49215, NULL },
    { "migration_address = \"10.0.0.1\"\nuser = 'root'\n",       49152, 49215, "10.0.0.1" },
    { "migration_address = \"[2001:db8::1]\"\n",                 49152, 49215, "2001:db8::1" },
    { "migration_address = 7\n",                                 49152, 49215, NULL },
    { "migration_address = \"10.0.0.1\n",                        49152, 49215, NULL },
};
/* clang-format on */

static void
ignore(void *opaque, virErrorPtr error)
{
}

static void
test_files(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *directory = g_dir_make_tmp("holdfast-incoming-XXXXXX", &error);
    g_autofree char *path = g_build_filename(directory, "qemu.conf", NULL);

    g_assert_no_error(error);
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        StockIncoming incoming;

        g_test_message("%s", files[i].text ? files[i].text : "-");
        if (files[i].text)
            g_assert_true(g_file_set_contents(path, files[i].text, -1, NULL));
        stock_incoming_read(path, &incoming);
        g_assert_cmpuint(incoming.port_min, ==, files[i].port_min);
        g_assert_cmpuint(incoming.port_max, ==, files[i].port_max);
        g_assert_cmpstr(incoming.address, ==, files[i].address);
        g_assert_null(virGetLastError());
        stock_incoming_clear(&incoming);
    }
    g_unlink(path);
    g_rmdir(directory);
}

int
main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;

    g_test_init(&argc, &argv, NULL);
    virSetErrorFunc(NULL, ignore);
    virInitialize();
    if (!symbols_load(NULL, &error)) {
        puts("1..0 # SKIP a libvirt that we do not know");
        return 0;
    }
    g_test_add_func("/incoming/files", test_files);
    return g_test_run();
}
