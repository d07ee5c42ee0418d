/*
 * command.h: what a virsh-COMMAND is made of, in virsh's manners
 *
 * A Command says in one table what its options are; the table gives the parser, `--help` and the
 * completion. Rules and wording follow vshCommandParse() and vshCmddefHelp() (tools/vsh.c, libvirt
 * 11.3.0), so that nobody notices where virsh ends. Not for talking to a daemon: see connection.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

typedef enum {
    OPTION_POSITIONAL, /* required; `VALUE` or `--name VALUE` */
    OPTION_OPTIONAL,   /* the same, not required */
    OPTION_STRING,     /* `--name VALUE` */
    OPTION_NUMBER,     /* the same, a number as help shows it; checked by the command */
    OPTION_FLAG,       /* `--name`; its value is its own name */
} OptionKind;

typedef struct {
    const char *name;
    OptionKind kind;
    const char *help; /* untranslated, marked with N_() */
} CommandOption;

/* More options than any command of ours has; a table that is longer fails command_parse(). */
#define COMMAND_MAX_OPTIONS 24

typedef struct {
    const char *name;
    const char *summary;          /* untranslated */
    const char *description;      /* untranslated */
    const CommandOption *options; /* ends with a NULL name */
} Command;

/** The values of one command line, in the order of the table; NULL: not given. Borrowed from argv.
 */
typedef struct {
    const char *values[COMMAND_MAX_OPTIONS];
    gboolean help; /* --help was given: nothing else matters */
} CommandArgs;

#define COMMAND_ERROR (command_error_quark())
GQuark command_error_quark(void);
typedef enum {
    COMMAND_ERROR_USAGE, /* the command line is wrong; the message says how */
} CommandError;

/** command_parse: ARGS is untouched on failure. ARGV's first word is the program and is skipped. */
gboolean command_parse(const Command *command, char **argv, CommandArgs *args, GError **error);

/**
 * command_parse_number: a whole decimal number from MIN to MAX; the message names the option and
 * the range.
 */
gboolean command_parse_number(const char *option,
                              const char *text,
                              guint64 min,
                              guint64 max,
                              guint64 *number,
                              GError **error);

void command_print_help(const Command *command);

/**
 * command_print_completions: what may stand in place of the last of WORDS, one a line. Returns the
 * option whose value is wanted there, or NULL when none is; the caller prints its values.
 */
const CommandOption *command_print_completions(const Command *command, char **words);

/** command_log_to: what command_report() reports is added to a file too, in virsh's form. */
gboolean command_log_to(const char *path);

/** command_report: `error: ...` on standard error, after whatever standard output still holds. */
void command_report(const char *format, ...) G_GNUC_PRINTF(1, 2);
