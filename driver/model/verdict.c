/*
 * verdict.c: what was decided of one dirty bitmap, or of one checkpoint, and why
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/verdict.h"

/* Our own reasons are a line; a message of QEMU's within one may be longer than anybody reads. */
#define REASON_MAX_CHARS 400

static const char *const kinds[VERDICT_KIND_LAST] = {
    [VERDICT_BITMAP] = "bitmap",
    [VERDICT_CHECKPOINT] = "checkpoint",
};

/* Of invalid UTF-8 every byte that is none is replaced. */
static char *
cut_reason(const char *reason)
{
    g_autofree char *valid = g_utf8_make_valid(reason, -1);

    return g_utf8_substring(valid, 0, MIN(g_utf8_strlen(valid, -1), REASON_MAX_CHARS));
}

Verdict *
verdict_new(VerdictKind kind,
            const char *disk,
            const char *name,
            const char *decision,
            const char *reason,
            gint64 at_usec)
{
    Verdict *verdict = g_atomic_rc_box_new0(Verdict);

    verdict->kind = kind;
    verdict->disk = g_strdup(disk);
    verdict->name = g_strdup(name);
    verdict->decision = g_strdup(decision);
    verdict->reason = cut_reason(reason);
    verdict->at_usec = at_usec;
    return verdict;
}

Verdict *
verdict_ref(Verdict *verdict)
{
    return g_atomic_rc_box_acquire(verdict);
}

static void
clear(gpointer opaque)
{
    Verdict *verdict = opaque;

    g_free(verdict->disk);
    g_free(verdict->name);
    g_free(verdict->decision);
    g_free(verdict->reason);
}

void
verdict_unref(Verdict *verdict)
{
    if (verdict)
        g_atomic_rc_box_release_full(verdict, clear);
}

gboolean
verdict_is_of_same(const Verdict *a, const Verdict *b)
{
    return a->kind == b->kind && g_str_equal(a->disk, b->disk) && g_str_equal(a->name, b->name);
}

const char *
verdict_kind_to_string(VerdictKind kind)
{
    g_return_val_if_fail((guint)kind < VERDICT_KIND_LAST, "unknown");
    return kinds[kind];
}

gboolean
verdict_kind_from_string(const char *text, VerdictKind *kind)
{
    for (guint i = 0; i < VERDICT_KIND_LAST; i++) {
        if (g_str_equal(text, kinds[i])) {
            *kind = i;
            return TRUE;
        }
    }
    return FALSE;
}
