/*
 * restore.h: migrations that were running when the daemon was restarted
 *
 * QEMU and the guest go on without a daemon. What the journal remembers is held against what
 * libvirt and QEMU say now; what is still running is taken up where it is.
 *
 * A destination whose daemon was away when the migration switched to postcopy has the only guest
 * that can go on, and a journal that says precopy. libvirt would kill it. It is kept, stopped as it
 * is, until it is known whose the guest is, which the source alone can say, by what it asks:
 *
 *      it is in postcopy, or was       taken up as a migration in postcopy
 *      it wants the guest back         destroyed, as libvirt would have done
 *
 * So is one whose QEMU says that nothing more will come of it, and one that is in precopy while
 * more and more comes in, or for so long, that what was sent at a switch cannot be on its way any
 * more.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

#include "engine/session.h"
#include "model/message.h"
#include "run/migration.h"

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

/* What is known of a destination that was kept. */
#define KEPT_UNJUDGED 1
#define KEPT_SWITCHED 2 /* the source's last word is that it is, or was, in postcopy */
#define KEPT_RETURNS  4 /* ... that the guest is to run there */
#define KEPT_LONG     8 /* nothing that was sent before is on its way any more */

typedef enum {
    KEPT_WAIT,
    KEPT_HAS_GUEST,
    KEPT_HAS_NOT,
} KeptVerdict;

/**
 * restore_judge_kept: whether a destination that was kept has the guest; the decision alone
 * @status: (nullable): QEMU's, a MigrationStatus
 * @known: of KEPT_*
 */
KeptVerdict restore_judge_kept(const char *status, gint known);

/** restore_hear: what a question of the source's says about a destination that was kept. Engine
 * thread. */
void restore_hear(Migration *migration, const Message *question);

/** Whether it is still to be found out if the destination has the guest. Any thread. */
gboolean restore_is_unjudged(const Migration *migration);
