/*
 * phases.c: the phases of libvirt's migration protocol, on the host that each runs on
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/phases.h"

#include <stdlib.h>
#include <string.h>

#include "model/cookie.h"
#include "run/host.h"
#include "run/introduce.h"
#include "run/migration.h"
#include "run/outcome.h"
#include "run/params.h"
#include "stock/domain.h"
#include "stock/error.h"
#include "stock/table.h"
#include "util/uuid.h"

/* --- what both hosts need --- */

/* The domain's policy. One that does not hold was defined before there was a Holdfast to refuse it.
 */
static Policy *
read_policy(const char *xml, const char *name)
{
    g_autoptr(Policy) defaults = host_get_policy();
    g_autoptr(GError) error = NULL;
    Policy *policy = xml ? policy_from_domain_xml(xml, defaults, &error) : NULL;

    if (policy)
        return policy;
    if (error)
        g_warning("domain %s: %s; the host's defaults are used", name, error->message);
    return g_steal_pointer(&defaults);
}

static pid_t
get_pid(virDomainPtr dom)
{
    StockJob job = {0};

    return stock_domain_job(dom, &job) ? job.pid : 0;
}

static void
tell_outcome(Migration *migration, EventType type)
{
    const char *message = type == EVENT_CALL_COMPLETED ? NULL : virGetLastErrorMessage();

    migration_tell(migration, type, 0, message);
}

static MigrationState
get_state(Migration *migration)
{
    g_autoptr(Status) status = NULL;

    migration_sync(migration);
    status = migration_get_status(migration);
    return status->state;
}

/* --- Begin and Perform, on the source --- */

char *
phases_begin(virDomainPtr dom,
             virTypedParameterPtr params,
             int nparams,
             char **cookieout,
             int *cookieoutlen,
             unsigned int flags)
{
    char *xml = TABLE_STOCK(domainMigrateBegin3Params)(dom, params, nparams, cookieout,
                                                       cookieoutlen, flags);
    g_autoptr(Migration) migration = NULL;
    g_autoptr(Policy) policy = NULL;
    g_autoptr(GError) error = NULL;
    unsigned char uuid[VIR_UUID_BUFLEN];

    if (!xml || (flags & VIR_MIGRATE_OFFLINE) || virDomainGetUUID(dom, uuid) < 0)
        return xml;
    policy = read_policy(xml, virDomainGetName(dom));
    migration = migration_start(ROLE_SOURCE, NULL, uuid, virDomainGetName(dom), policy, flags);
    if (!migration)
        return xml;
    migration_set_channel(migration, get_pid(dom), 0);
    migration_set_undefine(migration, (flags & VIR_MIGRATE_UNDEFINE_SOURCE) != 0);
    if (!introduce_source(migration, cookieout, cookieoutlen, &error))
        g_warning("migration %s of domain %s: the destination will not know of it: %s",
                  migration_get_id(migration), virDomainGetName(dom), error->message);
    return xml;
}

static void
learn_destination(
    Migration *migration, virDomainPtr dom, const char *uri, const char *cookiein, int cookieinlen)
{
    guint16 port = 0;

    introduce_parse_uri(uri, NULL, &port);
    migration_set_channel(migration, get_pid(dom), port);
    introduce_learn_destination(migration, uri, cookiein, cookieinlen);
}

int
phases_perform(virDomainPtr dom,
               virTypedParameterPtr params,
               int nparams,
               const char *cookiein,
               int cookieinlen,
               char **cookieout,
               int *cookieoutlen,
               unsigned int flags)
{
    unsigned char uuid[VIR_UUID_BUFLEN] = {0};
    g_autoptr(Migration) migration = virDomainGetUUID(dom, uuid) == 0 ? migration_find(uuid) : NULL;
    int rc;

    if (migration && migration_get_role(migration) != ROLE_SOURCE)
        g_clear_pointer(&migration, migration_unref);
    if (migration)
        learn_destination(migration, dom, params_get_string(params, nparams, VIR_MIGRATE_PARAM_URI),
                          cookiein, cookieinlen);
    rc = TABLE_STOCK(domainMigratePerform3Params)(dom, NULL, params, nparams, cookiein, cookieinlen,
                                                  cookieout, cookieoutlen, flags);
    if (rc == 0 || !migration)
        return rc;
    /* The guest may run on the destination already: a failure would make the client cancel Finish,
     * and the destination would be destroyed. Finish decides. */
    if (migration_state_is_postcopy(get_state(migration))) {
        g_message("migration %s: Perform ended early in postcopy: %s", migration_get_id(migration),
                  virGetLastErrorMessage());
        virResetLastError();
        return 0;
    }
    tell_outcome(migration, EVENT_CALL_FAILED);
    return rc;
}

