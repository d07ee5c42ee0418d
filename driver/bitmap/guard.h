/*
 * guard.h: a bitmap that tells what the destination has written to a shared image
 *
 * How it works. It is added when the guest is stopped and the source has its images yet, right
 * before libvirt tells QEMU to go on from pre-switchover: empty, enabled, persistent, and in no
 * mapping, so that it travels in the image. The destination marks in it what it writes, stores it
 * when it gives the image up in order, and leaves it in use when it does not. A source that the
 * guest comes back to reads it there (peek.h). It is removed wherever the guest runs in the end. It
 * is no checkpoint: libvirt knows nothing of it.
 *
 * Pure: it says what QEMU is to be told; driver/run tells it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "bitmap/decision.h"
#include "bitmap/view.h"

#define GUARD_NAME "holdfast-guard"

/**
 * guard_plan: the nodes that are to have one
 * @view: of view_parse(), in pre-switchover
 * @storage: of the migration
 * @wish: the policy's; POLICY_GUARD_AUTO: where bitmap_guard_tells()
 *
 * Returns: (transfer container) (element-type utf8): names borrowed from @view, each once.
 */
GPtrArray *guard_plan(const GPtrArray *view,
                      BitmapStorage storage,
                      PolicyGuard wish,
                      PolicyOnReturn on_return);

/** The QMP command that adds one to each node, or to none; free with g_free(). */
char *guard_add_command(const GPtrArray *nodes, guint granularity_bytes);

/** What an image has told: @bitmap: its guard, or NULL. @made: there was one when it was given up.
 */
BitmapGuard guard_read(const Bitmap *bitmap, gboolean made);
