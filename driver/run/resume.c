/*
 * resume.c: a client's request to resume a paused postcopy migration
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/resume.h"

#include <glib/gi18n-lib.h>
#include <stdlib.h>
#include <string.h>

#include "model/cookie.h"
#include "run/error.h"
#include "run/introduce.h"
#include "run/outcome.h"
#include "run/params.h"
#include "run/requests.h"
#include "stock/error.h"
#include "stock/table.h"

Migration *
resume_find_source(virDomainPtr dom)
{
    unsigned char uuid[VIR_UUID_BUFLEN];
    g_autoptr(Migration) migration = NULL;
    g_autoptr(Status) status = NULL;

    if (virDomainGetUUID(dom, uuid) < 0 || !(migration = migration_find(uuid)))
        return NULL;
    migration_sync(migration);
    status = migration_get_status(migration);
    /* With nothing paused stock libvirt has the right words, and finds out before it asks the
     * destination anything. */
    if (status->role != ROLE_SOURCE || status->state < STATE_POSTCOPY_PAUSED ||
        migration_state_is_terminal(status->state))
        return NULL;
    /* A UNIX socket between two hosts that both have the mended Prepare. */
    if (migration_has_peer(migration) && !migration_can_ask(migration))
        return NULL;
    return g_steal_pointer(&migration);
}

char *
resume_begin(
    Migration *migration, virDomainPtr dom, char **cookieout, int *cookieoutlen, unsigned int flags)
{
    g_autoptr(GError) error = NULL;
    char *xml, *cookie;
    int length;

    /* A stock destination must not even see it: libvirt 11.2 and 11.3 would crash. */
    if (!requests_check_recover(migration, &error)) {
        error_raise(error);
        return NULL;
    }
    xml = TABLE_STOCK(domainGetXMLDesc)(dom, VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_MIGRATABLE);
    cookie = strdup("<qemu-migration/>");
    length = cookie ? (int)strlen(cookie) : 0;
    if (!xml || !introduce_source(migration, &cookie, &length, &error)) {
        if (error)
            error_raise(error);
        free(cookie);
        free(xml);
        return NULL;
    }
    if (flags & VIR_MIGRATE_UNDEFINE_SOURCE)
        migration_set_undefine(migration, TRUE);
    *cookieout = cookie;
    *cookieoutlen = length;
    return xml;
}

gboolean
resume_prepare(virTypedParameterPtr params,
               int nparams,
               const char *cookiein,
               int cookieinlen,
               char **uri_out,
               int *rc)
{
    g_auto(Cookie) cookie = {0};
    g_autoptr(GError) error = NULL;
    g_autoptr(Migration) migration = NULL;
    g_autoptr(Status) status = NULL;

    if (!cookie_read(cookiein, cookieinlen, &cookie, &error)) {
        error_raise(error);
        *rc = -1;
        return TRUE;
    }
    if (!cookie.id)
        return FALSE;
    *rc = -1;
    migration = migration_find_by_secret(&cookie.secret);
    status = migration ? migration_get_status(migration) : NULL;
    if (!status || migration_state_is_terminal(status->state)) {
        stock_error_raise(VIR_ERR_OPERATION_INVALID,
                          _("migration %1$s is not known on this host: resume it to the host that "
                            "it was started to"),
                          cookie.id);
        return TRUE;
    }
    /* The way is the engines' to find; libvirt's protocol wants a URI all the same. */
    if (!params_get_string(params, nparams, VIR_MIGRATE_PARAM_URI))
        *uri_out = strdup(RESUME_URI_SESSION);
    *rc = 0;
    return TRUE;
}

