/*
 * disks.c: the disks of a domain that runs here, as libvirt knows them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/disks.h"

#include <unistd.h>

#include "stock/statusfile.h"

GPtrArray *
disks_read(const char *domain)
{
    g_autofree char *path = statusfile_get_path(geteuid() == 0, domain);
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? disk_parse_all(text) : NULL;
}
