/*
 * command.c: commands to QEMU, which may take long
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/command.h"

#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "run/hold.h"
#include "run/host.h"
#include "run/migration-priv.h"
#include "stock/qmp.h"

/* Ports that are tried before the destination says that none is free. */
#define LISTEN_ATTEMPTS 8

typedef struct Command Command;

struct Command {
    Migration *migration;
    CommandLane lane;
    void (*run)(Command *command);  /* on a thread that may block */
    void (*done)(Command *command); /* then, on the engine thread; or NULL */
    char *host;
    guint16 port;
    Channel channel;
    GError *error;
};

static void
command_free(Command *command)
{
    migration_unref(command->migration);
    g_free(command->host);
    g_clear_error(&command->error);
    g_free(command);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Command, command_free)

/* --- one at a time --- */

static gboolean done_cb(gpointer opaque);

static void
command_job(gpointer opaque, gpointer unused)
{
    Command *command = opaque;

    command->run(command);
    host_post(done_cb, command);
}

static gboolean
done_cb(gpointer opaque)
{
    g_autoptr(Command) command = opaque;
    CommandQueue *queue = &command->migration->commands[command->lane];
    Command *next = g_queue_pop_head(&queue->waiting);

    queue->busy = next != NULL;
    if (next)
        host_run(command_job, next);
    if (command->done)
        command->done(command);
    return G_SOURCE_REMOVE;
}

static void
start(Migration *migration, const Command *what, const char *host)
{
    CommandQueue *queue = &migration->commands[what->lane];
    Command *command = g_memdup2(what, sizeof(*what));

    command->migration = migration_ref(migration);
    command->host = g_strdup(host);
    command->channel = migration->channel;
    if (!queue->busy) {
        queue->busy = TRUE;
        host_run(command_job, command);
        return;
    }
    for (GList *link = queue->waiting.head; link; link = link->next) {
        Command *older = link->data;

        if (older->run == command->run) {
            link->data = command;
            command_free(older);
            return;
        }
    }
    g_queue_push_tail(&queue->waiting, command);
}

void
command_drop_waiting(Migration *migration)
{
    for (CommandLane lane = 0; lane < COMMAND_LANES; lane++)
        g_queue_clear_full(&migration->commands[lane].waiting, (GDestroyNotify)command_free);
}

/* --- what they are --- */

/* The domain on our own connection; NULL with @error set when there is none. None is looked for
 * when the daemon ends, which would wait for that: jobs.h. */
static virDomainPtr
get_domain(const Migration *migration, GError **error)
{
    virConnectPtr connection = NULL;
    virDomainPtr domain = NULL;

    if (migration_is_released()) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_GONE, "the daemon ends");
        return NULL;
    }
    connection = host_connect();
    if (connection)
        domain = virDomainLookupByUUID(connection, migration->uuid);
    if (!domain)
        g_set_error(error, QMP_ERROR, QMP_ERROR_GONE, "domain '%s' is not on this host",
                    migration->name);
    if (connection)
        virConnectClose(connection);
    return domain;
}

static char *
qmp(const Migration *migration, const char *json, GError **error)
{
    virDomainPtr domain = get_domain(migration, error);
    char *reply;

    if (!domain)
        return NULL;
    reply = qmp_execute(domain, json, error);
    virDomainFree(domain);
    return reply;
}

static char *
qmp_oob(const Migration *migration, const char *name, const char *arguments, GError **error)
{
    virDomainPtr domain = get_domain(migration, error);
    char *reply;

    if (!domain)
        return NULL;
    reply = qmp_execute_oob(domain, name, arguments, error);
    virDomainFree(domain);
    return reply;
}

/* What QEMU sends in the time of a command and its answer, and then some. It believes to be at the
 * end when nothing remains (stock/hooks.c). */
#define REMAINING_MIN_BYTES (1024 * 1024)

