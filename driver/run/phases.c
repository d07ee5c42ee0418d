/*
 * phases.c: the phases of libvirt's migration protocol, on the host that each runs on
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/phases.h"

#include <stdlib.h>
#include <string.h>

#include "run/bitmaps.h"
#include "run/departure.h"
#include "run/host.h"
#include "run/introduce.h"
#include "run/migration.h"
#include "run/outcome.h"
#include "run/params.h"
#include "run/postcopy.h"
#include "run/stray.h"
#include "run/stuck.h"
#include "run/takeback.h"
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

/* Of the domain as the client wants it on the destination, which is read there too. */
static Policy *
read_own_policy(virDomainPtr dom, virTypedParameterPtr params, int nparams)
{
    const char *given = params_get_string(params, nparams, VIR_MIGRATE_PARAM_DEST_XML);
    const char *name = virDomainGetName(dom); /* it resets the error */
    char *own = given ? NULL : virDomainGetXMLDesc(dom, 0);
    Policy *policy;

    if (!given && !own)
        g_warning("domain %s: its policy cannot be read (%s); the host's defaults are used", name,
                  virGetLastErrorMessage());
    policy = read_policy(given ? given : own, name);
    virResetLastError();
    free(own);
    return policy;
}

static pid_t
get_pid(virDomainPtr dom)
{
    StockJob job = {0};

    return stock_domain_job(dom, &job) ? job.pid : 0;
}

/* --- Begin and Perform, on the source --- */

gboolean
phases_check_stock(virDomainPtr dom, virTypedParameterPtr params, int nparams, unsigned int flags)
{
    g_autoptr(Policy) policy = read_own_policy(dom, params, nparams);

    return postcopy_check_stock(dom, policy,
                                params_get_string(params, nparams, VIR_MIGRATE_PARAM_URI), flags);
}

char *
phases_begin(virDomainPtr dom,
             virTypedParameterPtr params,
             int nparams,
             char **cookieout,
             int *cookieoutlen,
             unsigned int flags)
{
    g_autoptr(Policy) policy = read_own_policy(dom, params, nparams);
    g_autoptr(Migration) migration = NULL;
    g_autoptr(GError) error = NULL;
    unsigned char uuid[VIR_UUID_BUFLEN];
    PostcopyPlan plan = {0};
    char *xml;

    if (stuck_refuse(dom) ||
        !postcopy_begin(dom, policy, params_get_string(params, nparams, VIR_MIGRATE_PARAM_URI),
                        flags, &plan) ||
        !departure_begin(dom, policy, params, nparams, flags))
        return NULL;
    xml = TABLE_STOCK(domainMigrateBegin3Params)(dom, params, nparams, cookieout, cookieoutlen,
                                                 plan.flags);
    if (!xml || (flags & VIR_MIGRATE_OFFLINE) || virDomainGetUUID(dom, uuid) < 0)
        return xml;
    migration = migration_start(ROLE_SOURCE, NULL, uuid, virDomainGetName(dom), policy, flags);
    if (!migration)
        return xml;
    migration_set_channel(migration, get_pid(dom), 0);
    migration_set_domain_id(migration, (int)virDomainGetID(dom));
    migration_keep_connection(migration, virDomainGetConnect(dom));
    migration_set_undefine(migration, (flags & VIR_MIGRATE_UNDEFINE_SOURCE) != 0);
    migration_learn_disks(migration);
    postcopy_planned(migration, &plan);
    if (!introduce_source(migration, cookieout, cookieoutlen, &error))
        g_warning("migration %s of domain %s: the destination will not know of it: %s",
                  migration_get_id(migration), virDomainGetName(dom), error->message);
    return xml;
}

static CookiePostcopy
learn_destination(
    Migration *migration, virDomainPtr dom, const char *uri, const char *cookiein, int cookieinlen)
{
    guint16 port = 0;

    introduce_parse_uri(uri, NULL, &port);
    migration_set_channel(migration, get_pid(dom), port);
    return introduce_learn_destination(migration, uri, cookiein, cookieinlen);
}

