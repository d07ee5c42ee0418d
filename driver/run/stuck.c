/*
 * stuck.c: a source's QEMU that a failed switch to postcopy has left behind
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/stuck.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "run/host.h"
#include "run/migration-priv.h"
#include "run/outcome.h"
#include "stock/error.h"
#include "stock/hooks.h"
#include "stock/json.h"
#include "stock/qmp.h"
#include "stock/symbols.h"

/* An answer of QEMU's main loop takes about a millisecond. */
#define ANSWER_MS 5000

/* QEMU's name of our end while it is being told, and of the device that it is. */
#define SOCKET_NAME "holdfast-detach"

Stuck
stuck_get(const Migration *migration)
{
    return g_atomic_int_get(&migration->stuck);
}

static void
set(Migration *migration, Stuck stuck)
{
    g_atomic_int_set(&migration->stuck, stuck);
}

static gboolean
can_switch(Migration *migration)
{
    return (migration_get_flags(migration) & VIR_MIGRATE_POSTCOPY) != 0;
}

/* --- found --- */

/* From the command `migrate` to the end of migration_cleanup(), migration/migration.c, QEMU 10.0.
 * TRUE for what is no answer. */
static gboolean
has_migration(const char *reply)
{
    g_autoptr(Json) json = json_parse(reply);
    Json *instances = json ? symbols.virJSONValueObjectGetArray(json, "return") : NULL;

    if (!instances)
        return TRUE;
    for (size_t i = 0; i < symbols.virJSONValueArraySize(instances); i++) {
        Json *instance = symbols.virJSONValueArrayGet(instances, (unsigned int)i);

        if (g_strcmp0(symbols.virJSONValueObjectGetString(instance, "type"), "migration") == 0)
            return TRUE;
    }
    return FALSE;
}

/* Whoever looks in this order sees nothing that ends in a moment: migration_cleanup() makes
 * `cancelled` of `cancelling` before it is over, and after it nobody is left who would change the
 * state, but for migrate_cancel. */
static gboolean
is_stuck(QmpJob *job)
{
    g_autofree char *yank = qmp_job_execute(job, "{\"execute\":\"query-yank\"}", NULL);
    g_autofree char *migrate = NULL, *status = NULL;

    if (!yank || has_migration(yank))
        return FALSE;
    migrate = qmp_job_execute(job, "{\"execute\":\"query-migrate\"}", NULL);
    status = migrate ? qmp_reply_string(migrate, "status") : NULL;
    return g_strcmp0(status, "device") == 0 || g_strcmp0(status, "cancelling") == 0;
}

/* --- the guest --- */

/* The packet "D" of GDB's remote protocol with its checksum, and what comes before the answer. */
static gboolean
detach(int fd, GError **error)
{
    static const char packet[] = "$D#44", answer[] = "$OK#";
    char said[64] = "";
    size_t length = 0;

    if (send(fd, packet, strlen(packet), MSG_NOSIGNAL) != (ssize_t)strlen(packet)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s", g_strerror(errno));
        return FALSE;
    }
    while (!strstr(said, answer)) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        ssize_t n = poll(&ready, 1, ANSWER_MS) > 0
                        ? recv(fd, said + length, sizeof(said) - 1 - length, 0)
                        : 0;

        if (n <= 0) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "QEMU does not answer there");
            return FALSE;
        }
        length += (size_t)n;
    }
    return TRUE;
}

static gboolean
say(QmpJob *job, const char *command, GError **error)
{
    g_autofree char *reply = qmp_job_execute(job, command, error);

    return reply != NULL;
}

#define CHARDEV_ADD                                                                                \
    "{\"execute\":\"chardev-add\",\"arguments\":{\"id\":\"" SOCKET_NAME "\",\"backend\":{"         \
    "\"type\":\"socket\",\"data\":{\"addr\":{\"type\":\"fd\",\"data\":{\"str\":\"" SOCKET_NAME     \
    "\"}},\"server\":false}}}}"
