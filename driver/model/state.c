/*
 * state.c: names and classes of the migration states
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/state.h"

static const char *const state_names[STATE_LAST] = {
    [STATE_SETUP] = "setup",
    [STATE_PRECOPY_ACTIVE] = "precopy-active",
    [STATE_SWITCHOVER] = "switchover",
    [STATE_POSTCOPY_ACTIVE] = "postcopy-active",
    [STATE_POSTCOPY_PAUSED] = "postcopy-paused",
    [STATE_POSTCOPY_RECOVER_SETUP] = "postcopy-recover-setup",
    [STATE_POSTCOPY_RECOVER] = "postcopy-recover",
    [STATE_COMPLETED] = "completed",
    [STATE_FAILED] = "failed",
    [STATE_CANCELLED] = "cancelled",
};

static const char *const reason_names[REASON_LAST] = {
    [REASON_NONE] = "",
    [REASON_NETWORK] = "network",
    [REASON_OPERATOR] = "operator",
    [REASON_IO_ERROR] = "io-error",
    [REASON_PEER_RESTART] = "peer-restart",
    [REASON_UNKNOWN] = "unknown",
};

const char *
migration_state_to_string(MigrationState state)
{
    g_return_val_if_fail((guint)state < STATE_LAST, "unknown");
    return state_names[state];
}

const char *
migration_role_to_string(MigrationRole role)
{
    return role == ROLE_SOURCE ? "source" : "destination";
}

const char *
migration_owner_to_string(MigrationOwner owner)
{
    switch (owner) {
    case OWNER_SOURCE:
        return "source";
    case OWNER_NOBODY:
        return "nobody";
    case OWNER_DESTINATION:
        return "destination";
    }
    return "unknown";
}

const char *
pause_reason_to_string(PauseReason reason)
{
    g_return_val_if_fail((guint)reason < REASON_LAST, "unknown");
    return reason_names[reason];
}

gboolean
migration_state_from_string(const char *name, MigrationState *state)
{
    for (guint i = 0; i < STATE_LAST; i++) {
        if (g_str_equal(name, state_names[i])) {
            *state = i;
            return TRUE;
        }
    }
    return FALSE;
}

gboolean
pause_reason_from_string(const char *name, PauseReason *reason)
{
    for (guint i = 0; i < REASON_LAST; i++) {
        if (g_str_equal(name, reason_names[i])) {
            *reason = i;
            return TRUE;
        }
    }
    return FALSE;
}

gboolean
migration_state_is_terminal(MigrationState state)
{
    return state >= STATE_COMPLETED;
}

gboolean
migration_state_is_postcopy(MigrationState state)
{
    return state >= STATE_POSTCOPY_ACTIVE && state <= STATE_POSTCOPY_RECOVER;
}