/* The destination is to know which migration Finish is of. */
static void
name_migration(Migration *migration, char **cookie, int *length)
{
    g_autoptr(GError) error = NULL;

    if (!introduce_source(migration, cookie, length, &error))
        g_warning("migration %s: Finish will not be told which it is of: %s",
                  migration_get_id(migration), error->message);
}

/* libvirt sends bitmaps only where it copies storage (qemuMigrationSrcBeginPhase(),
 * src/qemu/qemu_migration.c, 9.0.0 and 11.3.0); what QEMU had given up with its image, or a guard,
 * is another matter. Before the client hears of the failure, and may make a backup. */
static void
repair_bitmaps(Migration *migration, virDomainPtr dom, unsigned int flags)
{
    if ((flags & (VIR_MIGRATE_NON_SHARED_DISK | VIR_MIGRATE_NON_SHARED_INC)) ||
        (migration && (migration_has_given_up(migration) || migration_is_guarded(migration))))
        bitmaps_repair(dom);
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
    CookiePostcopy answer;
    int rc;

    if (migration && migration_get_role(migration) != ROLE_SOURCE)
        g_clear_pointer(&migration, migration_unref);
    if (migration) {
        answer = learn_destination(migration, dom,
                                   params_get_string(params, nparams, VIR_MIGRATE_PARAM_URI),
                                   cookiein, cookieinlen);
        if (!postcopy_perform(migration, dom, answer, &flags) ||
            !departure_perform(migration, dom, params, nparams, cookiein, cookieinlen, flags)) {
            outcome_tell(migration, EVENT_CALL_FAILED);
            return -1;
        }
    }
    rc = TABLE_STOCK(domainMigratePerform3Params)(dom, NULL, params, nparams, cookiein, cookieinlen,
                                                  cookieout, cookieoutlen, flags);
    if (rc == 0) {
        if (migration)
            name_migration(migration, cookieout, cookieoutlen);
        return rc;
    }
    /* The guest may run on the destination already: a failure would make the client cancel Finish,
     * and the destination would be destroyed. Finish decides. */
    if (migration && migration_state_is_postcopy(outcome_fetch_state(migration))) {
        g_message("migration %s: Perform ended early in postcopy: %s", migration_get_id(migration),
                  virGetLastErrorMessage());
        virResetLastError();
        name_migration(migration, cookieout, cookieoutlen);
        return 0;
    }
    if (migration && takeback_wait(migration))
        return takeback_raise(migration, virGetLastErrorMessage());
    if (migration)
        stuck_explain(migration, dom);
    repair_bitmaps(migration, dom, flags);
    if (migration)
        outcome_tell(migration, EVENT_CALL_FAILED);
    return rc;
}

/* --- Prepare, on the destination --- */

/* One of a source that has no Holdfast, or one that we do not understand. */
static Migration *
expect_foreign(const Cookie *cookie,
               const guint8 *uuid,
               const char *name,
               char **cookieout,
               int *cookieoutlen,
               unsigned int flags,
               const GError *error)
{
    Migration *migration = migration_start_foreign(uuid, name, flags);

    if (migration)
        introduce_foreign(migration, cookie, error);
    if (g_error_matches(error, COOKIE_ERROR, COOKIE_ERROR_VERSION))
        introduce_version(cookieout, cookieoutlen);
    return migration;
}

/* The migration that the source has announced; NULL if it does not even say of which domain. */
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
    if (!name)
        name = cookie.name;
    if (!cookie.id)
        return expect_foreign(&cookie, uuid, name, cookieout, cookieoutlen, flags, error);
    policy = read_policy(params_get_string(params, nparams, VIR_MIGRATE_PARAM_DEST_XML), name);
    migration = migration_start(ROLE_DESTINATION, cookie.id, uuid, name, policy, flags);
    if (!migration)
        return NULL;
    migration_set_secret(migration, &cookie.secret);
    migration_set_wish(migration, cookie.postcopy);
    migration_set_source(migration, cookie.hostname);
    return migration;
}

typedef struct {
    virConnectPtr dconn;
    virTypedParameterPtr params;
    int nparams;
    const char *cookiein;
    int cookieinlen;
    char **cookieout;
    int *cookieoutlen;
    char **uri_out;
} Prepare;

