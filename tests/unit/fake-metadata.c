/*
 * fake-metadata.c: a place for metadata that outlives libvirt's test driver
 *
 * Preloaded into virsh-migrate-policy by its test. The file that FAKE_METADATA names is the
 * domain's metadata element; without it the test driver answers, which has none. FAKE_LOG gets a
 * line for each change.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <dlfcn.h>
#include <libvirt/libvirt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

EXPORTED char *
virDomainGetMetadata(virDomainPtr domain, int type, const char *uri, unsigned int flags)
{
    char *(*real)(virDomainPtr, int, const char *, unsigned int) = NULL;
    FILE *file = fopen(getenv("FAKE_METADATA"), "r");
    char text[8192];
    size_t n;

    *(void **)&real = dlsym(RTLD_NEXT, "virDomainGetMetadata");
    if (!file)
        return real(domain, type, uri, flags);
    n = fread(text, 1, sizeof(text) - 1, file);
    text[n] = '\0';
    fclose(file);
    return strdup(text);
}

EXPORTED int
virDomainSetMetadata(virDomainPtr domain,
                     int type,
                     const char *metadata,
                     const char *key,
                     const char *uri,
                     unsigned int flags)
{
    FILE *log = fopen(getenv("FAKE_LOG"), "a");
    FILE *file;

    fprintf(log, "type=%d key=%s uri=%s flags=%u%s\n", type, key, uri, flags,
            metadata ? "" : " removed");
    fclose(log);
    if (!metadata)
        return unlink(getenv("FAKE_METADATA"));
    file = fopen(getenv("FAKE_METADATA"), "w");
    fputs(metadata, file);
    return fclose(file);
}
