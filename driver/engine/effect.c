/*
 * effect.c: names of the effects
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/effect.h"

static const char *const names[EFFECT_LAST] = {
    [EFFECT_WATCH] = "watch",
    [EFFECT_UNWATCH] = "unwatch",
    [EFFECT_BREAK_CHANNEL] = "break-channel",
    [EFFECT_PAUSE] = "pause",
    [EFFECT_ASK_PEER] = "ask-peer",
    [EFFECT_ASK_RUNNING] = "ask-running",
    [EFFECT_TELL_PEER] = "tell-peer",
    [EFFECT_TELL_ENDING] = "tell-ending",
    [EFFECT_ASK_RETURN] = "ask-return",
    [EFFECT_START_POSTCOPY] = "start-postcopy",
    [EFFECT_TELL_ENDED] = "tell-ended",
    [EFFECT_ABORT] = "abort",
    [EFFECT_TAKE_BACK] = "take-back",
    [EFFECT_LOOK] = "look",
    [EFFECT_KEEP_STOPPED] = "keep-stopped",
    [EFFECT_RESUME] = "resume",
    [EFFECT_ARM] = "arm",
    [EFFECT_FINISH] = "finish",
    [EFFECT_CANCEL_FINISH] = "cancel-finish",
    [EFFECT_REPLY_ARMED] = "reply-armed",
    [EFFECT_REPLY_COMPLETED] = "reply-completed",
    [EFFECT_REPLY_RETURNED] = "reply-returned",
    [EFFECT_REPLY_REFUSED] = "reply-refused",
    [EFFECT_REPLY_RUNNING] = "reply-running",
    [EFFECT_REPLY_OVER] = "reply-over",
    [EFFECT_START_STATE_TIMER] = "start-state-timer",
    [EFFECT_STOP_STATE_TIMER] = "stop-state-timer",
    [EFFECT_START_GIVE_UP_TIMER] = "start-give-up-timer",
    [EFFECT_STOP_GIVE_UP_TIMER] = "stop-give-up-timer",
    [EFFECT_END] = "end",
};

const char *
effect_type_to_string(EffectType type)
{
    g_return_val_if_fail((guint)type < EFFECT_LAST, "unknown");
    return names[type];
}
