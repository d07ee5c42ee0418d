/*
 * phases.h: the phases of libvirt's migration protocol, on the host that each runs on
 *
 * Each does what stock libvirt does, by calling it, and beside that tells the engine where the
 * migration is; where stock libvirt would report the first failure of a migration that is being
 * recovered, it waits for the outcome and reports that. Types: stock/slots.h.
 *
 *      source                         destination
 *      Begin      cookie: id ------>  Prepare
 *      Perform  <------ id, port      (its reply)
 *                                     Finish     finish.h: waits while postcopy is paused
 *      Confirm                        confirm.h: waits as well, if Finish got lost
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

#include "run/migration.h"

char *phases_begin(virDomainPtr dom,
                   virTypedParameterPtr params,
                   int nparams,
                   char **cookieout,
                   int *cookieoutlen,
                   unsigned int flags);

/** What is to be said before a migration that is libvirt's alone. FALSE, with libvirt's error, when
 * the domain's policy is against it. */
gboolean
phases_check_stock(virDomainPtr dom, virTypedParameterPtr params, int nparams, unsigned int flags);

int phases_prepare(virConnectPtr dconn,
                   virTypedParameterPtr params,
                   int nparams,
                   const char *cookiein,
                   int cookieinlen,
                   char **cookieout,
                   int *cookieoutlen,
                   char **uri_out,
                   unsigned int flags);

/** Perform of a migration that the client drives; peer-to-peer is p2p.h's. */
int phases_perform(virDomainPtr dom,
                   virTypedParameterPtr params,
                   int nparams,
                   const char *cookiein,
                   int cookieinlen,
                   char **cookieout,
                   int *cookieoutlen,
                   unsigned int flags);
