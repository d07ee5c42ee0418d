/*
 * driver.c: holdfast-driver.so as the shim sees it, and where its parts are put together
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <dlfcn.h>
#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <libvirt/libvirt.h>
#include <unistd.h>

#include "config.h"
#include "module/bus.h"
#include "module/entry.h"
#include "module/library.h"
#include "run/calls.h"
#include "run/host.h"
#include "stock/abi.h"
#include "stock/daemon.h"
#include "stock/hooks-incoming.h"
#include "stock/hooks.h"
#include "stock/log.h"
#include "stock/symbols.h"
#include "stock/table.h"

static const AbiRow *row;
static gpointer incoming_library; /* a dlopen handle, NULL where it is not needed */

static const DaemonLifecycle lifecycle = {
    .start = host_serve,
    .reload = host_reload,
    .stop = host_stop,
    .end = host_end,
};

/* The module is never unloaded: a reason may be kept for good. */
static const char *
reason_of(GError *error)
{
    char *reason = g_strdup(error->message);

    g_error_free(error);
    return reason;
}

/* The library beside this one; on success its hook is in front of the stock function. */
static gboolean
open_incoming_hooks(GError **error)
{
    g_autofree char *folder = NULL;
    g_autofree char *path = NULL;
    Dl_info info;

    if (!dladdr(&holdfast_driver_entry, &info)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    _("the place of holdfast-driver.so is not known; reinstall Holdfast"));
        return FALSE;
    }
    folder = g_path_get_dirname(info.dli_fname);
    path = g_build_filename(folder, HOOKS_INCOMING_FILE, NULL);
    if (!library_is_whole(path)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    _("%1$s is cut short; reinstall Holdfast"), path);
        return FALSE;
    }
    incoming_library = dlopen(path, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
    if (!incoming_library) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, _("%1$s; reinstall Holdfast"),
                    dlerror());
        return FALSE;
    }
    return TRUE;
}

static void
bind_incoming_hooks(gpointer stock)
{
    void (*bind_hook)(gpointer function) = NULL;

    if (!incoming_library)
        return;
    *(gpointer *)&bind_hook = dlsym(incoming_library, "holdfast_hooks_incoming_bind");
    if (bind_hook)
        bind_hook(dlsym(stock, "qemuProcessIncomingDefNew"));
}

static const char *
prepare(unsigned long libvirt_version)
{
    unsigned long running = 0;
    g_autoptr(GError) error = NULL;

    row = abi_find(libvirt_version);
    if (!row)
        return "holdfast-driver.so does not know this version of libvirt";
    if (virGetVersion(&running, NULL, NULL) < 0 || running != libvirt_version)
        return g_strdup_printf("libvirt %lu runs, not %s", running, row->name);
    if (row->incoming_fd_unchecked && !open_incoming_hooks(&error))
        return reason_of(g_steal_pointer(&error));
    return NULL;
}

static const char *
attach(void *stock)
{
    g_autoptr(GError) error = NULL;
    gsize n_overrides = 0;
    const TableOverride *overrides = calls_overrides(&n_overrides);

    hooks_bind(stock);
    bind_incoming_hooks(stock);
    bindtextdomain(GETTEXT_PACKAGE, LOCALE_DIR);
    if (!symbols_load(stock, &error))
        return reason_of(g_steal_pointer(&error));
    log_install();
    if (!host_init(bus_show(), &error))
        return reason_of(g_steal_pointer(&error));
    if (!table_register(row, stock, overrides, n_overrides, &error))
        return reason_of(g_steal_pointer(&error));
    return NULL;
}

static const char *
registered(void)
{
    g_autoptr(GError) error = NULL;

    if (!daemon_register(&lifecycle, &error)) {
        table_retire();
        return reason_of(g_steal_pointer(&error));
    }
    /* Now, not when libvirt serves: a destination that it cannot reconnect to may need us first. */
    host_start(geteuid() == 0);
    return NULL;
}

__attribute__((visibility("default"))) const HoldfastEntry holdfast_driver_entry = {
    .release = PACKAGE_VERSION,
    .prepare = prepare,
    .attach = attach,
    .registered = registered,
};
