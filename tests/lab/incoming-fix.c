/*
 * incoming-fix.c: libvirt 11.4's mended resume for the stock daemon of 11.2 and 11.3, preloaded
 *
 * Without it `virsh migrate --postcopy-resume` is the end of the destination's daemon, as
 * driver/stock/hooks-incoming.c says. It is for the bench alone: what a script could do over stock
 * libvirt, if that did not crash.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <dlfcn.h>
#include <stddef.h>

typedef void *(*IncomingDefNew)(void *driver,
                                void *vm,
                                const char *listen_address,
                                const char *migrate_from,
                                int *fd,
                                const char *path,
                                void *data,
                                void *params);

__attribute__((visibility("default"))) void *qemuProcessIncomingDefNew(void *driver,
                                                                       void *vm,
                                                                       const char *listen_address,
                                                                       const char *migrate_from,
                                                                       int *fd,
                                                                       const char *path,
                                                                       void *data,
                                                                       void *params);

void *
qemuProcessIncomingDefNew(void *driver,
                          void *vm,
                          const char *listen_address,
                          const char *migrate_from,
                          int *fd,
                          const char *path,
                          void *data,
                          void *params)
{
    IncomingDefNew stock;
    int none = -1;

    *(void **)&stock = dlsym(RTLD_NEXT, "qemuProcessIncomingDefNew");
    return stock ? stock(driver, vm, listen_address, migrate_from, fd ? fd : &none, path, data,
                         params)
                 : NULL;
}
