/*
 * host.c: what Holdfast runs on in this daemon
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/host.h"

#include <libvirt/virterror.h>

#include "run/addresses.h"
#include "run/bitmaps.h"
#include "run/carry.h"
#include "run/halves.h"
#include "run/jobs.h"
#include "run/journal.h"
#include "run/migration.h"
#include "run/observe.h"
#include "run/parcel.h"
#include "run/peer.h"
#include "run/rebuild.h"
#include "run/remote.h"
#include "run/restore.h"
#include "run/stray.h"
#include "run/switchover.h"
#include "stock/incoming.h"
#include "util/nbdio.h"

/* Of a daemon's stop: commands to QEMU take about a millisecond, and one that takes longer than
 * this may take for ever. */
#define END_MS 2000

/* Of its start, when the port is taken on which other hosts count. */
#define PORT_RETRY_MS 50
#define PORT_TRIES    200

static struct {
    GMainContext *context;
    GThread *thread;
    const char *uri;    /* of this daemon's QEMU driver; set before anybody asks */
    PeerServer *server; /* engine thread */
    const HostShow *show;
    const char *journal;    /* a directory; set once, with uri */
    StockIncoming incoming; /* likewise */
    gint running;           /* atomic */
    gint serving;           /* atomic */
    gint recover_port;      /* atomic */
    GMutex lock;
    Policy *policy;           /* under the lock */
    virConnectPtr connection; /* under the lock */
} host;

void
host_run(GFunc fn, gpointer opaque)
{
    jobs_run(fn, opaque);
}

gboolean
host_run_long(GFunc fn, gpointer opaque, GError **error)
{
    return jobs_run_long(fn, opaque, error);
}

typedef struct {
    GFunc fn;
    gpointer opaque;
    GDestroyNotify notify; /* NULL: @opaque is the job's */
} Later;

static gboolean
later_cb(gpointer data)
{
    Later *later = data;

    later->notify = NULL;
    host_run(later->fn, later->opaque);
    return G_SOURCE_REMOVE;
}

static void
later_free(gpointer data)
{
    Later *later = data;

    if (later->notify)
        later->notify(later->opaque);
    g_free(later);
}

void
host_run_later(guint delay_ms, GFunc fn, gpointer opaque, GDestroyNotify notify)
{
    g_autoptr(GSource) source = g_timeout_source_new(delay_ms);
    Later *later = g_new(Later, 1);

    *later = (Later){fn, opaque, notify};
    g_source_set_callback(source, later_cb, later, later_free);
    g_source_attach(source, host.context);
}

gboolean
host_is_running(void)
{
    return g_atomic_int_get(&host.running);
}

void
host_post(GSourceFunc fn, gpointer opaque)
{
    g_autoptr(GSource) source = g_idle_source_new();

    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, fn, opaque, NULL);
    g_source_attach(source, host.context);
}

Policy *
host_get_policy(void)
{
    Policy *policy;

    g_mutex_lock(&host.lock);
    policy = policy_ref(host.policy);
    g_mutex_unlock(&host.lock);
    return policy;
}

guint16
host_get_recover_port(void)
{
    return (guint16)g_atomic_int_get(&host.recover_port);
}

const char *
host_get_journal(void)
{
    return host.journal;
}

void
host_get_ports(guint16 *min, guint16 *max)
{
    *min = host.incoming.port_min;
    *max = host.incoming.port_max;
}

const char *
host_get_address(void)
{
    return host.incoming.address;
}

const HostShow *
host_get_show(void)
{
    return host.show;
}

static virConnectPtr
get_connection(void)
{
    virConnectPtr connection;

    g_mutex_lock(&host.lock);
    connection = host.connection;
    if (connection)
        virConnectRef(connection);
    g_mutex_unlock(&host.lock);
    return connection;
}

virConnectPtr
host_connect(void)
{
    virConnectPtr connection;
    gboolean mine = FALSE;

    /* Its drivers are about to be freed. */
    if (jobs_are_over())
        return NULL;
    connection = get_connection();
    if (connection)
        return connection;
    /* Before that, libvirt would take us for a client of another daemon. */
    if (!g_atomic_int_get(&host.serving))
        return NULL;
    /* Without the lock: libvirt comes back to our own connectOpen. */
    connection = virConnectOpen(host.uri);
    if (!connection)
        return NULL;
    g_mutex_lock(&host.lock);
    if (!host.connection) {
        host.connection = connection;
        virConnectRef(connection);
        mine = TRUE;
    }
    g_mutex_unlock(&host.lock);
    if (mine)
        observe_domains(connection);
    return connection;
}

static gpointer
engine_thread(gpointer unused)
{
    g_autoptr(GMainLoop) loop = g_main_loop_new(host.context, FALSE);

    g_main_context_push_thread_default(host.context);
    g_main_loop_run(loop);
    g_main_context_pop_thread_default(host.context);
    return NULL;
}

/* From the top, and never the last port that libvirt has. */
static PeerServer *
listen_in_range(GError **error)
{
    if (host.incoming.port_min < host.incoming.port_max)
        return peer_server_new(host.incoming.address, (guint16)(host.incoming.port_min + 1),
                               host.incoming.port_max, observe_question, NULL, error);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE,
                "migration_port_min and migration_port_max of qemu.conf leave port %u alone",
                host.incoming.port_min);
    return NULL;
}

