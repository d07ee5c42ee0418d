/*
 * entry.h: what the shim asks of holdfast-driver.so
 *
 * The shim is what libvirt loads; it must be able to tell a holdfast-driver.so that does not fit
 * before anything of it takes effect. Plain C: the shim has no GLib.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

typedef struct {
    /* Always the first member: the shim reads no other of another release's. */
    const char *release;

    /* Each returns NULL, or why Holdfast cannot run; the text stays. Called in this order, once.
     *
     * prepare: before the stock module is opened and with our symbols still local. */
    const char *(*prepare)(unsigned long libvirt_version);
    /* attach: with the stock module's handle, before it registers its driver. Must be called once
     * our symbols are global, for the hooks need the handle even if we do not go on. */
    const char *(*attach)(void *stock);
    /* registered: after the stock driver was. */
    const char *(*registered)(void);
} HoldfastEntry;

#define HOLDFAST_ENTRY "holdfast_driver_entry"
extern const HoldfastEntry holdfast_driver_entry;
