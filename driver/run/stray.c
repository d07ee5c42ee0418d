/*
 * stray.c: a Finish that comes when another migration than its own comes in
 *
 * How it works: a client may wait in Finish all through an outage. When the outage lets go of it,
 * the next migration of the domain, or of one of its name, may be on its way here, and libvirt,
 * which knows a Finish by the domain's name alone, would destroy what comes in. That is told apart
 * where libvirt has found the domain and has it locked (stock/hooks-finish.c):
 *
 *     the domain                            Finish is let through
 *     was brought by a migration we know    if it is of that one, see stray_is()
 *     is being prepared                     never: who waits for Prepare does not call Finish
 *     was prepared a moment ago             likewise: Prepare has yet to be answered
 *     any other: tunnelled, of the old API  if it names no migration of ours
 *
 * Which run of a domain it is says the number that libvirt gives to each. A Prepare that libvirt is
 * about to refuse must not stand in the way of the migration that it is refused for, also if that
 * one is libvirt's alone: a run that was there before a Prepare began is none of its doing.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/stray.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#include "run/connection.h"
#include "stock/error.h"
#include "stock/hooks.h"
#include "stock/table.h"
#include "util/uuid.h"

struct Preparation {
    unsigned char uuid[VIR_UUID_BUFLEN]; /* of the domain */
    int before;                          /* its run when Prepare began; -1: none */
};

static GMutex lock;
static GList *preparations; /* under the lock */

static int
fetch_run(virConnectPtr dconn, const unsigned char *uuid)
{
    virDomainPtr dom = TABLE_STOCK(domainLookupByUUID)(dconn, uuid);
    int run = dom ? (int)virDomainGetID(dom) : -1;

    if (dom)
        virDomainFree(dom);
    virResetLastError();
    return run;
}

Preparation *
preparation_begin(virConnectPtr dconn, const char *cookiein, int cookieinlen)
{
    g_auto(Cookie) cookie = {0};
    unsigned char uuid[VIR_UUID_BUFLEN];
    Preparation *preparation;

    cookie_read(cookiein, cookieinlen, &cookie, NULL);
    if (!cookie.uuid || !uuid_parse(cookie.uuid, uuid))
        return NULL;
    preparation = g_new(Preparation, 1);
    memcpy(preparation->uuid, uuid, sizeof(uuid));
    preparation->before = fetch_run(dconn, uuid);
    g_mutex_lock(&lock);
    preparations = g_list_prepend(preparations, preparation);
    g_mutex_unlock(&lock);
    return preparation;
}

void
preparation_free(Preparation *preparation)
{
    if (!preparation)
        return;
    g_mutex_lock(&lock);
    preparations = g_list_remove(preparations, preparation);
    g_mutex_unlock(&lock);
    g_free(preparation);
}

/* Whether a Prepare that has not been answered brought that run of the domain. */
static gboolean
is_just_prepared(const unsigned char *uuid, int run)
{
    gboolean found = FALSE;

    g_mutex_lock(&lock);
    for (GList *link = preparations; link && !found; link = link->next) {
        const Preparation *preparation = link->data;

        found = memcmp(preparation->uuid, uuid, VIR_UUID_BUFLEN) == 0 && preparation->before != run;
    }
    g_mutex_unlock(&lock);
    return found;
}

/* libvirt tells migrations apart by nothing but the domain's UUID, and destroys what comes in when
 * that differs. A client that has failed sends no cookie, but has called Prepare on the same
 * connection; a source without Holdfast names no migration. */
static gboolean
is_of_another(Migration *migration, virConnectPtr dconn, const Cookie *cookie)
{
    unsigned char uuid[VIR_UUID_BUFLEN];

    if (cookie->id)
        return !g_str_equal(cookie->id, migration_get_id(migration));
    if (cookie->uuid && uuid_parse(cookie->uuid, uuid) &&
        memcmp(uuid, migration_get_uuid(migration), VIR_UUID_BUFLEN) != 0)
        return TRUE;
    return connection_is_another(migration, dconn);
}

gboolean
stray_is(Migration *migration, virConnectPtr dconn, const char *cookiein, int cookieinlen)
{
    g_auto(Cookie) cookie = {0};

    cookie_read(cookiein, cookieinlen, &cookie, NULL);
    return is_of_another(migration, dconn, &cookie);
}

void
stray_raise(const char *name)
{
    stock_error_raise(VIR_ERR_OPERATION_INVALID,
                      _("this Finish is not of the migration by which domain '%1$s' comes in now: "
                        "it came too late and is ignored"),
                      name);
}

static gboolean
is_stray(const HooksFinish *finish)
{
    g_autoptr(Migration) migration = migration_find(finish->uuid);
    g_auto(Cookie) cookie = {0};
    int run = migration ? migration_get_domain_id(migration) : -1;

    /* libvirt demands that a resume was prepared for it. */
    if (finish->flags & VIR_MIGRATE_POSTCOPY_RESUME)
        return FALSE;
    cookie_read(finish->cookie, finish->cookie_length, &cookie, NULL);
    /* Of these none runs. */
    if ((finish->flags & VIR_MIGRATE_OFFLINE) && finish->id != -1)
        return TRUE;
    if (run != -1 && run == finish->id)
        return is_of_another(migration, finish->dconn, &cookie);
    if (finish->driven || is_just_prepared(finish->uuid, finish->id))
        return TRUE;
    /* The run of one that a restart of the daemon has brought here may not be known. */
    return cookie.id &&
           !(migration && run == -1 && g_str_equal(cookie.id, migration_get_id(migration)));
}

static gboolean
on_finish(const HooksFinish *finish)
{
    if (!is_stray(finish))
        return TRUE;
    stray_raise(finish->name);
    return FALSE;
}

void
stray_watch(void)
{
    hooks_set_finish_listener(on_finish);
}
