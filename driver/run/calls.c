/*
 * calls.c: the calls of libvirt's API that pass through Holdfast
 *
 * Migration goes to p2p.c, phases.c and resume.c; here are the ways there, a person's pause, and
 * the check of a policy before a domain is defined with it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/calls.h"

#include <glib/gi18n-lib.h>

#include "run/command.h"
#include "run/confirm.h"
#include "run/error.h"
#include "run/finish.h"
#include "run/handback.h"
#include "run/host.h"
#include "run/listeners.h"
#include "run/migration.h"
#include "run/outcome.h"
#include "run/p2p.h"
#include "run/params.h"
#include "run/phases.h"
#include "run/postcopy.h"
#include "run/requests.h"
#include "run/resume.h"
#include "run/stats.h"
#include "stock/error.h"

/* --- migration --- */

static char *
calls_begin(virDomainPtr dom,
            virTypedParameterPtr params,
            int nparams,
            char **cookieout,
            int *cookieoutlen,
            unsigned int flags)
{
    g_autoptr(Migration) paused = NULL;

    if (flags & VIR_MIGRATE_POSTCOPY_RESUME) {
        paused = resume_find_source(dom);
        if (paused)
            return resume_begin(paused, dom, cookieout, cookieoutlen, flags);
        return TABLE_STOCK(domainMigrateBegin3Params)(dom, params, nparams, cookieout, cookieoutlen,
                                                      flags);
    }
    return phases_begin(dom, params, nparams, cookieout, cookieoutlen, flags);
}

/* libvirt's API before 1.1.0, virDomainMigrate() and virDomainMigrate2(), which is libvirt's alone.
 */
static char *
calls_begin_old(virDomainPtr dom,
                const char *xmlin,
                char **cookieout,
                int *cookieoutlen,
                unsigned long flags,
                const char *dname,
                unsigned long resource)
{
    g_auto(Params) params = {0};

    if (xmlin)
        params_set_string(&params, VIR_MIGRATE_PARAM_DEST_XML, xmlin);
    if (!phases_check_stock(dom, params.list, params.n, (unsigned int)flags))
        return NULL;
    return TABLE_STOCK(domainMigrateBegin3)(dom, xmlin, cookieout, cookieoutlen, flags, dname,
                                            resource);
}

static int
calls_prepare(virConnectPtr dconn,
              virTypedParameterPtr params,
              int nparams,
              const char *cookiein,
              int cookieinlen,
              char **cookieout,
              int *cookieoutlen,
              char **uri_out,
              unsigned int flags)
{
    int rc;

    if (flags & VIR_MIGRATE_POSTCOPY_RESUME) {
        if (resume_prepare(params, nparams, cookiein, cookieinlen, uri_out, &rc))
            return rc;
        return TABLE_STOCK(domainMigratePrepare3Params)(
            dconn, params, nparams, cookiein, cookieinlen, cookieout, cookieoutlen, uri_out, flags);
    }
    return phases_prepare(dconn, params, nparams, cookiein, cookieinlen, cookieout, cookieoutlen,
                          uri_out, flags);
}

static int
calls_perform(virDomainPtr dom,
              const char *dconnuri,
              virTypedParameterPtr params,
              int nparams,
              const char *cookiein,
              int cookieinlen,
              char **cookieout,
              int *cookieoutlen,
              unsigned int flags)
{
    g_autoptr(Migration) paused = NULL;

    if (flags & VIR_MIGRATE_PEER2PEER) {
        if (flags & VIR_MIGRATE_POSTCOPY_RESUME)
            return resume_perform_p2p(dom, dconnuri, params, nparams, flags);
        if (p2p_is_ours(flags))
            return p2p_perform(dom, dconnuri, params, nparams, flags);
        if (!phases_check_stock(dom, params, nparams, flags))
            return -1;
    } else if (flags & VIR_MIGRATE_POSTCOPY_RESUME) {
        paused = resume_find_source(dom);
        if (paused)
            return resume_perform(paused, params, nparams, flags);
    } else if (!(flags & (VIR_MIGRATE_TUNNELLED | VIR_MIGRATE_OFFLINE))) {
        return phases_perform(dom, params, nparams, cookiein, cookieinlen, cookieout, cookieoutlen,
                              flags);
    }
    return TABLE_STOCK(domainMigratePerform3Params)(dom, dconnuri, params, nparams, cookiein,
                                                    cookieinlen, cookieout, cookieoutlen, flags);
}

