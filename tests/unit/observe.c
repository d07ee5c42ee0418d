/*
 * observe.c: what a source asks: whether the guest of a precopy migration was started, when the
 * destination has forgotten the migration; and where to resume
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/observe.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "doubles/ends.h"
#include "doubles/world.h"
#include "run/migration-priv.h"
#include "run/restore.h"
#include "stock/qmp.h"
#include "util/boot.h"

#define OTHER_BOOT "1c9d4b9e-6a3a-4c0e-9a55-2f0c7f1e0001"
/* Below the ports that the kernel gives away, and apart from those of the other tests. */
#define PORT_MIN 20900
#define PORT_MAX 20963

static struct {
    PeerServer *server; /* engine thread */
    guint16 port;
    char *journal;
} host;

static void
start_server(gpointer unused)
{
    g_autoptr(GError) error = NULL;

    host.server = peer_server_new(NULL, PORT_MIN, PORT_MAX, observe_question, NULL, &error);
    g_assert_no_error(error);
    host.port = peer_server_get_port(host.server);
}

static void
stop_server(gpointer unused)
{
    g_clear_pointer(&host.server, peer_server_free);
}

static void
host_begin(void)
{
    world_start();
    host.journal = g_dir_make_tmp("observe-XXXXXX", NULL);
    world_set_journal(host.journal);
    world_on_engine(start_server, NULL);
}

static void
host_end(void)
{
    g_autoptr(GDir) dir = g_dir_open(host.journal, 0, NULL);
    const char *name;

    world_on_engine(stop_server, NULL);
    world_stop();
    world_set_journal(NULL);
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(host.journal, name, NULL);

        g_unlink(path);
    }
    g_assert_cmpint(g_rmdir(host.journal), ==, 0);
    g_clear_pointer(&host.journal, g_free);
}

/* A domain that is not on this host any more. */
static const unsigned char gone[VIR_UUID_BUFLEN] = {1, 2, 3};

static Migration *
start(MigrationRole role, const Secret *secret)
{
    g_autoptr(Policy) policy = policy_default();
    Migration *migration = migration_start(role, NULL, gone, "guest", policy, VIR_MIGRATE_POSTCOPY);

    migration_set_secret(migration, secret);
    return migration;
}

/* An incoming migration that is over and that nobody knows any more: the daemon was restarted. */
static void
receive(const Secret *secret, const EventType *events, gsize n)
{
    Migration *migration = start(ROLE_DESTINATION, secret);

    for (gsize i = 0; i < n; i++)
        migration_tell(migration, events[i], 0, NULL);
    world_wait_state(migration,
                     events[n - 1] == EVENT_GUEST_STARTED ? STATE_COMPLETED : STATE_FAILED);
    world_forget(gone);
    world_settle();
    world_drop(migration);
}

static Migration *
ask(const Secret *secret, const char *boot)
{
    Migration *source = start(ROLE_SOURCE, secret);
    char *hosts[] = {(char *)"127.0.0.1", NULL};

    migration_set_destination(source, "b.example", hosts, host.port);
    migration_set_peer_boot(source, boot);
    migration_tell(source, EVENT_QEMU_ACTIVE, 0, NULL);
    migration_tell(source, EVENT_RETURN_REQUESTED, 0, NULL);
    return source;
}

/* It is not known, and the guest stays stopped here. */
static void
wait_message(Migration *migration, const char *part)
{
    gint64 end = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

    g_mutex_lock(&registry.lock);
    while (!strstr(migration->status->message, part))
        g_assert_true(g_cond_wait_until(&registry.changed, &registry.lock, end));
    g_assert_cmpint(migration->status->state, ==, STATE_SWITCHOVER);
    g_mutex_unlock(&registry.lock);
}

/* The guest has ended here since: the source must not run it again. */
static void
test_arrived(void)
{
    static const EventType events[] = {EVENT_QEMU_ACTIVE, EVENT_GUEST_STARTED};
    Migration *source;
    Secret first, second;

    secret_make(&first);
    secret_make(&second);
    host_begin();
    receive(&first, events, G_N_ELEMENTS(events));
    source = ask(&first, boot_get_id());
    world_wait_state(source, STATE_COMPLETED);
    world_drop(source);
    /* A later one, of which there is no note, and then the earlier one again. */
    source = ask(&second, boot_get_id());
    world_wait_state(source, STATE_CANCELLED);
    world_drop(source);
    receive(&second, events, G_N_ELEMENTS(events));
    source = ask(&first, OTHER_BOOT);
    world_wait_state(source, STATE_COMPLETED);
    world_drop(source);
    host_end();
}

