/*
 * fake-finish.c: the stock module, for hooks-finish.c: a Finish that has been called
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/hooks-finish-priv.h"

/* The domain is its to unlock; its address is what the caller knows it by. */
virDomainPtr
qemuMigrationDstFinish(gpointer driver,
                       virConnectPtr dconn,
                       gpointer vm,
                       const char *cookiein,
                       int cookieinlen,
                       char **cookieout,
                       int *cookieoutlen,
                       unsigned int flags,
                       int retcode,
                       bool v3proto)
{
    return driver && dconn && cookiein && cookieinlen == 7 && cookieout && cookieoutlen &&
                   flags == 5 && retcode == 1 && v3proto
               ? vm
               : NULL;
}