static int
calls_perform_old(virDomainPtr dom,
                  const char *xmlin,
                  const char *cookiein,
                  int cookieinlen,
                  char **cookieout,
                  int *cookieoutlen,
                  const char *dconnuri,
                  const char *uri,
                  unsigned long flags,
                  const char *dname,
                  unsigned long bandwidth)
{
    if ((flags & VIR_MIGRATE_PEER2PEER) && !(flags & VIR_MIGRATE_POSTCOPY_RESUME) &&
        p2p_is_ours((unsigned int)flags))
        return p2p_perform_old(dom, xmlin, dconnuri, uri, (unsigned int)flags, dname, bandwidth);
    return TABLE_STOCK(domainMigratePerform3)(dom, xmlin, cookiein, cookieinlen, cookieout,
                                              cookieoutlen, dconnuri, uri, flags, dname, bandwidth);
}

static virDomainPtr
calls_finish(virConnectPtr dconn,
             virTypedParameterPtr params,
             int nparams,
             const char *cookiein,
             int cookieinlen,
             char **cookieout,
             int *cookieoutlen,
             unsigned int flags,
             int cancelled)
{
    virDomainPtr dom = NULL;

    if (flags & VIR_MIGRATE_POSTCOPY_RESUME) {
        if (resume_finish(dconn, params, nparams, cancelled, &dom))
            return dom;
        return TABLE_STOCK(domainMigrateFinish3Params)(dconn, params, nparams, cookiein,
                                                       cookieinlen, cookieout, cookieoutlen, flags,
                                                       cancelled);
    }
    return finish_call(dconn, params, nparams, cookiein, cookieinlen, cookieout, cookieoutlen,
                       flags, cancelled);
}

static int
calls_confirm(virDomainPtr dom,
              virTypedParameterPtr params,
              int nparams,
              const char *cookiein,
              int cookieinlen,
              unsigned int flags,
              int cancelled)
{
    unsigned char uuid[VIR_UUID_BUFLEN];
    g_autoptr(Migration) migration = NULL;

    if (flags & VIR_MIGRATE_POSTCOPY_RESUME) {
        migration = virDomainGetUUID(dom, uuid) == 0 ? migration_find(uuid) : NULL;
        if (migration && migration_get_role(migration) == ROLE_SOURCE &&
            migration_can_ask(migration))
            return resume_confirm(migration, cancelled);
        return TABLE_STOCK(domainMigrateConfirm3Params)(dom, params, nparams, cookiein, cookieinlen,
                                                        flags, cancelled);
    }
    return confirm_call(dom, params, nparams, cookiein, cookieinlen, flags, cancelled);
}

/* --- a person's pause --- */

/* The engine hears of it first, so that it takes the pause that comes for what it is. Stock libvirt
 * pauses what flows; a pause that is there already becomes the person's, and a recovery, which QEMU
 * refuses to pause at times, is paused by the engine. */
static int
calls_abort_job(virDomainPtr dom, unsigned int flags)
{
    unsigned char uuid[VIR_UUID_BUFLEN];
    g_autoptr(Migration) migration = NULL;
    g_autoptr(GError) error = NULL;
    g_auto(Hold) hold = {0};
    int rc;

    if ((flags & VIR_DOMAIN_ABORT_JOB_POSTCOPY) && virDomainGetUUID(dom, uuid) == 0)
        migration = migration_find(uuid);
    if (!migration || migration_get_role(migration) != ROLE_SOURCE)
        return TABLE_STOCK(domainAbortJobFlags)(dom, flags);

    switch (requests_pause_begin(migration, &error)) {
    case REQUESTS_PAUSED:
        return 0;
    case REQUESTS_PAUSE_FAILED:
        error_raise(error);
        return -1;
    case REQUESTS_PAUSE_STOCK:
        break;
    }
    if (!migration_let_run(migration)) {
        requests_pause_end(migration);
        stock_error_raise(VIR_ERR_OPERATION_INVALID,
                          _("cannot pause the migration of domain '%1$s': the destination has not "
                            "said that the guest runs there, and a pause before that would lose "
                            "it; try again"),
                          virDomainGetName(dom));
        return -1;
    }
    if (outcome_fetch_state(migration) == STATE_POSTCOPY_ACTIVE &&
        !command_may_pause(migration, &hold, &error)) {
        requests_pause_end(migration);
        stock_error_raise(VIR_ERR_OPERATION_INVALID,
                          _("cannot pause the migration of domain '%1$s' now: %2$s"),
                          virDomainGetName(dom), error->message);
        return -1;
    }
    rc = TABLE_STOCK(domainAbortJobFlags)(dom, flags);
    /* Refused, because the network was faster after all. */
    if (rc < 0 && requests_pause_end(migration)) {
        virResetLastError();
        rc = 0;
    }
    return rc;
}

/* Stock libvirt goes by Begin's flags, to which the policy's wish may have been added in vain: it
 * would send the command on, and QEMU would speak of capabilities. */
