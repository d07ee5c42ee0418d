/*
 * listeners.h: the clients' listeners for lifecycle events, who see what a client is to see
 *
 * While Holdfast brings a migration on by itself, a broken channel is nothing that anybody has to
 * act on; but there are managers that destroy both guests when they hear that postcopy failed. So
 * that event is held back from every listener, and so is the one with which libvirt takes it back
 * when the migration goes on. When nobody but a person can bring the migration on (given up, manual
 * recovery, an operator's pause, a QEMU that died) it is told, late if it had been held back, and
 * from then on all is as in stock libvirt. D-Bus knows nothing of this and tells everything.
 *
 * What listeners are told is told on the thread of libvirt's event loop alone, in order, as in
 * stock libvirt; nothing here makes that thread wait.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

#include "model/status.h"

/** What is to be done with an event. */
typedef enum {
    LISTENERS_PASS,       /* told */
    LISTENERS_HOLD,       /* kept; the engine is asked what is to become of it */
    LISTENERS_DROP,       /* takes back what is held: neither is told */
    LISTENERS_FORGET,     /* told; what is held is not */
    LISTENERS_TELL_FIRST, /* what is held is told, then this */
} ListenersDecision;

/**
 * listeners_decide:
 * @event: a virDomainEventType
 * @detail: of it
 * @migrating: whether a migration of the domain is known that is not over
 * @held: whether an event of the domain is held back from the listener
 */
ListenersDecision listeners_decide(int event, int detail, gboolean migrating, gboolean held);

/**
 * listeners_register: in front of the stock driver's connectDomainEventRegisterAny
 *
 * Of other events than lifecycle it knows nothing. Deregistration goes to the stock driver, which
 * hands back what it was given here: @free_opaque is called once, after the last use of @opaque.
 *
 * A connection can have one listener for lifecycle events of all domains and one for each domain;
 * the stock driver can have several, if their functions differ. The daemon registers one function
 * for all its clients, each of which has a connection (libvirt 9.0.0 and 11.3.0,
 * remote_daemon_dispatch.c). Only programs of which the driver is a part, which are none, have
 * use for connectDomainEventRegister.
 */
int listeners_register(virConnectPtr conn,
                       virDomainPtr dom,
                       int event,
                       virConnectDomainEventGenericCallback fn,
                       void *opaque,
                       virFreeCallback free_opaque);

/**
 * listeners_settle: the engine does not, or no longer, bring a migration on by itself
 * @status: of the migration
 *
 * What is held back is forgotten if the migration has completed, and told otherwise. Any thread,
 * never waits: it is done on the event loop's.
 */
void listeners_settle(const Status *status);
