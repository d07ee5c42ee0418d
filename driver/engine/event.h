/*
 * event.h: what the engine can be told
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

typedef enum {
    /* QEMU's MIGRATION event on this host (qapi/migration.json, MigrationStatus) */
    EVENT_QEMU_SETUP,
    EVENT_QEMU_ACTIVE,
    EVENT_QEMU_PRE_SWITCHOVER,
    EVENT_QEMU_DEVICE,
    EVENT_QEMU_POSTCOPY_ACTIVE,
    EVENT_QEMU_POSTCOPY_PAUSED,
    EVENT_QEMU_POSTCOPY_RECOVER_SETUP,
    EVENT_QEMU_POSTCOPY_RECOVER,
    EVENT_QEMU_COMPLETED,
    EVENT_QEMU_FAILED,
    EVENT_QEMU_CANCELLED,
    EVENT_QEMU_GONE,   /* the domain stopped on this host */
    EVENT_QEMU_RESUME, /* destination: the guest's vCPUs were started */
    EVENT_QEMU_PASS,   /* source: number: the pass over the memory that begins, from 1 */

    EVENT_REMAINS,     /* source, watched: number: KiB of memory that have yet to be sent */
    EVENT_LINK_SILENT, /* nothing was acknowledged for as long as the policy allows */

    /* what the phases of libvirt's migration protocol came to on this host */
    EVENT_CALL_COMPLETED,
    EVENT_CALL_FAILED,    /* text: the error */
    EVENT_CALL_CANCELLED, /* the other host or the client gave it up */
    EVENT_FINISH_CALLED,  /* destination: Finish has come, or we run it ourselves */
    EVENT_FINISH_FAILED,  /* destination: it came to nothing, the guest is still to be started */
    EVENT_GUEST_STARTED,  /* destination: Finish has started the guest */
    /* source: libvirt would run the guest here again, without knowing whether it runs there */
    EVENT_RETURN_REQUESTED,
    EVENT_POSTCOPY_ON, /* source: the migration that begins is one that can switch to postcopy */
    EVENT_SETTLED,     /* source: libvirt has done to the guest here what came of that */
    EVENT_DAEMON_STOPS,

    /* a person, or a program on a person's behalf */
    EVENT_PAUSE_REQUESTED,
    EVENT_PAUSE_WITHDRAWN,   /* the pause asked for could not be carried out */
    EVENT_RECOVER_REQUESTED, /* text: another address of the destination, or NULL */

    /* the other host's Holdfast; source: answers, destination: questions */
    EVENT_PEER_ARMED,        /* number: the port its QEMU listens on */
    EVENT_PEER_COMPLETED,    /* the destination has all memory and needs the source no more */
    EVENT_PEER_REFUSED,      /* text: why */
    EVENT_PEER_UNREACHABLE,  /* no connection: the network is still down */
    EVENT_PEER_RUNNING,      /* the guest runs there */
    EVENT_PEER_OVER,         /* text: the migration has ended there, and not well */
    EVENT_PEER_RECOVER,      /* the source wants to resume: listen; number: at this port, 0: any */
    EVENT_PEER_ASKS_RUNNING, /* the source wants to know whether the guest runs here */
    EVENT_PEER_PAUSED,       /* a person paused the migration at the source */
    EVENT_PEER_ENDING,       /* the source has sent nearly all, and alone may break the channel */
    EVENT_PEER_ENDED,        /* the migration has failed at the source, in postcopy */
    EVENT_PEER_RETURN,       /* the source wants the guest back, if it never ran here */
    EVENT_PEER_RETURNED,     /* ... and the answer: it did not and never will */

    /* what became of an effect */
    EVENT_ARMING,     /* number: the port that QEMU is told to listen on next */
    EVENT_ARMED,      /* number: the port QEMU listens on now */
    EVENT_ARM_FAILED, /* text: the error */
    /* QEMU listens where the source that asks cannot reach it; number: the port, 0: as it did */
    EVENT_ARMED_ELSEWHERE,
    EVENT_RESUME_FAILED, /* text: the error */
    EVENT_SWITCH_FAILED, /* postcopy could not be started */
    EVENT_TAKEN_BACK,   /* source: the guest is as its migration found it, or its domain has gone */
    EVENT_KEPT_STOPPED, /* source: the guest does not run; number: 1 if it did until now */

    EVENT_RESTORED, /* the daemon was restarted, and what QEMU says has been told */

    EVENT_TIMER_STATE,   /* the state's own timer: retry or deadline */
    EVENT_TIMER_GIVE_UP, /* the pause has lasted as long as the policy bears */
} EventType;
#define EVENT_LAST (EVENT_TIMER_GIVE_UP + 1)

typedef struct {
    EventType type;
    gint64 at_usec; /* CLOCK_REALTIME; the engine reads no clock */
    guint number;
    const char *text; /* borrowed for the step */
} Event;

/** A static string such as "qemu-postcopy-paused", for the log. */
const char *event_type_to_string(EventType type);

/**
 * event_type_from_qemu:
 * @status: a MigrationStatus as QEMU spells it
 *
 * Returns: FALSE for a status that changes nothing for the engine ("cancelling", "wait-unplug",
 * "none", "colo") or that it does not know.
 */
gboolean event_type_from_qemu(const char *status, EventType *type);
