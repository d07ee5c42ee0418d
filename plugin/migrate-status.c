/*
 * migrate-status.c: `virsh migrate-status`, how a migration goes
 *
 * Asks the daemon for its statistics, once or, with --watch, twice a second; libvirt has no event
 * for what happens to a migration, and the answer costs the daemon next to nothing. On a terminal
 * what was shown is overwritten; elsewhere each step of the migration's history is one line, also
 * those that came and went between two questions.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <glib/gi18n.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "command.h"
#include "connection.h"
#include "json.h"
#include "migration.h"
#include "program.h"
#include "show.h"

#define POLL_USEC (G_USEC_PER_SEC / 2)
/* Of a screen: what stands above the history, and the line of the cursor. */
#define DETAIL_ROWS 12
/* A daemon that has lost sight of a domain for so long will not find it again. */
#define ABSENT_MAX 4

/* Exit codes beside success and failure; virsh-migrate-status(1). */
enum {
    EXIT_NO_MIGRATION = 2,
    EXIT_NOT_COMPLETED = 3,
};

enum { DOMAIN, ALL, WATCH, JSON };

static const CommandOption options[] = {
    [DOMAIN] = {"domain", OPTION_OPTIONAL,
                N_("domain name, id or uuid; without it all migrations that are not over")},
    [ALL] = {"all", OPTION_FLAG, N_("without a domain: also the migrations that are over")},
    [WATCH] = {"watch", OPTION_FLAG, N_("goes on until the migration is over")},
    [JSON] = {"json", OPTION_FLAG, N_("one JSON object, or an array of them without a domain")},
    {0},
};
G_STATIC_ASSERT(G_N_ELEMENTS(options) <= COMMAND_MAX_OPTIONS);

static const Command command = {
    .name = "migrate-status",
    .summary = N_("how a migration goes"),
    .description =
        N_("Shows how the migration of a domain stands, on the side of the host that is asked,\n"
           "    what has happened to it, and whether a person has to do something. The last\n"
           "    migration of a domain can still be asked for when it is over."),
    .options = options,
};

typedef struct {
    virConnectPtr conn;
    virDomainPtr domain; /* NULL: all */
    gboolean over_too;
    gboolean json;
    gboolean on_terminal;
    guint rows_shown;       /* on the terminal, to be overwritten */
    GHashTable *told;       /* id of a migration -> the last step that was told, as text */
    GHashTable *unfinished; /* ids of those that were seen before their end */
    gboolean any_failed;    /* of those */
} View;

/* --- what is shown --- */

static GPtrArray *
fetch(const View *view)
{
    g_autoptr(GPtrArray) all = NULL;
    Migration *migration = NULL;

    if (view->domain) {
        if (!migration_fetch(view->domain, &migration))
            return NULL;
        all = g_ptr_array_new_with_free_func((GDestroyNotify)migration_free);
        if (migration)
            g_ptr_array_add(all, migration);
    } else {
        all = migration_fetch_all(view->conn);
    }
    for (guint i = all ? all->len : 0; i-- > 0;) {
        migration = g_ptr_array_index(all, i);
        if (!view->domain && !view->over_too && migration_is_over(migration) &&
            !g_hash_table_contains(view->unfinished, migration->id))
            g_ptr_array_remove_index(all, i);
        else if (view->domain)
            migration_fetch_progress(view->conn, migration);
    }
    return g_steal_pointer(&all);
}

static char *
to_json(const View *view, const GPtrArray *all)
{
    GString *json = g_string_new(NULL);

    if (!view->domain)
        json_open(json, NULL, '[');
    for (guint i = 0; i < all->len; i++)
        show_json(json, g_ptr_array_index(all, i));
    if (!view->domain)
        json_close(json, ']');
    g_string_append_c(json, '\n');
    return g_string_free(json, FALSE);
}

static char *
to_text(const View *view, const GPtrArray *all, guint max_steps)
{
    if (view->json)
        return to_json(view, all);
    if (view->domain)
        return show_details(g_ptr_array_index(all, 0), max_steps);
    return show_table(all);
}

/* JSON is UTF-8 in every locale. */
static void
print_json(const char *json)
{
    fputs(json, stdout);
}

static guint
count_rows(const char *text)
{
    guint rows = 0;

    for (; *text; text++)
        rows += *text == '\n';
    return rows;
}

/* The cursor stays below what is shown: whatever comes next, also after Ctrl-C, starts a line. */
static void
redraw(View *view, const GPtrArray *all)
{
    struct winsize size = {0};
    g_autofree char *text = NULL;
    g_autofree char *cut = NULL;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
        size = (struct winsize){.ws_row = 24, .ws_col = 80};
    text = to_text(view, all, size.ws_row > DETAIL_ROWS ? size.ws_row - DETAIL_ROWS : 1);
    cut = show_cut(text, size.ws_col);
    if (view->rows_shown > 0)
        g_print("\033[%uA\033[J", view->rows_shown);
    g_print("%s", cut);
    view->rows_shown = MIN(count_rows(cut), size.ws_row - 1u);
}

