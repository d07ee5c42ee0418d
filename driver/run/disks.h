/*
 * disks.h: the disks of a domain that runs here, as libvirt knows them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "bitmap/disk.h"

/**
 * disks_read: from libvirt's status file
 *
 * libvirt itself, asked for the domain's XML, would wait for the migration's job at the
 * destination.
 *
 * Returns: (element-type Disk) (transfer full): NULL when there is no such file. Any thread that
 * may read a small file.
 */
GPtrArray *disks_read(const char *domain);
