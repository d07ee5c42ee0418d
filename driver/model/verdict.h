/*
 * verdict.h: what was decided of one dirty bitmap, or of one checkpoint, and why
 *
 * Immutable and reference-counted: the snapshots of a migration share them. Any thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

typedef enum {
    VERDICT_BITMAP,
    VERDICT_CHECKPOINT,
} VerdictKind;
#define VERDICT_KIND_LAST (VERDICT_CHECKPOINT + 1)

/** Texts are never NULL. */
typedef struct {
    VerdictKind kind;
    char *disk;     /* as the domain names it, "vda", or its block node; "" of a checkpoint */
    char *name;     /* of the bitmap or the checkpoint */
    char *decision; /* a word, such as "repair" */
    char *reason;   /* for a person, without a full stop */
    gint64 at_usec; /* CLOCK_REALTIME */
} Verdict;

/** verdict_new: one reference; texts are copied, a long reason is cut. */
Verdict *verdict_new(VerdictKind kind,
                     const char *disk,
                     const char *name,
                     const char *decision,
                     const char *reason,
                     gint64 at_usec);
Verdict *verdict_ref(Verdict *verdict);
void verdict_unref(Verdict *verdict);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Verdict, verdict_unref)

/** Whether both are of the same bitmap, or checkpoint: the later one holds. */
gboolean verdict_is_of_same(const Verdict *a, const Verdict *b);

/** A static string such as "bitmap". */
const char *verdict_kind_to_string(VerdictKind kind);
gboolean verdict_kind_from_string(const char *text, VerdictKind *kind);
