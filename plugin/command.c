/*
 * command.c: options, help and completion of a virsh-COMMAND
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "command.h"

#include <fcntl.h>
#include <glib/gi18n.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

G_DEFINE_QUARK(holdfast - command - error, command_error)

static int
find_option(const Command *command, const char *name, gsize length)
{
    for (int i = 0; command->options[i].name; i++) {
        if (strlen(command->options[i].name) == length &&
            strncmp(command->options[i].name, name, length) == 0)
            return i;
    }
    return -1;
}

/* As virsh: two dashes and a letter or digit make an option, everything else is data. */
static gboolean
is_option(const char *word)
{
    return word[0] == '-' && word[1] == '-' && g_ascii_isalnum(word[2]);
}

/* Takes the option that stands at *WORD, and its value, which may be the next word. */
static gboolean
take_option(const Command *command, char ***word, CommandArgs *args, GError **error)
{
    const char *name = **word + 2;
    const char *equals = strchr(name, '=');
    int i = find_option(command, name, equals ? (gsize)(equals - name) : strlen(name));

    if (i < 0) {
        g_set_error(error, COMMAND_ERROR, COMMAND_ERROR_USAGE,
                    _("command '%1$s' doesn't support option %2$s"), command->name, **word);
        return FALSE;
    }
    if (args->values[i]) {
        g_set_error(error, COMMAND_ERROR, COMMAND_ERROR_USAGE, _("option --%1$s already seen"),
                    command->options[i].name);
        return FALSE;
    }
    if (command->options[i].kind == OPTION_FLAG) {
        if (equals) {
            g_set_error(error, COMMAND_ERROR, COMMAND_ERROR_USAGE,
                        _("invalid '=' after option --%1$s"), command->options[i].name);
            return FALSE;
        }
        args->values[i] = command->options[i].name;
    } else if (equals) {
        args->values[i] = equals + 1;
    } else if ((*word)[1]) {
        args->values[i] = *++*word;
    } else {
        g_set_error(error, COMMAND_ERROR, COMMAND_ERROR_USAGE,
                    command->options[i].kind == OPTION_NUMBER
                        ? _("expected syntax: --%1$s <number>")
                        : _("expected syntax: --%1$s <string>"),
                    command->options[i].name);
        return FALSE;
    }
    return TRUE;
}

static gboolean
takes_data(const CommandOption *option)
{
    return option->kind == OPTION_POSITIONAL || option->kind == OPTION_OPTIONAL;
}

/* Takes a word that is no option: the value of the first positional option that has none. */
static gboolean
take_data(const Command *command, const char *word, CommandArgs *args, GError **error)
{
    for (int i = 0; command->options[i].name; i++) {
        if (takes_data(&command->options[i]) && !args->values[i]) {
            args->values[i] = word;
            return TRUE;
        }
    }
    g_set_error(error, COMMAND_ERROR, COMMAND_ERROR_USAGE, _("unexpected data '%1$s'"), word);
    return FALSE;
}

