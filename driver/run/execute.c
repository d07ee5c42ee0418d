/*
 * execute.c: what the engine asks for, done
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/execute.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "run/connection.h"
#include "run/host.h"
#include "run/migration-priv.h"
#include "run/phases.h"
#include "stock/error.h"
#include "stock/qmp.h"

/* How long a connection to the other host may take: enough for a path around the world. */
#define CONNECT_MS 3000
/* Whoever asks must have the answer, or none, before the engine asks anew. */
G_STATIC_ASSERT(CONNECT_MS + PEER_ANSWER_MS < SESSION_ASK_DEADLINE_MS);
/* A person's pause is told to the destination, over every way there is, until it has heard it. */
#define TELL_AGAIN_MS 500
/* Ports that are tried before the destination says that none is free. */
#define LISTEN_ATTEMPTS 8

/* --- QMP, on the pool --- */

typedef struct {
    Migration *migration;
    char *host;
    guint16 port;
} Command;

static void
run_command(GFunc fn, Migration *migration, const char *host, guint port)
{
    Command *command = g_new0(Command, 1);

    command->migration = migration_ref(migration);
    command->host = g_strdup(host);
    command->port = (guint16)port;
    host_run(fn, command);
}

static void
command_free(Command *command)
{
    migration_unref(command->migration);
    g_free(command->host);
    g_free(command);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Command, command_free)