#define CHARDEV_REMOVE "{\"execute\":\"chardev-remove\",\"arguments\":{\"id\":\"" SOCKET_NAME "\"}}"
#define CLOSE_FD       "{\"execute\":\"closefd\",\"arguments\":{\"fdname\":\"" SOCKET_NAME "\"}}"
#define GDBSERVER(device)                                                                          \
    "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"gdbserver " device   \
    "\"}}"

/* What the stub says of a failure is text; whether it was one shows where the guest runs, or not.
 */
static gboolean
go_by_debugger(QmpJob *job, int ours, int its, GError **error)
{
    gboolean gone;

    if (!qmp_job_pass_fd(job, SOCKET_NAME, its, error))
        return FALSE;
    if (!say(job, CHARDEV_ADD, error)) {
        say(job, CLOSE_FD, NULL);
        return FALSE;
    }
    gone = say(job, GDBSERVER("chardev:" SOCKET_NAME), error) && detach(ours, error);
    /* With it the device goes, if it had come to have it. */
    say(job, GDBSERVER("none"), NULL);
    say(job, CHARDEV_REMOVE, NULL);
    return gone;
}

static gboolean
runs(QmpJob *job)
{
    g_autofree char *reply = qmp_job_execute(job, "{\"execute\":\"query-status\"}", NULL);
    g_autofree char *status = reply ? qmp_reply_string(reply, "status") : NULL;

    return g_strcmp0(status, "running") == 0;
}

/* QEMU has taken the images back itself, but tells nobody when it could not. */
static gboolean
let_run(QmpJob *job, GError **error)
{
    int fds[2];
    gboolean gone;

    if (!say(job, "{\"execute\":\"blockdev-set-active\",\"arguments\":{\"active\":true}}", error))
        return FALSE;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s", g_strerror(errno));
        return FALSE;
    }
    gone = go_by_debugger(job, fds[0], fds[1], error);
    close(fds[0]);
    close(fds[1]);
    if (runs(job)) {
        g_clear_error(error);
        return TRUE;
    }
    if (gone)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "QEMU does not let it run");
    return FALSE;
}

/* One that a person had paused before stays so. */
static gboolean
is_stopped_for_migration(virDomainPtr dom)
{
    int state = VIR_DOMAIN_NOSTATE, reason = 0;

    return virDomainGetState(dom, &state, &reason, 0) == 0 && state == VIR_DOMAIN_PAUSED &&
           reason == VIR_DOMAIN_PAUSED_MIGRATION;
}

gboolean
stuck_let_run(Migration *migration, virDomainPtr dom)
{
    gboolean wanted = is_stopped_for_migration(dom);
    g_autoptr(GError) error = NULL;
    g_autoptr(QmpJob) job = can_switch(migration) ? qmp_job_begin(dom, &error) : NULL;

    if (!job || !is_stuck(job))
        return FALSE;
    set(migration, STUCK_STANDS);
    if (!wanted)
        return FALSE;
    if (!let_run(job, &error)) {
        g_warning("migration %s: the QEMU of domain %s cannot go on: %s; start the domain anew: "
                  "virsh destroy, virsh start",
                  migration_get_id(migration), migration_get_name(migration), error->message);
        return FALSE;
    }
    set(migration, STUCK_RUNS);
    g_warning("migration %s: domain %s goes on here; its QEMU takes no other migration until the "
              "domain is shut down and started",
              migration_get_id(migration), migration_get_name(migration));
    return TRUE;
}

/* --- the migration --- */

void
stuck_end_wait(Migration *migration, virDomainPtr dom)
{
    /* Of another one, begun since, libvirt is told nothing. */
    g_autoptr(Migration) latest = migration_find(migration_get_uuid(migration));
    g_autofree char *yank = latest == migration && can_switch(migration)
                                ? qmp_execute_oob(dom, "query-yank", NULL, NULL)
                                : NULL;
    g_autoptr(GError) error = NULL;

    if (yank && !has_migration(yank) && !hooks_emit_migration_status(dom, "cancelled", &error))
        g_warning("migration %s: libvirt waits for its end on: %s", migration_get_id(migration),
                  error->message);
}

