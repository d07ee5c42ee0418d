/*
 * bitmap-disk.c: which disk of a domain has a block node of QEMU's
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bitmap/disk.h"

#include <string.h>

/* As libvirt 11.3 prints a domain that runs: one disk over two images, one without an image, one
 * that is shared. */
static const char domain[] =
    "<domain type='kvm' id='1'><name>guest</name><devices>\n"
    "  <disk type='file' device='disk'>\n"
    "    <driver name='qemu' type='qcow2' cache='none'/>\n"
    "    <source file='/i/top.qcow2' index='2'/>\n"
    "    <backingStore type='file' index='9'><format type='qcow2'/>\n"
    "      <source file='/i/middle.qcow2' index='4'/>\n"
    "      <backingStore type='file'><format type='raw'/><source file='/i/base' index='5'/>\n"
    "        <backingStore/></backingStore></backingStore>\n"
    "    <target dev='vda' bus='virtio'/><alias name='virtio-disk0'/>\n"
    "  </disk>\n"
    "  <disk type='file' device='cdrom'><target dev='hda' bus='ide'/><readonly/></disk>\n"
    "  <disk type='block' device='disk'><source dev='/dev/sdc' index='1'/>\n"
    "    <target dev='sda' bus='scsi'/><shareable/></disk>\n"
    "  <interface type='network'><source index='3'/><target dev='tap0'/></interface>\n"
    "</devices></domain>\n";

static void
test_nodes(void)
{
    static const struct {
        const char *node;
        const char *target; /* NULL: nobody's */
        gboolean on_top;
    } cases[] = {
        {"libvirt-2-format", "vda", TRUE},  {"libvirt-2-storage", "vda", TRUE},
        {"libvirt-4-format", "vda", FALSE}, {"libvirt-5-storage", "vda", FALSE},
        {"libvirt-1-format", "sda", TRUE},  {"libvirt-9-format", NULL, FALSE},
        {"libvirt-3-format", NULL, FALSE},  {"libvirt-22-format", NULL, FALSE},
        {"libvirt-2", NULL, FALSE},         {"libvirt--format", NULL, FALSE},
        {"libvirt-0-format", NULL, FALSE},  {"libvirt-4294967298-format", NULL, FALSE},
        {"#block142", NULL, FALSE},         {"", NULL, FALSE},
    };
    g_autoptr(GPtrArray) disks = disk_parse_all(domain);

    g_assert_cmpuint(disks->len, ==, 3);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Disk *disk = disk_find_node(disks, cases[i].node);

        g_test_message("%s", cases[i].node);
        g_assert_cmpstr(disk ? disk->target : NULL, ==, cases[i].target);
        g_assert_cmpstr(disk_name_node(disks, cases[i].node), ==,
                        cases[i].target ? cases[i].target : cases[i].node);
        g_assert_cmpstr(disk_name_node(NULL, cases[i].node), ==, cases[i].node);
        if (disk)
            g_assert_cmpint(disk_has_on_top(disk, cases[i].node), ==, cases[i].on_top);
    }
}

/* libvirt's status file has the domain within. */
static void
test_status_file(void)
{
    g_autofree char *text =
        g_strconcat("<domstatus state='running' reason='booted' pid='12'>\n<taint flag='x'/>\n"
                    "<devices><device alias='virtio-disk0'/></devices>\n",
                    domain, "</domstatus>\n", NULL);
    g_autoptr(GPtrArray) disks = disk_parse_all(text);

    g_assert_cmpuint(disks->len, ==, 3);
    g_assert_cmpstr(disk_find_node(disks, "libvirt-1-format")->target, ==, "sda");
}

static void
test_flags(void)
{
    static const gboolean expected[][2] = {{FALSE, FALSE}, {TRUE, FALSE}, {FALSE, TRUE}};
    g_autoptr(GPtrArray) disks = disk_parse_all(domain);

    for (guint i = 0; i < disks->len; i++) {
        const Disk *disk = disks->pdata[i];

        g_assert_cmpint(disk->read_only, ==, expected[i][0]);
        g_assert_cmpint(disk->shareable, ==, expected[i][1]);
        g_assert_false(disk_has_on_top(disk, "libvirt-7-format"));
    }
}

/* Whatever is cut off: no disk, or one that was whole. */
static void
test_cut(void)
{
    for (gsize length = 0; length < strlen(domain); length++) {
        g_autofree char *text = g_strndup(domain, length);
        g_autoptr(GPtrArray) disks = disk_parse_all(text);

        g_assert_true(disks->len == 0 || length >= strlen(domain) - 1);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/disk/nodes", test_nodes);
    g_test_add_func("/disk/flags", test_flags);
    g_test_add_func("/disk/status-file", test_status_file);
    g_test_add_func("/disk/cut", test_cut);
    return g_test_run();
}
