/*
 * late-event.c: the daemon hears late of a status of QEMU's migration, or is long at Prepare;
 * preloaded
 *
 * pre-switchover lasts for a millisecond, because libvirt has QEMU go on as soon as it hears of it.
 * With /run/lab-late-STATUS there the event of that status is kept until the file is gone; when
 * somebody has written into the file, the event is forgotten, and the file removed. Nothing else
 * waits: the domain has no job of ours, all commands and the other events go their way.
 *
 * With /run/lab-late-incoming there Prepare waits until the file is gone, when its QEMU runs and
 * has yet to listen; then something is written into the file. The domain is not locked meanwhile,
 * as with a QEMU that is long at its answer.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPORT       __attribute__((visibility("default")))
#define LOOK_EACH_US 10000
#define INCOMING     "/run/lab-late-incoming"

/* src/qemu/qemu_monitor.h, the same in libvirt 9.0.0 and 11.3.0; called with the monitor locked. */
EXPORT void qemuMonitorEmitMigrationStatus(void *monitor, int status);
/* 9.0.0 has no third argument, and does not look for one in its register. */
EXPORT int qemuMonitorMigrateIncoming(void *monitor, const char *uri, int exit_on_error);

typedef void *(*WithObject)(void *object);

typedef struct {
    char path[64];
    void *monitor;
    int status;
} Late;

static void
with(const char *function, void *object)
{
    WithObject found;

    *(void **)&found = dlsym(RTLD_DEFAULT, function);
    if (found)
        found(object);
}

static void
emit(void *monitor, int status)
{
    void (*next)(void *monitor, int status);

    *(void **)&next = dlsym(RTLD_NEXT, "qemuMonitorEmitMigrationStatus");
    if (next)
        next(monitor, status);
}

static void *
wait_and_emit(void *opaque)
{
    Late *late = opaque;
    struct stat file;

    while (stat(late->path, &file) == 0 && file.st_size == 0)
        usleep(LOOK_EACH_US);
    if (access(late->path, F_OK) != 0) {
        with("virObjectLock", late->monitor);
        emit(late->monitor, late->status);
        with("virObjectUnlock", late->monitor);
    } else {
        unlink(late->path);
    }
    with("virObjectUnref", late->monitor);
    free(late);
    return NULL;
}

static const char *
name_of(int status)
{
    const char *(*to_string)(int status);

    *(void **)&to_string = dlsym(RTLD_DEFAULT, "qemuMonitorMigrationStatusTypeToString");
    return to_string ? to_string(status) : NULL;
}

void
qemuMonitorEmitMigrationStatus(void *monitor, int status)
{
    const char *name = name_of(status);
    Late *late = calloc(1, sizeof *late);
    pthread_t thread;

    if (!late)
        return;
    snprintf(late->path, sizeof late->path, "/run/lab-late-%s", name ? name : "");
    if (access(late->path, F_OK) != 0) {
        free(late);
        emit(monitor, status);
        return;
    }
    with("virObjectRef", monitor);
    late->monitor = monitor;
    late->status = status;
    if (pthread_create(&thread, NULL, wait_and_emit, late) == 0)
        pthread_detach(thread);
}

int
qemuMonitorMigrateIncoming(void *monitor, const char *uri, int exit_on_error)
{
    int (*next)(void *monitor, const char *uri, int exit_on_error);
    int file = open(INCOMING, O_WRONLY | O_CLOEXEC);

    *(void **)&next = dlsym(RTLD_NEXT, "qemuMonitorMigrateIncoming");
    if (file >= 0) {
        with("virObjectUnlock", monitor);
        if (write(file, "here", 4) == 4)
            while (access(INCOMING, F_OK) == 0)
                usleep(LOOK_EACH_US);
        close(file);
        with("virObjectLock", monitor);
    }
    return next ? next(monitor, uri, exit_on_error) : -1;
}
