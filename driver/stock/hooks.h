/*
 * hooks.h: the few internals of the stock driver that we step in front of
 *
 * The stock module calls its own functions through its PLT, and a function of the same name in a
 * library opened earlier with RTLD_GLOBAL takes precedence. Ours end in the stock function,
 * but for what somebody of ours holds or refuses, and pass through when nothing else of Holdfast
 * came up.
 *
 * qemuMonitorEmitMigrationStatus: every MIGRATION event, at once, whatever job runs.
 * qemuMonitorEmitResume: that the vCPUs start, before anybody can hear that QEMU has ended;
 * libvirt's own event comes later, from its event loop. qemuMonitorJSONSetCapabilities: turns
 * out-of-band commands on, which libvirt never does. qemuMonitorJSONIOProcessLine: takes the
 * answers to our own commands out of what QEMU says (oob.h). qemuMonitorMigrateStartPostCopy: makes
 * the moment short in which a migration cannot pause any more. qemuMigrationProcessUnattended and
 * qemuMigrationSrcComplete: what is still needed of a source that nobody attends is taken from its
 * QEMU before libvirt ends it (hooks-unattended.c). qemuProcessIncomingDefNew: mends the crash of a
 * resume (hooks-incoming.c, a library of its own because its signature differs between versions).
 * qemuMonitorMigrateContinue: the moment before a stopped guest's source gives its images up.
 * qemuMigrationDstFinish: keeps a Finish from another migration than its own (hooks-finish.c).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

/**
 * HooksMigrationFn:
 * @uuid: of the domain, VIR_UUID_BUFLEN bytes, valid during the call
 * @status: QEMU's MigrationStatus, "postcopy-paused"; a static string
 *
 * Called on the thread that reads the domain's monitor, with the monitor locked, before libvirt
 * handles the event: it must return at once, and may call neither libvirt nor QEMU. Post it.
 */
typedef void (*HooksMigrationFn)(const unsigned char *uuid, const char *status, gpointer opaque);

/** At most one; NULL takes it away (a call under way may still be running). Any thread. */
void hooks_set_migration_listener(HooksMigrationFn fn, gpointer opaque);

/** HooksResumeFn: QEMU has told that it starts the vCPUs. As HooksMigrationFn. */
typedef void (*HooksResumeFn)(const unsigned char *uuid);

/** At most one. Any thread. */
void hooks_set_resume_listener(HooksResumeFn fn);

/**
 * hooks_emit_migration_status: libvirt hears of a status that QEMU has not told
 * @status: as QEMU spells it
 *
 * The listener does not. On a thread with nothing locked and no job. FALSE with @error set when the
 * domain does not run.
 */
gboolean hooks_emit_migration_status(virDomainPtr dom, const char *status, GError **error);

/**
 * HooksContinueFn:
 * @uuid: of the domain, VIR_UUID_BUFLEN bytes, valid during the call
 * @monitor: for hooks_ask(), during the call
 *
 * Called on the thread of libvirt's that drives a migration from here, when the guest is stopped in
 * pre-switchover and right before QEMU is told to go on. The monitor is locked, the domain is not:
 * it may wait for QEMU's answers and for the engine, and for nothing that waits for the monitor.
 * The guest waits for it.
 *
 * Returns: FALSE, with the thread's libvirt error set, when QEMU is not to go on: libvirt cancels
 * the migration then, and QEMU lets the guest run on.
 */
typedef gboolean (*HooksContinueFn)(const unsigned char *uuid, gpointer monitor, gpointer opaque);

/** As hooks_set_migration_listener(). */
void hooks_set_continue_listener(HooksContinueFn fn, gpointer opaque);

/** A command from within such a call. Returns: (transfer full): QEMU's answer, or NULL with @error
 * set; the thread's libvirt error is left as it was. */
char *hooks_ask(gpointer monitor, const char *json, GError **error);

/**
 * hooks_bind:
 * @stock: the stock module's dlopen handle
 *
 * Finds the functions behind the hooks. Before any of them can be called: when the module is
 * loaded, whatever else fails.
 */
void hooks_bind(gpointer stock);

/** Whether a monitor (qemuMonitor) has out-of-band commands. The caller holds a reference. */
gboolean hooks_monitor_has_oob(gpointer monitor);

/* --- a source that libvirt completes without a client --- */

/** libvirt's own end of it, which somebody holds. */
typedef struct HooksUnattended HooksUnattended;

/**
 * HooksUnattendedFn:
 * @uuid: of the domain, VIR_UUID_BUFLEN bytes, valid during the call
 * @held: taken over, with TRUE, for hooks_unattended_go_on() on another thread
 *
 * QEMU has completed the migration, and the domain at the source is to be ended. Called with the
 * domain locked, on a thread that others wait for: it must return at once, and may call neither
 * libvirt nor QEMU. Until libvirt has gone on the domain stays as it is, with its job.
 */
typedef gboolean (*HooksUnattendedFn)(const unsigned char *uuid, HooksUnattended *held);

/** At most one. Any thread. */
void hooks_set_unattended_listener(HooksUnattendedFn fn);

/** libvirt goes on, and is done when this returns. May block. Frees it. */
void hooks_unattended_go_on(HooksUnattended *held);
/** libvirt does not go on: the daemon stops, and the next one begins here. */
void hooks_unattended_drop(HooksUnattended *held);

/** hooks_bind()'s part. */
void hooks_unattended_bind(gpointer stock);

/* --- Finish --- */

/** A Finish, and the domain that libvirt has found for it, which has an incoming job. */
typedef struct {
    virConnectPtr dconn; /* the client's */
    const unsigned char *uuid;
    const char *name;
    int id;             /* by which libvirt knows it while it runs; -1: it does not run */
    gboolean driven;    /* a thread is at work on the job: Prepare's, or another Finish's */
    const char *cookie; /* (nullable) */
    int cookie_length;  /* in bytes */
    unsigned int flags; /* virDomainMigrateFlags */
} HooksFinish;

/**
 * HooksFinishFn: whether Finish is of the migration that brings the domain
 * @finish: valid during the call
 *
 * Called with the domain locked, on the client's thread: it must return at once, and may call
 * neither libvirt nor QEMU. FALSE, with libvirt's error raised: it ends there, and the domain stays
 * as it is.
 */
typedef gboolean (*HooksFinishFn)(const HooksFinish *finish);

/** At most one; without one each is let through. Any thread. */
void hooks_set_finish_listener(HooksFinishFn fn);

/** hooks_bind()'s part. */
void hooks_finish_bind(gpointer stock);