/* Returns what is in the way of the source's bitmaps, see departure_prepare(). */
static GPtrArray *
learn_incoming(Migration *migration, const Prepare *prepare, const char *uri, unsigned int flags)
{
    virDomainPtr dom =
        TABLE_STOCK(domainLookupByUUID)(prepare->dconn, migration_get_uuid(migration));
    GPtrArray *taken = NULL;
    guint16 port = 0;

    introduce_parse_uri(uri, NULL, &port);
    if (dom) {
        migration_set_channel(migration, get_pid(dom), port);
        migration_set_domain_id(migration, (int)virDomainGetID(dom));
        migration_set_fresh(migration, virDomainIsPersistent(dom) == 0);
        migration_learn_disks(migration);
        taken = departure_prepare(migration, dom, prepare->cookiein, prepare->cookieinlen, flags);
        virDomainFree(dom);
    }
    virResetLastError();
    return taken;
}

static int
call_stock(const Prepare *prepare, unsigned int flags)
{
    return TABLE_STOCK(domainMigratePrepare3Params)(
        prepare->dconn, prepare->params, prepare->nparams, prepare->cookiein, prepare->cookieinlen,
        prepare->cookieout, prepare->cookieoutlen, prepare->uri_out, flags);
}

/* libvirt's Prepare, with postcopy if the source's policy asks for it. Whether QEMU, the kernel and
 * the guest's devices here are up to it shows when QEMU is told; then without, if that will do.
 * @flags: (inout): those that it was prepared with
 * @refusal: (out): why not with postcopy, if that was tried */
static int
prepare_with_postcopy(const Prepare *prepare, unsigned int *flags, char **refusal)
{
    const char *uri = params_get_string(prepare->params, prepare->nparams, VIR_MIGRATE_PARAM_URI);
    CookiePostcopy wish = COOKIE_POSTCOPY_NONE;
    unsigned int with =
        postcopy_prepare(prepare->cookiein, prepare->cookieinlen, uri, *flags, &wish);
    int rc = call_stock(prepare, with);

    if (rc < 0 && with != *flags && wish == COOKIE_POSTCOPY_PREFER) {
        *refusal = g_strdup(virGetLastErrorMessage());
        g_clear_pointer(prepare->cookieout, free);
        *prepare->cookieoutlen = 0;
        g_clear_pointer(prepare->uri_out, free);
        virResetLastError();
        return call_stock(prepare, *flags);
    }
    *flags = with;
    return rc;
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
    g_autofree char *refusal = NULL;
    g_autoptr(Preparation) preparation = NULL;
    const Prepare prepare = {dconn,       params,    nparams,      cookiein,
                             cookieinlen, cookieout, cookieoutlen, uri_out};
    g_autoptr(GPtrArray) taken = NULL;
    const char *uri;
    int rc;

    preparation = preparation_begin(dconn, cookiein, cookieinlen);
    rc = prepare_with_postcopy(&prepare, &flags, &refusal);
    if (rc < 0 || (flags & VIR_MIGRATE_OFFLINE))
        return rc;
    /* Only now: a Prepare that libvirt refuses, because the domain is here or on its way, must not
     * take the place of the migration that it is here by. */
    migration = expect(params, nparams, cookiein, cookieinlen, cookieout, cookieoutlen, flags);
    if (!migration)
        return rc;
    if (!migration_is_foreign(migration))
        migration_keep_connection(migration, dconn);
    postcopy_prepared(migration, refusal);
    uri = *uri_out ? *uri_out : params_get_string(params, nparams, VIR_MIGRATE_PARAM_URI);
    taken = learn_incoming(migration, &prepare, uri, flags);
    if (!migration_is_foreign(migration) &&
        !introduce_destination(migration, uri,
                               params_get_string(params, nparams, VIR_MIGRATE_PARAM_LISTEN_ADDRESS),
                               taken, cookieout, cookieoutlen, &error))
        g_warning("migration %s: it will not recover by itself: %s", migration_get_id(migration),
                  error->message);
    /* A daemon that is away from here on has to know that it may be in postcopy. */
    if (flags & VIR_MIGRATE_POSTCOPY) {
        migration_note(migration);
        migration_sync(migration);
    }
    return 0;
}
