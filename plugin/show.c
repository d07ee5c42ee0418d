/*
 * show.c: a migration in words, or in JSON
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "show.h"

#include <glib/gi18n.h>

#include "json.h"

#define BAR_COLUMNS 20

static char *
format_time(guint64 at_ms)
{
    g_autoptr(GDateTime) at = g_date_time_new_from_unix_local((gint64)(at_ms / 1000));
    g_autofree char *text = at ? g_date_time_format(at, "%Y-%m-%d %H:%M:%S") : NULL;

    return g_strdup_printf("%s.%03u", text ? text : "?", (guint)(at_ms % 1000));
}

/* To three figures or so: who needs more reads the JSON. */
static char *
format_duration(guint64 ms)
{
    guint64 s = ms / 1000;

    if (s < 60)
        return g_strdup_printf(_("%1$.1f s"), (double)ms / 1000);
    if (s < 3600)
        return g_strdup_printf(_("%1$u min %2$u s"), (guint)(s / 60), (guint)(s % 60));
    return g_strdup_printf(_("%1$u h %2$u min"), (guint)(s / 3600), (guint)(s % 3600 / 60));
}

/* Clocks are put back at times. */
static char *
format_since(const Migration *migration, guint64 at_ms)
{
    return format_duration(migration->now_ms > at_ms ? migration->now_ms - at_ms : 0);
}

/* g_format_size() has a space in it that not every locale can print. */
static char *
format_bytes(guint64 bytes)
{
    double mib = (double)bytes / (1 << 20);

    return mib < 1024 ? g_strdup_printf(_("%1$.1f MiB"), mib)
                      : g_strdup_printf(_("%1$.1f GiB"), mib / 1024);
}

static void
add_row(GString *text, const char *name, const char *value)
{
    if (*value)
        g_string_append_printf(text, "%-11s %s\n", name, value);
}

static void
add_state(GString *text, const Migration *migration)
{
    const MigrationStep *last =
        migration->history->len > 0
            ? &g_array_index(migration->history, MigrationStep, migration->history->len - 1)
            : NULL;
    g_autofree char *since = last ? format_since(migration, last->at_ms) : NULL;
    g_autoptr(GString) value = g_string_new(migration->state);

    if (*migration->reason)
        g_string_append_printf(value, " (%s)", migration->reason);
    if (since && migration_is_over(migration))
        g_string_append_printf(value, _(", %1$s ago"), since);
    else if (since)
        g_string_append_printf(value, _(", for %1$s"), since);
    add_row(text, _("State:"), value->str);
}

static void
add_progress(GString *text, const Migration *migration)
{
    guint64 done = migration->total_bytes - migration->remaining_bytes;
    g_autofree char *total = format_bytes(migration->total_bytes);
    g_autofree char *left = format_bytes(migration->remaining_bytes);
    g_autofree char *value = NULL;
    char bar[BAR_COLUMNS + 1] = "";
    double part;

    if (migration->total_bytes == 0)
        return;
    part = (double)done / (double)migration->total_bytes;
    for (guint i = 0; i < BAR_COLUMNS; i++)
        bar[i] = i < (guint)(part * BAR_COLUMNS) ? '#' : '-';
    value = g_strdup_printf(_("[%1$s] %2$u %%, %3$s of %4$s left"), bar, (guint)(part * 100), left,
                            total);
    add_row(text, _("Memory:"), value);
}

static void
add_pauses(GString *text, const Migration *migration)
{
    g_autofree char *all = format_duration(migration->paused_ms);
    g_autofree char *last = format_duration(migration->last_outage_ms);
    g_autofree char *since = format_since(migration, migration->paused_at_ms);
    g_autoptr(GString) value = g_string_new(NULL);

    if (migration->pauses == 0)
        return;
    g_string_printf(value, _("%1$u, recovered from %2$u"), migration->pauses,
                    migration->recoveries);
    if (migration->recoveries > 0)
        g_string_append_printf(value, _(" after %1$s in all (%2$s the last)"), all, last);
    if (migration->paused_at_ms)
        g_string_append_printf(value, _("; this one lasts for %1$s"), since);
    add_row(text, _("Pauses:"), value->str);
}

