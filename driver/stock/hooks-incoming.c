/*
 * hooks-incoming.c: the crash of a resume in libvirt 11.2 and 11.3
 *
 * qemuMigrationDstPrepareResume passes NULL for `int *fd` down to qemuProcessIncomingDefNew, which
 * reads it (src/qemu/qemu_migration.c and qemu_process.c, 11.3.0; mended in 11.4.0): the
 * destination's daemon dies of `virsh migrate --postcopy-resume`. -1 is what "no descriptor" is
 * everywhere else.
 *
 * A library of its own, opened only for a libvirt whose row says incoming_fd_unchecked, because in
 * others the function takes other arguments.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <glib.h>

#include "stock/hooks-incoming.h"

#define EXPORT __attribute__((visibility("default")))

typedef gpointer (*IncomingDefNew)(gpointer driver,
                                   gpointer vm,
                                   const char *listen_address,
                                   const char *migrate_from,
                                   int *fd,
                                   const char *path,
                                   gpointer data,
                                   gpointer params);

EXPORT gpointer qemuProcessIncomingDefNew(gpointer driver,
                                          gpointer vm,
                                          const char *listen_address,
                                          const char *migrate_from,
                                          int *fd,
                                          const char *path,
                                          gpointer data,
                                          gpointer params);

static IncomingDefNew stock_function;

EXPORT void
holdfast_hooks_incoming_bind(gpointer function)
{
    *(gpointer *)&stock_function = function;
}

gpointer
qemuProcessIncomingDefNew(gpointer driver,
                          gpointer vm,
                          const char *listen_address,
                          const char *migrate_from,
                          int *fd,
                          const char *path,
                          gpointer data,
                          gpointer params)
{
    int none = -1;

    return stock_function(driver, vm, listen_address, migrate_from, fd ? fd : &none, path, data,
                          params);
}
