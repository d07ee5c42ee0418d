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

/** Whether the domain is stopped at the end of a migration that has left it here, as far as libvirt
 * knows: its images are inactive, and who has it run takes them back. */
gboolean handback_is_due(virDomainPtr dom);

/**
 * handback_settle: before a guest is taken back, and after it was tried
 *
 * Inactivates what an attempt that failed has left active; when the images are all active, drops
 * the bitmaps that are not to be kept. Safe to be repeated.
 *
 * Returns: FALSE with @error set when it is not safe to have the guest run.
 */
gboolean handback_settle(virDomainPtr dom, GError **error);
