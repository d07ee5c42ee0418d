/*
 * listening.h: a stock driver and an engine that listeners are tried with
 *
 * The stock driver is played by libvirt's test driver, whose events go through the same lists,
 * queues and locks (src/conf/object_event.c); the engine by a context that runs when the test says
 * so. The test's main thread runs libvirt's event loop.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "run/listeners.h"

#define SUSPENDED VIR_DOMAIN_EVENT_SUSPENDED
#define RESUMED   VIR_DOMAIN_EVENT_RESUMED
#define STOPPED   VIR_DOMAIN_EVENT_STOPPED

#define SOURCE_FAILED         SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY_FAILED
#define SOURCE_CORRECTED      SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY
#define DESTINATION_FAILED    RESUMED, VIR_DOMAIN_EVENT_RESUMED_POSTCOPY_FAILED
#define DESTINATION_CORRECTED RESUMED, VIR_DOMAIN_EVENT_RESUMED_POSTCOPY

/** What the driver finds. */
typedef struct {
    virConnectPtr connection;
    virDomainPtr domain;     /* "test" */
    GMainContext *engine;    /* what was posted to it, to be run */
    gboolean is_known;       /* there is a migration of the domain */
    gboolean is_foreign;     /* ... which is none of ours */
    gboolean is_coming_back; /* takeback_is_under_way() */
    gboolean holds;          /* ... which the engine brings on by itself */
    MigrationState state;    /* ... and which is this far */
    gboolean is_refused;     /* the stock driver registers nobody */
} World;

extern World world;

/** What the driver registered with the stock driver. */
typedef struct {
    virConnectDomainEventCallback fn;
    gpointer opaque;
    virFreeCallback free_opaque;
} Registration;

/** The latest one. */
Registration *listening_registration(void);

typedef struct {
    GString *told; /* "event/detail ..." */
    gint freed;    /* atomic */
    gint calls;    /* atomic */
    int id;
    gboolean leaves; /* deregisters when it is told something */
} Listener;

/** What a test program's main() does; @add_tests is called after g_test_init(). */
int listening_main(int argc, char **argv, void (*add_tests)(void));

/** A migration that is paused, and that the engine brings on. */
void listening_reset(void);

int listener_cb(virConnectPtr conn, virDomainPtr domain, int event, int detail, void *opaque);
void listener_free(gpointer opaque);

/** @domain: NULL for all */
Registration *listener_join(Listener *listener, virConnectPtr conn, virDomainPtr domain);
/** Deregisters it from the world's connection unless it has left; it has been freed once. */
void listener_leave(Listener *listener);
void listener_assert_told(const Listener *listener, const char *told);

/** The stock driver sends an event of the world's domain to one of its registrations. */
void listening_emit(Registration *registration, int event, int detail);

/* All that is due now; on the main thread. */
void listening_run_engine(void);
void listening_run_loop(void);
/** Calls listeners_settle() for the world's domain, and runs the loop. */
void listening_settle(MigrationState state);

/** Of the world's domain. */
Status *listening_get_status(MigrationState state);
