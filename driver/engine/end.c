/*
 * end.c: a migration's last moments
 *
 * How it works: a source that has sent all and loses the channel does not pause but fails, and with
 * it the migration (migration_completion(), migration/migration.c, QEMU 10.0). It knows when that
 * is, and leaves the channel alone then; the destination, which does not know, is told beforehand.
 * Where something else breaks the channel, QEMU runs the guest at the source again, at once and
 * once, although the destination has it: it is stopped.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/end-priv.h"
#include "engine/handover-priv.h"

/* Near enough to the end to tell, beside what is sent until the next look. */
#define ENDING_KIB 2048

/* What is sent until the next look, and what an outage finds in the sockets' buffers, which is no
 * more than that again, must not be the end. */
void
end_remains(Session *session, const Event *event)
{
    guint sent_kib =
        session->remains_kib > event->number ? session->remains_kib - event->number : 0;

    session->remains_kib = event->number;
    if (event->number < ENDING_KIB + 2 * (guint64)sent_kib)
        session_emit(session, EFFECT_TELL_ENDING, 0, NULL);
}

void
end_is_near(Session *session, const Event *event)
{
    session->changed |= !session->ending;
    session->ending = TRUE;
    session_emit(session, EFFECT_UNWATCH, 0, NULL);
}

/* Until that is done it is in the journal. */
void
end_keep_stopped(Session *session)
{
    session->changed |= !session->to_stop;
    session->to_stop = TRUE;
    session_emit(session, EFFECT_KEEP_STOPPED, 0, NULL);
}

void
end_runs_again(Session *session, const Event *event)
{
    if (session_get_owner(session) == OWNER_DESTINATION && !session->kept_stopped)
        end_keep_stopped(session);
}

/* It may be asked for before QEMU has run the guest, which is then still to come; not so after a
 * restart of the daemon. */
void
end_kept_stopped(Session *session, const Event *event)
{
    if (!session->to_stop || (!event->number && !session->restored))
        return;
    session->to_stop = FALSE;
    session->kept_stopped = TRUE;
    session->changed = TRUE;
}

void
end_restored(Session *session, const Event *event)
{
    if (session->to_stop)
        end_keep_stopped(session);
    handover_tell_ended(session, event);
}

/* What is to be stopped runs by now, if ever; whatever starts later is a person's doing. */
void
end_restore(Session *session, const SessionMemory *memory)
{
    session->ending = memory->ending;
    session->to_stop = memory->to_stop;
    session->kept_stopped = memory->state == STATE_FAILED && !memory->to_stop;
}
