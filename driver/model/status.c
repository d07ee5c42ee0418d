/*
 * status.c: the life of a Status
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/status.h"

Status *
status_new(void)
{
    Status *status = g_new0(Status, 1);

    g_atomic_ref_count_init(&status->refs);
    status->history = g_array_new(FALSE, TRUE, sizeof(StatusStep));
    status->verdicts = g_ptr_array_new_with_free_func((GDestroyNotify)verdict_unref);
    return status;
}

Status *
status_ref(Status *status)
{
    g_atomic_ref_count_inc(&status->refs);
    return status;
}

void
status_unref(Status *status)
{
    if (!status || !g_atomic_ref_count_dec(&status->refs))
        return;
    g_free(status->id);
    g_free(status->uuid);
    g_free(status->name);
    g_free(status->peer);
    g_free(status->message);
    g_array_unref(status->history);
    g_ptr_array_unref(status->verdicts);
    g_free(status);
}