static gboolean
check_required(const Command *command, const CommandArgs *args, GError **error)
{
    for (int i = 0; command->options[i].name; i++) {
        if (command->options[i].kind == OPTION_POSITIONAL && !args->values[i]) {
            g_set_error(error, COMMAND_ERROR, COMMAND_ERROR_USAGE,
                        _("command '%1$s' requires <%2$s> option"), command->name,
                        command->options[i].name);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean
command_parse(const Command *command, char **argv, CommandArgs *args, GError **error)
{
    CommandArgs parsed = {0};
    gboolean only_data = FALSE;

    for (char **word = argv + 1; *word; word++) {
        if (!only_data && g_str_equal(*word, "--help")) {
            *args = (CommandArgs){.help = TRUE};
            return TRUE;
        }
        if (!only_data && g_str_equal(*word, "--"))
            only_data = TRUE;
        else if (!only_data && is_option(*word)) {
            if (!take_option(command, &word, &parsed, error))
                return FALSE;
        } else if (!take_data(command, *word, &parsed, error))
            return FALSE;
    }
    if (!check_required(command, &parsed, error))
        return FALSE;
    *args = parsed;
    return TRUE;
}

gboolean
command_parse_number(
    const char *option, const char *text, guint64 min, guint64 max, guint64 *number, GError **error)
{
    if (g_ascii_string_to_unsigned(text, 10, min, max, number, NULL))
        return TRUE;
    g_set_error(error, COMMAND_ERROR, COMMAND_ERROR_USAGE,
                _("value '%1$s' of option --%2$s is not a whole number from %3$llu to %4$llu"),
                text, option, (unsigned long long)min, (unsigned long long)max);
    return FALSE;
}

static char *
synopsis_of(const CommandOption *option)
{
    switch (option->kind) {
    case OPTION_POSITIONAL:
        return g_strdup_printf("<%s>", option->name);
    case OPTION_OPTIONAL:
        return g_strdup_printf("[<%s>]", option->name);
    case OPTION_NUMBER:
        return g_strdup_printf("[--%s <number>]", option->name);
    case OPTION_STRING:
        return g_strdup_printf("[--%s <string>]", option->name);
    case OPTION_FLAG:
        return g_strdup_printf("[--%s]", option->name);
    }
    return NULL;
}

static char *
heading_of(const CommandOption *option)
{
    switch (option->kind) {
    case OPTION_POSITIONAL:
    case OPTION_OPTIONAL:
        return g_strdup_printf("[--%s] <string>", option->name);
    case OPTION_NUMBER:
        return g_strdup_printf("--%s <number>", option->name);
    case OPTION_STRING:
        return g_strdup_printf("--%s <string>", option->name);
    case OPTION_FLAG:
        return g_strdup_printf("--%s", option->name);
    }
    return NULL;
}

void
command_print_help(const Command *command)
{
    g_print(_("  NAME\n"));
    g_print("    %s - %s\n", command->name, _(command->summary));
    g_print(_("\n  SYNOPSIS\n"));
    g_print("    %s", command->name);
    for (const CommandOption *option = command->options; option->name; option++) {
        g_autofree char *synopsis = synopsis_of(option);

        g_print(" %s", synopsis);
    }
    g_print(_("\n\n  DESCRIPTION\n"));
    g_print("    %s\n", _(command->description));
    g_print(_("\n  OPTIONS\n"));
    for (const CommandOption *option = command->options; option->name; option++) {
        g_autofree char *heading = heading_of(option);

        g_print("    %-15s  %s\n", heading, _(option->help));
    }
    g_print("\n");
}

const CommandOption *
command_print_completions(const Command *command, char **words)
{
    guint n_words = g_strv_length(words);
    const char *last = n_words > 0 ? words[n_words - 1] : "";
    CommandArgs args = {0};

    for (guint i = 0; i + 1 < n_words; i++) {
        const char *equals = strchr(words[i], '=');
        int option = is_option(words[i]) && !equals
                         ? find_option(command, words[i] + 2, strlen(words[i] + 2))
                         : -1;

        if (option >= 0 && command->options[option].kind == OPTION_FLAG)
            args.values[option] = words[i];
        else if (option >= 0 && i + 2 == n_words)
            return &command->options[option]; /* its value is being typed */
        else if (option >= 0)
            args.values[option] = words[++i];
        else if (equals && is_option(words[i]))
            continue;
        else
            take_data(command, words[i], &args, NULL);
    }
    for (int i = 0; command->options[i].name; i++) {
        g_autofree char *option = g_strconcat("--", command->options[i].name, NULL);

        if (!args.values[i] && g_str_has_prefix(option, last))
            g_print("%s\n", option);
    }
    for (int i = 0; command->options[i].name && last[0] != '-'; i++) {
        if (takes_data(&command->options[i]) && !args.values[i])
            return &command->options[i];
    }
    return NULL;
}

static int log_fd = -1;

gboolean
command_log_to(const char *path)
{
    log_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_SYNC | O_CLOEXEC, 0644);
    return log_fd >= 0;
}

/* As vshOutputLogFile() (tools/vsh.c, libvirt 11.3.0), which logs errors whatever -d says. */
static void
log_error(const char *message)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *time = g_date_time_format(now, "%Y.%m.%d %H:%M:%S");
    g_autofree char *line =
        g_strdup_printf("[%s virsh %d] ERROR %s\n", time, (int)getpid(), message);

    if (write(log_fd, line, strlen(line)) < 0) {
        close(log_fd);
        log_fd = -1;
        g_printerr(_("error: %1$s\n"), _("failed to write the log file"));
    }
}

void
command_report(const char *format, ...)
{
    g_autofree char *message = NULL;
    va_list ap;

    va_start(ap, format);
    message = g_strdup_vprintf(format, ap);
    va_end(ap);
    fflush(stdout);
    g_printerr(_("error: %1$s\n"), message);
    if (log_fd >= 0)
        log_error(message);
}
