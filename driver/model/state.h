/*
 * state.h: what a migration can be, in QEMU's words
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

/**
 * MigrationState:
 *
 * The state of one migration as seen from one host. Names follow QEMU's MigrationStatus
 * (qapi/migration.json, QEMU 10.0); QEMU's `pre-switchover` and `device` are one state here,
 * because nobody may run the guest in either. The comment says who may run the guest.
 */
typedef enum {
    STATE_SETUP,                  /* source; the destination is being prepared */
    STATE_PRECOPY_ACTIVE,         /* source; memory is copied while the guest runs */
    STATE_SWITCHOVER,             /* nobody; stopped, the device state travels */
    STATE_POSTCOPY_ACTIVE,        /* destination; it pulls the pages it misses */
    STATE_POSTCOPY_PAUSED,        /* destination; the channel is broken */
    STATE_POSTCOPY_RECOVER_SETUP, /* destination; new channels are being made */
    STATE_POSTCOPY_RECOVER,       /* destination; what was lost in flight is queued again */
    STATE_COMPLETED,              /* destination; terminal */
    STATE_FAILED,                 /* as the last state left it; terminal */
    STATE_CANCELLED,              /* source; terminal */
} MigrationState;
#define STATE_LAST (STATE_CANCELLED + 1)

typedef enum {
    ROLE_SOURCE,
    ROLE_DESTINATION,
} MigrationRole;
#define ROLE_LAST (ROLE_DESTINATION + 1)

/** Who may run the guest. */
typedef enum {
    OWNER_SOURCE,
    OWNER_NOBODY,
    OWNER_DESTINATION,
} MigrationOwner;

/** Why a migration is paused; REASON_NONE when it is not. */
typedef enum {
    REASON_NONE,
    REASON_NETWORK,      /* the channel broke or fell silent */
    REASON_OPERATOR,     /* a person asked for it; only a person ends it */
    REASON_IO_ERROR,     /* QEMU reported an I/O error on the channel */
    REASON_PEER_RESTART, /* the other host's daemon or QEMU was restarted */
    REASON_UNKNOWN,
} PauseReason;
#define REASON_LAST (REASON_UNKNOWN + 1)

/* The names are static strings, as they stand on D-Bus, in the journal and in the log; never NULL.
 * REASON_NONE is the empty string. */
const char *migration_state_to_string(MigrationState state);
const char *migration_role_to_string(MigrationRole role);
const char *migration_owner_to_string(MigrationOwner owner);
const char *pause_reason_to_string(PauseReason reason);

/* Each returns FALSE for a name it does not know and leaves the output untouched. */
gboolean migration_state_from_string(const char *name, MigrationState *state);
gboolean pause_reason_from_string(const char *name, PauseReason *reason);

/** Whether nothing can happen to the migration any more: completed, failed or cancelled. */
gboolean migration_state_is_terminal(MigrationState state);
/** Whether the guest belongs to the destination and memory is still owed to it. */
gboolean migration_state_is_postcopy(MigrationState state);
