/*
 * requests.c: what a person asks of a migration, from virsh or over D-Bus
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/requests.h"

#include <glib/gi18n-lib.h>

#include "dbus/error.h"
#include "run/host.h"
#include "run/migration-priv.h"

static gboolean
check_recoverable(Migration *migration, const Status *status, GError **error)
{
    if (migration_state_is_terminal(status->state)) {
        g_set_error(error, SERVICE_ERROR, SERVICE_ERROR_NO_MIGRATION,
                    _("the migration of domain '%1$s' has ended: there is nothing to recover"),
                    status->name);
    } else if (status->state < STATE_POSTCOPY_PAUSED) {
        g_set_error(error, SERVICE_ERROR, SERVICE_ERROR_NOT_PAUSED,
                    _("the migration of domain '%1$s' is not paused: there is nothing to recover"),
                    status->name);
    } else if (migration->role == ROLE_DESTINATION) {
        g_set_error(error, SERVICE_ERROR, SERVICE_ERROR_NOT_SUPPORTED,
                    _("the migration of domain '%1$s' can only be recovered from its source: ask "
                      "on host '%2$s'"),
                    status->name, status->peer);
    } else {
        return TRUE;
    }
    return FALSE;
}

gboolean
requests_recover(Migration *migration, const char *uri, guint *recoveries, GError **error)
{
    g_autoptr(Status) status = migration_get_status(migration);
    g_autofree char *host = NULL;
    guint16 port = 0;

    if (uri && !policy_path_parse(uri, &host, &port)) {
        g_set_error(error, SERVICE_ERROR, SERVICE_ERROR_INVALID_ARGUMENT,
                    _("'%1$s' is not the address of a destination: give tcp://HOST or "
                      "tcp://HOST:PORT"),
                    uri);
        return FALSE;
    }
    if (!check_recoverable(migration, status, error))
        return FALSE;
    if (!migration_can_ask(migration)) {
        g_set_error(error, SERVICE_ERROR, SERVICE_ERROR_NOT_SUPPORTED,
                    _("host '%1$s' has no Holdfast that this one can talk to: update both hosts, "
                      "then recover with virsh migrate --postcopy --postcopy-resume"),
                    status->peer);
        return FALSE;
    }
    if (host)
        migration_set_override(migration, host, port);
    *recoveries = status->recoveries;
    migration_post(migration, EVENT_RECOVER_REQUESTED, 0, NULL);
    return TRUE;
}

/* --- D-Bus, on the engine thread --- */

static void
refuse(ServiceReply *reply, GError *error)
{
    service_reply_finish(reply, error);
    g_error_free(error);
}

static Migration *
find_by_text(const char *uuid, GError **error)
{
    Migration *migration = migration_find_by_uuid_text(uuid);

    if (!migration)
        g_set_error(error, SERVICE_ERROR, SERVICE_ERROR_NO_MIGRATION,
                    _("no migration of domain %1$s is known on this host"), uuid);
    return migration;
}

static void
recovered(const Status *status, gpointer opaque)
{
    ServiceReply *reply = opaque;

    if (status->state == STATE_COMPLETED || status->state == STATE_POSTCOPY_ACTIVE)
        service_reply_finish(reply, NULL);
    else
        refuse(reply, g_error_new(SERVICE_ERROR, SERVICE_ERROR_FAILED,
                                  _("the migration of domain '%1$s' did not recover: it is %2$s"),
                                  status->name, migration_state_to_string(status->state)));
}

typedef struct {
    Migration *migration;
    guint recoveries;
    ServiceReply *reply;
} RecoverWait;

/* After what requests_recover() posted: before it, the wait of an operator's pause is over at once.
 */
static gboolean
wait_recovered_cb(gpointer opaque)
{
    RecoverWait *wait = opaque;

    migration_when(wait->migration, MIGRATION_RECOVERED, wait->recoveries, recovered, wait->reply);
    migration_unref(wait->migration);
    g_free(wait);
    return G_SOURCE_REMOVE;
}

static void
recover(const char *uuid, const char *uri, ServiceReply *reply, gpointer user_data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Migration) migration = find_by_text(uuid, &error);
    guint recoveries = 0;
    RecoverWait *wait;

    if (!migration || !requests_recover(migration, uri, &recoveries, &error)) {
        refuse(reply, g_steal_pointer(&error));
        return;
    }
    wait = g_new0(RecoverWait, 1);
    wait->migration = g_steal_pointer(&migration);
    wait->recoveries = recoveries;
    wait->reply = reply;
    host_post(wait_recovered_cb, wait);
}

static void
paused(const Status *status, gpointer opaque)
{
    ServiceReply *reply = opaque;

    if (status->state == STATE_POSTCOPY_PAUSED && status->reason == REASON_OPERATOR)
        service_reply_finish(reply, NULL);
    else
        refuse(reply, g_error_new(SERVICE_ERROR, SERVICE_ERROR_FAILED,
                                  _("the migration of domain '%1$s' was not paused: it is %2$s"),
                                  status->name, migration_state_to_string(status->state)));
}

static void
pause_migration(const char *uuid, ServiceReply *reply, gpointer user_data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Migration) migration = find_by_text(uuid, &error);
    g_autoptr(Status) status = migration ? migration_get_status(migration) : NULL;

    if (migration && migration->role == ROLE_DESTINATION)
        g_set_error(&error, SERVICE_ERROR, SERVICE_ERROR_NOT_SUPPORTED,
                    _("the migration of domain '%1$s' can only be paused from its source: ask on "
                      "host '%2$s'"),
                    status->name, status->peer);
    else if (migration && !migration_state_is_postcopy(status->state))
        g_set_error(&error, SERVICE_ERROR, SERVICE_ERROR_NOT_POSTCOPY,
                    _("the migration of domain '%1$s' is not in postcopy: it cannot be paused"),
                    status->name);
    if (error) {
        refuse(reply, g_steal_pointer(&error));
        return;
    }
    migration_step(migration, EVENT_PAUSE_REQUESTED, 1, NULL);
    migration_when(migration, MIGRATION_SETTLED, 0, paused, reply);
}

const ServiceCalls *
requests_calls(void)
{
    static const ServiceCalls calls = {.recover = recover, .pause = pause_migration};

    return &calls;
}
