/*
 * launcher.c: a virsh that knows more commands
 *
 * Stands before the real virsh in PATH. `virsh COMMAND ...` runs the program virsh-COMMAND if there
 * is one, in the way of git and kubectl; everything else is the real virsh, with the very same
 * arguments, terminal, signals and exit code, because it takes this process over (exec). Only
 * `virsh help` and `virsh complete` of an incomplete command are run as a child, to add our lines.
 *
 * Commands inside quotes (`virsh "list; quit"`) and the interactive shell belong to the real virsh
 * and know its commands alone.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <errno.h>
#include <getopt.h>
#include <glib.h>
#include <glib/gi18n.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handover.h"

#define STOCK_VIRSH "/usr/bin/virsh"
/* Where a package that diverts the stock virsh puts it: beside us. */
#define DIVERTED_NAME "virsh.libvirt"
/* As the shell says it of a program that cannot be found or run. */
#define EXIT_CANNOT_RUN 127
#define OUR_GROUP       "holdfast"
/* Two launchers in one PATH must never call each other in turn: each leaves its name here. */
#define LAUNCHERS_SEEN "HOLDFAST_LAUNCHERS"

typedef struct {
    const char *name;
    const char *summary;
} Listed;

/* The commands that `virsh help` lists, those of them that are there. */
static const Listed our_commands[] = {
    {"migrate-pause", N_("pause a migration in post-copy")},
    {"migrate-policy", N_("a domain's migration policy shown, set, checked")},
    {"migrate-recover", N_("take up a paused post-copy migration again")},
    {"migrate-status", N_("how a migration goes")},
};

typedef struct {
    int option;
    const char *variable;
} Handed;

static const Handed handed_options[] = {
    {'c', HANDOVER_URI},
    {'r', HANDOVER_READONLY},
    {'q', HANDOVER_QUIET},
    {'t', HANDOVER_TIMING},
    {'d', HANDOVER_DEBUG},
    {'l', HANDOVER_LOG},
    {'e', HANDOVER_ESCAPE},
    {'k', HANDOVER_KEEPALIVE_INTERVAL},
    {'K', HANDOVER_KEEPALIVE_COUNT},
};

/** What the command line says before its command. */
typedef struct {
    const char *given[G_N_ELEMENTS(handed_options)]; /* value, "1" for a switch, or NULL */
    char **command; /* the command and its arguments, ends with NULL; NULL: none of our business */
} CommandLine;

/* Returns " DEVICE:INODE " of the file at PATH, whatever its names are; NULL when there is none. */
static char *
file_identity(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return NULL;
    return g_strdup_printf(" %" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT " ", (guint64)st.st_dev,
                           (guint64)st.st_ino);
}

static gboolean
is_program(const char *path)
{
    return g_file_test(path, G_FILE_TEST_IS_REGULAR) && access(path, X_OK) == 0;
}

static char **
path_folders(void)
{
    const char *path = g_getenv("PATH");

    return g_strsplit(path ? path : "/usr/local/bin:/usr/bin:/bin", ":", -1);
}

/* The folder this program lies in, or NULL. */
static char *
own_folder(void)
{
    g_autofree char *own = g_file_read_link("/proc/self/exe", NULL);

    return own ? g_path_get_dirname(own) : NULL;
}

/* The program NAME in one folder, or NULL; an empty folder is the current one, as in PATH. */
static char *
find_in_folder(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(*folder ? folder : ".", name, NULL);

    return is_program(path) ? g_steal_pointer(&path) : NULL;
}

/* Adds ourselves to the launchers that this chain of programs has been through, and returns them
 * all, as " DEVICE:INODE " each. */
static const char *
note_launcher(void)
{
    const char *before = g_getenv(LAUNCHERS_SEEN);
    g_autofree char *self = file_identity("/proc/self/exe");
    g_autofree char *all = g_strconcat(before ? before : "", self ? self : "", NULL);

    if (self && !(before && strstr(before, self)))
        g_setenv(LAUNCHERS_SEEN, all, TRUE);
    return g_getenv(LAUNCHERS_SEEN);
}

/* Whether the program at PATH is there and is no launcher that we came through. */
static gboolean
is_stock(const char *path, const char *launchers)
{
    g_autofree char *identity = file_identity(path);

    return identity && is_program(path) && !(launchers && strstr(launchers, identity));
}

static char *
find_stock_in_path(const char *launchers)
{
    g_auto(GStrv) folders = path_folders();

    for (char **folder = folders; *folder; folder++) {
        g_autofree char *path = find_in_folder(*folder, "virsh");

        if (path && is_stock(path, launchers))
            return g_steal_pointer(&path);
    }
    return NULL;
}

