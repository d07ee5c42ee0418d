/*
 * confirm.h: Confirm, which ends the guest on the source or lets it run there again
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

/**
 * libvirt's Confirm. When Finish failed or got lost, it waits until it is known where the guest
 * belongs: in postcopy until that has ended, before until the destination has said whether it has
 * started it.
 */
int confirm_call(virDomainPtr dom,
                 virTypedParameterPtr params,
                 int nparams,
                 const char *cookiein,
                 int cookieinlen,
                 unsigned int flags,
                 int cancelled);

/**
 * confirm_resume: virDomainResume() of a domain that is stopped until the destination has said
 * whether it runs there: a person says that it does not.
 *
 * Returns: FALSE when @dom is no such domain, or is one no more: a resume like any other is due.
 */
gboolean confirm_resume(virDomainPtr dom, int *rc);