/* --- Prepare and Finish, on the destination --- */

/* A migration that the source's Holdfast announced; NULL for one of a stock source. */
static Migration *
expect(virTypedParameterPtr params,
       int nparams,
       const char *cookiein,
       int cookieinlen,
       char **cookieout,
       int *cookieoutlen,
       unsigned int flags)
{
    g_auto(Cookie) cookie = {0};
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = NULL;
    const char *name = params_get_string(params, nparams, VIR_MIGRATE_PARAM_DEST_NAME);
    Migration *migration;
    guint8 uuid[UUID_BYTES];

    if (!cookie_read(cookiein, cookieinlen, &cookie, &error))
        g_warning("an incoming migration will not recover by itself: %s", error->message);
    if (!cookie.uuid || !cookie.name || !uuid_parse(cookie.uuid, uuid))
        return NULL;
    if (!cookie.id) {
        migration_forget(uuid);
        if (g_error_matches(error, COOKIE_ERROR, COOKIE_ERROR_VERSION))
            introduce_version(cookieout, cookieoutlen);
        return NULL;
    }
    if (!name)
        name = cookie.name;
    policy = read_policy(params_get_string(params, nparams, VIR_MIGRATE_PARAM_DEST_XML), name);
    migration = migration_start(ROLE_DESTINATION, cookie.id, uuid, name, policy, flags);
    if (!migration)
        return NULL;
    migration_set_secret(migration, &cookie.secret);
    migration_set_source(migration, cookie.hostname);
    return migration;
}

static void
learn_incoming(Migration *migration, virConnectPtr dconn, const char *uri)
{
    virDomainPtr dom = TABLE_STOCK(domainLookupByUUID)(dconn, migration_get_uuid(migration));
    guint16 port = 0;

    introduce_parse_uri(uri, NULL, &port);
    if (dom) {
        migration_set_channel(migration, get_pid(dom), port);
        virDomainFree(dom);
    }
    virResetLastError();
}

int
phases_prepare(virConnectPtr dconn,
               virTypedParameterPtr params,
               int nparams,
               const char *cookiein,
               int cookieinlen,
               char **cookieout,
               int *cookieoutlen,
               char **uri_out,
               unsigned int flags)
{
    g_autoptr(Migration) migration = NULL;
    g_autoptr(GError) error = NULL;
    const char *uri;
    int rc;

    rc = TABLE_STOCK(domainMigratePrepare3Params)(dconn, params, nparams, cookiein, cookieinlen,
                                                  cookieout, cookieoutlen, uri_out, flags);
    if (rc < 0 || (flags & VIR_MIGRATE_OFFLINE))
        return rc;
    /* Only now: a Prepare that libvirt refuses, because the domain is here or on its way, must not
     * take the place of the migration that it is here by. */
    migration = expect(params, nparams, cookiein, cookieinlen, cookieout, cookieoutlen, flags);
    if (!migration)
        return rc;
    migration_keep_connection(migration, dconn);
    uri = *uri_out ? *uri_out : params_get_string(params, nparams, VIR_MIGRATE_PARAM_URI);
    learn_incoming(migration, dconn, uri);
    if (!introduce_destination(migration, uri,
                               params_get_string(params, nparams, VIR_MIGRATE_PARAM_LISTEN_ADDRESS),
                               cookieout, cookieoutlen, &error))
        g_warning("migration %s: it will not recover by itself: %s", migration_get_id(migration),
                  error->message);
    return 0;
}

/* Stock Finish has given a migration up that goes on. Its outcome, once there is one: the domain,
 * or NULL with stock libvirt's own error. */
static virDomainPtr
finish_held(Migration *migration, virConnectPtr dconn)
{
    virErrorPtr saved = stock_error_save();
    g_autoptr(Status) status = NULL;
    virDomainPtr dom = NULL;

    g_message("migration %s: Finish is held until it recovers", migration_get_id(migration));
    migration_wait(migration, MIGRATION_SETTLED, 0, 0, &status);
    if (status->state == STATE_COMPLETED)
        dom = outcome_get_destination(migration, dconn);
    if (!dom) {
        stock_error_restore(saved);
        return NULL;
    }
    if (saved)
        virFreeError(saved);
    virResetLastError();
    return dom;
}

/* Finish that comes while another one is at work: its outcome is this one's as well. */
static virDomainPtr
finish_attached(Migration *migration, virConnectPtr dconn)
{
    g_autoptr(Status) status = NULL;

    g_message("migration %s: a late Finish waits for the one at work", migration_get_id(migration));
    migration_wait(migration, MIGRATION_SETTLED, 0, 0, &status);
    if (status->state == STATE_COMPLETED)
        return outcome_get_destination(migration, dconn);
    outcome_raise(status);
    return NULL;
}