/* The domain on our own connection; NULL with @error set when there is none. */
static virDomainPtr
get_domain(const Migration *migration, GError **error)
{
    virConnectPtr connection = host_connect();
    virDomainPtr domain = connection ? virDomainLookupByUUID(connection, migration->uuid) : NULL;

    if (!domain)
        g_set_error(error, QMP_ERROR, QMP_ERROR_GONE, "domain '%s' is not on this host",
                    migration->name);
    if (connection)
        virConnectClose(connection);
    return domain;
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

static void
pause_job(gpointer opaque, gpointer unused)
{
    g_autoptr(Command) command = opaque;
    g_autoptr(Status) status = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *reply = NULL;

    if (!migration_let_run(command->migration)) {
        g_warning("migration %s: not paused: the destination does not say that the guest runs "
                  "there, and a pause before that would lose it",
                  command->migration->id);
        migration_post(command->migration, EVENT_PAUSE_WITHDRAWN, 0, NULL);
        return;
    }
    reply = qmp_oob(command->migration, "migrate-pause", NULL, &error);
    if (reply)
        return;
    status = migration_get_status(command->migration);
    /* QEMU refuses only what has no channel to break (qmp_migrate_pause(), migration/migration.c,
     * QEMU 10.0): it is paused already, and we have missed it, as after a restart. */
    if (command->migration->role == ROLE_DESTINATION &&
        g_error_matches(error, QMP_ERROR, QMP_ERROR_COMMAND))
        migration_post(command->migration, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    else if (status->state == STATE_POSTCOPY_ACTIVE)
        g_warning("migration %s: cannot pause it: %s", command->migration->id, error->message);
    /* else it is between two connections, and is kicked again. */
    migration_post(command->migration, EVENT_PAUSE_WITHDRAWN, 0, NULL);
}

/* The form QEMU takes: an IPv6 address in brackets. */
static char *
format_uri(const char *host, guint16 port)
{
    return strchr(host, ':') ? g_strdup_printf("tcp:[%s]:%u", host, port)
                             : g_strdup_printf("tcp:%s:%u", host, port);
}

static void
resume_job(gpointer opaque, gpointer unused)
{
    g_autoptr(Command) command = opaque;
    Migration *migration = command->migration;
    g_autoptr(GError) error = NULL;
    g_autofree char *uri = format_uri(command->host, command->port);
    g_autofree char *quoted = qmp_quote(uri);
    g_autofree char *json = g_strdup_printf(
        "{\"execute\":\"migrate\",\"arguments\":{\"uri\":%s,\"resume\":true}}", quoted);
    g_autofree char *reply = NULL;
    virDomainPtr domain = get_domain(migration, &error);

    if (domain) {
        reply = qmp_execute(domain, json, &error);
        virDomainFree(domain);
    }
    if (!reply) {
        g_warning("migration %s: cannot resume over %s: %s", migration->id, uri, error->message);
        migration_post(migration, EVENT_RESUME_FAILED, 0, error->message);
    }
}

/* Whether a port could be listened on just now, and whether over IPv6 (and so over both). */
static gboolean
is_port_free(guint16 port, gboolean *ipv6)
{
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    gboolean ok;

    *ipv6 = fd >= 0;
    if (*ipv6) {
        ok = bind(fd, (struct sockaddr *)&any6, sizeof(any6)) == 0;
    } else {
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ok = fd >= 0 && bind(fd, (struct sockaddr *)&any4, sizeof(any4)) == 0;
    }
    if (fd >= 0)
        close(fd);
    return ok;
}

static gboolean
arm_at(const Migration *migration, guint16 port, gboolean ipv6, GError **error)
{
    g_autofree char *arguments =
        g_strdup_printf("{\"uri\":\"tcp:%s:%u\"}", ipv6 ? "[::]" : "0.0.0.0", port);
    g_autofree char *reply = qmp_oob(migration, "migrate-recover", arguments, error);

    return reply != NULL;
}

/* Tries the ports from the top, where libvirt comes last. 0 with @error set if none will do. */
static guint16
arm_anywhere(const Migration *migration, GError **error)
{
    guint attempts = 0;
    gboolean ipv6;

    for (guint port = HOST_RECOVER_PORT_MAX;
         port >= HOST_RECOVER_PORT_MIN && attempts < LISTEN_ATTEMPTS; port--) {
        if (!is_port_free((guint16)port, &ipv6))
            continue;
        attempts++;
        g_clear_error(error);
        if (arm_at(migration, (guint16)port, ipv6, error))
            return (guint16)port;
        /* QEMU itself says when it is the port; anything else is as bad on the next one. */
        if (!g_error_matches(*error, QMP_ERROR, QMP_ERROR_COMMAND))
            return 0;
    }
    if (!*error)
        g_set_error_literal(error, QMP_ERROR, QMP_ERROR_COMMAND, "no port is free to listen on");
    return 0;
}

static void
arm_job(gpointer opaque, gpointer unused)
{
    g_autoptr(Command) command = opaque;
    g_autoptr(GError) error = NULL;
    guint16 port = command->port;
    gboolean ipv6;

    /* A port that a person names is QEMU's to judge: it may listen there already, for an answer
     * that was lost, and closes that first (qmp_migrate_recover(), migration/migration.c, 10.0). */
    if (port) {
        is_port_free(port, &ipv6);
        if (!arm_at(command->migration, port, ipv6, &error))
            port = 0;
    } else {
        port = arm_anywhere(command->migration, &error);
    }
    if (port)
        migration_post(command->migration, EVENT_ARMED, port, NULL);
    else
        migration_post(command->migration, EVENT_ARM_FAILED, 0, error->message);
}

/* --- the other host --- */

static EventType
event_of_answer(MessageType type)
{
    switch (type) {
    case MESSAGE_ARMED:
        return EVENT_PEER_ARMED;
    case MESSAGE_COMPLETED:
        return EVENT_PEER_COMPLETED;
    case MESSAGE_RUNNING:
        return EVENT_PEER_RUNNING;
    case MESSAGE_OVER:
        return EVENT_PEER_OVER;
    default:
        return EVENT_PEER_REFUSED;
    }
}

static void
ask_done(
    const Message *answer, const char *host, gboolean reached, const GError *error, gpointer opaque)
{
    Migration *migration = opaque;

    migration->call = NULL;
    if (answer) {
        g_free(migration->resume_host);
        migration->resume_host = g_strdup(host);
    }
    if (answer && answer->type == MESSAGE_REFUSED)
        g_message("migration %s: the destination cannot recover it now: %s", migration->id,
                  answer->text);
    if (answer)
        migration_step(migration, event_of_answer(answer->type), answer->number, answer->text);
    else if (reached)
        migration_step(migration, EVENT_PEER_REFUSED, 0, error->message);
    else
        migration_step(migration, EVENT_PEER_UNREACHABLE, 0, NULL);
    migration_unref(migration);
}

static void
call_peer(Migration *migration, guint path, MessageType type, PeerCallFn done)
{
    guint n_ways = migration->paths->len;
    g_autofree PeerWay *ways = g_new(PeerWay, n_ways);
    Message message = {.type = type};

    for (guint i = 0; i < n_ways; i++) {
        const MigrationPath *way = g_ptr_array_index(migration->paths, (path + i) % n_ways);

        ways[i] = (PeerWay){.host = way->host, .number = way->listen_port};
    }
    if (migration->call) {
        peer_call_cancel(migration->call);
        migration_unref(migration);
    }
    migration_get_secret(migration, &message.secret);
    migration->call = peer_call_new(ways, n_ways, migration->peer_port, &message, CONNECT_MS, done,
                                    migration_ref(migration));
}

static void
ask_peer(Migration *migration, guint path, MessageType question)
{
    if (migration->paths->len > 0)
        call_peer(migration, path, question, ask_done);
}

static void
start_timer(GSource **timer, guint milliseconds, GSourceFunc fn, Migration *migration)
{
    if (*timer) {
        g_source_destroy(*timer);
        g_source_unref(*timer);
    }
    *timer = NULL;
    if (!fn)
        return;
    *timer = g_timeout_source_new(milliseconds);
    g_source_set_callback(*timer, fn, migration_ref(migration), (GDestroyNotify)migration_unref);
    g_source_attach(*timer, g_main_context_get_thread_default());
}

static gboolean
is_operators(const Migration *migration)
{
    return session_get_state(migration->session) == STATE_POSTCOPY_PAUSED &&
           session_get_reason(migration->session) == REASON_OPERATOR;
}

static gboolean tell_again_cb(gpointer opaque);

static void
tell_done(
    const Message *answer, const char *host, gboolean reached, const GError *error, gpointer opaque)
{
    Migration *migration = opaque;

    migration->call = NULL;
    if (!answer && is_operators(migration))
        start_timer(&migration->state_timer, TELL_AGAIN_MS, tell_again_cb, migration);
    migration_unref(migration);
}

static void
tell_peer(Migration *migration)
{
    if (migration->paths->len > 0)
        call_peer(migration, 0, MESSAGE_PAUSED, tell_done);
}

static gboolean
tell_again_cb(gpointer opaque)
{
    Migration *migration = opaque;

    /* Until a person says otherwise; the timer is the state's, so it ends with the pause. */
    if (is_operators(migration))
        tell_peer(migration);
    return G_SOURCE_REMOVE;
}

static void
reply(Migration *migration, MessageType type, guint number, const char *text)
{
    if (migration->question)
        peer_question_answer(migration->question, type, number, text);
    migration->question = NULL;
}

/* --- timers and the channel --- */

static gboolean
state_timer_cb(gpointer opaque)
{
    migration_step(opaque, EVENT_TIMER_STATE, 0, NULL);
    return G_SOURCE_REMOVE;
}

static gboolean
give_up_timer_cb(gpointer opaque)
{
    migration_step(opaque, EVENT_TIMER_GIVE_UP, 0, NULL);
    return G_SOURCE_REMOVE;
}

static void
silent_cb(gpointer opaque)
{
    Migration *migration = opaque;

    /* Posted, not stepped: the watchdog that calls may be freed by the step. */
    migration_post(migration, EVENT_LINK_SILENT, 0, NULL);
}

static void
unwatch(Migration *migration)
{
    g_clear_pointer(&migration->watchdog, watchdog_free);
}

static void
watch(Migration *migration)
{
    unwatch(migration);
    if (migration->channel.pid && migration->channel.port)
        migration->watchdog =
            watchdog_new(&migration->channel, session_get_policy(migration->session)->detect_ms,
                         silent_cb, migration);
}

static void
break_channel(Migration *migration)
{
    guint broken =
        migration->channel.pid && migration->channel.port ? channel_break(&migration->channel) : 0;

    /* No TCP connection that we know of: a UNIX socket, RDMA, or QEMU has let go already. */
    if (broken == 0)
        run_command(pause_job, migration, NULL, 0);
    else
        g_message("migration %s: broke %u connection(s) of the channel", migration->id, broken);
}

/* A thread of its own: it lasts as long as the rest of the migration. */
static gpointer
finish_thread(gpointer opaque)
{
    g_autoptr(Migration) migration = opaque;

    stock_become_system();
    phases_finish_ourselves(migration);
    return NULL;
}

static void
finish(Migration *migration)
{
    g_autoptr(GError) error = NULL;
    GThread *thread =
        g_thread_try_new("holdfast-finish", finish_thread, migration_ref(migration), &error);

    if (thread) {
        g_thread_unref(thread);
        return;
    }
    g_warning("migration %s: cannot start the guest in place of the client: %s", migration->id,
              error->message);
    migration_unref(migration);
}

static void
resume(Migration *migration, guint port)
{
    /* The way that the answer came: the paths may be others by now. */
    if (!migration->resume_host)
        return;
    migration->channel.port = (guint16)port;
    run_command(resume_job, migration, migration->resume_host, port);
}

static void
reply_armed(Migration *migration, guint port)
{
    migration->channel.port = (guint16)port;
    reply(migration, MESSAGE_ARMED, port, NULL);
}

void
execute_end(Migration *migration)
{
    unwatch(migration);
    if (migration->call) {
        peer_call_cancel(migration->call);
        migration->call = NULL;
        migration_unref(migration);
    }
    reply(migration, MESSAGE_REFUSED, 0, "the migration has ended on the destination");
    connection_drop(migration);
    start_timer(&migration->state_timer, 0, NULL, migration);
    start_timer(&migration->give_up_timer, 0, NULL, migration);
}

void
execute(Migration *migration, const Effect *effect)
{
    g_debug("migration %s: %s %u", migration->id, effect_type_to_string(effect->type),
            effect->number);
    switch (effect->type) {
    case EFFECT_WATCH:
        watch(migration);
        break;
    case EFFECT_UNWATCH:
        unwatch(migration);
        break;
    case EFFECT_BREAK_CHANNEL:
        break_channel(migration);
        break;
    case EFFECT_PAUSE:
        run_command(pause_job, migration, NULL, 0);
        break;
    case EFFECT_ASK_PEER:
        ask_peer(migration, effect->number, MESSAGE_RECOVER);
        break;
    case EFFECT_ASK_RUNNING:
        ask_peer(migration, effect->number, MESSAGE_ASK_RUNNING);
        break;
    case EFFECT_TELL_PEER:
        tell_peer(migration);
        break;
    case EFFECT_RESUME:
        resume(migration, effect->number);
        break;
    case EFFECT_ARM:
        run_command(arm_job, migration, NULL, effect->number);
        break;
    case EFFECT_FINISH:
        finish(migration);
        break;
    case EFFECT_REPLY_ARMED:
        reply_armed(migration, effect->number);
        break;
    case EFFECT_REPLY_COMPLETED:
        reply(migration, MESSAGE_COMPLETED, 0, NULL);
        break;
    case EFFECT_REPLY_REFUSED:
        reply(migration, MESSAGE_REFUSED, 0, effect->text);
        break;
    case EFFECT_REPLY_RUNNING:
        reply(migration, MESSAGE_RUNNING, 0, NULL);
        break;
    case EFFECT_REPLY_OVER:
        reply(migration, MESSAGE_OVER, 0, effect->text);
        break;
    case EFFECT_START_STATE_TIMER:
        start_timer(&migration->state_timer, effect->number, state_timer_cb, migration);
        break;
    case EFFECT_STOP_STATE_TIMER:
        start_timer(&migration->state_timer, 0, NULL, migration);
        break;
    case EFFECT_START_GIVE_UP_TIMER:
        start_timer(&migration->give_up_timer, effect->number, give_up_timer_cb, migration);
        break;
    case EFFECT_STOP_GIVE_UP_TIMER:
        start_timer(&migration->give_up_timer, 0, NULL, migration);
        break;
    case EFFECT_END:
        execute_end(migration);
        break;
    }
}
