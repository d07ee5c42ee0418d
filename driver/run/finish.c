/*
 * finish.c: Finish, which starts the guest on the destination
 *
 * How it works: one call at a time may be at libvirt's Finish; it claims that first
 * (migration_claim_finish()). Whoever comes later, the client after we have lost patience with it
 * or we ourselves, waits for that one's outcome. The claim also keeps a guest from being started
 * that its source takes back.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/finish.h"

#include <glib/gi18n-lib.h>
#include <stdlib.h>
#include <string.h>

#include "run/host.h"
#include "run/outcome.h"
#include "run/params.h"
#include "run/rebuild.h"
#include "run/stray.h"
#include "stock/domain.h"
#include "stock/error.h"
#include "stock/qmp.h"
#include "stock/table.h"

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

/* The domain as this migration has brought it; NULL also when another one brings it by now. */
static virDomainPtr
lookup_own(Migration *migration, virConnectPtr dconn)
{
    virDomainPtr dom = TABLE_STOCK(domainLookupByUUID)(dconn, migration_get_uuid(migration));
    int run = migration_get_domain_id(migration);

    if (!dom || run == -1 || (int)virDomainGetID(dom) == run)
        return dom;
    virDomainFree(dom);
    return NULL;
}

static gboolean
has_ended(Migration *migration, gpointer dconn)
{
    virDomainPtr dom = lookup_own(migration, dconn);
    gboolean ended = !dom || (int)virDomainGetID(dom) == -1;

    if (dom)
        virDomainFree(dom);
    virResetLastError();
    return ended;
}

/* What QEMU has told so far is told to the engine: an answer comes behind the events on the same
 * monitor, and this one without QEMU's main loop, which may wait for a page.
 *
 * A domain whose QEMU has died is libvirt's to end first. Stock Finish takes one that is about to
 * be ended out of libvirt's list, and what is out of it is not ended any more: its thread, its
 * descriptors and its ports stay, and nobody hears of its end (qemuMigrationDstFinishActive(),
 * src/qemu/qemu_migration.c, processMonitorEOFEvent(), src/qemu/qemu_driver.c, and
 * virDomainObjBeginJobInternal(), src/conf/virdomainjob.c, 11.3.0; not so in 9.0.0). */
static void
hear_qemu(Migration *migration, virConnectPtr dconn)
{
    virDomainPtr dom = lookup_own(migration, dconn);
    g_autoptr(GError) error = NULL;
    g_autofree char *reply = dom ? qmp_execute_oob(dom, "query-yank", NULL, &error) : NULL;

    if (dom)
        virDomainFree(dom);
    virResetLastError();
    if (g_error_matches(error, QMP_ERROR, QMP_ERROR_MONITOR))
        migration_poll(migration, has_ended, dconn);
    migration_sync(migration);
}

/* Stock Finish destroys a destination that it finds paused before it has started the guest, and one
 * whose source says that it failed. In postcopy both would lose the guest. FALSE if the pause
 * lasts.
 */
static gboolean
prepare_finish(Migration *migration, virConnectPtr dconn, int *cancelled)
{
    MigrationState state;

    hear_qemu(migration, dconn);
    migration_wait(migration, MIGRATION_FLOWING, 0, 0, NULL);
    state = outcome_fetch_state(migration);
    if (*cancelled && migration_state_is_postcopy(state)) {
        g_warning("migration %s: the source cancelled it in postcopy; the guest stays here",
                  migration_get_id(migration));
        *cancelled = 0;
    }
    return !migration_state_is_postcopy(state) || state == STATE_POSTCOPY_ACTIVE;
}

/* A destination that libvirt still has as it prepared it (qemuProcessStartWithMemoryState() and
 * qemuMigrationDstPrepareActive(), src/qemu, 11.3.0). */
static gboolean
is_unstarted(Migration *migration, virConnectPtr dconn)
{
    virErrorPtr saved = stock_error_save();
    virDomainPtr dom = lookup_own(migration, dconn);
    int state = VIR_DOMAIN_NOSTATE, reason = 0;
    gboolean unstarted =
        dom && TABLE_STOCK(domainGetState)(dom, &state, &reason, 0) == 0 &&
        state == VIR_DOMAIN_PAUSED &&
        (reason == VIR_DOMAIN_PAUSED_MIGRATION || reason == VIR_DOMAIN_PAUSED_STARTING_UP ||
         reason == VIR_DOMAIN_PAUSED_POSTCOPY); /* one that was kept: stock/statusfile.h */

    if (dom)
        virDomainFree(dom);
    stock_error_restore(saved);
    return unstarted && !(migration_get_flags(migration) & VIR_MIGRATE_PAUSED);
}

