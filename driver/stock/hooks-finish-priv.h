/*
 * hooks-finish-priv.h: the function of libvirt's that hooks-finish.c steps in front of
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>
#include <stdbool.h>

/* The stock module calls this, for every version of its API; nothing of ours does. */
__attribute__((visibility("default"))) virDomainPtr qemuMigrationDstFinish(gpointer driver,
                                                                           virConnectPtr dconn,
                                                                           gpointer vm,
                                                                           const char *cookiein,
                                                                           int cookieinlen,
                                                                           char **cookieout,
                                                                           int *cookieoutlen,
                                                                           unsigned int flags,
                                                                           int retcode,
                                                                           bool v3proto);