/* The port from before a restart, where the peers of running migrations ask. Without any, qemu.conf
 * may have another range by now. 0 if there is none. */
static guint16
keep_port(void)
{
    guint16 port = journal_read_port(host.journal);
    gboolean in_range = port > host.incoming.port_min && port <= host.incoming.port_max;

    return in_range || journal_has_any(host.journal) ? port : 0;
}

/* FALSE when it is to be tried again: a daemon before this one that was killed has the port until
 * the last of its threads has ended. */
static gboolean
listen_for_peers(gboolean last)
{
    g_autoptr(GError) taken = NULL;
    g_autoptr(GError) error = NULL;
    guint16 port = keep_port();

    if (port)
        host.server =
            peer_server_new(host.incoming.address, port, port, observe_question, NULL, &taken);
    if (taken && journal_has_any(host.journal)) {
        if (!last)
            return FALSE;
        g_warning("running migrations to this host that pause do not recover by themselves, "
                  "because their sources ask on a port that is taken: %s",
                  taken->message);
    }
    if (!host.server)
        host.server = listen_in_range(&error);
    if (host.server) {
        g_atomic_int_set(&host.recover_port, peer_server_get_port(host.server));
        journal_write_port(host.journal, peer_server_get_port(host.server));
    } else {
        g_warning("no port to answer other hosts on (%s): migrations to this host that pause do "
                  "not recover by themselves",
                  error->message);
    }
    return TRUE;
}

static gboolean
listen_cb(gpointer unused)
{
    static guint tries;

    return listen_for_peers(++tries == PORT_TRIES) ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

/* The first thing that runs on the engine thread. */
static gboolean
open_cb(gpointer privileged)
{
    if (!listen_for_peers(FALSE)) {
        g_autoptr(GSource) source = g_timeout_source_new(PORT_RETRY_MS);

        g_message("port %u, on which other hosts ask, is taken, and waited for", keep_port());
        g_source_set_callback(source, listen_cb, NULL, NULL);
        g_source_attach(source, host.context);
    }
    host.show->start(GPOINTER_TO_INT(privileged));
    return G_SOURCE_REMOVE;
}

static Policy *
load_policy(void)
{
    g_autoptr(GError) error = NULL;
    Policy *policy = policy_load_host(policy_host_file(), &error);

    if (policy)
        return policy;
    g_warning("%s; the built-in defaults are used", error->message);
    return policy_default();
}

gboolean
host_init(const HostShow *show, GError **error)
{
    host.show = show;
    if (!policy_prepare(error))
        return FALSE;
    if (!jobs_init(error))
        return FALSE;
    host.policy = load_policy();
    host.context = g_main_context_new();
    return TRUE;
}

static void
connect_job(gpointer unused, gpointer unused_too)
{
    virConnectPtr connection = host_connect();

    if (connection) {
        restore_take_up(connection);
        bitmaps_repair_all(connection);
        virConnectClose(connection);
    } else {
        g_warning("no connection of our own to %s (%s): it is tried again with the next migration",
                  host.uri, virGetLastErrorMessage());
    }
}

/* Only an address is of use, and one for all says nothing. */
static void
load_incoming(gboolean privileged)
{
    g_autofree char *beside = g_path_get_dirname(policy_host_file());
    g_autofree char *path =
        privileged ? g_build_filename(beside, "qemu.conf", NULL)
                   : g_build_filename(g_get_user_config_dir(), "libvirt", "qemu.conf", NULL);

    stock_incoming_read(path, &host.incoming);
    if (host.incoming.address &&
        (!addresses_is_numeric(host.incoming.address) || addresses_is_any(host.incoming.address)))
        g_clear_pointer(&host.incoming.address, g_free);
}

void
host_start(gboolean privileged)
{
    g_autoptr(GError) error = NULL;

    parcel_set_taker(MESSAGE_PARCEL_BITMAPS, rebuild_take);
    load_incoming(privileged);
    host.uri = privileged ? "qemu:///system" : "qemu:///session";
    host.journal = journal_get_directory(privileged);
    host.thread = g_thread_try_new("holdfast", engine_thread, NULL, &error);
    if (!host.thread) {
        g_warning("no thread for the engine (%s): migrations are libvirt's alone", error->message);
        return;
    }
    g_atomic_int_set(&host.running, TRUE);
    parcel_set_taker(MESSAGE_PARCEL_CHECKPOINTS, carry_take);
    host_post(open_cb, GINT_TO_POINTER(privileged));
    restore_read();
    observe_migration_events();
    halves_observe();
    switchover_watch();
    stray_watch();
}

void
host_serve(gboolean privileged)
{
    if (!host_is_running())
        return;
    g_atomic_int_set(&host.serving, TRUE);
    host_run(connect_job, NULL);
}

void
host_reload(void)
{
    Policy *fresh = load_policy();
    Policy *old;

    g_mutex_lock(&host.lock);
    old = host.policy;
    host.policy = fresh;
    g_mutex_unlock(&host.lock);
    policy_unref(old);
}

void
host_stop(void)
{
    migration_release_all();
    remote_release_all();
    parcel_release_all();
    nbdio_release_all();
    migration_stop_all();
}

void
host_end(void)
{
    guint at_work = jobs_end(END_MS);

    if (at_work > 0)
        g_warning("the daemon ends while %u of our threads still wait for QEMU or libvirt",
                  at_work);
}
