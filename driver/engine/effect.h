/*
 * effect.h: what the engine asks of the world
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

typedef enum {
    /* Watch the channel's sockets and report EVENT_LINK_SILENT, at the source EVENT_REMAINS too;
     * off again. */
    EFFECT_WATCH,
    EFFECT_UNWATCH,
    /* Shut the channel's sockets down, so that QEMU pauses the migration. */
    EFFECT_BREAK_CHANNEL,
    /* QMP migrate-pause: what a person asked for. */
    EFFECT_PAUSE,
    /* Source: ask the destination, over path `number`, to listen for a resumed migration. Ends in
     * EVENT_PEER_ARMED, -COMPLETED, -OVER, -REFUSED or -UNREACHABLE. */
    EFFECT_ASK_PEER,
    /* Source: ask the destination, over path `number`, whether the guest runs there. Ends in
     * EVENT_PEER_RUNNING, -COMPLETED, -OVER, -REFUSED or -UNREACHABLE. */
    EFFECT_ASK_RUNNING,
    /* Source: tell the destination that a person paused the migration. */
    EFFECT_TELL_PEER,
    /* Source: tell the destination, once, that nearly all memory has been sent. */
    EFFECT_TELL_ENDING,
    /* Source: ask the destination, over path `number`, whether it has started the guest, and to
     * leave it if not. Ends in EVENT_PEER_COMPLETED, -RETURNED, -REFUSED (not known yet) or
     * -UNREACHABLE. */
    EFFECT_ASK_RETURN,
    /* Source: have QEMU switch to postcopy, as a client's migrateStartPostCopy does. Nothing comes
     * of it if precopy is faster. Ends in QEMU's events or EVENT_SWITCH_FAILED. */
    EFFECT_START_POSTCOPY,
    /* Source: tell the destination, over all ways, that the migration has failed here. Ends in
     * EVENT_PEER_OVER or -COMPLETED, when there is nothing left to say, -REFUSED or -UNREACHABLE.
     */
    EFFECT_TELL_ENDED,
    /* Source: cancel a migration in precopy. */
    EFFECT_ABORT,
    /* Source: stop the guest, which QEMU runs again although it has run on the destination. Ends
     * in EVENT_KEPT_STOPPED, or in nothing if that fails. */
    EFFECT_KEEP_STOPPED,
    /* Source: let the guest go on here, which did not and never will run on the destination. QEMU
     * has paused the migration, or has failed. Ends in EVENT_TAKEN_BACK, or in nothing if that
     * fails. */
    EFFECT_TAKE_BACK,
    /* Source: see whether libvirt has let go of a migration that nobody confirmed. Destination,
     * which has failed: whether QEMU has ended, of which libvirt may have told nobody. */
    EFFECT_LOOK,
    /* Source: QMP migrate with resume to port `number` of the path that answered. Ends in QEMU's
     * events or EVENT_RESUME_FAILED. */
    EFFECT_RESUME,
    /* Destination: QMP migrate-recover on port `number`, or a fresh one if that is 0. Each
     * port that is tried is told first, with EVENT_ARMING; ends in EVENT_ARMED or
     * EVENT_ARM_FAILED. */
    EFFECT_ARM,
    /* Destination: call libvirt's Finish in place of the client, which has not. */
    EFFECT_FINISH,
    /* Destination: see to it that nobody's Finish starts the guest any more, unless one is at it.
     * Ends in EVENT_CALL_CANCELLED, or with that Finish. */
    EFFECT_CANCEL_FINISH,
    /* Destination: answer the source's question. */
    EFFECT_REPLY_ARMED, /* number: the port */
    EFFECT_REPLY_COMPLETED,
    EFFECT_REPLY_RETURNED,
    EFFECT_REPLY_REFUSED, /* text: why */
    EFFECT_REPLY_RUNNING,
    EFFECT_REPLY_OVER, /* text: how it ended */
    /* One timer of a kind at most; starting it again replaces it. */
    EFFECT_START_STATE_TIMER, /* number: milliseconds; ends in EVENT_TIMER_STATE */
    EFFECT_STOP_STATE_TIMER,
    EFFECT_START_GIVE_UP_TIMER, /* number: milliseconds; ends in EVENT_TIMER_GIVE_UP */
    EFFECT_STOP_GIVE_UP_TIMER,
    /* The migration has ended on this host: clean up what was kept for it. */
    EFFECT_END,
} EffectType;
#define EFFECT_LAST (EFFECT_END + 1)

typedef struct {
    EffectType type;
    guint number;
    const char *text; /* a static string, or the event's */
} Effect;

/** A static string such as "ask-peer", for the log. */
const char *effect_type_to_string(EffectType type);