static void
run_look(Command *command)
{
    g_autofree char *reply = qmp(command->migration, "{\"execute\":\"query-migrate\"}", NULL);
    guint64 remaining;

    if (reply && qmp_reply_number(reply, "ram", "remaining", &remaining))
        migration_post(command->migration, EVENT_REMAINS,
                       (guint)MIN(remaining / 1024, G_MAXUINT / 4), NULL);
}

void
command_look(Migration *migration)
{
    start(migration, &(Command){.lane = COMMAND_IN_BAND, .run = run_look}, NULL);
}

/* Of a source whose memory has been sent. */
static gboolean
hold_back(Migration *migration, gboolean silent, Hold *hold, GError **error)
{
    virDomainPtr domain = get_domain(migration, error);
    gboolean held = domain && hold_begin(hold, migration, domain, silent, error);

    if (domain)
        virDomainFree(domain);
    return held;
}

/* Whether a channel of the source's that breaks is a pause. The answer is not waited for where it
 * matters: a QEMU that sends the last with its main loop locked gives none before that is sent. */
static gboolean
may_break(Migration *migration, gboolean silent, Hold *hold, GError **error)
{
    g_autofree char *reply = qmp(migration, "{\"execute\":\"query-migrate\"}", error);
    g_autofree char *status = reply ? qmp_reply_string(reply, "status") : NULL;
    guint64 remaining = 0;

    if (!reply)
        return FALSE;
    if (g_strcmp0(status, "postcopy-active") != 0 ||
        !qmp_reply_number(reply, "ram", "remaining", &remaining) ||
        remaining >= REMAINING_MIN_BYTES)
        return TRUE;
    if (remaining == 0)
        return hold_back(migration, silent, hold, error);
    g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND, "nearly all memory has been sent");
    return FALSE;
}

gboolean
command_may_pause(Migration *migration, Hold *hold, GError **error)
{
    return may_break(migration, FALSE, hold, error);
}

static void
run_break(Command *command)
{
    Migration *migration = command->migration;
    g_autoptr(GError) error = NULL;
    g_autofree char *reply = NULL;
    g_auto(Hold) hold = {0};
    guint broken;

    if (!may_break(migration, TRUE, &hold, &command->error)) {
        channel_bear(&command->channel);
        return;
    }
    broken = command->channel.pid && command->channel.port ? channel_break(&command->channel) : 0;
    /* No TCP connection that we know of: a UNIX socket, RDMA, or QEMU has let go already. */
    if (broken == 0)
        reply = qmp_oob(migration, "migrate-pause", NULL, &error);
    else
        g_message("migration %s: broke %u connection(s) of the channel", migration->id, broken);
}

static void
break_done(Command *command)
{
    Migration *migration = command->migration;

    if (command->error && !migration->told_unbroken)
        g_message("migration %s: its channel is silent, and left to TCP: %s", migration->id,
                  command->error->message);
    migration->told_unbroken = command->error != NULL;
}

void
command_break(Migration *migration)
{
    start(migration, &(Command){.lane = COMMAND_IN_BAND, .run = run_break, .done = break_done},
          NULL);
}

/* The channel was shut down before, by us or by the other host; QEMU has made a note of the error
 * all the same, and pauses by it (qmp_migrate_pause(), migration/migration.c, and
 * qemu_file_shutdown(), migration/qemu-file.c, 10.0). */
static gboolean
pauses_all_the_same(const GError *error)
{
    return strstr(error->message, "Failed to pause source migration") != NULL;
}