/* What a person in front of a paused migration wants to know first: is it mine to do something? */
static void
add_recovery(GString *text, const Migration *migration)
{
    g_autoptr(GString) value = g_string_new(NULL);
    g_autofree char *in = NULL;

    if (!migration->paused_at_ms)
        return;
    if (!migration->recovers_itself && migration_is_source(migration)) {
        g_string_printf(value, _("waits for a person: virsh migrate-recover %1$s"),
                        migration->domain);
    } else if (!migration->recovers_itself) {
        g_string_append(value, _("waits for a person, at the source host"));
    } else if (!migration_is_source(migration)) {
        g_string_append(value, _("by itself, when the source host calls"));
    } else if (migration->next_attempt_at_ms > migration->now_ms) {
        in = format_duration(migration->next_attempt_at_ms - migration->now_ms);
        g_string_printf(value, _("by itself; next attempt in %1$s"), in);
    } else {
        g_string_append(value, _("by itself; being tried now"));
    }
    if (migration->attempts > 0)
        g_string_append_printf(value, _("; attempts so far: %1$u"), migration->attempts);
    add_row(text, _("Recovery:"), value->str);
}

/* What was decided of bitmaps and checkpoints, in the words that the person knows them by. */
static guint
add_bitmaps(GString *text, const Migration *migration, guint max_rows)
{
    const GArray *bitmaps = migration->bitmaps;
    guint first = bitmaps->len > max_rows ? bitmaps->len - max_rows : 0;

    for (guint i = first; i < bitmaps->len; i++) {
        const MigrationBitmap *bitmap = &g_array_index(bitmaps, MigrationBitmap, i);
        gboolean is_bitmap = g_str_equal(bitmap->kind, "bitmap");
        g_autofree char *value =
            g_strdup_printf("%s%s%s: %s: %s", bitmap->disk, *bitmap->disk ? " " : "", bitmap->name,
                            bitmap->decision, bitmap->reason);

        add_row(text, is_bitmap ? _("Bitmap:") : _("Checkpoint:"), value);
    }
    return bitmaps->len - first;
}

static void
add_history(GString *text, const Migration *migration, guint max_steps)
{
    const GArray *history = migration->history;
    guint first = history->len > max_steps ? history->len - max_steps : 0;

    if (history->len > first)
        g_string_append_printf(text, "%s\n", _("History:"));
    for (guint i = first; i < history->len; i++) {
        const MigrationStep *step = &g_array_index(history, MigrationStep, i);
        g_autofree char *at = format_time(step->at_ms);
        g_autofree char *lasted = i + 1 < history->len && step[1].at_ms >= step->at_ms
                                      ? format_duration(step[1].at_ms - step->at_ms)
                                      : g_strdup("");
        g_autofree char *state = *step->reason
                                     ? g_strdup_printf("%s (%s)", step->state, step->reason)
                                     : g_strdup(step->state);

        g_string_append_printf(text, "  %s  %s%*s%s\n", at, state,
                               *lasted ? MAX(30 - (int)g_utf8_strlen(state, -1), 1) : 0, "",
                               lasted);
    }
}

static char *
describe_side(const Migration *migration)
{
    if (!*migration->peer)
        return g_strdup(migration->role);
    return migration_is_source(migration)
               ? g_strdup_printf(_("source, to %1$s"), migration->peer)
               : g_strdup_printf(_("destination, from %1$s"), migration->peer);
}

char *
show_details(const Migration *migration, guint max_rows)
{
    GString *text = g_string_new(NULL);
    g_autofree char *side = describe_side(migration);
    g_autofree char *started = format_time(migration->started_at_ms);
    guint rows;

    add_row(text, _("Domain:"), migration->domain);
    add_row(text, _("Migration:"), migration->id);
    add_row(text, _("Side:"), side);
    add_row(text, _("Started:"), started);
    add_state(text, migration);
    add_progress(text, migration);
    add_pauses(text, migration);
    add_recovery(text, migration);
    add_row(text, _("Message:"), migration->message);
    /* The history keeps half of what there is room for, if it needs that. */
    rows = add_bitmaps(text, migration, max_rows - MIN(migration->history->len, max_rows / 2));
    add_history(text, migration, max_rows - rows);
    return g_string_free(text, FALSE);
}

