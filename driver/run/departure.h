/*
 * departure.h: the dirty bitmaps that cannot travel with their guest, found before it leaves
 *
 * The rules are driver/bitmap/obstacle.h's. All of it may block, and leaves the thread's libvirt
 * error as it was but where it refuses; not on the engine thread, nor in a QmpJob.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

#include "model/cookie.h"
#include "run/migration.h"

/** departure_begin: at the source, before libvirt's Begin. FALSE, with libvirt's error, when the
 * policy refuses for what the source alone can see. */
gboolean departure_begin(virDomainPtr dom,
                         const Policy *policy,
                         virTypedParameterPtr params,
                         int nparams,
                         unsigned int flags);

/**
 * departure_prepare: at the destination, after libvirt's Prepare
 * @cookie: the source's
 *
 * Removes from the images here, if the policy says so, what has a name that is to arrive.
 *
 * Returns: (element-type CookieBitmap) (transfer full): what is still in the way; NULL for nothing.
 */
GPtrArray *departure_prepare(
    Migration *migration, virDomainPtr dom, const char *cookie, int cookielen, unsigned int flags);

/**
 * departure_perform: at the source, before libvirt's Perform
 * @cookie: the destination's
 *
 * Removes what the policy has removed, and tells of what stays behind. FALSE, with libvirt's error,
 * when the migration is not to begin.
 */
gboolean departure_perform(Migration *migration,
                           virDomainPtr dom,
                           virTypedParameterPtr params,
                           int nparams,
                           const char *cookie,
                           int cookielen,
                           unsigned int flags);