/* Starts the recovery and waits for the first time it succeeds. */
static int
recover(Migration *migration,
        virTypedParameterPtr params,
        int nparams,
        unsigned int flags,
        guint64 timeout_ms)
{
    const char *uri = params_get_string(params, nparams, VIR_MIGRATE_PARAM_URI);
    g_autoptr(GError) error = NULL;
    g_autoptr(Status) status = NULL;
    guint recoveries = 0;

    if (g_strcmp0(uri, RESUME_URI_SESSION) == 0)
        uri = NULL;
    if (flags & VIR_MIGRATE_UNDEFINE_SOURCE)
        migration_set_undefine(migration, TRUE);
    if (!requests_recover(migration, uri, &recoveries, &error)) {
        error_raise(error);
        return -1;
    }
    migration_sync(migration);
    if (!migration_wait(migration, MIGRATION_RECOVERED, recoveries, timeout_ms, &status)) {
        g_set_error(&error, MIGRATION_ERROR, MIGRATION_ERROR_TIMEOUT,
                    _("the migration of domain '%1$s' has not recovered yet (%2$s): it goes on "
                      "trying, see the network to host '%3$s'"),
                    status->name, migration_state_to_string(status->state), status->peer);
        error_raise(error);
        return -1;
    }
    return outcome_is_lost(status) ? outcome_raise(status) : 0;
}

int
resume_perform(Migration *migration, virTypedParameterPtr params, int nparams, unsigned int flags)
{
    return recover(migration, params, nparams, flags, 0);
}

/* virsh migrate-recover without anything to recover. Stock libvirt would try to connect to a
 * destination that only we understand. */
static int
refuse_session(virDomainPtr dom)
{
    unsigned char uuid[VIR_UUID_BUFLEN];
    g_autoptr(Migration) migration = virDomainGetUUID(dom, uuid) == 0 ? migration_find(uuid) : NULL;
    g_autoptr(GError) error = NULL;

    if (migration && !requests_check_recover(migration, &error)) {
        error_raise(error);
        return -1;
    }
    stock_error_raise(VIR_ERR_OPERATION_INVALID,
                      _("domain '%1$s' has no paused migration on this host: there is nothing to "
                        "recover"),
                      virDomainGetName(dom));
    return -1;
}

int
resume_perform_p2p(virDomainPtr dom,
                   const char *dconnuri,
                   virTypedParameterPtr params,
                   int nparams,
                   unsigned int flags)
{
    g_autoptr(Migration) migration = resume_find_source(dom);
    const char *wait = params_get_string(params, nparams, RESUME_PARAM_WAIT);
    unsigned long long timeout_ms = 0;

    if (!migration) {
        if (dconnuri && g_str_has_prefix(dconnuri, RESUME_URI_SESSION))
            return refuse_session(dom);
        return TABLE_STOCK(domainMigratePerform3Params)(dom, dconnuri, params, nparams, NULL, 0,
                                                        NULL, NULL, flags);
    }
    if (virTypedParamsGetULLong(params, nparams, RESUME_PARAM_TIMEOUT, &timeout_ms) < 0)
        return -1;
    if (recover(migration, params, nparams, flags, timeout_ms) < 0)
        return -1;
    if (g_strcmp0(wait, "recovered") == 0)
        return 0;
    return resume_confirm(migration, 0);
}

gboolean
resume_finish(
    virConnectPtr dconn, virTypedParameterPtr params, int nparams, int cancelled, virDomainPtr *dom)
{
    const char *name = params_get_string(params, nparams, VIR_MIGRATE_PARAM_DEST_NAME);
    g_autoptr(Migration) migration = migration_find_incoming(dconn, name);
    g_autoptr(Status) status = NULL;

    if (!migration || !migration_has_peer(migration))
        return FALSE;
    *dom = NULL;
    /* The source could not resume: it is as paused as before. */
    if (cancelled) {
        stock_error_raise(VIR_ERR_MIGRATE_FINISH_OK, NULL);
        return TRUE;
    }
    migration_wait(migration, MIGRATION_SETTLED, 0, 0, &status);
    if (status->state == STATE_COMPLETED)
        *dom = outcome_get_destination(migration, dconn);
    else
        outcome_raise(status);
    return TRUE;
}

int
resume_confirm(Migration *migration, int cancelled)
{
    g_autoptr(Status) status = NULL;

    if (cancelled)
        return 0;
    migration_wait(migration, MIGRATION_SETTLED, 0, 0, &status);
    if (status->state != STATE_COMPLETED)
        return outcome_raise(status);
    outcome_wait_source(migration);
    return 0;
}
