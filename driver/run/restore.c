/*
 * restore.c: migrations that were running when the daemon was restarted
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/restore.h"

#include <libvirt/virterror.h>

#include "run/host.h"
#include "run/journal.h"
#include "run/migration-priv.h"
#include "run/outcome.h"
#include "stock/domain.h"
#include "stock/qmp.h"
#include "util/uuid.h"

/* libvirt writes state and reason to its status file at each change and has them back before it has
 * talked to QEMU; its migration jobs only later (qemuProcessReconnect(), src/qemu/qemu_process.c,
 * 11.3.0), so a job that is missing says nothing. */
EventType
restore_judge(MigrationRole role, MigrationState state, const RestoreSight *sight)
{
    gboolean postcopy = migration_state_is_postcopy(state);

    if (!sight->exists)
        return role == ROLE_SOURCE && postcopy ? EVENT_CALL_COMPLETED : EVENT_QEMU_GONE;
    switch (sight->state) {
    case VIR_DOMAIN_SHUTOFF:
        return role == ROLE_SOURCE && sight->reason == VIR_DOMAIN_SHUTOFF_MIGRATED
                   ? EVENT_CALL_COMPLETED
                   : EVENT_QEMU_GONE;
    case VIR_DOMAIN_RUNNING:
        if (role == ROLE_SOURCE)
            return EVENT_CALL_FAILED;
        return !sight->has_job && sight->reason == VIR_DOMAIN_RUNNING_MIGRATED
                   ? EVENT_CALL_COMPLETED
                   : EVENT_RESTORED;
    default:
        /* Before postcopy libvirt itself cancels what it finds. */
        return postcopy ? EVENT_RESTORED : EVENT_CALL_FAILED;
    }
}

static gboolean
look(virDomainPtr domain, RestoreSight *sight, pid_t *pid)
{
    StockJob job = {0};

    if (!domain || virDomainGetState(domain, &sight->state, &sight->reason, 0) < 0 ||
        !stock_domain_job(domain, &job))
        return FALSE;
    sight->exists = TRUE;
    sight->has_job = job.async == STOCK_ASYNC_IN || job.async == STOCK_ASYNC_OUT;
    *pid = job.pid;
    return TRUE;
}

/* On the source, whose main loop never waits for a page, QEMU itself can be asked. This waits until
 * libvirt has reconnected. */
static void
tell_qemu_status(Migration *migration, virDomainPtr domain)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *reply = qmp_execute(domain, "{\"execute\":\"query-migrate\"}", &error);
    g_autofree char *status = reply ? qmp_reply_string(reply, "status") : NULL;
    EventType type;

    if (!reply)
        g_warning("migration %s: QEMU does not say how far it is: %s", migration->id,
                  error->message);
    else if (status && event_type_from_qemu(status, &type))
        migration_post(migration, type, 0, NULL);
}

static void
take_up(Migration *migration, virConnectPtr connection)
{
    virDomainPtr domain = virDomainLookupByUUID(connection, migration->uuid);
    g_autoptr(Status) status = migration_get_status(migration);
    RestoreSight sight = {0};
    pid_t pid = 0;
    EventType type;

    look(domain, &sight, &pid);
    type = restore_judge(migration->role, status->state, &sight);
    g_message("migration %s of domain %s (%s): found %s after a restart of the daemon: %s",
              migration->id, migration->name, migration_role_to_string(migration->role),
              migration_state_to_string(status->state), event_type_to_string(type));
    migration_set_channel(migration, pid, 0);
    if (type == EVENT_RESTORED && migration->role == ROLE_SOURCE)
        tell_qemu_status(migration, domain);
    migration_post(migration, type, 0, "the daemon was restarted");
    if (migration->role == ROLE_DESTINATION && sight.state == VIR_DOMAIN_RUNNING)
        migration_post(migration, EVENT_QEMU_RESUME, 0, NULL);
    if (type == EVENT_CALL_COMPLETED && migration->role == ROLE_SOURCE &&
        migration_is_to_undefine(migration))
        outcome_undefine_source(migration);
    if (domain)
        virDomainFree(domain);
    virResetLastError();
}

static void
restore_one(JournalRecord *record, gpointer opaque)
{
    g_autoptr(Policy) defaults = host_get_policy();
    g_autoptr(Policy) policy =
        policy_from_element_xml(record->policy, POLICY_NAMESPACE, defaults, NULL);
    g_autoptr(Migration) migration = NULL;
    guint8 uuid[UUID_BYTES];

    if (!uuid_parse(record->uuid, uuid))
        return;
    migration = migration_restore(record, uuid, policy ? policy : defaults);
    if (migration)
        g_ptr_array_add(opaque, g_steal_pointer(&migration));
}

/* Read by restore_read(), until they are taken up. */
static GPtrArray *restored;

void
restore_read(void)
{
    restored = g_ptr_array_new_with_free_func((GDestroyNotify)migration_unref);
    journal_read_all(host_get_journal(), restore_one, restored);
}

void
restore_take_up(virConnectPtr connection)
{
    for (guint i = 0; i < restored->len; i++)
        take_up(restored->pdata[i], connection);
    g_ptr_array_set_size(restored, 0);
}
