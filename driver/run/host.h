/*
 * host.h: what Holdfast runs on in this daemon
 *
 * One engine thread with a GMainContext of its own, on which every session is stepped and nothing
 * ever blocks; a small pool of threads for what may block (QMP, libvirt's API); one connection of
 * our own to the daemon we live in. Made once, when the module is loaded; lives as long as the
 * process.
 *
 * The Rules. A thread of libvirt's (a client's call, the monitor, the event loop) may post to the
 * engine and may wait for it; the engine never waits for anybody. No lock of ours is held across a
 * call into libvirt or QEMU.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gio/gio.h>
#include <libvirt/libvirt.h>

#include "model/policy.h"
#include "model/status.h"

/** Where migrations are shown. Called on the engine thread; none may block. */
typedef struct {
    void (*start)(gboolean privileged); /* once, before the others */
    void (*publish)(Status *status);    /* after every change */
    void (*withdraw)(const char *uuid, MigrationRole role);
} HostShow;

/** host_init: once, from the thread that loads the module; starts no thread. @show: static. */
gboolean host_init(const HostShow *show, GError **error);

/** host_start: the engine thread, the answers to other hosts, the bus, the journal. Once, after
 * host_init(). @privileged: this is root's daemon. */
void host_start(gboolean privileged);

/* What the daemon does: see stock/daemon.h. */
/** libvirt serves, and can be asked: before, host_connect() fails. */
void host_serve(gboolean privileged);
void host_reload(void);
/** Lets go of all held calls: they end with stock libvirt's answer, the migrations go on. */
void host_stop(void);
/** Nothing of ours uses libvirt any more when it returns, or not for a while; takes 2 s at most. */
void host_end(void);

/** Whether there is an engine thread. */
gboolean host_is_running(void);

/** What a domain without a policy of its own gets; a reference. Any thread. */
Policy *host_get_policy(void);

/** Runs @fn on the engine thread, in the order of the calls. Any thread. */
void host_post(GSourceFunc fn, gpointer opaque);

/** Runs @fn on a thread that may block and acts as the daemon itself. Any thread. */
void host_run(GFunc fn, gpointer opaque);
/** The same for what lasts long, see jobs.h. */
gboolean host_run_long(GFunc fn, gpointer opaque, GError **error);

/**
 * host_run_later: as host_run(), when @delay_ms have passed
 * @opaque: @fn's from then on
 * @notify: (nullable): frees @opaque where @fn is never run, because the engine ends before
 *
 * Waits on no thread. Any thread.
 */
void host_run_later(guint delay_ms, GFunc fn, gpointer opaque, GDestroyNotify notify);

/**
 * host_connect: our own connection to this daemon, made when it is first wanted
 *
 * A reference, or NULL with the thread's libvirt error set. May block; not on the engine thread.
 */
virConnectPtr host_connect(void);

/** The port where this host answers questions about recovery; 0 if it has none. Any thread. */
guint16 host_get_recover_port(void);

const HostShow *host_get_show(void);

/** The directory of the journal; NULL before host_start(). */
const char *host_get_journal(void);

/**
 * host_get_ports: where the destination's QEMU may listen for a resumed migration, and this host
 * for questions
 *
 * libvirt's range of migration ports (qemu.conf), so that a firewall that lets migrations through
 * lets recoveries through: taken from the top, as libvirt takes them from the bottom. Any thread,
 * after host_start().
 */
void host_get_ports(guint16 *min, guint16 *max);

/** The one address that migrations come in on (qemu.conf), numeric; NULL: any. As above. */
const char *host_get_address(void);
