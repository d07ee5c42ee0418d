/*
 * program.h: what main() of every virsh-COMMAND does
 *
 * Takes virsh's own options from the environment (handover.h), reads the command line, answers
 * `--help` and completion, and otherwise runs the command, with what virsh prints around one.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "command.h"
#include "connection.h"

typedef struct {
    const Command *command;
    /** Does it, reports what fails (command_report()), and returns the exit code. */
    int (*run)(const CommandArgs *args, const ConnectionOptions *connection);
    /** Prints, one a line, what may be the value of an option other than "domain", whose values
     * are the connection's domains in every command; may be NULL. */
    void (*complete)(const CommandOption *option);
} Program;

int program_main(const Program *program, char **argv);
