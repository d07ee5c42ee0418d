/*
 * statusfile.c: libvirt's status file of a domain, read by a daemon that starts
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/statusfile.h"

#include <string.h>

/* virDomainObjFormat(), src/conf/domain_conf.c, and qemuDomainObjPrivateXMLFormatJob(),
 * src/qemu/qemu_domainjob.c; the same in 9.0.0 and 11.3.0. A domain is stopped like this from its
 * preparation on until Finish starts it. */
#define DOMSTATUS "<domstatus "
#define PID       " pid='"
#define UNSTARTED DOMSTATUS "state='paused' reason='migration' "
/* By this libvirt knows postcopy, and ends it when QEMU has completed it (virDomainObjIsPostcopy(),
 * src/conf/domain_conf.c). */
#define POSTCOPY DOMSTATUS "state='paused' reason='post-copy' "
#define JOB      "<job type='none' async='migration in' phase='"
#define KEPT     "postcopy_failed"

static const char *const unfinished[] = {"prepare'", "finish3'"};

char *
statusfile_get_path(gboolean privileged, const char *name)
{
    g_autofree char *file = g_strconcat(name, ".xml", NULL);

    return privileged ? g_build_filename("/run/libvirt/qemu", file, NULL)
                      : g_build_filename(g_get_user_runtime_dir(), "libvirt/qemu/run", file, NULL);
}

pid_t
statusfile_get_pid(const char *text)
{
    const char *status = strstr(text, DOMSTATUS);
    const char *end = status ? strchr(status, '>') : NULL;
    const char *pid = end ? g_strstr_len(status, end - status, PID) : NULL;

    return pid ? (pid_t)g_ascii_strtoull(pid + strlen(PID), NULL, 10) : 0;
}

char *
statusfile_keep_incoming(const char *text)
{
    const char *status = strstr(text, UNSTARTED);
    const char *rest = status ? status + strlen(UNSTARTED) : NULL;
    const char *job = rest ? strstr(rest, JOB) : NULL;
    const char *phase = job ? job + strlen(JOB) : NULL;

    for (gsize i = 0; phase && i < G_N_ELEMENTS(unfinished); i++) {
        if (g_str_has_prefix(phase, unfinished[i]))
            return g_strdup_printf("%.*s" POSTCOPY "%.*s" KEPT "%s", (int)(status - text), text,
                                   (int)(phase - rest), rest, phase + strlen(unfinished[i]) - 1);
    }
    return NULL;
}
