/*
 * answer.h: what the destination answers to its source's question
 *
 * One question of a migration's is open at a time (PeerQuestion); without one there is nobody to
 * answer. On the engine thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "run/migration.h"

/** answer_execute: @effect: one of EFFECT_REPLY_* */
void answer_execute(Migration *migration, const Effect *effect);

/** answer_refuse: @text: why, for a person */
void answer_refuse(Migration *migration, const char *text);
