/*
 * dconn.h: the connection to the destination that a peer-to-peer migration holds
 *
 * While memory is copied the migration hangs on it, as in stock libvirt: when it is lost the source
 * aborts, and the guest goes on there. In postcopy it does not: the guest is on the other host,
 * and QEMU's own channel is what counts. Belongs to the thread that runs the migration.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

typedef struct Dconn Dconn;

/**
 * dconn_open: connects to the other host, as long as that may take
 * @dom: the domain on a connection of our own to this daemon
 *
 * Watched as keepalive_interval and keepalive_count in qemu.conf say. NULL with the thread's
 * libvirt error set, also when the daemon stops before.
 */
Dconn *dconn_open(virDomainPtr dom, const char *uri);
/** The thread's libvirt error is left as it was. NULL is ignored. May block. */
void dconn_close(Dconn *dconn);
/** The same without a word to the other host: it closes when the last call that is at it ends. */
void dconn_leave(Dconn *dconn);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Dconn, dconn_close)

/** Borrowed. */
virConnectPtr dconn_get(const Dconn *dconn);

/** Whether the other host's libvirt knows the phases with parameters (1.1.0 and later). */
gboolean dconn_takes_params(const Dconn *dconn);

/** From now on losing the connection aborts the domain's job, until dconn_unguard(). */
void dconn_guard(Dconn *dconn);
/** Whether it was lost since. When this returns the job will not be aborted any more. */
gboolean dconn_unguard(Dconn *dconn);
