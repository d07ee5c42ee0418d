/*
 * checkpoint.h: a checkpoint's definition, as libvirt has it in XML
 *
 * Without the domain's definition of that time, which libvirt does not need
 * (virDomainCheckpointRedefinePrep(), src/conf/checkpoint_conf.c, 9.0.0 and 11.3.0) and which may
 * hold passwords.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

typedef struct Checkpoint Checkpoint;

#define CHECKPOINT_ERROR (checkpoint_error_quark())
GQuark checkpoint_error_quark(void);
typedef enum {
    CHECKPOINT_ERROR_SYNTAX, /* no definition of a checkpoint */
} CheckpointError;

/** checkpoint_parse: NULL with @error for what is not one, or has no name. A <domain> in it is left
 * out. */
Checkpoint *checkpoint_parse(const char *xml, GError **error);
void checkpoint_free(Checkpoint *checkpoint);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Checkpoint, checkpoint_free)

const char *checkpoint_get_name(const Checkpoint *checkpoint);
/** NULL: it has none. */
const char *checkpoint_get_parent(const Checkpoint *checkpoint);
/** When it was made, by the clock of the host that it was made on, in seconds since the epoch. */
gint64 checkpoint_get_created_s(const Checkpoint *checkpoint);
/** @parent: (nullable): what is to be its parent from now on */
void checkpoint_set_parent(Checkpoint *checkpoint, const char *parent);

/** For virDomainCheckpointCreateXML(); free with g_free(). */
char *checkpoint_format(const Checkpoint *checkpoint);

/** Whether they are one: the same but for their parents, which change when those are deleted. */
gboolean checkpoint_is_same(const Checkpoint *a, const Checkpoint *b);

/**
 * checkpoint_order: in which order they are to be defined anew
 * @checkpoints: (element-type Checkpoint): a parent before its children
 *
 * Likewise, and those that lead to the latest first: libvirt tells nobody which is the current one,
 * and takes for it what is defined as its child, or first (virDomainCheckpointRedefinePrep()). The
 * one that was made last is the current one, unless it was deleted.
 */
void checkpoint_order(GPtrArray *checkpoints);