static int
calls_start_postcopy(virDomainPtr dom, unsigned int flags)
{
    unsigned char uuid[VIR_UUID_BUFLEN];
    g_autoptr(Migration) migration = virDomainGetUUID(dom, uuid) == 0 ? migration_find(uuid) : NULL;

    if (!migration || !postcopy_came_to_nothing(migration))
        return TABLE_STOCK(domainMigrateStartPostCopy)(dom, flags);
    stock_error_raise(VIR_ERR_OPERATION_INVALID, "%s",
                      dgettext("libvirt", "switching to post-copy requires migration to be started "
                                          "with VIR_MIGRATE_POSTCOPY flag"));
    return -1;
}

static int
calls_resume(virDomainPtr dom)
{
    g_autoptr(GError) error = NULL;
    HandbackStep step;
    int rc;

    if (confirm_resume(dom, &rc))
        return rc;
    step = handback_begin(dom, &error);
    if (step == HANDBACK_REFUSED) {
        error_raise(error);
        return -1;
    }
    rc = TABLE_STOCK(domainResume)(dom);
    handback_end(dom, step);
    return rc;
}

/* --- policies --- */

static gboolean
is_policy_good(const char *xml)
{
    g_autoptr(Policy) defaults = NULL;
    g_autoptr(Policy) policy = NULL;
    g_autoptr(GError) error = NULL;

    if (!policy_may_be_in(xml))
        return TRUE;
    defaults = host_get_policy();
    policy = policy_from_domain_xml(xml, defaults, &error);
    /* Not a document at all: libvirt has its own words for that. */
    if (policy || g_error_matches(error, POLICY_ERROR, POLICY_ERROR_SYNTAX))
        return TRUE;
    error_raise(error);
    return FALSE;
}

static virDomainPtr
calls_define(virConnectPtr conn, const char *xml)
{
    return is_policy_good(xml) ? TABLE_STOCK(domainDefineXML)(conn, xml) : NULL;
}

static virDomainPtr
calls_define_flags(virConnectPtr conn, const char *xml, unsigned int flags)
{
    return is_policy_good(xml) ? TABLE_STOCK(domainDefineXMLFlags)(conn, xml, flags) : NULL;
}

static virDomainPtr
calls_create(virConnectPtr conn, const char *xml, unsigned int flags)
{
    return is_policy_good(xml) ? TABLE_STOCK(domainCreateXML)(conn, xml, flags) : NULL;
}

static virDomainPtr
calls_create_files(
    virConnectPtr conn, const char *xml, unsigned int nfiles, int *files, unsigned int flags)
{
    return is_policy_good(xml)
               ? TABLE_STOCK(domainCreateXMLWithFiles)(conn, xml, nfiles, files, flags)
               : NULL;
}

static int
calls_set_metadata(virDomainPtr dom,
                   int type,
                   const char *metadata,
                   const char *key,
                   const char *uri,
                   unsigned int flags)
{
    g_autoptr(Policy) defaults = host_get_policy();
    g_autoptr(Policy) policy = NULL;
    g_autoptr(GError) error = NULL;

    if (type == VIR_DOMAIN_METADATA_ELEMENT && metadata) {
        policy = policy_from_element_xml(metadata, uri, defaults, &error);
        if (!policy && !g_error_matches(error, POLICY_ERROR, POLICY_ERROR_SYNTAX)) {
            error_raise(error);
            return -1;
        }
    }
    return TABLE_STOCK(domainSetMetadata)(dom, type, metadata, key, uri, flags);
}

const TableOverride *
calls_overrides(gsize *n)
{
    /* clang-format off */
    static const TableOverride overrides[] = {
        TABLE_OVERRIDE(domainMigrateBegin3,         calls_begin_old),
        TABLE_OVERRIDE(domainMigrateBegin3Params,   calls_begin),
        TABLE_OVERRIDE(domainMigratePrepare3Params, calls_prepare),
        TABLE_OVERRIDE(domainMigratePerform3Params, calls_perform),
        TABLE_OVERRIDE(domainMigratePerform3,       calls_perform_old),
        TABLE_OVERRIDE(domainMigrateFinish3Params,  calls_finish),
        TABLE_OVERRIDE(domainMigrateConfirm3Params, calls_confirm),
        TABLE_OVERRIDE(domainAbortJobFlags,         calls_abort_job),
        TABLE_OVERRIDE(domainMigrateStartPostCopy,  calls_start_postcopy),
        TABLE_OVERRIDE(domainResume,                calls_resume),
        TABLE_OVERRIDE(domainDefineXML,             calls_define),
        TABLE_OVERRIDE(domainDefineXMLFlags,        calls_define_flags),
        TABLE_OVERRIDE(domainCreateXML,             calls_create),
        TABLE_OVERRIDE(domainCreateXMLWithFiles,    calls_create_files),
        TABLE_OVERRIDE(domainSetMetadata,           calls_set_metadata),
        TABLE_OVERRIDE(connectDomainEventRegisterAny, listeners_register),
        TABLE_OVERRIDE(connectGetAllDomainStats,    stats_get_all),
    };
    /* clang-format on */

    *n = G_N_ELEMENTS(overrides);
    return overrides;
}