typedef struct {
    virTypedParameterPtr params;
    int nparams;
    const char *cookiein;
    int cookieinlen;
    char **cookieout;
    int *cookieoutlen;
    unsigned int flags;
    int cancelled;
} Finish;

static virDomainPtr
call_stock(virConnectPtr dconn, const Finish *finish)
{
    return TABLE_STOCK(domainMigrateFinish3Params)(
        dconn, finish->params, finish->nparams, finish->cookiein, finish->cookieinlen,
        finish->cookieout, finish->cookieoutlen, finish->flags, finish->cancelled);
}

/* Only stock Finish starts the guest: what it writes is recorded from before that on. */
static void
track(Migration *migration, virConnectPtr dconn)
{
    virDomainPtr dom = lookup_own(migration, dconn);

    if (dom) {
        rebuild_track(migration, dom);
        virDomainFree(dom);
    }
    virResetLastError();
}

/* QEMU has ended while Finish was at work: see hear_qemu(). What is left of it then, if anything,
 * is no domain of libvirt's any more (run/answer.c waits for the process). */
static void
hear_end(Migration *migration, virConnectPtr dconn)
{
    virErrorPtr saved = stock_error_save();

    if (has_ended(migration, dconn))
        migration_tell(migration, EVENT_QEMU_GONE, 0, saved ? saved->message : NULL);
    stock_error_restore(saved);
}

/* libvirt makes a guest of postcopy persistent before it starts it (qemuMigrationDstFinishFresh(),
 * src/qemu/qemu_migration.c, 11.3.0), and leaves the definition behind. */
static void
forget_definition(Migration *migration)
{
    virErrorPtr saved = stock_error_save();
    gboolean ours = migration_is_fresh(migration) &&
                    (migration_get_flags(migration) & VIR_MIGRATE_PERSIST_DEST) != 0;
    virDomainPtr dom = ours ? outcome_find_own(migration) : NULL;

    if (dom && virDomainIsActive(dom) == 0)
        outcome_undefine(migration, dom);
    if (dom)
        virDomainFree(dom);
    stock_error_restore(saved);
}

/* The client hears nothing else: what Confirm has to say it drops
 * (virDomainMigrateVersion3Full(), src/libvirt-domain.c, 11.3.0). */
static void
raise_kept(Migration *migration)
{
    g_autofree char *why = g_strdup(virGetLastErrorMessage());

    stock_error_raise(VIR_ERR_OPERATION_FAILED,
                      _("domain '%1$s' has not run here, and goes on at its source: %2$s"),
                      migration_get_name(migration), why);
}

/* A claimed Finish. @goes_on: set when it gave up a migration that has not ended. */
static virDomainPtr
run_finish(Migration *migration, virConnectPtr dconn, Finish *finish, gboolean *goes_on)
{
    virDomainPtr dom;
    MigrationState state;

    *goes_on = FALSE;
    if (!prepare_finish(migration, dconn, &finish->cancelled)) {
        g_autoptr(Status) status = migration_get_status(migration);

        /* After the recovery it is ours to call. */
        migration_release_finish(migration);
        outcome_raise(status);
        return NULL;
    }
    if (!finish->cancelled)
        track(migration, dconn);
    dom = call_stock(dconn, finish);
    if (dom) {
        outcome_tell(migration, EVENT_CALL_COMPLETED);
        return dom;
    }
    state = outcome_fetch_state(migration);
    /* QEMU may have told that it has failed before it ended. */
    if (migration_state_is_postcopy(state) || state == STATE_FAILED) {
        hear_end(migration, dconn);
        state = outcome_fetch_state(migration);
    }
    *goes_on = migration_state_is_postcopy(state);
    if (*goes_on && is_unstarted(migration, dconn)) {
        g_warning("migration %s of domain %s: Finish ended before the guest was started (%s); it "
                  "is called again",
                  migration_get_id(migration), migration_get_name(migration),
                  virGetLastErrorMessage());
        migration_release_finish(migration);
    } else if (state == STATE_COMPLETED && !finish->cancelled) {
        *goes_on = TRUE;
    } else if (!*goes_on) {
        outcome_tell(migration, finish->cancelled ? EVENT_CALL_CANCELLED : EVENT_CALL_FAILED);
        if (state == STATE_FAILED && !finish->cancelled && !migration_may_have_run(migration)) {
            forget_definition(migration);
            raise_kept(migration);
        }
    }
    return NULL;
}