static void
run_pause(Command *command)
{
    Migration *migration = command->migration;
    g_autoptr(Status) status = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *reply = NULL;
    g_auto(Hold) hold = {0};

    if (!migration_let_run(migration)) {
        g_warning("migration %s: not paused: the destination does not say that the guest runs "
                  "there, and a pause before that would lose it",
                  migration->id);
        migration_post(migration, EVENT_PAUSE_WITHDRAWN, 0, NULL);
        return;
    }
    status = migration_get_status(migration);
    if (migration->role == ROLE_SOURCE && status->state == STATE_POSTCOPY_ACTIVE &&
        !command_may_pause(migration, &hold, &error)) {
        g_message("migration %s: not paused: %s", migration->id, error->message);
        migration_post(migration, EVENT_PAUSE_WITHDRAWN, 0, NULL);
        return;
    }
    reply = qmp_oob(migration, "migrate-pause", NULL, &error);
    if (reply || pauses_all_the_same(error))
        return;
    g_clear_pointer(&status, status_unref);
    status = migration_get_status(migration);
    /* QEMU refuses only what has no channel to break (qmp_migrate_pause(), migration/migration.c,
     * QEMU 10.0): it is paused already, and we have missed it, as after a restart. */
    if (migration->role == ROLE_DESTINATION && g_error_matches(error, QMP_ERROR, QMP_ERROR_COMMAND))
        migration_post(migration, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    else if (status->state == STATE_POSTCOPY_ACTIVE)
        g_warning("migration %s: cannot pause it: %s", migration->id, error->message);
    /* else it is between two connections, and is kicked again. */
    migration_post(migration, EVENT_PAUSE_WITHDRAWN, 0, NULL);
}

void
command_pause(Migration *migration)
{
    start(migration, &(Command){.lane = COMMAND_OOB, .run = run_pause}, NULL);
}

/* The form QEMU takes: an IPv6 address in brackets. */
static char *
format_uri(const char *host, guint16 port)
{
    return strchr(host, ':') ? g_strdup_printf("tcp:[%s]:%u", host, port)
                             : g_strdup_printf("tcp:%s:%u", host, port);
}

/* QEMU checks the destination's certificate against the host in the URI, or against `tls-hostname`,
 * which libvirt leaves empty when QEMU connects by itself (qemuMigrationSrcRun(),
 * src/qemu/qemu_migration.c, 11.3.0). The address that we resume over is no name. */
static gboolean
keep_tls_name(Migration *migration, GError **error)
{
    g_autofree char *reply = NULL, *name = NULL, *peer = NULL, *quoted = NULL, *json = NULL;
    g_autofree char *done = NULL;
    g_autoptr(Status) status = migration_get_status(migration);

    if (!(migration_get_flags(migration) & VIR_MIGRATE_TLS) || !*status->peer)
        return TRUE;
    reply = qmp(migration, "{\"execute\":\"query-migrate-parameters\"}", error);
    if (!reply)
        return FALSE;
    name = qmp_reply_string(reply, "tls-hostname");
    if (name && *name)
        return TRUE;
    quoted = qmp_quote(status->peer);
    json = g_strdup_printf("{\"execute\":\"migrate-set-parameters\","
                           "\"arguments\":{\"tls-hostname\":%s}}",
                           quoted);
    done = qmp(migration, json, error);
    return done != NULL;
}

static void
run_resume(Command *command)
{
    Migration *migration = command->migration;
    g_autoptr(GError) error = NULL;
    g_autofree char *uri = format_uri(command->host, command->port);
    g_autofree char *quoted = qmp_quote(uri);
    g_autofree char *json = g_strdup_printf(
        "{\"execute\":\"migrate\",\"arguments\":{\"uri\":%s,\"resume\":true}}", quoted);
    g_autofree char *reply = NULL;

    if (keep_tls_name(migration, &error))
        reply = qmp(migration, json, &error);
    if (!reply) {
        g_warning("migration %s: cannot resume over %s: %s", migration->id, uri, error->message);
        migration_post(migration, EVENT_RESUME_FAILED, 0, error->message);
    }
}

void
command_resume(Migration *migration, const char *host, guint16 port)
{
    start(migration, &(Command){.lane = COMMAND_IN_BAND, .run = run_resume, .port = port}, host);
}

/* --- listening --- */

/* Whether an address and port could be listened on just now, as QEMU does it: a connection that is
 * long over does not keep a port (inet_listen_saddr(), util/qemu-sockets.c, QEMU 10.0). */
static gboolean
is_free(const char *host, guint16 port)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
    };
    g_autofree char *service = g_strdup_printf("%u", port);
    struct addrinfo *info = NULL;
    gboolean ok = FALSE;
    int fd = -1;

    if (getaddrinfo(host, service, &hints, &info) == 0)
        fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
        ok = bind(fd, info->ai_addr, info->ai_addrlen) == 0;
        close(fd);
    }
    if (info)
        freeaddrinfo(info);
    return ok;
}

