/*
 * domain.h: what libvirt's own domain object says of its job
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>
#include <sys/types.h>

typedef enum {
    STOCK_ASYNC_NONE,
    STOCK_ASYNC_OUT,   /* an outgoing migration */
    STOCK_ASYNC_IN,    /* an incoming migration */
    STOCK_ASYNC_OTHER, /* save, dump, snapshot, start, backup */
} StockAsync;

typedef struct {
    StockAsync async;
    int phase;                /* qemuMigrationJobPhase, 0 when there is none */
    gboolean perform_done;    /* phase is PERFORM3_DONE: the source waits for Confirm */
    gboolean postcopy_failed; /* phase is POSTCOPY_FAILED: libvirt completes it unattended */
    guint64 owner;            /* the thread that drives the job; 0: nobody does */
    gboolean active;          /* QEMU runs */
    pid_t pid;                /* of QEMU, 0 when it does not run */
} StockJob;

/**
 * stock_domain_job:
 *
 * A snapshot, taken under the domain's lock. FALSE when the domain is gone; @job is then untouched.
 * The thread's libvirt error is left as it was. Waits for the domain's lock (short: libvirt
 * never holds it while it waits for QEMU). Any thread, with no domain locked.
 */
gboolean stock_domain_job(virDomainPtr dom, StockJob *job);

/**
 * stock_domain_leave_postcopy: a source's domain is one whose migration has been cancelled
 *
 * libvirt keeps the job of a postcopy that has failed, and takes its phase for the last one
 * (qemuMigrationSrcConfirm() and qemuMigrationCheckPhase(), src/qemu/qemu_migration.c, 9.0.0 and
 * 11.3.0); from here on Confirm ends it. For one that nobody drives; nothing for any other. As
 * stock_domain_job().
 *
 * @io_error: QEMU has stopped the guest for an error of its disk, and Confirm is not to resume it
 */
void stock_domain_leave_postcopy(virDomainPtr dom, gboolean io_error);

/**
 * stock_domain_name: a domain for a client to know, whether it is on this host or not
 * @uuid: VIR_UUID_BUFLEN bytes
 * @id: -1: none
 *
 * One reference; NULL when @conn is no connection. Looks for nothing, takes no lock.
 */
virDomainPtr
stock_domain_name(virConnectPtr conn, const char *name, const unsigned char *uuid, int id);