/* It came in postcopy, or ended while it was being started. */
static void
test_doubtful(void)
{
    static const EventType events[] = {EVENT_QEMU_ACTIVE, EVENT_QEMU_POSTCOPY_ACTIVE,
                                       EVENT_QEMU_RESUME, EVENT_QEMU_GONE};
    Migration *source;
    Secret secret;

    secret_make(&secret);
    host_begin();
    receive(&secret, events, G_N_ELEMENTS(events));
    source = ask(&secret, boot_get_id());
    wait_message(source, "may have run on the destination");
    world_drop(source);
    host_end();
}

/* It came in postcopy, and was lost before it ran: whatever the source asks, it can go on there. */
static void
test_lost(void)
{
    static const EventType events[] = {EVENT_QEMU_ACTIVE, EVENT_QEMU_POSTCOPY_ACTIVE,
                                       EVENT_QEMU_FAILED, EVENT_QEMU_GONE};

    host_begin();
    for (guint postcopy = 0; postcopy < 2; postcopy++) {
        char *hosts[] = {(char *)"127.0.0.1", NULL};
        Migration *source;
        Secret secret;

        secret_make(&secret);
        receive(&secret, events, G_N_ELEMENTS(events));
        if (postcopy) {
            source = start(ROLE_SOURCE, &secret);
            migration_set_destination(source, "b.example", hosts, host.port);
            migration_set_peer_boot(source, boot_get_id());
            migration_tell(source, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
            migration_tell(source, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
        } else {
            source = ask(&secret, boot_get_id());
        }
        world_wait_state(source, STATE_CANCELLED);
        world_drop(source);
    }
    host_end();
}

/* The host was restarted, and its notes are gone with it: a person decides. */
static void
test_restarted(void)
{
    Migration *source;
    Secret secret;

    secret_make(&secret);
    host_begin();
    source = ask(&secret, OTHER_BOOT);
    wait_message(source, "host 'b.example' was restarted since");
    wait_message(source, "'virsh resume guest'");
    world_drop(source);
    /* It was not, or an older build does not say. */
    for (guint i = 0; i < 2; i++) {
        source = ask(&secret, i == 0 ? boot_get_id() : NULL);
        world_wait_state(source, STATE_CANCELLED);
        world_drop(source);
    }
    host_end();
}

/* A destination that may be in postcopy says nothing before it knows, and hears what the source
 * says by asking. */
static void
test_unjudged(void)
{
    static const struct {
        MessageType type;
        guint32 number;
        gint known;
    } words[] = {
        {MESSAGE_RECOVER, 0, KEPT_SWITCHED},
        {MESSAGE_RETURN, 0, KEPT_RETURNS},
        {MESSAGE_ASK_RUNNING, 0, KEPT_SWITCHED},
        {MESSAGE_ENDED, 0, KEPT_SWITCHED}, /* that says nothing new */
        {MESSAGE_ENDED, OWNER_SOURCE + 1, KEPT_RETURNS},
        {MESSAGE_ENDED, OWNER_DESTINATION + 1, KEPT_SWITCHED},
        {MESSAGE_PARCEL, 0, KEPT_SWITCHED},
    };
    g_autoptr(Policy) policy = policy_default();
    char *hosts[] = {(char *)"127.0.0.1", NULL};
    Migration *source, *destination;
    Secret secret;

    secret_make(&secret);
    host_begin();
    destination = migration_start(ROLE_DESTINATION, NULL, world_domain(1), "guest", policy, 0);
    migration_set_secret(destination, &secret);
    migration_tell(destination, EVENT_QEMU_ACTIVE, 0, NULL);
    destination->kept = KEPT_UNJUDGED;
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++) {
        restore_hear(destination, &(Message){.type = words[i].type, .number = words[i].number});
        g_assert_cmpint(destination->kept, ==, KEPT_UNJUDGED | words[i].known);
    }
    source = migration_start(ROLE_SOURCE, NULL, world_domain(0), "guest", policy, 0);
    migration_set_secret(source, &secret);
    migration_set_destination(source, "b.example", hosts, host.port);
    migration_tell(source, EVENT_QEMU_ACTIVE, 0, NULL);
    migration_tell(source, EVENT_RETURN_REQUESTED, 0, NULL);
    wait_message(source, "it is not known there yet");
    g_assert_cmpint(destination->kept, ==, KEPT_UNJUDGED | KEPT_RETURNS);

    migration_tell(destination, EVENT_QEMU_GONE, 0, "it is destroyed");
    destination->kept = 0;
    world_wait_state(source, STATE_CANCELLED);
    restore_hear(destination, &(Message){.type = MESSAGE_RECOVER});
    g_assert_cmpint(destination->kept, ==, 0);
    world_drop(source);
    world_drop(destination);
    host_end();
}

/* --- where to resume --- */

static struct {
    GMutex lock;
    GSocketListener *listener; /* the destination's QEMU really listens; or NULL */
    guint refusals;            /* of so many ports */
    guint noted;               /* how often the journal knew of a port when QEMU was told of it */
    guint resumed_at;          /* where the source's QEMU was told to resume; 0: it was not */
} qemu;

static void
find_armed(JournalRecord *record, gpointer opaque)
{
    if (record->role == ROLE_DESTINATION)
        *(guint *)opaque = record->memory.armed_port;
}

static char *
listen_at(guint16 port, GError **error)
{
    guint noted = 0;

    journal_read_all(host.journal, find_armed, &noted);
    g_assert_cmpuint(noted, ==, port);
    qemu.noted++;
    if (qemu.refusals > 0) {
        qemu.refusals--;
        g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND, "GenericError: the address is in use");
        return NULL;
    }
    if (qemu.listener)
        g_assert_true(g_socket_listener_add_inet_port(qemu.listener, port, NULL, NULL));
    return g_strdup("{\"return\": {}}");
}