/* Stock Finish destroys a destination that it finds paused before it has started the guest, and one
 * whose source says that it failed. In postcopy both would lose the guest. */
static void
prepare_finish(Migration *migration, int *cancelled)
{
    migration_sync(migration);
    migration_wait(migration, MIGRATION_FLOWING, 0, 0, NULL);
    if (*cancelled && migration_state_is_postcopy(get_state(migration))) {
        g_warning("migration %s: the source cancelled it in postcopy; the guest stays here",
                  migration_get_id(migration));
        *cancelled = 0;
    }
}

virDomainPtr
phases_finish(virConnectPtr dconn,
              virTypedParameterPtr params,
              int nparams,
              const char *cookiein,
              int cookieinlen,
              char **cookieout,
              int *cookieoutlen,
              unsigned int flags,
              int cancelled)
{
    const char *name = params_get_string(params, nparams, VIR_MIGRATE_PARAM_DEST_NAME);
    g_autoptr(Migration) migration =
        !(flags & VIR_MIGRATE_OFFLINE) ? migration_find_incoming(dconn, name) : NULL;
    virDomainPtr dom;
    MigrationState state;

    if (migration && !migration_claim_finish(migration))
        return finish_attached(migration, dconn);
    if (migration)
        prepare_finish(migration, &cancelled);
    dom = TABLE_STOCK(domainMigrateFinish3Params)(dconn, params, nparams, cookiein, cookieinlen,
                                                  cookieout, cookieoutlen, flags, cancelled);
    if (!migration)
        return dom;
    if (dom) {
        tell_outcome(migration, EVENT_CALL_COMPLETED);
        return dom;
    }
    state = get_state(migration);
    if (migration_state_is_postcopy(state) || (state == STATE_COMPLETED && !cancelled))
        return finish_held(migration, dconn);
    tell_outcome(migration, cancelled ? EVENT_CALL_CANCELLED : EVENT_CALL_FAILED);
    return NULL;
}

void
phases_finish_ourselves(Migration *migration)
{
    virConnectPtr dconn = migration_get_connection(migration);
    virTypedParameterPtr params = NULL;
    int nparams = 0, maxparams = 0;
    char *cookie = NULL;
    int cookielen = 0;
    virDomainPtr dom = NULL;

    g_warning("migration %s of domain %s: Finish has not come; it is done without the client",
              migration_get_id(migration), migration_get_name(migration));
    if (dconn && virTypedParamsAddString(&params, &nparams, &maxparams, VIR_MIGRATE_PARAM_DEST_NAME,
                                         migration_get_name(migration)) == 0)
        dom = phases_finish(dconn, params, nparams, NULL, 0, &cookie, &cookielen,
                            migration_get_flags(migration), 0);
    if (dom)
        virDomainFree(dom);
    free(cookie);
    virTypedParamsFree(params, nparams);
    if (dconn)
        virConnectClose(dconn);
    virResetLastError();
}

/* --- Confirm, on the source --- */

int
phases_confirm(virDomainPtr dom,
               virTypedParameterPtr params,
               int nparams,
               const char *cookiein,
               int cookieinlen,
               unsigned int flags,
               int cancelled)
{
    unsigned char uuid[VIR_UUID_BUFLEN] = {0};
    g_autoptr(Migration) migration = virDomainGetUUID(dom, uuid) == 0 ? migration_find(uuid) : NULL;
    g_autoptr(Status) status = NULL;
    int rc;

    if (!migration || migration_get_role(migration) != ROLE_SOURCE || (flags & VIR_MIGRATE_OFFLINE))
        return TABLE_STOCK(domainMigrateConfirm3Params)(dom, params, nparams, cookiein, cookieinlen,
                                                        flags, cancelled);
    migration_begin_confirm(migration);
    /* Finish failed or got lost on its way; in postcopy that says nothing about the guest. */
    if (cancelled && migration_state_is_postcopy(get_state(migration))) {
        g_message("migration %s: Confirm is held until it is known how it ends",
                  migration_get_id(migration));
        migration_wait(migration, MIGRATION_SETTLED, 0, 0, &status);
        cancelled = status->state != STATE_COMPLETED;
    } else if (cancelled && get_state(migration) == STATE_COMPLETED) {
        cancelled = 0;
    }
    rc = TABLE_STOCK(domainMigrateConfirm3Params)(dom, params, nparams, cookiein, cookieinlen,
                                                  flags, cancelled);
    migration_end_confirm(migration);
    if (!cancelled && rc == 0)
        tell_outcome(migration, EVENT_CALL_COMPLETED);
    else if (!migration_state_is_postcopy(get_state(migration)))
        tell_outcome(migration, EVENT_CALL_FAILED);
    return rc;
}
