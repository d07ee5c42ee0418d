/*
 * daemon.c: a state driver that passes on what the daemon does
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/daemon.h"

#include <gio/gio.h>
#include <glib/gi18n-lib.h>
#include <stdbool.h>

#include "stock/symbols.h"

/* virDrvStateInitResult, src/driver-state.h. "Skipped" would end a daemon that must have us. */
enum { STATE_INIT_COMPLETE = 1 };

/* struct _virStateDriver, src/driver-state.h: the same in libvirt 9.0.0 and 11.3.0;
 * scripts/extract-abi asserts the layout. */
typedef struct {
    const char *name;
    bool initialized;
    int (*initialize)(
        bool privileged, const char *root, bool monolithic, gpointer inhibit, gpointer opaque);
    int (*cleanup)(void);
    int (*reload)(void);
    int (*stop)(void); /* a session's end, which stops guests: not the daemon's */
    int (*shutdown_prepare)(void);
    int (*shutdown_wait)(void);
} StateDriver;

static const DaemonLifecycle *lifecycle;

/* virStateInhibitCallback, src/libvirt_internal.h, 9.0.0 and 11.3.0. */
typedef void (*InhibitFn)(bool inhibit, gpointer opaque);

static struct {
    GMutex lock;
    InhibitFn fn; /* NULL: the drivers are not initialised yet */
    gpointer opaque;
    gboolean wanted;
    gboolean told; /* what libvirt knows, or is being told */
} inhibition;

/* libvirt counts: of two at a time the order does not matter. */
static void
tell_inhibition(void)
{
    gboolean changed, wanted;

    g_mutex_lock(&inhibition.lock);
    wanted = inhibition.wanted;
    changed = inhibition.fn && wanted != inhibition.told;
    if (changed)
        inhibition.told = wanted;
    g_mutex_unlock(&inhibition.lock);
    if (changed)
        inhibition.fn(wanted, inhibition.opaque);
}

void
daemon_inhibit(gboolean inhibit)
{
    g_mutex_lock(&inhibition.lock);
    inhibition.wanted = inhibit;
    g_mutex_unlock(&inhibition.lock);
    tell_inhibition();
}

static int
initialize(bool privileged, const char *root, bool monolithic, gpointer inhibit, gpointer opaque)
{
    g_mutex_lock(&inhibition.lock);
    *(gpointer *)&inhibition.fn = inhibit;
    inhibition.opaque = opaque;
    g_mutex_unlock(&inhibition.lock);
    tell_inhibition();
    if (!root && lifecycle->start)
        lifecycle->start(privileged);
    return STATE_INIT_COMPLETE;
}

static int
cleanup(void)
{
    if (lifecycle->end)
        lifecycle->end();
    return 0;
}

static int
reload(void)
{
    if (lifecycle->reload)
        lifecycle->reload();
    return 0;
}

static int
shutdown_prepare(void)
{
    if (lifecycle->stop)
        lifecycle->stop();
    return 0;
}

gboolean
daemon_register(const DaemonLifecycle *listener, GError **error)
{
    static StateDriver driver = {
        .name = "holdfast",
        .initialize = initialize,
        .cleanup = cleanup,
        .reload = reload,
        .shutdown_prepare = shutdown_prepare,
    };

    lifecycle = listener;
    if (symbols.virRegisterStateDriver(&driver) < 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    _("libvirt takes no further state driver: %1$s"), virGetLastErrorMessage());
        return FALSE;
    }
    return TRUE;
}