virDomainPtr
finish_call(virConnectPtr dconn,
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
    Finish finish = {params,    nparams,      cookiein, cookieinlen,
                     cookieout, cookieoutlen, flags,    cancelled};
    gboolean goes_on;
    virDomainPtr dom;

    /* The rest of them is known when libvirt has the domain: stray.c. */
    if (migration && stray_is(migration, dconn, cookiein, cookieinlen)) {
        stray_raise(migration_get_name(migration));
        return NULL;
    }
    if (!migration || migration_is_foreign(migration)) {
        if (migration && cancelled)
            migration_tell(migration, EVENT_CALL_CANCELLED, 0,
                           _("the source cancelled the migration"));
        return call_stock(dconn, &finish);
    }
    finish.flags |= migration_get_flags(migration) & VIR_MIGRATE_POSTCOPY; /* see postcopy.h */
    if (!migration_claim_finish(migration))
        return finish_attached(migration, dconn);
    dom = run_finish(migration, dconn, &finish, &goes_on);
    return goes_on ? finish_held(migration, dconn) : dom;
}

static void
define(Migration *migration, virDomainPtr dom)
{
    char *xml = virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_INACTIVE);
    virDomainPtr defined = xml ? virDomainDefineXML(virDomainGetConnect(dom), xml) : NULL;

    if (defined)
        virDomainFree(defined);
    else
        g_warning("migration %s: cannot make domain %s persistent: %s; define it with virsh",
                  migration_get_id(migration), migration_get_name(migration),
                  virGetLastErrorMessage());
    free(xml);
}

/* Not before the migration has ended: libvirt lets nobody read the domain until then. */
static void
make_persistent(Migration *migration, virConnectPtr connection)
{
    g_autoptr(Status) status = NULL;
    virDomainPtr dom;

    migration_wait(migration, MIGRATION_SETTLED, 0, 0, &status);
    dom = status->state == STATE_COMPLETED ? outcome_get_destination(migration, connection) : NULL;
    if (dom) {
        define(migration, dom);
        virDomainFree(dom);
    }
}

/* What libvirt says of a destination that it has taken up without a client. It draws its line under
 * one that nobody has started as well, which is stopped by the user then, for all it knows
 * (qemuMigrationDstComplete(), src/qemu/qemu_migration.c, 11.3.0). */
typedef struct {
    int state;
    int reason;
    gboolean ended; /* its job */
} Kept;

static gboolean
look_at_kept(virDomainPtr dom, Kept *kept)
{
    StockJob job = {0};

    if (virDomainGetState(dom, &kept->state, &kept->reason, 0) < 0 || !stock_domain_job(dom, &job))
        return FALSE;
    kept->ended = job.async == STOCK_ASYNC_NONE;
    return TRUE;
}

static gboolean
is_kept_unstarted(Migration *migration, const Kept *kept)
{
    return kept->state == VIR_DOMAIN_PAUSED &&
           !(migration_get_flags(migration) & VIR_MIGRATE_PAUSED) &&
           (kept->reason == VIR_DOMAIN_PAUSED_POSTCOPY ||
            kept->reason == VIR_DOMAIN_PAUSED_MIGRATION || kept->reason == VIR_DOMAIN_PAUSED_USER);
}

/* FALSE if it is to be tried again. */
static gboolean
run_kept(Migration *migration, virDomainPtr dom)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *reply = NULL;

    if (!migration_claim_finish(migration))
        return FALSE;
    g_warning(
        "migration %s of domain %s: it was not started before the daemon's restart, and is now",
        migration_get_id(migration), migration_get_name(migration));
    rebuild_track(migration, dom);
    reply = qmp_execute(dom, "{\"execute\":\"cont\"}", &error);
    if (reply)
        return TRUE;
    g_warning("migration %s: cannot start domain %s: %s; it is tried again",
              migration_get_id(migration), migration_get_name(migration), error->message);
    migration_release_finish(migration);
    return FALSE;
}

/* What is left of Finish when libvirt knows of no client any more, after a restart: the guest is
 * started, unless it was, and made persistent if that was asked. libvirt completes the rest
 * unattended. */
