/*
 * stray.h: a Finish that comes when another migration than its own comes in
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

#include "run/migration.h"

/** A Prepare of libvirt's at work, on the thread of its call. */
typedef struct Preparation Preparation;

/**
 * preparation_begin: before libvirt's Prepare
 * @cookiein: the source's
 *
 * Looks the domain up, which may block as long as Prepare does for that. Leaves no error.
 *
 * Returns: (nullable): to be freed when the migration is known with its domain, or Prepare failed.
 */
Preparation *preparation_begin(virConnectPtr dconn, const char *cookiein, int cookieinlen);
void preparation_free(Preparation *preparation);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Preparation, preparation_free)

/** Whether a Finish with that cookie, over that connection, is of another migration than this one,
 * which came to this host. Calls nothing of libvirt's; any thread. */
gboolean stray_is(Migration *migration, virConnectPtr dconn, const char *cookiein, int cookieinlen);

/** Ends it: raises libvirt's error. */
void stray_raise(const char *name);

/** From now on none reaches a domain that is not its own. Once. */
void stray_watch(void);
