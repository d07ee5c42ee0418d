/*
 * fake-migrate.c: stands in for the one libvirt call that migrate-recover is about
 *
 * Preloaded into virsh-migrate-recover by its test. The call is written to the file that
 * FAKE_MIGRATE_LOG names; FAKE_MIGRATE says what becomes of it: "ok", "block" (it never returns),
 * or "CODE MESSAGE", a libvirt error.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

static void
log_call(const char *desturi,
         virTypedParameterPtr params,
         unsigned int n_params,
         unsigned int flags)
{
    FILE *log = fopen(getenv("FAKE_MIGRATE_LOG"), "w");

    fprintf(log, "desturi=%s\nflags=%u\n", desturi, flags);
    for (unsigned int i = 0; i < n_params; i++) {
        if (params[i].type == VIR_TYPED_PARAM_STRING)
            fprintf(log, "%s=%s\n", params[i].field, params[i].value.s);
        else if (params[i].type == VIR_TYPED_PARAM_ULLONG)
            fprintf(log, "%s=%llu\n", params[i].field, params[i].value.ul);
        else
            fprintf(log, "%s: unexpected type %d\n", params[i].field, params[i].type);
    }
    fclose(log);
}

EXPORTED int
virDomainMigrateToURI3(virDomainPtr domain,
                       const char *desturi,
                       virTypedParameterPtr params,
                       unsigned int n_params,
                       unsigned int flags)
{
    log_call(desturi, params, n_params, flags);
    while (strcmp(getenv("FAKE_MIGRATE"), "block") == 0)
        pause();
    return strcmp(getenv("FAKE_MIGRATE"), "ok") == 0 ? 0 : -1;
}

EXPORTED virErrorPtr
virSaveLastError(void)
{
    virErrorPtr error = calloc(1, sizeof(*error));
    const char *message = strchr(getenv("FAKE_MIGRATE"), ' ');

    error->code = atoi(getenv("FAKE_MIGRATE"));
    error->message = strdup(message ? message + 1 : "");
    return error;
}