/* On the destination it did not and never will run. libvirt has the event RESUME before the next
 * answer of QEMU's, and by now. */
static void
release_job(gpointer opaque, gpointer unused)
{
    g_autoptr(Migration) migration = opaque;
    virDomainPtr dom = outcome_find_own(migration);

    if (dom) {
        stuck_let_run(migration, dom);
        stuck_end_wait(migration, dom);
        virDomainFree(dom);
    }
    migration_post(migration, EVENT_SETTLED, 0, NULL);
    virResetLastError();
}

static void
settled_cb(const Status *status, gpointer migration)
{
    if (status->state == STATE_CANCELLED)
        host_run(release_job, migration);
    else
        migration_unref(migration); /* the daemon stops, or the domain did */
}

static gboolean
settle_cb(gpointer migration)
{
    migration_when(migration, MIGRATION_SETTLED, 0, settled_cb, migration);
    return G_SOURCE_REMOVE;
}

/* As long as it is at work its main loop, and the domain's job, are left to that. */
static gboolean
look(virDomainPtr dom)
{
    g_autofree char *yank = qmp_execute_oob(dom, "query-yank", NULL, NULL);
    g_autoptr(QmpJob) job = yank && !has_migration(yank) ? qmp_job_begin(dom, NULL) : NULL;

    return job && is_stuck(job);
}

void
stuck_look(Migration *migration, virDomainPtr dom)
{
    if (!can_switch(migration) || stuck_get(migration) != STUCK_NOT || !look(dom))
        return;
    set(migration, STUCK_FOUND);
    g_warning("migration %s: QEMU has failed to switch to postcopy and cannot go on by itself; the "
              "destination is asked whether it has domain %s, which stays stopped until that is "
              "known",
              migration_get_id(migration), migration_get_name(migration));
    migration_tell(migration, EVENT_RETURN_REQUESTED, 0, NULL);
    host_post(settle_cb, migration_ref(migration));
}

gboolean
stuck_refuse(virDomainPtr dom)
{
    unsigned char uuid[VIR_UUID_BUFLEN];
    g_autoptr(Migration) before = virDomainGetUUID(dom, uuid) == 0 ? migration_find(uuid) : NULL;

    if (!before || stuck_get(before) == STUCK_NOT ||
        migration_get_domain_id(before) != (int)virDomainGetID(dom))
        return FALSE;
    stock_error_raise(VIR_ERR_OPERATION_INVALID,
                      _("domain '%1$s' cannot be migrated until it is shut down and started: its "
                        "QEMU failed to switch to post-copy before, and takes no other migration"),
                      migration_get_name(before));
    return TRUE;
}

void
stuck_explain(Migration *migration, virDomainPtr dom)
{
    Stuck stuck = stuck_get(migration);
    g_autofree char *reply =
        stuck == STUCK_NOT ? NULL : qmp_execute(dom, "{\"execute\":\"query-migrate\"}", NULL);
    g_autofree char *why = reply ? qmp_reply_string(reply, "error-desc") : NULL;

    if (stuck == STUCK_RUNS)
        stock_error_raise(
            VIR_ERR_OPERATION_FAILED,
            _("QEMU failed to switch to post-copy (%1$s): domain '%2$s' goes on here, "
              "and cannot be migrated until it is shut down and started"),
            why ? why : "", migration_get_name(migration));
    else if (stuck == STUCK_STANDS)
        stock_error_raise(
            VIR_ERR_OPERATION_FAILED,
            _("QEMU failed to switch to post-copy (%1$s): domain '%2$s' cannot go on; "
              "destroy it and start it"),
            why ? why : "", migration_get_name(migration));
}
