/*
 * verdicts.c: what a session knows to be decided of the guest's dirty bitmaps and checkpoints
 *
 * It decides nothing by it, and shows it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/session-priv.h"

static void
drop_older(GPtrArray *verdicts, const Verdict *newer)
{
    for (guint i = 0; i < verdicts->len; i++) {
        if (verdict_is_of_same(verdicts->pdata[i], newer)) {
            g_ptr_array_remove_index(verdicts, i);
            return;
        }
    }
    if (verdicts->len == SESSION_VERDICTS_MAX)
        g_ptr_array_remove_index(verdicts, 0);
}

void
session_add_verdicts(Session *session, const GPtrArray *verdicts)
{
    for (guint i = 0; i < verdicts->len; i++) {
        drop_older(session->verdicts, verdicts->pdata[i]);
        g_ptr_array_add(session->verdicts, verdict_ref(verdicts->pdata[i]));
    }
}

const GPtrArray *
session_get_verdicts(const Session *session)
{
    return session->verdicts;
}
