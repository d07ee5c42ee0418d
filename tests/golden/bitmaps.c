/*
 * bitmaps.c: the table in docs/bitmaps.md is the one that decides, and the QMP is what was measured
 *
 * The table stands in the document between two comments. bitmaps/nodes.json and parameters.json are
 * the answers of a QEMU 10.0.2 whose migration was cancelled; bitmaps/repair.txt is what it is then
 * told, and tests/platform/test_bitmap_repair.py tells a real QEMU just that. bitmaps/rebuild.txt
 * is what is told when the same bitmaps are rebuilt, to the QEMUs of test_bitmap_rebuild.py, and
 * bitmaps/handback.txt when a guest comes back, each command after its name, in test_handback.py.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "bitmap/decision-priv.h"
#include "bitmap/guard.h"
#include "bitmap/handback.h"
#include "bitmap/peek.h"
#include "bitmap/rebuild.h"
#include "bitmap/repair.h"
#include "stock/symbols.h"

#define BEGIN "<!-- the table, made of driver/bitmap/decision.c -->\n"
#define END   "<!-- the end of the table -->\n"

static char *
root_file(const char *path)
{
    return g_build_filename(g_getenv("SOURCE_ROOT"), path, NULL);
}

static char *
read_file(const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = root_file(name);
    char *text = NULL;

    g_file_get_contents(path, &text, NULL, &error);
    g_assert_no_error(error);
    return text;
}

static void
compare_with_golden(const char *text, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = root_file(name);
    g_autofree char *golden = NULL;

    if (g_getenv("REGENERATE")) {
        g_file_set_contents(path, text, -1, &error);
        g_assert_no_error(error);
    }
    golden = read_file(name);
    g_assert_cmpstr(text, ==, golden);
}

/* --- the table --- */

typedef struct {
    const char *words[BITMAP_PHASE_LAST]; /* the longest of the lists */
} Words;

/* clang-format off */
static const Words phases = {{
    [BITMAP_PHASE_PRECOPY]   = "stayed at the source",
    [BITMAP_PHASE_DEVICE]    = "was stopped and goes on at the source",
    [BITMAP_PHASE_COMPLETED] = "is to come back to the source",
    [BITMAP_PHASE_LOST]      = "is lost and started anew",
    [BITMAP_PHASE_ARRIVED]   = "has arrived",
    [BITMAP_PHASE_RECOVERED] = "has arrived after a pause",
}};
static const Words storages = {{ [BITMAP_STORAGE_SHARED] = "shared", [BITMAP_STORAGE_COPIED] = "copied" }};
static const Words nos = {{ "no", "yes" }};
static const Words images = {{
    [BITMAP_IMAGE_UNREAD]     = "cannot be read",
    [BITMAP_IMAGE_ABSENT]     = "absent",
    [BITMAP_IMAGE_IN_USE]     = "in use",
    [BITMAP_IMAGE_CONSISTENT] = "stored",
}};
static const Words guards = {{
    [BITMAP_GUARD_NONE]    = "none",
    [BITMAP_GUARD_MISSING] = "gone",
    [BITMAP_GUARD_IN_USE]  = "in use",
    [BITMAP_GUARD_EMPTY]   = "empty",
    [BITMAP_GUARD_WRITTEN] = "written",
}};
/* clang-format on */

static void
append_cell(GString *to, guint mask, const Words *words)
{
    gboolean any = FALSE;

    g_string_append(to, "| ");
    for (guint i = 0; mask != BITMAP_ANY && i < BITMAP_PHASE_LAST; i++) {
        if (!(mask & BITMAP_IS(i)))
            continue;
        g_assert_nonnull(words->words[i]);
        g_string_append_printf(to, "%s%s", any ? " or " : "", words->words[i]);
        any = TRUE;
    }
    g_string_append(to, any ? " " : "");
}

static void
append_row(GString *to, const BitmapRow *row)
{
    append_cell(to, row->phase, &phases);
    append_cell(to, row->storage, &storages);
    append_cell(to, row->on_stream, &nos);
    append_cell(to, row->never_active, &nos);
    append_cell(to, row->image, &images);
    append_cell(to, row->guard, &guards);
    append_cell(to, row->halves, &nos);
    g_string_append_printf(to, "| **%s** | %s |\n", bitmap_decision_to_string(row->decision),
                           row->reason);
}

static char *
format_table(void)
{
    GString *table =
        g_string_new("| the guest | storage | on the stream | never at the destination "
                     "| in the image | guard | both halves | the bitmap | because |\n"
                     "|---|---|---|---|---|---|---|---|---|\n");

    for (guint i = 0; i < n_bitmap_rows; i++)
        append_row(table, &bitmap_rows[i]);
    return g_string_free(table, FALSE);
}

static void
test_table(void)
{
    g_autofree char *document = read_file("docs/bitmaps.md");
    g_autofree char *table = format_table();
    g_autofree char *fresh = NULL;
    const char *begin = strstr(document, BEGIN);
    const char *end = strstr(document, END);

    g_assert_nonnull(begin);
    g_assert_nonnull(end);
    fresh = g_strdup_printf("%.*s" BEGIN "%s%s", (int)(begin - document), document, table, end);
    compare_with_golden(fresh, "docs/bitmaps.md");
}

/* Every word that the document explains is one that is used, and the other way round. */
static void
test_words(void)
{
    g_autofree char *document = read_file("docs/bitmaps.md");

    for (guint i = 0; i < BITMAP_DECISION_LAST; i++) {
        g_autofree char *explained =
            g_strdup_printf("\n| `%s` | ", bitmap_decision_to_string((BitmapDecision)i));

        g_assert_nonnull(strstr(document, explained));
    }
}

