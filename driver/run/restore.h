/*
 * restore.h: migrations that were running when the daemon was restarted
 *
 * QEMU and the guest go on without a daemon. What the journal remembers is held against what
 * libvirt and QEMU say now; what is still running is taken up where it is.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

#include "engine/session.h"

/**
 * restore_read: makes what the journal knows known again
 *
 * Needs nothing of libvirt: it comes before libvirt has reconnected to its QEMUs, which takes as
 * long as a destination's QEMU waits for a page that the source can send only when we have answered
 * it.
 */
void restore_read(void);

/** restore_take_up: when libvirt serves. Once. May block; on a pool thread. */
void restore_take_up(virConnectPtr connection);

/** What libvirt says of the domain after the restart. */
typedef struct {
    gboolean exists;
    int state;        /* virDomainState */
    int reason;       /* of that state */
    gboolean has_job; /* a migration job of libvirt's */
} RestoreSight;

/**
 * restore_judge: what has become of a migration meanwhile; the decision alone
 *
 * EVENT_RESTORED: it still runs. EVENT_CALL_COMPLETED, EVENT_CALL_FAILED, EVENT_QEMU_GONE: it has
 * ended.
 */
EventType restore_judge(MigrationRole role, MigrationState state, const RestoreSight *sight);
