/*
 * peek.h: what an image says of its bitmaps, read before this host takes the image into use
 *
 * How it works. A source that has given its images up may not activate them to look: that would
 * already be to take them, and to have in memory what the image holds as well makes QEMU eject it.
 * A second node on the same file, read-only, shows the image's bitmaps, and is removed again:
 *
 *   alone    as a reader that lets nobody write: QEMU's lock on the file refuses it while another
 *            host has the image (block/file-posix.c, QEMU 10.0), and nothing is changed by that
 *   shared   as a reader that bears a writer (force-share); if that is possible and the other is
 *            not, somebody has the image
 *
 * What it shows cannot be asked for while the others are inactive (VIEW_QUERY_NAMES, view.h), but
 * tried. Neither opens the images below: they hold no bitmap that is written to. The nodes have
 * names of ours, so that whoever finds one of a daemon that was killed can remove it.
 *
 * Pure: it says what QEMU is to be told; driver/run tells it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "bitmap/view.h"

/** An image that can be looked at. */
typedef struct {
    char *node;    /* that has it */
    char *name;    /* of the node to look through */
    char *driver;  /* of its file: "file" or "host_device" */
    char *file;    /* its name */
    gboolean open; /* could be looked at; who tells QEMU says so */
} Peek;

/**
 * peek_plan:
 * @nodes: (element-type BlockNode): of view_parse_nodes()
 *
 * Returns: (element-type Peek) (transfer full): the images in qcow2 that are inactive and can be
 * written to; without those whose file QEMU opens by more than a name.
 */
GArray *peek_plan(const GPtrArray *nodes);

/** The QMP commands; free with g_free(). @shared: see above. */
char *peek_open_command(const Peek *peek, gboolean shared);
char *peek_close_command(const char *name);

/* Whether the image holds a bitmap whole: QEMU can then merge it into one of the node's own, which
 * is added first and forgotten with the node. */
char *peek_add_command(const Peek *peek);
char *peek_probe_command(const Peek *peek, const char *name);

/** Whether a node is one to look through. */
gboolean peek_is_ours(const char *node);
