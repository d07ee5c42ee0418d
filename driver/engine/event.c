/*
 * event.c: names of the events
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/event.h"

static const char *const names[EVENT_LAST] = {
    [EVENT_QEMU_SETUP] = "qemu-setup",
    [EVENT_QEMU_ACTIVE] = "qemu-active",
    [EVENT_QEMU_PRE_SWITCHOVER] = "qemu-pre-switchover",
    [EVENT_QEMU_DEVICE] = "qemu-device",
    [EVENT_QEMU_POSTCOPY_ACTIVE] = "qemu-postcopy-active",
    [EVENT_QEMU_POSTCOPY_PAUSED] = "qemu-postcopy-paused",
    [EVENT_QEMU_POSTCOPY_RECOVER_SETUP] = "qemu-postcopy-recover-setup",
    [EVENT_QEMU_POSTCOPY_RECOVER] = "qemu-postcopy-recover",
    [EVENT_QEMU_COMPLETED] = "qemu-completed",
    [EVENT_QEMU_FAILED] = "qemu-failed",
    [EVENT_QEMU_CANCELLED] = "qemu-cancelled",
    [EVENT_QEMU_GONE] = "qemu-gone",
    [EVENT_QEMU_RESUME] = "qemu-resume",
    [EVENT_REMAINS] = "remains",
    [EVENT_QEMU_PASS] = "qemu-pass",
    [EVENT_LINK_SILENT] = "link-silent",
    [EVENT_CALL_COMPLETED] = "call-completed",
    [EVENT_CALL_FAILED] = "call-failed",
    [EVENT_CALL_CANCELLED] = "call-cancelled",
    [EVENT_FINISH_CALLED] = "finish-called",
    [EVENT_FINISH_FAILED] = "finish-failed",
    [EVENT_GUEST_STARTED] = "guest-started",
    [EVENT_RETURN_REQUESTED] = "return-requested",
    [EVENT_POSTCOPY_ON] = "postcopy-on",
    [EVENT_SETTLED] = "settled",
    [EVENT_DAEMON_STOPS] = "daemon-stops",
    [EVENT_PAUSE_REQUESTED] = "pause-requested",
    [EVENT_PAUSE_WITHDRAWN] = "pause-withdrawn",
    [EVENT_RECOVER_REQUESTED] = "recover-requested",
    [EVENT_PEER_ARMED] = "peer-armed",
    [EVENT_PEER_COMPLETED] = "peer-completed",
    [EVENT_PEER_REFUSED] = "peer-refused",
    [EVENT_PEER_UNREACHABLE] = "peer-unreachable",
    [EVENT_PEER_RUNNING] = "peer-running",
    [EVENT_PEER_OVER] = "peer-over",
    [EVENT_PEER_RECOVER] = "peer-recover",
    [EVENT_PEER_ASKS_RUNNING] = "peer-asks-running",
    [EVENT_PEER_PAUSED] = "peer-paused",
    [EVENT_PEER_ENDING] = "peer-ending",
    [EVENT_PEER_ENDED] = "peer-ended",
    [EVENT_PEER_RETURN] = "peer-return",
    [EVENT_PEER_RETURNED] = "peer-returned",
    [EVENT_ARMING] = "arming",
    [EVENT_ARMED] = "armed",
    [EVENT_ARM_FAILED] = "arm-failed",
    [EVENT_ARMED_ELSEWHERE] = "armed-elsewhere",
    [EVENT_RESUME_FAILED] = "resume-failed",
    [EVENT_SWITCH_FAILED] = "switch-failed",
    [EVENT_TAKEN_BACK] = "taken-back",
    [EVENT_KEPT_STOPPED] = "kept-stopped",
    [EVENT_RESTORED] = "restored",
    [EVENT_TIMER_STATE] = "timer-state",
    [EVENT_TIMER_GIVE_UP] = "timer-give-up",
};

const char *
event_type_to_string(EventType type)
{
    g_return_val_if_fail((guint)type < EVENT_LAST, "unknown");
    return names[type];
}

gboolean
event_type_from_qemu(const char *status, EventType *type)
{
    for (guint i = EVENT_QEMU_SETUP; i < EVENT_QEMU_GONE; i++) {
        if (g_str_equal(status, names[i] + strlen("qemu-"))) {
            *type = i;
            return TRUE;
        }
    }
    return FALSE;
}