static void
start_kept(Migration *migration, virConnectPtr connection, virDomainPtr dom)
{
    Kept kept = {0};
    gboolean ran = FALSE; /* or all is done to it that is to be */

    if (!look_at_kept(dom, &kept))
        return;
    if (is_kept_unstarted(migration, &kept)) {
        if (!run_kept(migration, dom) || !look_at_kept(dom, &kept))
            return;
        ran = TRUE;
    } else if (kept.state == VIR_DOMAIN_RUNNING) {
        migration_post(migration, EVENT_QEMU_RESUME, 0, NULL);
    } else if (kept.ended && kept.reason == VIR_DOMAIN_PAUSED_USER) {
        ran = TRUE; /* one that is to stay stopped */
    } else {
        return;
    }
    /* A command is let through when libvirt has reconnected; before that a job that is missing says
     * nothing. */
    if (kept.ended && (ran || kept.reason == VIR_DOMAIN_RUNNING_MIGRATED))
        migration_post(migration, EVENT_CALL_COMPLETED, 0, NULL);
    if ((migration_get_flags(migration) & VIR_MIGRATE_PERSIST_DEST) &&
        virDomainIsPersistent(dom) == 0)
        make_persistent(migration, connection);
}

static void
finish_kept(Migration *migration)
{
    virConnectPtr connection = host_connect();
    virDomainPtr dom =
        connection ? virDomainLookupByUUID(connection, migration_get_uuid(migration)) : NULL;

    if (dom) {
        start_kept(migration, connection, dom);
        virDomainFree(dom);
    }
    if (connection)
        virConnectClose(connection);
}

void
finish_look_job(gpointer opaque, gpointer unused)
{
    g_autoptr(Migration) migration = opaque;
    virConnectPtr connection = host_connect();

    if (connection && has_ended(migration, connection))
        migration_post(migration, EVENT_QEMU_GONE, 0, NULL);
    if (connection)
        virConnectClose(connection);
}

/** Finish in place of the client, on its connection. */
typedef struct {
    virConnectPtr dconn; /* NULL: there is none */
    Finish finish;
    char *cookie; /* what it gives; for nobody */
    int cookielen;
} OwnFinish;

static void
own_clear(OwnFinish *own)
{
    free(own->cookie);
    virTypedParamsFree(own->finish.params, own->finish.nparams);
    if (own->dconn)
        virConnectClose(own->dconn);
    virResetLastError();
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(OwnFinish, own_clear)

/* @own: stays where it is. */
static void
own_init(OwnFinish *own, Migration *migration, int cancelled)
{
    int max = 0;

    *own = (OwnFinish){
        .dconn = migration_get_connection(migration),
        .finish = {.cookieout = &own->cookie,
                   .cookieoutlen = &own->cookielen,
                   .flags = migration_get_flags(migration),
                   .cancelled = cancelled},
    };
    virTypedParamsAddString(&own->finish.params, &own->finish.nparams, &max,
                            VIR_MIGRATE_PARAM_DEST_NAME, migration_get_name(migration));
}

void
finish_ourselves(Migration *migration)
{
    g_auto(OwnFinish) own = {0};
    virDomainPtr dom = NULL;
    gboolean goes_on;

    own_init(&own, migration, 0);
    if (!own.dconn) {
        finish_kept(migration);
        return;
    }
    if (!migration_claim_finish(migration))
        return;
    g_warning("migration %s of domain %s: Finish has not come; it is done without the client",
              migration_get_id(migration), migration_get_name(migration));
    dom = run_finish(migration, own.dconn, &own.finish, &goes_on);
    if (dom)
        virDomainFree(dom);
}

/* Finish cancelled on behalf of a source that wants the guest back: libvirt stops QEMU, so that no
 * late word of a client can start it. */
void
finish_cancel(Migration *migration)
{
    g_auto(OwnFinish) own = {0};
    virDomainPtr dom;

    own_init(&own, migration, 1);
    /* None after a restart, and none that serves in its first moments: the source asks again. */
    if (!own.dconn)
        own.dconn = host_connect();
    if (!own.dconn || migration_state_is_postcopy(outcome_fetch_state(migration)) ||
        !migration_claim_finish(migration))
        return;
    g_message("migration %s of domain %s: the source takes the guest back, which was not started "
              "here",
              migration_get_id(migration), migration_get_name(migration));
    dom = call_stock(own.dconn, &own.finish);
    if (dom)
        virDomainFree(dom);
    if (outcome_is_active(migration, own.dconn))
        migration_release_finish(migration);
    else
        outcome_tell(migration, EVENT_CALL_CANCELLED);
}
