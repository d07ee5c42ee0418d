/*
 * stage.h: a service on a bus of its own, and a listener beside it
 *
 * The service, the listener, a caller and the engine that the test plays share one thread and one
 * context, as the service and the engine do in the daemon.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "dbus/service.h"
#include "testbus.h"

#define UUID            "6b0e3f5c-0c5c-4d0a-9f0e-2d0c6c1f0a11"
#define PATH            SERVICE_PATH "/domain/_6b0e3f5c_0c5c_4d0a_9f0e_2d0c6c1f0a11"
#define SESSION         SERVICE_NAME ".Session"
#define MANAGER         SERVICE_NAME ".Manager"
#define ID              "8f5e3f5c-0000-4d0a-9f0e-2d0c6c1f0a11"
#define STAGE_PRINT_MAX 400

/** A migration to show; its steps are a second apart. */
typedef struct {
    const char *id;
    guint n_steps;
    StatusStep steps[80];
    guint pauses, recoveries, attempts;
    const char *message;
    guint verdicts; /* how many, of bitmaps "0", "1", ... of vda */
} Story;

void story_step(Story *story, MigrationState state, PauseReason reason);

typedef struct {
    TestBus *bus;
    GMainContext *context;
    Service *service;
    GDBusConnection *listener;
    guint subscription;
    GPtrArray *heard; /* `Member arguments` */
    const char *wanted;
    gboolean named; /* the listener knows of an owner of the name */

    GPtrArray *asked; /* what the engine was asked for */
    ServiceReply *reply;
    gboolean keep_reply;
    const GError *answer;

    guint fds; /* open before */
} Stage;

/** Warnings of ours, since the test's beginning. */
extern GPtrArray *stage_warnings;

/** What a test program's main() does; @add_tests is called after g_test_init(). */
int stage_main(int *argc, char ***argv, void (*add_tests)(void));

/* For g_test_add(): with everything up; and down again, with no file descriptor left open. */
void stage_set_up(Stage *s, gconstpointer data);
void stage_tear_down(Stage *s, gconstpointer data);

void stage_start_service(Stage *s);
void stage_publish(Stage *s, const Story *story);

void stage_listen(Stage *s);
void stage_stop_listening(Stage *s);

/* Each runs the context until it is so. */
void stage_wait_name(Stage *s);
void stage_wait_no_name(Stage *s);
void stage_wait_heard(Stage *s, const char *beginning);
/** A TestCondition: whether s->wanted, the beginning of a signal, was heard. */
gboolean stage_has_heard(gpointer data);
/** What was heard and logged, for a person. */
char *stage_describe(gpointer data);

GVariant *stage_call(Stage *s,
                     const char *path,
                     const char *interface,
                     const char *method,
                     GVariant *parameters,
                     GError **error);
char *stage_managed_objects(Stage *s);
char *stage_get_property(Stage *s, const char *path, const char *interface, const char *name);
