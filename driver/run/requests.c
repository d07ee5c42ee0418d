/*
 * requests.c: what a person asks of a migration, from virsh or over D-Bus
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/requests.h"

#include <glib/gi18n-lib.h>

#include "run/addresses.h"
#include "run/error.h"

/* A recovery is kicked every quarter of a second until QEMU lets go of it (engine/transitions.c).
 * Clients wait for an answer without a limit, D-Bus callers for 25 s. */
#define PAUSE_WAIT_MS 15000

gboolean
requests_check_recover(Migration *migration, GError **error)
{
    g_autoptr(Status) status = migration_get_status(migration);

    if (migration_state_is_terminal(status->state)) {
        g_set_error(error, MIGRATION_ERROR, MIGRATION_ERROR_NO_MIGRATION,
                    _("the migration of domain '%1$s' has ended: there is nothing to recover"),
                    status->name);
    } else if (status->state < STATE_POSTCOPY_PAUSED) {
        g_set_error(error, MIGRATION_ERROR, MIGRATION_ERROR_NOT_PAUSED,
                    _("the migration of domain '%1$s' is not paused: there is nothing to recover"),
                    status->name);
    } else if (status->role == ROLE_DESTINATION) {
        g_set_error(error, MIGRATION_ERROR, MIGRATION_ERROR_NOT_SUPPORTED,
                    _("the migration of domain '%1$s' can only be recovered from its source: ask "
                      "on host '%2$s'"),
                    status->name, status->peer);
    } else if (!migration_can_ask(migration)) {
        g_set_error(error, MIGRATION_ERROR, MIGRATION_ERROR_NOT_SUPPORTED,
                    _("host '%1$s' has no Holdfast that this one can talk to: update both hosts, "
                      "then recover with virsh migrate --postcopy --postcopy-resume"),
                    status->peer);
    } else {
        return TRUE;
    }
    return FALSE;
}

gboolean
requests_recover(Migration *migration, const char *uri, guint *recoveries, GError **error)
{
    g_autoptr(Status) status = migration_get_status(migration);
    g_autoptr(GError) problem = NULL;
    g_autofree char *host = NULL;
    g_auto(GStrv) hosts = NULL;
    guint16 port = 0;

    if (uri && !policy_path_parse(uri, &host, &port)) {
        g_set_error(error, MIGRATION_ERROR, MIGRATION_ERROR_INVALID_ARGUMENT,
                    _("'%1$s' is not the address of a destination: give tcp://HOST or "
                      "tcp://HOST:PORT"),
                    uri);
        return FALSE;
    }
    if (!requests_check_recover(migration, error))
        return FALSE;
    if (host && !(hosts = addresses_lookup(host, &problem))) {
        g_set_error(error, MIGRATION_ERROR, MIGRATION_ERROR_INVALID_ARGUMENT,
                    _("the addresses of host '%1$s' are not known (%2$s): give one of them in its "
                      "place"),
                    host, problem->message);
        return FALSE;
    }
    if (hosts)
        migration_set_override(migration, hosts, port);
    *recoveries = status->recoveries;
    migration_post(migration, EVENT_RECOVER_REQUESTED, 0, NULL);
    return TRUE;
}

static gboolean
is_operators(const Status *status)
{
    return status->state == STATE_POSTCOPY_PAUSED && status->reason == REASON_OPERATOR;
}

RequestsPause
requests_pause_begin(Migration *migration, GError **error)
{
    g_autoptr(Status) before = NULL;
    g_autoptr(Status) after = NULL;

    migration_tell(migration, EVENT_PAUSE_REQUESTED, 0, NULL);
    before = migration_get_status(migration);
    if (!migration_state_is_postcopy(before->state) || before->state == STATE_POSTCOPY_ACTIVE)
        return REQUESTS_PAUSE_STOCK;
    if (!migration_wait(migration, MIGRATION_PAUSED, 0, PAUSE_WAIT_MS, &after)) {
        g_set_error(error, MIGRATION_ERROR, MIGRATION_ERROR_TIMEOUT,
                    _("the migration of domain '%1$s' has not paused yet; it is still being tried: "
                      "watch its state"),
                    after->name);
        return REQUESTS_PAUSE_FAILED;
    }
    return is_operators(after) ? REQUESTS_PAUSED : REQUESTS_PAUSE_STOCK;
}

gboolean
requests_pause_end(Migration *migration)
{
    g_autoptr(Status) status = NULL;

    migration_tell(migration, EVENT_PAUSE_WITHDRAWN, 0, NULL);
    migration_wait(migration, MIGRATION_PAUSED, 0, PAUSE_WAIT_MS, &status);
    return is_operators(status);
}

gboolean
requests_pause(Migration *migration, GError **error)
{
    g_autoptr(Status) status = migration_get_status(migration);

    if (status->role == ROLE_DESTINATION) {
        g_set_error(error, MIGRATION_ERROR, MIGRATION_ERROR_NOT_SUPPORTED,
                    _("the migration of domain '%1$s' can only be paused from its source: ask on "
                      "host '%2$s'"),
                    status->name, status->peer);
        return FALSE;
    }
    if (!migration_state_is_postcopy(status->state)) {
        g_set_error(error, MIGRATION_ERROR, MIGRATION_ERROR_NOT_POSTCOPY,
                    _("the migration of domain '%1$s' is not in postcopy: it cannot be paused"),
                    status->name);
        return FALSE;
    }
    migration_post(migration, EVENT_PAUSE_REQUESTED, 1, NULL);
    return TRUE;
}
