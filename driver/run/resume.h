/*
 * resume.h: a client's request to resume a paused postcopy migration (VIR_MIGRATE_POSTCOPY_RESUME)
 *
 * `virsh migrate --postcopy --postcopy-resume`, peer-to-peer or driven by the client, and `virsh
 * migrate-recover`. Ours on both hosts, because stock libvirt 11.2 and 11.3 crash in Prepare. The
 * phases only carry the person's word to the engine of the source and wait for what comes of it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

#include "run/migration.h"

/* Parameters that `virsh migrate-recover` gives beside libvirt's own. */
#define RESUME_PARAM_WAIT    "holdfast.wait"    /* string "recovered": do not wait for the end */
#define RESUME_PARAM_TIMEOUT "holdfast.timeout" /* unsigned long long, ms to wait */
/* The destination URI that stands for the one the migration has anyway: libvirt wants one. */
#define RESUME_URI_SESSION "holdfast://"

/** The migration that a resume of @dom is about, or NULL if it is stock libvirt's to answer. */
Migration *resume_find_source(virDomainPtr dom);

char *resume_begin(Migration *migration,
                   virDomainPtr dom,
                   char **cookieout,
                   int *cookieoutlen,
                   unsigned int flags);

/** For a migration that the source's Holdfast announced; FALSE if it is stock libvirt's to answer.
 */
gboolean resume_prepare(virTypedParameterPtr params,
                        int nparams,
                        const char *cookiein,
                        int cookieinlen,
                        char **uri_out,
                        int *rc);

/** Perform driven by the client: returns when the migration goes on. */
int
resume_perform(Migration *migration, virTypedParameterPtr params, int nparams, unsigned int flags);

/** Perform peer-to-peer: returns when it has ended, or as the parameters say. */
int resume_perform_p2p(virDomainPtr dom,
                       const char *dconnuri,
                       virTypedParameterPtr params,
                       int nparams,
                       unsigned int flags);

gboolean resume_finish(virConnectPtr dconn,
                       virTypedParameterPtr params,
                       int nparams,
                       int cancelled,
                       virDomainPtr *dom);

int resume_confirm(Migration *migration, int cancelled);
