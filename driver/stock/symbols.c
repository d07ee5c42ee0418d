/*
 * symbols.c: finding libvirt's private functions
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/symbols.h"

#include <dlfcn.h>
#include <gio/gio.h>
#include <glib/gi18n-lib.h>

Symbols symbols;

typedef struct {
    const char *name;
    gpointer *function;
} Entry;

#define ENTRY(name, ret, args) {#name, (gpointer *)&symbols.name},
static const Entry libvirt_entries[] = {SYMBOLS_LIBVIRT(ENTRY)};
static const Entry qemu_entries[] = {SYMBOLS_QEMU(ENTRY)};

static gboolean
load(gpointer handle, const Entry *entries, gsize n_entries, GError **error)
{
    for (gsize i = 0; i < n_entries; i++) {
        *entries[i].function = dlsym(handle, entries[i].name);
        if (!*entries[i].function) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                        _("libvirt has no function %1$s; install a Holdfast made for it"),
                        entries[i].name);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean
symbols_load(gpointer stock, GError **error)
{
    /* The stock handle reaches its dependencies too, and does not reach our hooks. */
    if (!load(stock ? stock : RTLD_DEFAULT, libvirt_entries, G_N_ELEMENTS(libvirt_entries), error))
        return FALSE;
    return !stock || load(stock, qemu_entries, G_N_ELEMENTS(qemu_entries), error);
}
