/*
 * scratch.c: scratch nodes of a QEMU, and a way for us alone to read and write them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/scratch.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bitmap/rebuild.h"
#include "run/host.h"

/* Connections are made one after the other. */
#define BACKLOG 4

gboolean
scratch_tell(QmpJob *job, const char *command, GError **error)
{
    g_autofree char *reply = qmp_job_execute(job, command, error);

    return reply != NULL;
}

/* --- the socket --- */

/* Of the journal's directory, which nobody else may enter. */
static char *
choose_path(virDomainPtr dom)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    g_autofree char *name = NULL;

    if (!host_get_journal() || virDomainGetUUIDString(dom, uuid) < 0 ||
        g_mkdir_with_parents(host_get_journal(), 0700) < 0)
        return NULL;
    name = g_strconcat(uuid, ".nbd", NULL);
    return g_build_filename(host_get_journal(), name, NULL);
}

/* The descriptor, or -1 with errno. */
static int
bind_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    if (g_strlcpy(address.sun_path, path, sizeof(address.sun_path)) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    g_unlink(path); /* of a daemon that was killed */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && g_chmod(path, 0600) == 0 &&
        listen(fd, BACKLOG) == 0)
        return fd;
    close(fd);
    return -1;
}

gboolean
scratch_listen(QmpJob *job, virDomainPtr dom, char **path, GError **error)
{
    g_autofree char *chosen = choose_path(dom);
    int fd = chosen ? bind_socket(chosen) : -1;
    gboolean listens;

    if (fd < 0) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
                    _("no socket can be made in the journal's directory: %1$s"), g_strerror(errno));
        return FALSE;
    }
    listens = qmp_job_pass_fd(job, REBUILD_FD, fd, error) &&
              scratch_tell(job, rebuild_listen_command(), error);
    close(fd);
    if (listens)
        *path = g_steal_pointer(&chosen);
    else
        g_unlink(chosen);
    return listens;
}

void
scratch_forget(char *path)
{
    if (path)
        g_unlink(path);
    g_free(path);
}

/* --- the nodes --- */

void
scratch_clean(QmpJob *job, virDomainPtr dom, const GPtrArray *nodes)
{
    gboolean stopped = FALSE;

    for (guint i = 0; i < nodes->len; i++) {
        const char *name = ((const BlockNode *)nodes->pdata[i])->name;
        g_autoptr(GError) error = NULL;
        g_autofree char *command = rebuild_drop_scratch_command(name);

        if (!rebuild_is_scratch(name))
            continue;
        /* Refused where it does not run. Waits until all exports are closed (qmp_nbd_server_stop(),
         * blockdev-nbd.c, QEMU 10.0). */
        if (!stopped)
            scratch_tell(job, rebuild_unlisten_command(), NULL);
        stopped = TRUE;
        if (!scratch_tell(job, command, &error))
            g_message("domain %s: node %s stays in its QEMU: %s", virDomainGetName(dom), name,
                      error->message);
    }
}

void
scratch_export_init(ScratchExport *export, const char *path, guint number, gint64 deadline_us)
{
    export->name = rebuild_get_scratch(number);
    export->nbd = (Nbdio){path, export->name, deadline_us};
}

void
scratch_export_clear(ScratchExport *export)
{
    g_free(export->name);
}
