/*
 * abi.h: what differs between the libvirt versions we know, one row a version
 *
 * The rows (abi-rows.inc) are made by scripts/extract-abi from a libvirt source tree, never by
 * hand. They hold for one architecture each: offsets depend on the sizes of pthread's types.
 * A version without a row is not ours to touch: the stock driver then runs alone.
 *
 * Plain C without GLib, because the shim carries it too.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "stock/slots.h"

typedef struct {
    unsigned long version; /* as virGetVersion() gives it: 11.3.0 is 11003000 */
    const char *name;      /* "11.3.0" */

    /* struct _virHypervisorDriver: the number of pointers in it and where each slot stands. */
    unsigned int table_slots;
    unsigned int slot[SLOT_LAST];

    /* Offsets in bytes. */
    size_t connect_driver;          /* struct _virConnect: virHypervisorDriver *driver */
    size_t connect_private_data;    /* struct _virConnect: the QEMU driver */
    size_t config_keepalive;        /* virQEMUDriverConfig: int keepAliveInterval, s */
    size_t config_keepalive_count;  /* virQEMUDriverConfig: unsigned int keepAliveCount */
    size_t domain_job;              /* virDomainObj: virDomainJobObj *job */
    size_t domain_pid;              /* virDomainObj: pid_t, 0 when it does not run */
    size_t domain_def;              /* virDomainObj: virDomainDef *def */
    size_t def_id;                  /* virDomainDef: int, -1 when it does not run */
    size_t def_uuid;                /* virDomainDef: 16 bytes */
    size_t def_name;                /* virDomainDef: char *name */
    size_t def_size;                /* of a virDomainDef */
    size_t job_async;               /* virDomainJobObj: virDomainAsyncJob */
    size_t job_async_owner;         /* virDomainJobObj: unsigned long long, a thread id or 0 */
    size_t job_phase;               /* virDomainJobObj: int, qemuMigrationJobPhase */
    size_t monitor_vm;              /* struct _qemuMonitor: virDomainObj *vm */
    size_t monitor_fd;              /* struct _qemuMonitor: int, -1 when it is closed */
    size_t monitor_message;         /* struct _qemuMonitor: qemuMonitorMessage *msg, or NULL */
    size_t monitor_last_error_code; /* struct _qemuMonitor: int lastError.code */
    size_t monitor_eof;             /* struct _qemuMonitor: bool goteof */
    size_t message_sent;            /* struct _qemuMonitorMessage: int txOffset */
    size_t message_length;          /* struct _qemuMonitorMessage: int txLength */

    /* Values of enums. */
    int async_migration_out;       /* VIR_ASYNC_JOB_MIGRATION_OUT */
    int async_migration_in;        /* VIR_ASYNC_JOB_MIGRATION_IN */
    int job_migration_op;          /* VIR_JOB_MIGRATION_OP */
    int job_modify_migration_safe; /* VIR_JOB_MODIFY_MIGRATION_SAFE */
    int phase_perform3_done;       /* QEMU_MIGRATION_PHASE_PERFORM3_DONE */
    int phase_postcopy_failed;     /* QEMU_MIGRATION_PHASE_POSTCOPY_FAILED */

    /* qemuMonitorMigrationStatus: QEMU's name of each number, NULL at the end. */
    const char *const *migration_status;

    /* qemuProcessIncomingDefNew takes `int *fd`, which a resume passes as NULL and nobody checks:
     * the daemon crashes (11.2 and 11.3; see hooks-incoming.c). */
    bool incoming_fd_unchecked;
} AbiRow;

/** A member, copied out by its width, which scripts/extract-abi asserts. For C with <string.h>. */
#define ABI_READ(value, object, offset)                                                            \
    memcpy((value), (const char *)(object) + (offset), sizeof(*(value)))

/** The row of a version, NULL for one we do not know. Static. Any thread. */
const AbiRow *abi_find(unsigned long version);

/** All rows, NULL after the last: for tests. */
const AbiRow *abi_get(unsigned int index);

/** libvirt's name of a slot, "domainDestroy". */
const char *abi_slot_name(StockSlot slot);

/** The name QEMU has for a qemuMonitorMigrationStatus, NULL for a number out of range. */
const char *abi_migration_status(const AbiRow *row, int status);

/** The number that libvirt has for QEMU's name of a status; -1: none. */
int abi_find_migration_status(const AbiRow *row, const char *name);
