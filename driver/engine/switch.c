/*
 * switch.c: when a migration goes from precopy to postcopy by itself
 *
 * QEMU switches when it is told to; whoever is faster tells it, the client or the policy, and
 * telling it twice does no harm. A precopy that ends first is the end of the matter. None of this
 * outlives the daemon: libvirt cancels a precopy that it finds when it starts
 * (qemuProcessRecoverMigrationOut(), src/qemu/qemu_process.c, 11.3.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/session-priv.h"

/* QEMU counts its passes over the memory from 1: with the second it has been through all of it
 * once. The same that virsh's --postcopy-after-precopy waits for. */
#define SECOND_PASS 2
/* libvirt refuses while somebody else's command holds the domain's job. */
#define SWITCH_AGAIN_MS 1000

static gboolean
switches_itself(const Session *session, PolicySwitch when)
{
    return session->role == ROLE_SOURCE && session->postcopy_on && !session->switch_asked &&
           session->policy->postcopy_mode != POLICY_POSTCOPY_NEVER &&
           session->policy->switch_when == when;
}

static void
ask(Session *session)
{
    session->switch_asked = TRUE;
    session_emit(session, EFFECT_START_POSTCOPY, 0, NULL);
}

void
session_switch_on(Session *session, const Event *event)
{
    session->postcopy_on = TRUE;
}

/* Precopy has begun: the time runs from here, not from the copy of disks that may come before. */
void
session_switch_attend(Session *session)
{
    if (switches_itself(session, POLICY_SWITCH_AFTER))
        session_emit(session, EFFECT_START_STATE_TIMER, session->policy->switch_after_s * 1000,
                     NULL);
}

void
session_switch_pass(Session *session, const Event *event)
{
    if (event->number >= SECOND_PASS && switches_itself(session, POLICY_SWITCH_AFTER_PRECOPY))
        ask(session);
}

void
session_switch_due(Session *session, const Event *event)
{
    if (session->postcopy_on)
        ask(session);
}

void
session_switch_failed(Session *session, const Event *event)
{
    session_emit(session, EFFECT_START_STATE_TIMER, SWITCH_AGAIN_MS, NULL);
}