/* Returns the path of the stock virsh, or NULL when there is none. */
static char *
find_stock_virsh(void)
{
    const char *launchers = note_launcher();
    const char *configured = g_getenv("HOLDFAST_VIRSH");
    g_autofree char *folder = own_folder();
    g_autofree char *found = NULL;

    if (configured && is_stock(configured, launchers))
        return g_strdup(configured);
    if (folder)
        found = find_in_folder(folder, DIVERTED_NAME);
    if (!found)
        found = find_stock_in_path(launchers);
    if (!found && is_stock(STOCK_VIRSH, launchers))
        found = g_strdup(STOCK_VIRSH);
    return g_steal_pointer(&found);
}

static G_NORETURN void
exec_stock_virsh(char **argv)
{
    g_autofree char *path = find_stock_virsh();

    if (path) {
        execv(path, argv);
        g_printerr(_("error: cannot run '%1$s': %2$s\n"), path, g_strerror(errno));
    } else {
        g_printerr(_("error: libvirt's own virsh was not found; install libvirt-clients, or name "
                     "it in HOLDFAST_VIRSH\n"));
    }
    exit(EXIT_CANNOT_RUN);
}

/* Runs the stock virsh as a child and returns its exit code; its death by a signal is ours. */
static int
run_stock_virsh(char **argv)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0)
        exec_stock_virsh(argv);
    if (pid < 0) {
        g_printerr(_("error: cannot start virsh: %1$s\n"), g_strerror(errno));
        return EXIT_FAILURE;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

/* A command's name is a plain word: whatever else stands there is for virsh's own parser. */
static gboolean
is_command_name(const char *word)
{
    if (!g_ascii_isalnum(*word))
        return FALSE;
    for (const char *c = word; *c; c++) {
        if (!g_ascii_isalnum(*c) && *c != '-' && *c != '_')
            return FALSE;
    }
    return TRUE;
}

/* Returns the path of the program virsh-NAME: beside us, where ours are installed, or in PATH; NULL
 * when there is none. */
static char *
find_command(const char *name)
{
    g_autofree char *program = g_strconcat("virsh-", name, NULL);
    g_autofree char *folder = own_folder();
    g_autofree char *found = NULL;
    g_auto(GStrv) folders = NULL;

    if (!is_command_name(name))
        return NULL;
    if (folder)
        found = find_in_folder(folder, program);
    if (!found)
        found = find_in_folder(COMMAND_DIR, program);
    folders = path_folders();
    for (char **each = folders; *each && !found; each++)
        found = find_in_folder(*each, program);
    return g_steal_pointer(&found);
}

/* Becomes PROGRAM with ARGV, whose first word is replaced by the program's path. */
static G_NORETURN void
exec_command(const char *program, char **argv, const CommandLine *line)
{
    for (guint i = 0; i < G_N_ELEMENTS(handed_options); i++) {
        if (line->given[i])
            g_setenv(handed_options[i].variable, line->given[i], TRUE);
    }
    argv[0] = (char *)program;
    execv(program, argv);
    g_printerr(_("error: cannot run '%1$s': %2$s\n"), program, g_strerror(errno));
    exit(EXIT_CANNOT_RUN);
}

static gboolean
is_number(const char *text, int base, gint64 min)
{
    g_autofree char *number = g_strstrip(g_strdup(text));
    char *end = NULL;
    gint64 value;

    errno = 0;
    value = g_ascii_strtoll(number, &end, base);
    return errno == 0 && end != number && *end == '\0' && value >= min && value <= G_MAXINT;
}

/* Whether virsh takes VALUE for its option; it ends with an error otherwise, and has better words
 * for that than we (virshParseArgv(), tools/virsh.c, libvirt 11.3.0). A level of -d out of range is
 * no error there. */
static gboolean
is_value(int option, const char *value)
{
    switch (option) {
    case 'd':
        return is_number(value, 10, G_MININT);
    case 'k':
    case 'K':
        return is_number(value, 0, 0);
    case 'e': /* as virshAllowedEscapeChar() */
        return value[0] == '^' ? value[1] && !value[2] &&
                                     (g_ascii_isalpha(value[1]) || strchr("@[\\]^_", value[1]))
                               : value[0] && !value[1];
    default:
        return TRUE;
    }
}

/* Reads virsh's own options as virshParseArgv() does (tools/virsh.c, libvirt 11.3.0; the same in
 * 9.0.0). Leaves LINE->command NULL for whatever virsh answers by itself: --help, --version, an
 * option in error, no command at all. */
static void
parse_command_line(int argc, char **argv, CommandLine *line)
{
    static const struct option options[] = {
        {"connect", required_argument, NULL, 'c'},
        {"debug", required_argument, NULL, 'd'},
        {"escape", required_argument, NULL, 'e'},
        {"help", no_argument, NULL, 'h'},
        {"keepalive-interval", required_argument, NULL, 'k'},
        {"keepalive-count", required_argument, NULL, 'K'},
        {"log", required_argument, NULL, 'l'},
        {"quiet", no_argument, NULL, 'q'},
        {"readonly", no_argument, NULL, 'r'},
        {"timing", no_argument, NULL, 't'},
        {"version", optional_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "+:c:d:e:hk:K:l:qrtvV", options, NULL)) != -1) {
        guint i = 0;

        while (i < G_N_ELEMENTS(handed_options) && handed_options[i].option != option)
            i++;
        if (i == G_N_ELEMENTS(handed_options) || (optarg && !is_value(option, optarg)))
            return;
        line->given[i] = optarg ? optarg : "1";
    }
    if (optind < argc)
        line->command = argv + optind;
}

