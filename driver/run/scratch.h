/*
 * scratch.h: scratch nodes of a QEMU, and a way for us alone to read and write them
 *
 * They are exported by QEMU's NBD server on a socket that it is passed: it needs no path, which its
 * confinement might forbid, and what is left of a daemon that was killed is nothing that others
 * could connect to. QEMU has one NBD server; one that is in use is left alone, and it is tried
 * later, or not at all.
 *
 * All of it may block; not on the engine thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "bitmap/view.h"
#include "stock/qmp.h"
#include "util/nbdio.h"

/**
 * scratch_listen: after the nodes were added
 * @path: (out): of the socket; removed, and freed, with scratch_forget()
 */
gboolean scratch_listen(QmpJob *job, virDomainPtr dom, char **path, GError **error);
void scratch_forget(char *path);

/** scratch_clean: ends the NBD server and removes all that is ours, of this daemon or one before
 * it; does nothing where there is nothing. @nodes: of view_parse_nodes() */
void scratch_clean(QmpJob *job, virDomainPtr dom, const GPtrArray *nodes);

/** Tells QEMU something of which only success is of interest. */
gboolean scratch_tell(QmpJob *job, const char *command, GError **error);

/** An export by its number, for driver/util/nbdio; to be cleared. */
typedef struct {
    Nbdio nbd;
    char *name;
} ScratchExport;
void scratch_export_init(ScratchExport *export, const char *path, guint number, gint64 deadline_us);
void scratch_export_clear(ScratchExport *export);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ScratchExport, scratch_export_clear)
