/*
 * slots.h: the entries of libvirt's hypervisor driver table that we use
 *
 * One line a slot: its name in `struct _virHypervisorDriver` (src/driver-hypervisor.h), which is
 * kept as libvirt spells it, its result and its arguments. The signatures are the same in libvirt
 * 9.0.0 and 11.3.0; where in the table a slot stands is not, see abi.h. `virConf *` is opaque here.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

/* clang-format off */
#define STOCK_SLOTS(X)                                                                             \
    X(connectOpen, int, (virConnectPtr conn, virConnectAuthPtr auth, void *conf, unsigned int flags)) \
    X(connectClose, int, (virConnectPtr conn))                                                     \
    X(connectSupportsFeature, int, (virConnectPtr conn, int feature))                              \
    X(connectListAllDomains, int, (virConnectPtr conn, virDomainPtr **domains, unsigned int flags)) \
    X(connectGetAllDomainStats, int, (virConnectPtr conn, virDomainPtr *doms, unsigned int ndoms,  \
        unsigned int stats, virDomainStatsRecordPtr **records, unsigned int flags))                \
    X(connectDomainEventRegister, int, (virConnectPtr conn, virConnectDomainEventCallback cb,      \
        void *opaque, virFreeCallback freecb))                                                     \
    X(connectDomainEventDeregister, int, (virConnectPtr conn, virConnectDomainEventCallback cb))   \
    X(connectDomainEventRegisterAny, int, (virConnectPtr conn, virDomainPtr dom, int event,        \
        virConnectDomainEventGenericCallback cb, void *opaque, virFreeCallback freecb))            \
    X(connectDomainEventDeregisterAny, int, (virConnectPtr conn, int callback))                    \
    X(domainLookupByUUID, virDomainPtr, (virConnectPtr conn, const unsigned char *uuid))           \
    X(domainLookupByName, virDomainPtr, (virConnectPtr conn, const char *name))                    \
    X(domainDefineXML, virDomainPtr, (virConnectPtr conn, const char *xml))                        \
    X(domainDefineXMLFlags, virDomainPtr, (virConnectPtr conn, const char *xml, unsigned int flags)) \
    X(domainCreateXML, virDomainPtr, (virConnectPtr conn, const char *xml, unsigned int flags))    \
    X(domainCreateXMLWithFiles, virDomainPtr, (virConnectPtr conn, const char *xml,                \
        unsigned int nfiles, int *files, unsigned int flags))                                      \
    X(domainCreate, int, (virDomainPtr dom))                                                       \
    X(domainCreateWithFlags, int, (virDomainPtr dom, unsigned int flags))                          \
    X(domainCreateWithFiles, int, (virDomainPtr dom, unsigned int nfiles, int *files,              \
        unsigned int flags))                                                                       \
    X(domainUndefine, int, (virDomainPtr dom))                                                     \
    X(domainUndefineFlags, int, (virDomainPtr dom, unsigned int flags))                            \
    X(domainGetXMLDesc, char *, (virDomainPtr dom, unsigned int flags))                            \
    X(domainSetMetadata, int, (virDomainPtr dom, int type, const char *metadata, const char *key,  \
        const char *uri, unsigned int flags))                                                      \
    X(domainGetMetadata, char *, (virDomainPtr dom, int type, const char *uri, unsigned int flags)) \
    X(domainGetInfo, int, (virDomainPtr dom, virDomainInfoPtr info))                               \
    X(domainGetState, int, (virDomainPtr dom, int *state, int *reason, unsigned int flags))        \
    X(domainIsActive, int, (virDomainPtr dom))                                                     \
    X(domainSuspend, int, (virDomainPtr dom))                                                      \
    X(domainResume, int, (virDomainPtr dom))                                                       \
    X(domainReset, int, (virDomainPtr dom, unsigned int flags))                                    \
    X(domainDestroy, int, (virDomainPtr dom))                                                      \
    X(domainDestroyFlags, int, (virDomainPtr dom, unsigned int flags))                             \
    X(domainShutdown, int, (virDomainPtr dom))                                                     \
    X(domainShutdownFlags, int, (virDomainPtr dom, unsigned int flags))                            \
    X(domainGetJobInfo, int, (virDomainPtr dom, virDomainJobInfoPtr info))                         \
    X(domainGetJobStats, int, (virDomainPtr dom, int *type, virTypedParameterPtr *params,          \
        int *nparams, unsigned int flags))                                                         \
    X(domainAbortJob, int, (virDomainPtr dom))                                                     \
    X(domainAbortJobFlags, int, (virDomainPtr dom, unsigned int flags))                            \
    X(domainMigrateStartPostCopy, int, (virDomainPtr dom, unsigned int flags))                     \
    X(domainMigrateBegin3, char *, (virDomainPtr dom, const char *xmlin, char **cookieout,         \
        int *cookieoutlen, unsigned long flags, const char *dname, unsigned long resource))        \
    X(domainMigrateBegin3Params, char *, (virDomainPtr dom, virTypedParameterPtr params,           \
        int nparams, char **cookieout, int *cookieoutlen, unsigned int flags))                     \
    X(domainMigratePrepare3Params, int, (virConnectPtr dconn, virTypedParameterPtr params,         \
        int nparams, const char *cookiein, int cookieinlen, char **cookieout, int *cookieoutlen,   \
        char **uri_out, unsigned int flags))                                                       \
    X(domainMigratePrepareTunnel3Params, int, (virConnectPtr dconn, virStreamPtr st,               \
        virTypedParameterPtr params, int nparams, const char *cookiein, int cookieinlen,           \
        char **cookieout, int *cookieoutlen, unsigned int flags))                                  \
    X(domainMigratePerform3Params, int, (virDomainPtr dom, const char *dconnuri,                   \
        virTypedParameterPtr params, int nparams, const char *cookiein, int cookieinlen,           \
        char **cookieout, int *cookieoutlen, unsigned int flags))                                  \
    X(domainMigratePerform3, int, (virDomainPtr dom, const char *xmlin, const char *cookiein,      \
        int cookieinlen, char **cookieout, int *cookieoutlen, const char *dconnuri,                \
        const char *uri, unsigned long flags, const char *dname, unsigned long bandwidth))         \
    X(domainMigrateFinish3Params, virDomainPtr, (virConnectPtr dconn, virTypedParameterPtr params, \
        int nparams, const char *cookiein, int cookieinlen, char **cookieout, int *cookieoutlen,   \
        unsigned int flags, int cancelled))                                                        \
    X(domainMigrateConfirm3Params, int, (virDomainPtr dom, virTypedParameterPtr params,            \
        int nparams, const char *cookiein, int cookieinlen, unsigned int flags, int cancelled))
/* clang-format on */

typedef enum {
#define STOCK_SLOT_ENUM(name, ret, args) SLOT_##name,
    STOCK_SLOTS(STOCK_SLOT_ENUM)
#undef STOCK_SLOT_ENUM
        SLOT_LAST
} StockSlot;

/* StockFn_domainDestroy and so on: the type of a slot's function. */
#define STOCK_SLOT_TYPE(name, ret, args) typedef ret(*StockFn_##name) args;
STOCK_SLOTS(STOCK_SLOT_TYPE)
#undef STOCK_SLOT_TYPE