static void
print_our_group(void)
{
    g_print(_(" Migrations that survive the network (help keyword '%1$s'):\n"), OUR_GROUP);
    for (guint i = 0; i < G_N_ELEMENTS(our_commands); i++) {
        g_autofree char *program = find_command(our_commands[i].name);

        if (program)
            g_print("    %-30s %s\n", our_commands[i].name, _(our_commands[i].summary));
    }
    g_print("\n");
}

/* The word that `help WORD`, `help --command WORD` or `help --command=WORD` asks about: NULL when
 * it is none of these. */
static const char *
help_topic(char **args)
{
    if (args[0] && g_str_has_prefix(args[0], "--command=") && !args[1])
        return args[0] + strlen("--command=");
    if (args[0] && g_str_equal(args[0], "--command"))
        args++;
    return args[0] && !args[1] ? args[0] : NULL;
}

/* `virsh help ...`: returns the exit code, or does not return. */
static int
do_help(char **argv, const CommandLine *line)
{
    char **args = line->command + 1;
    const char *topic = help_topic(args);
    g_autofree char *program = topic ? find_command(topic) : NULL;
    int status;

    if (program) {
        char *help[] = {NULL, (char *)"--help", NULL};

        exec_command(program, help, line);
    }
    if (topic && g_str_equal(topic, OUR_GROUP)) {
        print_our_group();
        return EXIT_SUCCESS;
    }
    if (*args)
        exec_stock_virsh(argv);
    status = run_stock_virsh(argv);
    if (status == EXIT_SUCCESS)
        print_our_group();
    return status;
}

/* `virsh complete [--] WORD...`, which the shell's completion for virsh calls: returns the exit
 * code, or does not return. */
static int
do_complete(char **argv, const CommandLine *line)
{
    char **words = line->command + 1;
    const char *prefix;
    int status;

    if (*words && g_str_equal(*words, "--"))
        words++;
    if (*words && words[1] && !g_str_equal(words[0], "help")) {
        g_autofree char *program = find_command(words[0]);

        if (!program)
            exec_stock_virsh(argv);
        g_setenv(HANDOVER_COMPLETE, "1", TRUE);
        exec_command(program, words, line);
    }
    status = run_stock_virsh(argv);
    prefix = !*words ? "" : words[1] ? words[1] : words[0];
    for (guint i = 0; i < G_N_ELEMENTS(our_commands); i++) {
        g_autofree char *program = find_command(our_commands[i].name);

        if (program && g_str_has_prefix(our_commands[i].name, prefix))
            g_print("%s\n", our_commands[i].name);
    }
    return status;
}

int
main(int argc, char **argv)
{
    CommandLine line = {0};
    g_autofree char *program = NULL;

    setlocale(LC_ALL, "");
    bindtextdomain(GETTEXT_PACKAGE, LOCALE_DIR);
    textdomain(GETTEXT_PACKAGE);

    parse_command_line(argc, argv, &line);
    if (!line.command)
        exec_stock_virsh(argv);
    if (g_str_equal(line.command[0], "help"))
        return do_help(argv, &line);
    if (g_str_equal(line.command[0], "complete"))
        return do_complete(argv, &line);
    program = find_command(line.command[0]);
    if (program)
        exec_command(program, line.command, &line);
    exec_stock_virsh(argv);
}
