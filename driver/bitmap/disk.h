/*
 * disk.h: the disks of a domain, and which block nodes of QEMU's are whose
 *
 * libvirt numbers the images of a running domain, and names their block nodes after the number:
 * libvirt-1-format, libvirt-1-storage (qemuDomainPrepareStorageSourceBlockdevNodename(),
 * src/qemu/qemu_domain.c, 9.0.0 and 11.3.0). The number is in the domain's XML, as `index` of each
 * `source`.
 *
 * Pure.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

typedef struct {
    char *target;       /* "vda" */
    GArray *indexes;    /* of guint: its image's, then those of the images below; maybe none */
    gboolean read_only; /* as the guest has it */
    gboolean shareable; /* with other guests */
} Disk;

/**
 * disk_parse_all:
 * @xml: a <domain>, or libvirt's status file of it, <domstatus> (virDomainObjFormat(),
 *   src/conf/domain_conf.c)
 *
 * Returns: (element-type Disk) (transfer full): in the domain's order; none for anything else.
 */
GPtrArray *disk_parse_all(const char *xml);

/** The disk whose image, or one below it, is the node, borrowed; NULL if there is none. */
const Disk *disk_find_node(const GPtrArray *disks, const char *node);

/** What a person calls the disk that has a node, "vda", borrowed; @node itself where that is not
 * known. @disks: (nullable) */
const char *disk_name_node(const GPtrArray *disks, const char *node);

/** Whether the node is of the disk's own image, rather than of one below. */
gboolean disk_has_on_top(const Disk *disk, const char *node);
