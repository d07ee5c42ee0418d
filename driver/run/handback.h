/*
 * handback.h: a guest that comes back to the source, and its images with it
 *
 * The rules and the QMP are driver/bitmap's. All of it may block, and leaves the thread's libvirt
 * error as it was; not on the engine thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

/** How far it came before the guest is resumed. */
typedef enum {
    HANDBACK_NOT_DUE, /* the source has not given its images up */
    HANDBACK_REFUSED, /* it is not safe to have the guest run */
    HANDBACK_TAKEN,   /* the source has its images again, and its bitmaps are settled */
    HANDBACK_UNSEEN,  /* QEMU, before 10.0, takes the images with its `cont`, and tells then */
} HandbackStep;

/**
 * handback_begin: before a guest is resumed that is stopped, perhaps at the end of a migration
 *
 * Takes the images back, if nobody else has them, with the bitmaps that are to be kept. Safe to be
 * repeated. @error is set with HANDBACK_REFUSED; nothing is changed then but what an earlier
 * attempt has left astray, and perhaps bitmaps in memory that were not to be kept.
 */
HandbackStep handback_begin(virDomainPtr dom, GError **error);

/** handback_end: after that, whether it runs now or not; @step: what handback_begin() gave. */
void handback_end(virDomainPtr dom, HandbackStep step);