/* --- QMP --- */

static void
test_repair(void)
{
    g_autofree char *nodes = read_file("tests/golden/bitmaps/nodes.json");
    g_autofree char *parameters = read_file("tests/golden/bitmaps/parameters.json");
    g_autoptr(GString) commands = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) view = NULL;
    g_autoptr(GArray) plan = NULL;

    g_assert_true(symbols_load(NULL, &error));
    view = view_parse(nodes, parameters, &error);
    g_assert_no_error(error);
    plan = repair_plan(view);
    for (guint i = 0; i < plan->len; i++) {
        const Repair *repair = &g_array_index(plan, Repair, i);

        for (RepairStep step = repair->first; step < REPAIR_DONE; step++) {
            g_autofree char *command = repair_command(repair->bitmap, step);

            g_string_append_printf(commands, "%s\n", command);
        }
    }
    g_string_append_printf(commands, "%s\n", repair_end_command());
    compare_with_golden(commands->str, "tests/golden/bitmaps/repair.txt");
}

/* @command: (transfer full) */
static void
append_command(GString *to, const char *word, guint number, char *command)
{
    g_string_append_printf(to, "%s %u %s\n", word, number, command);
    g_free(command);
}

/* All that is told for one bitmap, at the source and at the destination. */
static void
append_rebuild(GString *to, guint number, const MappedBitmap *mapped, const BitmapHalf *half)
{
    g_autofree char *scratch = rebuild_get_scratch(number);

    append_command(to, "scratch", number, rebuild_scratch_command(number, half->size_bytes));
    append_command(to, "fill", number, rebuild_fill_command(number, mapped, half));
    append_command(to, "read", number, rebuild_export_command(number, FALSE));
    append_command(to, "record", number, rebuild_record_command(number, half));
    append_command(to, "mark", number, rebuild_export_command(number, TRUE));
    append_command(to, "make", number, rebuild_make_command(number, mapped, half));
    append_command(to, "forget", number, rebuild_drop_scratch_command(scratch));
}

static void
test_rebuild(void)
{
    g_autofree char *nodes_json = read_file("tests/golden/bitmaps/nodes.json");
    g_autofree char *parameters = read_file("tests/golden/bitmaps/parameters.json");
    g_autoptr(GPtrArray) mapping = view_parse_mapping(parameters);
    g_autoptr(GPtrArray) view = view_parse(nodes_json, parameters, NULL);
    g_autoptr(GPtrArray) nodes = view_parse_nodes(nodes_json, NULL);
    g_autoptr(GString) commands = g_string_new(NULL);
    Tracker tracker = {"libvirt-1-format", 65536};

    g_assert_cmpuint(mapping->len, ==, 2);
    append_command(commands, "track", 0, rebuild_tracker_command(&tracker));
    append_command(commands, "listen", 0, g_strdup(rebuild_listen_command()));
    append_command(commands, "unlisten", 0, g_strdup(rebuild_unlisten_command()));
    for (guint i = 0; i < mapping->len; i++) {
        g_autoptr(BitmapHalf) half = rebuild_plan_half(mapping->pdata[i], view, nodes);

        append_rebuild(commands, i, mapping->pdata[i], half);
    }
    append_command(commands, "remove", 0, rebuild_remove_command("libvirt-1-format"));
    append_command(commands, "end", 0, g_strdup(repair_end_command()));
    compare_with_golden(commands->str, "tests/golden/bitmaps/rebuild.txt");
}

static void
append(GString *to, const char *name, char *command)
{
    g_string_append_printf(to, "%s %s\n", name, command);
    g_free(command);
}

static void
test_handback(void)
{
    g_autofree char *nodes = read_file("tests/golden/bitmaps/nodes.json");
    g_autoptr(GString) commands = g_string_new(NULL);
    g_autoptr(GPtrArray) list = view_parse_nodes(nodes, NULL);
    g_autoptr(GPtrArray) guarded = g_ptr_array_new();
    g_autoptr(GArray) peeks = NULL;
    const Peek *peek;
    BlockNode stray = {.name = (char *)"libvirt-1-storage"};

    /* As they are when the migration has completed. */
    for (guint i = 0; i < list->len; i++)
        ((BlockNode *)list->pdata[i])->active = FALSE;
    peeks = peek_plan(list);
    g_assert_cmpuint(peeks->len, ==, 1);
    peek = &g_array_index(peeks, Peek, 0);
    g_ptr_array_add(guarded, peek->node);
    append(commands, "guard", guard_add_command(guarded, 1 << 20));
    append(commands, "alone", peek_open_command(peek, FALSE));
    append(commands, "shared", peek_open_command(peek, TRUE));
    append(commands, "add", peek_add_command(peek));
    append(commands, "probe", peek_probe_command(peek, "monday"));
    append(commands, "close", peek_close_command(peek->name));
    append(commands, "inactivate", handback_inactivate_command(&stray));
    append(commands, "remove", handback_remove_command(peek->node, "monday"));
    append(commands, "activate", g_strdup(handback_activate_command()));
    append(commands, "merge", handback_merge_command(peek->node, "monday"));
    append(commands, "unguard", handback_remove_command(peek->node, GUARD_NAME));
    compare_with_golden(commands->str, "tests/golden/bitmaps/handback.txt");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(virInitialize(), ==, 0);
    g_test_add_func("/bitmaps/table", test_table);
    g_test_add_func("/bitmaps/words", test_words);
    g_test_add_func("/bitmaps/repair", test_repair);
    g_test_add_func("/bitmaps/rebuild", test_rebuild);
    g_test_add_func("/bitmaps/handback", test_handback);
    return g_test_run();
}
