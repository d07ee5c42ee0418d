/*
 * view.h: the dirty bitmaps of a QEMU, as it tells of them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

/** One named bitmap; BlockDirtyInfo of QEMU's qapi/block-core.json, and where it is. */
typedef struct {
    char *node; /* the block node's name */
    char *name;
    guint64 granularity_bytes;
    guint64 dirty_bytes; /* what it marks, in whole granules */
    gboolean active;     /* its node is: this host may write to the image */
    gboolean recording;  /* enabled: marks what is written */
    gboolean busy;       /* an operation of QEMU's has it; it cannot be changed */
    gboolean persistent;
    gboolean inconsistent;
    gboolean on_stream; /* in the mapping of the last migration, see view_parse() */
} Bitmap;

void bitmap_free(Bitmap *bitmap);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Bitmap, bitmap_free)

/** A block node. */
typedef struct {
    char *name;
    char *driver;    /* "qcow2", "file", ... */
    char *file;      /* the name of the file below, or what QEMU has in its place; may be "" */
    gboolean active; /* this host may use the image; of a QEMU before 10.0 always so */
    gboolean read_only;
    guint64 size_bytes; /* as the guest sees it; 0: QEMU does not say */
} BlockNode;

void block_node_free(BlockNode *node);

/** A bitmap on a migration's stream, which is called there by its alias and by that of its node. */
typedef struct {
    char *node;
    char *name;
    char *node_alias;
    char *alias;
    gboolean persists; /* at the destination, whatever it is at the source */
} MappedBitmap;

void mapped_bitmap_free(MappedBitmap *mapped);

/* What QEMU is asked for view_parse()'s @nodes and @parameters. */
#define VIEW_QUERY_NODES "{\"execute\":\"query-named-block-nodes\",\"arguments\":{\"flat\":true}}"
/* Fails as a whole on a host that has given an image up whose bitmaps another host has changed:
 * QEMU looks for them where they were (qcow2_get_bitmap_info_list(), block/qcow2-bitmap.c, 10.0).
 * This one does not. */
#define VIEW_QUERY_NAMES      "{\"execute\":\"query-blockstats\",\"arguments\":{\"query-nodes\":true}}"
#define VIEW_QUERY_PARAMETERS "{\"execute\":\"query-migrate-parameters\"}"

#define VIEW_ERROR (view_error_quark())
GQuark view_error_quark(void);
typedef enum {
    VIEW_ERROR_REPLY, /* not the answer to that command */
} ViewError;

/**
 * view_parse:
 * @nodes: the answer to query-named-block-nodes
 * @parameters: the answer to query-migrate-parameters; its block-bitmap-mapping stays when the
 *   migration is over, also when libvirt resets the rest (qemuMigrationParamsReset(),
 *   src/qemu/qemu_migration_params.c, 9.0.0 and 11.3.0)
 *
 * Returns: (element-type Bitmap) (transfer full): in QEMU's order; NULL with @error set.
 */
GPtrArray *view_parse(const char *nodes, const char *parameters, GError **error);

/**
 * view_parse_nodes:
 * @nodes: the answer to query-named-block-nodes
 *
 * Returns: (element-type BlockNode) (transfer full): those that have a name; NULL with @error set.
 */
GPtrArray *view_parse_nodes(const char *nodes, GError **error);

/** view_parse_names: @blockstats: the answer to VIEW_QUERY_NAMES
 *
 * Returns: (element-type BlockNode) (transfer full): names alone; NULL with @error set.
 */
GPtrArray *view_parse_names(const char *blockstats, GError **error);

/** view_has_mapping: whether there is a mapping with any bitmap in it; view_parse()'s @parameters.
 */
gboolean view_has_mapping(const char *parameters);

/**
 * view_parse_mapping:
 * @parameters: view_parse()'s
 *
 * Returns: (element-type MappedBitmap) (transfer full): in QEMU's order; empty when there is none.
 */
GPtrArray *view_parse_mapping(const char *parameters);

/** The node, borrowed; NULL if there is none. @nodes: of view_parse_nodes() */
const BlockNode *view_find_node(const GPtrArray *nodes, const char *name);

/** Whether a bitmap is one of Holdfast's: a copy (repair.h) or a guard (guard.h). */
gboolean bitmap_is_ours(const Bitmap *bitmap);

/** The bitmap, borrowed; NULL if there is none. */
const Bitmap *view_find(const GPtrArray *view, const char *node, const char *name);
