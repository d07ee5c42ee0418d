/*
 * named.h: schedules that found something once, or show a promise kept
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "world.h"

typedef struct {
    Schedule schedule;
    Ending ending;
    guint limits; /* bits of Limit that belong to it */
} NamedSchedule;

extern const NamedSchedule named_schedules[];
extern const gsize n_named_schedules;
