/*
 * program.c: what main() of every virsh-COMMAND does
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "program.h"

#include <glib/gi18n.h>
#include <locale.h>
#include <stdlib.h>

#include "handover.h"

static int
complete(const Program *program, char **words, const ConnectionOptions *connection)
{
    const CommandOption *wanted = command_print_completions(program->command, words);

    if (wanted && g_str_equal(wanted->name, "domain"))
        connection_print_domains(connection);
    else if (wanted && program->complete)
        program->complete(wanted);
    return EXIT_SUCCESS;
}

/* The log of virsh -l; as virsh, nothing is done without it. */
static gboolean
open_log(void)
{
    const char *path = g_getenv(HANDOVER_LOG);

    if (!path || command_log_to(path))
        return TRUE;
    command_report(_("failed to open the log file. check the log file path"));
    return FALSE;
}

int
program_main(const Program *program, char **argv)
{
    g_autoptr(GError) error = NULL;
    ConnectionOptions connection;
    CommandArgs args;
    gint64 started_usec = g_get_monotonic_time();
    int code;

    setlocale(LC_ALL, "");
    bindtextdomain(GETTEXT_PACKAGE, LOCALE_DIR);
    textdomain(GETTEXT_PACKAGE);

    connection_options_init(&connection);
    if (g_getenv(HANDOVER_COMPLETE))
        return complete(program, argv + 1, &connection);
    if (!open_log())
        return EXIT_FAILURE;
    if (!command_parse(program->command, argv, &args, &error)) {
        command_report("%s", error->message);
        return EXIT_FAILURE;
    }
    if (args.help) {
        command_print_help(program->command);
        return EXIT_SUCCESS;
    }
    code = program->run(&args, &connection);
    if (connection.timing)
        g_print(_("\n(Time: %1$.3f ms)\n\n"), (g_get_monotonic_time() - started_usec) / 1000.0);
    else if (!connection.quiet)
        g_print("\n");
    return code;
}