char *
show_table(const GPtrArray *all)
{
    GString *text = g_string_new(NULL);

    g_string_printf(text, " %-20s %-12s %-24s %-10s %s\n", _("Domain"), _("Side"), _("State"),
                    _("Pauses"), _("Other host"));
    g_string_append(text,
                    "-------------------------------------------------------------------------"
                    "-----\n");
    for (guint i = 0; i < all->len; i++) {
        const Migration *migration = g_ptr_array_index(all, i);
        g_autofree char *state =
            *migration->reason ? g_strdup_printf("%s (%s)", migration->state, migration->reason)
                               : g_strdup(migration->state);

        g_string_append_printf(text, " %-20s %-12s %-24s %-10u %s\n", migration->domain,
                               migration->role, state, migration->pauses, migration->peer);
    }
    return g_string_free(text, FALSE);
}

char *
show_step(const Migration *migration, const MigrationStep *step)
{
    g_autofree char *at = format_time(step->at_ms);

    return g_strdup_printf("%s %s: %s%s%s%s", at, migration->domain, step->state,
                           *step->reason ? " (" : "", step->reason, *step->reason ? ")" : "");
}

static void
add_if_any(GString *json, const char *name, const char *text)
{
    if (*text)
        json_add_text(json, name, text);
}

static void
add_time(GString *json, const char *name, guint64 at_ms)
{
    if (at_ms)
        json_add_number(json, name, at_ms);
}

static void
add_bitmaps_json(GString *json, const GArray *bitmaps)
{
    json_open(json, "bitmaps", '[');
    for (guint i = 0; i < bitmaps->len; i++) {
        const MigrationBitmap *bitmap = &g_array_index(bitmaps, MigrationBitmap, i);

        json_open(json, NULL, '{');
        json_add_text(json, "kind", bitmap->kind);
        add_if_any(json, "disk", bitmap->disk);
        json_add_text(json, "name", bitmap->name);
        json_add_text(json, "decision", bitmap->decision);
        json_add_text(json, "reason", bitmap->reason);
        json_add_number(json, "at-ms", bitmap->at_ms);
        json_close(json, '}');
    }
    json_close(json, ']');
}

void
show_json(GString *json, const Migration *migration)
{
    json_open(json, NULL, '{');
    json_add_text(json, "domain", migration->domain);
    json_add_text(json, "uuid", migration->uuid);
    json_add_text(json, "id", migration->id);
    json_add_text(json, "role", migration->role);
    json_add_text(json, "state", migration->state);
    add_if_any(json, "reason", migration->reason);
    add_if_any(json, "peer", migration->peer);
    add_if_any(json, "message", migration->message);
    json_add_number(json, "now-ms", migration->now_ms);
    json_add_number(json, "started-at-ms", migration->started_at_ms);
    json_add_number(json, "pauses", migration->pauses);
    json_add_number(json, "recoveries", migration->recoveries);
    json_add_number(json, "attempts", migration->attempts);
    add_time(json, "paused-at-ms", migration->paused_at_ms);
    if (migration->paused_at_ms)
        json_add_boolean(json, "recovers-itself", migration->recovers_itself);
    json_add_number(json, "paused-ms", migration->paused_ms);
    json_add_number(json, "last-outage-ms", migration->last_outage_ms);
    add_time(json, "next-attempt-at-ms", migration->next_attempt_at_ms);
    if (migration->total_bytes) {
        json_add_number(json, "total-bytes", migration->total_bytes);
        json_add_number(json, "remaining-bytes", migration->remaining_bytes);
    }
    json_open(json, "history", '[');
    for (guint i = 0; i < migration->history->len; i++) {
        const MigrationStep *step = &g_array_index(migration->history, MigrationStep, i);

        json_open(json, NULL, '{');
        json_add_text(json, "state", step->state);
        json_add_number(json, "at-ms", step->at_ms);
        add_if_any(json, "reason", step->reason);
        json_close(json, '}');
    }
    json_close(json, ']');
    if (migration->bitmaps->len > 0)
        add_bitmaps_json(json, migration->bitmaps);
    json_close(json, '}');
}

char *
show_cut(const char *text, guint columns)
{
    GString *cut = g_string_new(NULL);
    guint column = 0;

    for (const char *c = text; *c; c = g_utf8_next_char(c)) {
        column = *c == '\n' ? 0 : column + 1;
        if (column <= columns)
            g_string_append_len(cut, c, g_utf8_next_char(c) - c);
    }
    return g_string_free(cut, FALSE);
}
