/*
 * fake-status.c: stands in for the libvirt calls that migrate-status and migrate-pause are about
 *
 * Preloaded into them by their test, on libvirt's test driver. FAKE_STATUS names a file with one
 * answer for each time that statistics are asked for, separated by lines of "--"; the last one is
 * for ever. A line is "NAME TYPE VALUE" (TYPE: s, l, u or b), or "none" (no record), or "error CODE
 * MESSAGE". With FAKE_GONE libvirt itself knows the domain no more. FAKE_JOB is "TOTAL REMAINING"
 * of the job; FAKE_ABORT "ok" or "CODE MESSAGE". What was asked for is added to the file that
 * FAKE_LOG names.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <dlfcn.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))

static long next_answer;

static void
note(const char *format, ...)
{
    FILE *log = getenv("FAKE_LOG") ? fopen(getenv("FAKE_LOG"), "a") : NULL;
    va_list args;

    if (!log)
        return;
    va_start(args, format);
    vfprintf(log, format, args);
    va_end(args);
    fclose(log);
}

static virError last;

static int
fail(const char *code_and_message)
{
    static char message[1024];
    char *rest = NULL;

    last.code = (int)strtol(code_and_message, &rest, 10);
    snprintf(message, sizeof(message), "%s", *rest ? rest + 1 : rest);
    last.message = message;
    return -1;
}

EXPORTED virErrorPtr
virGetLastError(void)
{
    return last.code ? &last : NULL;
}

EXPORTED const char *
virGetLastErrorMessage(void)
{
    return last.code ? last.message : "no error";
}

static void
add(virDomainStatsRecordPtr record, int *max, const char *name, char type, const char *value)
{
    int *n = &record->nparams;

    if (type == 's')
        virTypedParamsAddString(&record->params, n, max, name, value);
    else if (type == 'l')
        virTypedParamsAddULLong(&record->params, n, max, name, strtoull(value, NULL, 10));
    else if (type == 'u')
        virTypedParamsAddUInt(&record->params, n, max, name, (unsigned int)atoi(value));
    else
        virTypedParamsAddBoolean(&record->params, n, max, name, atoi(value));
}

static int
answer(virDomainPtr domain, virDomainStatsRecordPtr **records)
{
    FILE *script = fopen(getenv("FAKE_STATUS"), "r");
    virDomainStatsRecordPtr record = calloc(1, sizeof(*record));
    long begins = next_answer;
    int max = 0, n = 1;
    char line[1024];

    record->dom = domain;
    *records = calloc(2, sizeof(**records));
    fseek(script, begins, SEEK_SET);
    while (n == 1 && fgets(line, sizeof(line), script)) {
        char name[80], type;
        int value = 0;

        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "--") == 0) {
            next_answer = ftell(script);
            break;
        }
        if (strcmp(line, "none") == 0)
            n = 0;
        else if (strncmp(line, "error ", 6) == 0)
            n = fail(line + 6);
        else if (sscanf(line, "%79s %c %n", name, &type, &value) == 2)
            add(record, &max, name, type, line + value);
    }
    while (n == 0 && fgets(line, sizeof(line), script)) {
        if (strcmp(line, "--\n") == 0) {
            next_answer = ftell(script);
            break;
        }
    }
    fclose(script);
    if (n > 0) {
        (*records)[0] = record;
        return n;
    }
    virTypedParamsFree(record->params, record->nparams);
    virDomainFree(record->dom);
    free(record);
    if (n < 0) {
        free(*records);
        *records = NULL;
    }
    return n;
}

/* libvirt's own answer. */
static virDomainPtr
look_up(virConnectPtr conn, const char *name)
{
    virDomainPtr (*lookup)(virConnectPtr conn, const char *name);

    *(void **)&lookup = dlsym(RTLD_NEXT, "virDomainLookupByName");
    return lookup(conn, name);
}

EXPORTED int
virDomainListGetStats(virDomainPtr *doms,
                      unsigned int stats,
                      virDomainStatsRecordPtr **records,
                      unsigned int flags)
{
    note("one stats=%#x flags=%#x\n", stats, flags);
    virDomainRef(doms[0]);
    return answer(doms[0], records);
}

EXPORTED int
virConnectGetAllDomainStats(virConnectPtr conn,
                            unsigned int stats,
                            virDomainStatsRecordPtr **records,
                            unsigned int flags)
{
    note("all stats=%#x flags=%#x\n", stats, flags);
    return answer(look_up(conn, "test"), records);
}

EXPORTED virDomainPtr
virDomainLookupByName(virConnectPtr conn, const char *name)
{
    if (!getenv("FAKE_GONE"))
        return look_up(conn, name);
    fail("42 Domain not found");
    return NULL;
}

EXPORTED virDomainPtr
virDomainLookupByUUIDString(virConnectPtr conn, const char *uuid)
{
    return virDomainLookupByName(conn, "test");
}

EXPORTED virDomainPtr
virDomainLookupByID(virConnectPtr conn, int id)
{
    return virDomainLookupByName(conn, "test");
}

EXPORTED int
virDomainGetJobStats(
    virDomainPtr domain, int *type, virTypedParameterPtr *params, int *n, unsigned int flags)
{
    const char *job = getenv("FAKE_JOB");
    char *rest = NULL;
    int max = 0;

    if (!job)
        return fail("55 no job");
    *type = VIR_DOMAIN_JOB_UNBOUNDED;
    virTypedParamsAddULLong(params, n, &max, VIR_DOMAIN_JOB_DATA_TOTAL, strtoull(job, &rest, 10));
    virTypedParamsAddULLong(params, n, &max, VIR_DOMAIN_JOB_DATA_REMAINING,
                            strtoull(rest, NULL, 10));
    return 0;
}

EXPORTED int
virDomainAbortJobFlags(virDomainPtr domain, unsigned int flags)
{
    note("abort flags=%#x\n", flags);
    return strcmp(getenv("FAKE_ABORT"), "ok") == 0 ? 0 : fail(getenv("FAKE_ABORT"));
}
