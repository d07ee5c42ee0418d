/*
 * bus.c: the engine on D-Bus
 *
 * Everything here is on the engine thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "module/bus.h"

#include <glib/gi18n-lib.h>

#include "dbus/error.h"
#include "dbus/service.h"
#include "run/error.h"
#include "run/migration.h"
#include "run/requests.h"

static Service *service;

/* --- what callers ask for --- */

/* A caller who waits for a migration to come somewhere. */
typedef struct {
    Migration *migration;
    MigrationMilestone milestone;
    guint recoveries;
    MigrationWhenFn done;
    ServiceReply *reply;
} Asked;

static ServiceError
get_service_code(const GError *error)
{
    /* clang-format off */
    static const ServiceError codes[MIGRATION_ERROR_LAST] = {
        [MIGRATION_ERROR_FAILED]           = SERVICE_ERROR_FAILED,
        [MIGRATION_ERROR_INVALID_ARGUMENT] = SERVICE_ERROR_INVALID_ARGUMENT,
        [MIGRATION_ERROR_NO_MIGRATION]     = SERVICE_ERROR_NO_MIGRATION,
        [MIGRATION_ERROR_NOT_PAUSED]       = SERVICE_ERROR_NOT_PAUSED,
        [MIGRATION_ERROR_NOT_POSTCOPY]     = SERVICE_ERROR_NOT_POSTCOPY,
        [MIGRATION_ERROR_NOT_SUPPORTED]    = SERVICE_ERROR_NOT_SUPPORTED,
        [MIGRATION_ERROR_TIMEOUT]          = SERVICE_ERROR_TIMEOUT,
    };
    /* clang-format on */

    return error->domain == MIGRATION_ERROR ? codes[error->code] : SERVICE_ERROR_FAILED;
}

static void
refuse(ServiceReply *reply, const GError *error)
{
    g_autoptr(GError) told =
        g_error_new_literal(SERVICE_ERROR, get_service_code(error), error->message);

    service_reply_finish(reply, told);
}

static Migration *
find(const char *uuid, GError **error)
{
    Migration *migration = migration_find_by_uuid_text(uuid);

    if (!migration)
        g_set_error(error, MIGRATION_ERROR, MIGRATION_ERROR_NO_MIGRATION,
                    _("no migration of domain %1$s is known on this host"), uuid);
    return migration;
}

static gboolean
wait_cb(gpointer opaque)
{
    Asked *asked = opaque;

    migration_when(asked->migration, asked->milestone, asked->recoveries, asked->done,
                   asked->reply);
    migration_unref(asked->migration);
    g_free(asked);
    return G_SOURCE_REMOVE;
}

/* After the request has reached the engine: before that, the pause that a person made looks like an
 * end. */
static void
answer_when(Migration *migration,
            MigrationMilestone milestone,
            guint recoveries,
            MigrationWhenFn done,
            ServiceReply *reply)
{
    Asked asked = {migration_ref(migration), milestone, recoveries, done, reply};

    host_post(wait_cb, g_memdup2(&asked, sizeof(asked)));
}

static void
recovered(const Status *status, gpointer opaque)
{
    g_autoptr(GError) error = NULL;

    if (status->state != STATE_COMPLETED && status->state != STATE_POSTCOPY_ACTIVE)
        g_set_error(&error, SERVICE_ERROR, SERVICE_ERROR_FAILED,
                    _("the migration of domain '%1$s' did not recover: it is %2$s"), status->name,
                    migration_state_to_string(status->state));
    service_reply_finish(opaque, error);
}

/* A recovery that is being asked for: names of hosts are looked up, which may take its time. */
typedef struct {
    Migration *migration;
    char *uri;
    guint recoveries;
    GError *error;
    ServiceReply *reply;
} Recovery;

static gboolean
recover_cb(gpointer opaque)
{
    Recovery *recovery = opaque;

    if (recovery->error)
        refuse(recovery->reply, recovery->error);
    else
        answer_when(recovery->migration, MIGRATION_RECOVERED, recovery->recoveries, recovered,
                    recovery->reply);
    migration_unref(recovery->migration);
    g_free(recovery->uri);
    g_clear_error(&recovery->error);
    g_free(recovery);
    return G_SOURCE_REMOVE;
}

static void
recover_job(gpointer opaque, gpointer unused)
{
    Recovery *recovery = opaque;

    requests_recover(recovery->migration, recovery->uri, &recovery->recoveries, &recovery->error);
    host_post(recover_cb, recovery);
}

static void
recover(const char *uuid, const char *uri, ServiceReply *reply, gpointer user_data)
{
    g_autoptr(GError) error = NULL;
    Migration *migration = find(uuid, &error);
    Recovery *recovery;

    if (!migration) {
        refuse(reply, error);
        return;
    }
    recovery = g_new0(Recovery, 1);
    recovery->migration = migration;
    recovery->uri = g_strdup(uri);
    recovery->reply = reply;
    host_run(recover_job, recovery);
}

static void
paused(const Status *status, gpointer opaque)
{
    g_autoptr(GError) error = NULL;

    if (status->state != STATE_POSTCOPY_PAUSED || status->reason != REASON_OPERATOR)
        g_set_error(&error, SERVICE_ERROR, SERVICE_ERROR_FAILED,
                    _("the migration of domain '%1$s' was not paused: it is %2$s"), status->name,
                    migration_state_to_string(status->state));
    service_reply_finish(opaque, error);
}

static void
pause_migration(const char *uuid, ServiceReply *reply, gpointer user_data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Migration) migration = find(uuid, &error);

    if (migration && requests_pause(migration, &error))
        answer_when(migration, MIGRATION_PAUSED, 0, paused, reply);
    else
        refuse(reply, error);
}

/* --- what is shown --- */

static void
start(gboolean privileged)
{
    static const ServiceCalls calls = {.recover = recover, .pause = pause_migration};
    g_autofree char *address = service_bus_address(privileged);

    service = service_new(address, &calls, NULL);
}

static void
publish(Status *status)
{
    if (service)
        service_publish(service, status);
}

static void
withdraw(const char *uuid, MigrationRole role)
{
    if (service)
        service_withdraw(service, uuid, role);
}

const HostShow *
bus_show(void)
{
    static const HostShow show = {.start = start, .publish = publish, .withdraw = withdraw};

    return &show;
}
