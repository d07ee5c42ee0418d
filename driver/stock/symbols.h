/*
 * symbols.h: libvirt's private functions that we call
 *
 * Found with dlsym(), never linked to: their version node carries libvirt's version
 * (LIBVIRT_PRIVATE_11.3.0), and a link to it would keep the module from loading after an upgrade.
 * The signatures were compared in libvirt 9.0.0 and 11.3.0 and are the same; libvirt's types are
 * pointers without a type here, and its enums ints.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdbool.h>

/* clang-format off */

/* In libvirt.so. */
#define SYMBOLS_LIBVIRT(X)                                                                         \
    X(virRegisterConnectDriver, int, (void *driver, bool set_shared_drivers))                      \
    X(virRegisterStateDriver, int, (void *driver))                                                 \
    X(virDomainObjBeginJob, int, (void *vm, int job))                                              \
    X(virDomainObjEndJob, void, (void *vm))                                                        \
    X(virDomainObjEndAPI, void, (void **vm))                                                       \
    X(virDomainObjGetState, int, (void *vm, int *reason))                                          \
    X(virDomainObjSetState, void, (void *vm, int state, int reason))                               \
    X(virObjectLock, void, (void *object))                                                         \
    X(virObjectUnlock, void, (void *object))                                                       \
    X(virObjectUnref, void, (void *object))                                                        \
    X(virErrorPreserveLast, void, (virErrorPtr *saved))                                            \
    X(virErrorRestore, void, (virErrorPtr *saved))                                                 \
    X(virReportErrorHelper, void, (int domain, int code, const char *file, const char *function,   \
        size_t line, const char *format, ...))                                                     \
    X(virLogMessage, void, (void *source, int priority, const char *file, int line,                \
        const char *function, void *metadata, const char *format, ...))                            \
    X(virJSONValueFromString, void *, (const char *json))                                          \
    X(virJSONValueFree, void, (void *value))                                                       \
    X(virJSONValueToString, char *, (void *value, bool pretty))                                    \
    X(virJSONValueObjectGet, void *, (void *object, const char *key))                              \
    X(virJSONValueObjectGetObject, void *, (void *object, const char *key))                        \
    X(virJSONValueObjectGetNumberUlong, int, (void *object, const char *key,                       \
        unsigned long long *value))                                                                \
    X(virJSONValueObjectGetString, const char *, (void *object, const char *key))                  \
    X(virJSONValueObjectGetArray, void *, (void *object, const char *key))                         \
    X(virJSONValueObjectGetBoolean, int, (void *object, const char *key, bool *value))             \
    X(virJSONValueArraySize, size_t, (const void *array))                                          \
    X(virJSONValueArrayGet, void *, (void *array, unsigned int element))                           \
    X(virConfReadFile, void *, (const char *path, unsigned int flags))                             \
    X(virConfFree, int, (void *conf))                                                              \
    X(virConfGetValueUInt, int, (void *conf, const char *name, unsigned int *value))               \
    X(virConfGetValueString, int, (void *conf, const char *name, char **value))                    \
    X(virIdentityGetSystem, void *, (void))                                                        \
    X(virIdentitySetCurrent, int, (void *identity))                                                \
    X(virAccessManagerGetDefault, void *, (void))                                                  \
    X(virAccessManagerCheckDomain, int, (void *manager, const char *driver, void *def,             \
        int permission))                                                                           \
    X(virGetDomain, virDomainPtr, (virConnectPtr conn, const char *name,                           \
        const unsigned char *uuid, int id))                                                        \
    X(virConnectSupportsFeature, int, (virConnectPtr conn, int feature))                           \
    X(virDomainMigratePrepare3Params, int, (virConnectPtr dconn, virTypedParameterPtr params,      \
        int nparams, const char *cookiein, int cookieinlen, char **cookieout, int *cookieoutlen,   \
        char **uri_out, unsigned int flags))                                                       \
    X(virDomainMigrateFinish3Params, virDomainPtr, (virConnectPtr dconn,                           \
        virTypedParameterPtr params, int nparams, const char *cookiein, int cookieinlen,           \
        char **cookieout, int *cookieoutlen, unsigned int flags, int cancelled))

/* In the stock QEMU driver's module. */
#define SYMBOLS_QEMU(X)                                                                            \
    X(qemuDomainObjFromDomain, void *, (virDomainPtr dom))                                         \
    X(qemuDomainGetMonitor, void *, (void *vm))                                                    \
    X(qemuDomainObjEnterMonitor, void, (void *vm))                                                 \
    X(qemuDomainObjExitMonitor, void, (void *vm))                                                  \
    X(qemuDomainObjSetJobPhase, void, (void *vm, int phase))                                       \
    X(qemuMonitorArbitraryCommand, int, (void *monitor, const char *command, int fd, char **reply, \
        bool hmp))                                                                                 \
    X(qemuMonitorEmitMigrationStatus, void, (void *monitor, int status))                           \
    X(qemuMonitorEmitResume, void, (void *monitor))                                                \
    X(qemuMonitorJSONSetCapabilities, int, (void *monitor))                                        \
    X(qemuMonitorJSONIOProcessLine, int, (void *monitor, const char *line, void *message))         \
    X(qemuMonitorMigrateStartPostCopy, int, (void *monitor))                                       \
    X(qemuMonitorMigrateContinue, int, (void *monitor, int status))                                \
    X(qemuMigrationDstFinish, virDomainPtr, (void *driver, virConnectPtr dconn, void *vm,          \
        const char *cookiein, int cookieinlen, char **cookieout, int *cookieoutlen,                \
        unsigned int flags, int retcode, bool v3proto))                                            \
    X(virQEMUDriverGetConfig, void *, (void *driver))
/* clang-format on */

typedef struct {
#define SYMBOLS_MEMBER(name, ret, args) ret(*name) args;
    SYMBOLS_LIBVIRT(SYMBOLS_MEMBER)
    SYMBOLS_QEMU(SYMBOLS_MEMBER)
#undef SYMBOLS_MEMBER
} Symbols;

/** The functions; a member is NULL until it is loaded. */
extern Symbols symbols;

/**
 * symbols_load:
 * @stock: the stock module's dlopen handle; NULL loads those of libvirt.so alone (for tests)
 *
 * FALSE when one is missing; the error names it. Once, when the module is loaded.
 */
gboolean symbols_load(gpointer stock, GError **error);