static char *
on_command(const char *domain, const char *command, const char *arguments, GError **error)
{
    const char *port = strrchr(arguments ? arguments : command, ':');
    g_autofree char *reply = NULL;

    g_mutex_lock(&qemu.lock);
    if (g_str_equal(command, "migrate-recover")) {
        reply = listen_at((guint16)g_ascii_strtoull(port + 1, NULL, 10), error);
    } else {
        port = strstr(command, "tcp:127.0.0.1:");
        if (port)
            qemu.resumed_at = (guint)g_ascii_strtoull(port + strlen("tcp:127.0.0.1:"), NULL, 10);
        reply = g_strdup("{\"return\": {}}");
    }
    g_mutex_unlock(&qemu.lock);
    return g_steal_pointer(&reply);
}

static Migration *
pause_one(MigrationRole role, const Secret *secret)
{
    g_autoptr(Policy) policy = policy_default();
    Migration *migration = migration_start(role, NULL, world_domain(role), "guest", policy, 0);
    char *hosts[] = {(char *)"127.0.0.1", NULL};

    migration_set_secret(migration, secret);
    if (role == ROLE_SOURCE)
        migration_set_destination(migration, "b.example", hosts, host.port);
    else /* its sockets are this process's */
        migration_set_channel(migration, getpid(), 0);
    migration_tell(migration, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
    migration_tell(migration, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    return migration;
}

static guint
get_resumed(void)
{
    guint port;

    g_mutex_lock(&qemu.lock);
    port = qemu.resumed_at;
    g_mutex_unlock(&qemu.lock);
    return port;
}

static guint
count_attempts(Migration *migration)
{
    g_autoptr(Status) status = migration_get_status(migration);

    return status->attempts;
}

/* Each port is in the journal before QEMU is told of it. One that QEMU does not listen on, whatever
 * it has answered, may be somebody else's: the source is not sent there. */
static void
test_listens(void)
{
    Migration *source, *destination;
    Secret secret;

    if (!ends_has_pidfd()) {
        g_test_skip("whether anybody listens cannot be seen here; what QEMU answers counts then");
        return;
    }
    secret_make(&secret);
    host_begin();
    world_set_qemu(on_command);
    qemu.refusals = 2;
    destination = pause_one(ROLE_DESTINATION, &secret);
    source = pause_one(ROLE_SOURCE, &secret);
    while (count_attempts(source) < 2)
        world_settle();
    g_assert_cmpuint(get_resumed(), ==, 0);

    g_mutex_lock(&qemu.lock);
    g_assert_cmpuint(qemu.noted, >, 3);
    qemu.listener = g_socket_listener_new();
    g_mutex_unlock(&qemu.lock);
    while (!get_resumed())
        world_settle();
    g_socket_listener_close(qemu.listener);
    g_clear_object(&qemu.listener);
    world_drop(source);
    world_drop(destination);
    host_end();
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
    g_test_add_func("/observe/arrived", test_arrived);
    g_test_add_func("/observe/doubtful", test_doubtful);
    g_test_add_func("/observe/lost", test_lost);
    g_test_add_func("/observe/restarted", test_restarted);
    g_test_add_func("/observe/unjudged", test_unjudged);
    g_test_add_func("/observe/listens", test_listens);
    return g_test_run();
}
