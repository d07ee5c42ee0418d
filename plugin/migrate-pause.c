/*
 * migrate-pause.c: `virsh migrate-pause`, a migration in post-copy paused by a person
 *
 * The call is libvirt's own (`virsh domjobabort --postcopy`). What is added is a look at the
 * migration before it, so that whoever cannot pause is told why, and what would do.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <glib/gi18n.h>
#include <libvirt/virterror.h>
#include <stdlib.h>

#include "command.h"
#include "connection.h"
#include "migration.h"
#include "program.h"

enum { DOMAIN };

static const CommandOption options[] = {
    [DOMAIN] = {"domain", OPTION_POSITIONAL, N_("domain name, id or uuid")},
    {0},
};
G_STATIC_ASSERT(G_N_ELEMENTS(options) <= COMMAND_MAX_OPTIONS);

static const Command command = {
    .name = "migrate-pause",
    .summary = N_("pause a migration in post-copy"),
    .description = N_(
        "Run it on the source host. Pauses a migration that is in post-copy, also one that the\n"
        "    network has paused or that is being recovered. Whoever waits for the migration gets\n"
        "    an error, as with 'domjobabort --postcopy'. Nothing but a person takes it up again:\n"
        "    'migrate-recover'."),
    .options = options,
};

/* Whether libvirt is to be asked; reports why not. MIGRATION may be NULL. */
static gboolean
can_pause(const char *domain, const Migration *migration)
{
    if (!migration || migration_is_over(migration)) {
        command_report(_("domain '%1$s' has no migration under way on this host; connect to the "
                         "source host of the migration"),
                       domain);
        return FALSE;
    }
    if (!migration_is_source(migration)) {
        command_report(_("domain '%1$s' is coming to this host; pause its migration on the source "
                         "host, %2$s"),
                       domain, *migration->peer ? migration->peer : _("where it comes from"));
        return FALSE;
    }
    if (migration_is_before_postcopy(migration)) {
        command_report(_("the migration of domain '%1$s' is not in post-copy (%2$s) and cannot be "
                         "paused; 'virsh migrate-postcopy %1$s' switches to post-copy, 'virsh "
                         "domjobabort %1$s' ends the migration"),
                       domain, migration->state);
        return FALSE;
    }
    return TRUE;
}

static int
pause_migration(virDomainPtr domain, gboolean quiet)
{
    const char *name = virDomainGetName(domain);
    g_autoptr(Migration) migration = NULL;

    if (!migration_fetch(domain, &migration) || !can_pause(name, migration))
        return EXIT_FAILURE;
    if (virDomainAbortJobFlags(domain, VIR_DOMAIN_ABORT_JOB_POSTCOPY) < 0) {
        command_report(_("the migration of domain '%1$s' was not paused"), name);
        command_report("%s", virGetLastErrorMessage());
        return EXIT_FAILURE;
    }
    if (!quiet)
        g_print(_("Migration of domain '%1$s' paused; 'virsh migrate-recover %1$s' takes it up "
                  "again\n"),
                name);
    return EXIT_SUCCESS;
}

static int
run(const CommandArgs *args, const ConnectionOptions *connection)
{
    g_autoptr(virConnect) conn = connection_open(connection);
    g_autoptr(virDomain) domain = conn ? connection_find_domain(conn, args->values[DOMAIN]) : NULL;
    int code;

    if (!domain)
        return EXIT_FAILURE;
    connection_start_events();
    code = pause_migration(domain, connection->quiet);
    connection_stop_events();
    return code;
}

int
main(int argc, char **argv)
{
    static const Program program = {.command = &command, .run = run};

    return program_main(&program, argv);
}