/* All addresses, over IPv6 as well where there is IPv6. */
static const char *
get_any(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return "0.0.0.0";
    close(fd);
    return "::";
}

/* The engine knows of the port, and so does the journal, before QEMU does. */
static gboolean
arm_at(Migration *migration, const char *host, guint16 port, GError **error)
{
    g_autofree char *uri = format_uri(host, port);
    g_autofree char *quoted = qmp_quote(uri);
    g_autofree char *arguments = g_strdup_printf("{\"uri\":%s}", quoted);
    g_autofree char *reply = NULL;

    migration_tell(migration, EVENT_ARMING, port, NULL);
    reply = qmp_oob(migration, "migrate-recover", arguments, error);
    return reply != NULL;
}

/* Tries the ports from the top, where libvirt comes last. 0 with @error set if none will do. */
static guint16
arm_anywhere(Migration *migration, const char *host, GError **error)
{
    guint attempts = 0;
    guint16 min, max;

    host_get_ports(&min, &max);
    for (guint port = max; port >= min && attempts < LISTEN_ATTEMPTS; port--) {
        if (!is_free(host, (guint16)port))
            continue;
        attempts++;
        g_clear_error(error);
        if (arm_at(migration, host, (guint16)port, error))
            return (guint16)port;
        /* QEMU itself says when it is the port; anything else is as bad on the next one. */
        if (!g_error_matches(*error, QMP_ERROR, QMP_ERROR_COMMAND))
            return 0;
    }
    if (!*error)
        g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND, "no port is free to listen on at %s",
                    host);
    return 0;
}

static void
run_arm(Command *command)
{
    const char *host = command->host ? command->host : get_any();

    channel_hasten(&command->channel, TRUE);
    /* A port that a person names is QEMU's to judge: it may listen there already, for an answer
     * that was lost, and closes that first (qmp_migrate_recover(), migration/migration.c, 10.0). */
    if (!command->port)
        command->port = arm_anywhere(command->migration, host, &command->error);
    else if (!arm_at(command->migration, host, command->port, &command->error))
        command->port = 0;
}

static gboolean
is_recovering(const Migration *migration)
{
    MigrationState state = session_get_state(migration->session);

    return migration_state_is_postcopy(state) && state != STATE_POSTCOPY_ACTIVE;
}

static void
arm_done(Command *command)
{
    Migration *migration = command->migration;
    PeerQuestion *question = migration->question;

    g_clear_pointer(&migration->arming_host, g_free);
    /* It was told after the recovery had ended in another way. */
    if (!is_recovering(migration))
        channel_hasten(&command->channel, FALSE);
    if (!command->port) {
        migration_step(migration, EVENT_ARM_FAILED, 0, command->error->message);
        return;
    }
    g_free(migration->armed_host);
    migration->armed_host = g_steal_pointer(&command->host);
    if (question && migration->armed_host &&
        g_strcmp0(peer_question_get_local(question), migration->armed_host) != 0)
        migration_step(migration, EVENT_ARMED_ELSEWHERE, command->port, NULL);
    else
        migration_step(migration, EVENT_ARMED, command->port, NULL);
}

void
command_arm(Migration *migration, const char *host, guint16 port)
{
    g_free(migration->arming_host);
    migration->arming_host = g_strdup(host);
    start(migration,
          &(Command){.lane = COMMAND_OOB, .run = run_arm, .done = arm_done, .port = port}, host);
}
