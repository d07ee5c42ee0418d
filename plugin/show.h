/*
 * show.h: a migration in words, or in JSON
 *
 * Pure: values in, text out. What is printed where, and how often, is migrate-status.c's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "migration.h"

/** show_details: all there is to say, a line each; of bitmaps and history together at most
 * MAX_ROWS, the latest of each. */
char *show_details(const Migration *migration, guint max_rows);

/** show_table: a line for each of ALL, below a heading. */
char *show_table(const GPtrArray *all);

/** show_step: "TIME DOMAIN: STATE (REASON)", without the line's end. */
char *show_step(const Migration *migration, const MigrationStep *step);

/** show_json: one object into an array or, as the whole text, into an empty JSON. The names are
 * those of the statistics, without `holdfast.`. */
void show_json(GString *json, const Migration *migration);

/** show_cut: every line of TEXT at most COLUMNS wide, so that none takes two on a terminal. */
char *show_cut(const char *text, guint columns);