/* --- what has changed --- */

/* Of a migration that is new to us everything is news. */
static void
tell_steps(View *view, const Migration *migration)
{
    const char *last = g_hash_table_lookup(view->told, migration->id);
    guint first = 0;

    for (guint i = migration->history->len; last && i > 0 && first == 0; i--) {
        g_autofree char *step =
            show_step(migration, &g_array_index(migration->history, MigrationStep, i - 1));

        if (g_str_equal(step, last))
            first = i;
    }
    for (guint i = first; i < migration->history->len; i++) {
        g_autofree char *step =
            show_step(migration, &g_array_index(migration->history, MigrationStep, i));

        if (!view->json)
            g_print("%s\n", step);
        g_hash_table_insert(view->told, g_strdup(migration->id), g_steal_pointer(&step));
    }
    if (view->json && first < migration->history->len) {
        g_autoptr(GString) json = g_string_new(NULL);

        show_json(json, migration);
        g_string_append_c(json, '\n');
        print_json(json->str);
    }
}

static void
show_changes(View *view, const GPtrArray *all)
{
    if (view->on_terminal) {
        redraw(view, all);
        return;
    }
    for (guint i = 0; i < all->len; i++)
        tell_steps(view, g_ptr_array_index(all, i));
}

/* --- the two ways --- */

static int
report_none(const View *view)
{
    command_report(_("no migration of domain '%1$s' is known on this host"),
                   virDomainGetName(view->domain));
    return EXIT_NO_MIGRATION;
}

static int
show_once(const View *view)
{
    g_autoptr(GPtrArray) all = fetch(view);
    g_autofree char *text = NULL;

    if (!all)
        return EXIT_FAILURE;
    if (view->domain && all->len == 0)
        return report_none(view);
    text = to_text(view, all, G_MAXUINT);
    if (view->json)
        print_json(text);
    else
        g_print("%s", text);
    return EXIT_SUCCESS;
}

/* Whether one of them is not over; remembers those, which are to be seen to their end. */
static gboolean
take_stock(View *view, const GPtrArray *all)
{
    gboolean any_left = FALSE;

    for (guint i = 0; i < all->len; i++) {
        const Migration *migration = g_ptr_array_index(all, i);

        if (!migration_is_over(migration)) {
            any_left = TRUE;
            g_hash_table_add(view->unfinished, g_strdup(migration->id));
        } else if (view->domain || g_hash_table_contains(view->unfinished, migration->id)) {
            view->any_failed |= !migration_has_completed(migration);
        }
    }
    return any_left;
}

static int
watch(View *view)
{
    gboolean seen = FALSE;
    guint absent = 0;

    while (TRUE) {
        g_autoptr(GPtrArray) all = fetch(view);

        if (!all)
            return EXIT_FAILURE;
        if (!view->domain || all->len > 0) {
            seen = TRUE;
            absent = 0;
            show_changes(view, all);
            if (!take_stock(view, all))
                return view->any_failed ? EXIT_NOT_COMPLETED : EXIT_SUCCESS;
        } else if (!seen || ++absent == ABSENT_MAX) {
            return report_none(view);
        }
        fflush(stdout);
        g_usleep(POLL_USEC);
    }
}

static gboolean
check(const CommandArgs *args)
{
    if (args->values[DOMAIN] && args->values[ALL]) {
        command_report(_("options --domain and --all are mutually exclusive"));
        return FALSE;
    }
    return TRUE;
}

/* Also one that has left the host, which libvirt does not know any more. */
static virDomainPtr
find_domain(virConnectPtr conn, const char *which)
{
    virDomainPtr domain = connection_lookup_domain(conn, which);

    if (!domain)
        domain = migration_find_domain(conn, which);
    if (!domain)
        command_report(_("failed to get domain '%1$s'"), which);
    return domain;
}

static int
run(const CommandArgs *args, const ConnectionOptions *connection)
{
    g_autoptr(virConnect) conn = NULL;
    g_autoptr(virDomain) domain = NULL;
    g_autoptr(GHashTable) told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(GHashTable) unfinished = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    View view = {
        .over_too = args->values[ALL] != NULL,
        .json = args->values[JSON] != NULL,
        .on_terminal = isatty(STDOUT_FILENO) && !args->values[JSON],
        .told = told,
        .unfinished = unfinished,
    };
    int code;

    if (!check(args))
        return EXIT_FAILURE;
    conn = connection_open(connection);
    if (conn && args->values[DOMAIN])
        domain = find_domain(conn, args->values[DOMAIN]);
    if (!conn || (args->values[DOMAIN] && !domain))
        return EXIT_FAILURE;
    view.conn = conn;
    view.domain = domain;
    connection_start_events();
    code = args->values[WATCH] ? watch(&view) : show_once(&view);
    connection_stop_events();
    return code;
}

int
main(int argc, char **argv)
{
    static const Program program = {.command = &command, .run = run};

    return program_main(&program, argv);
}
