/*
 * observe.c: a source asks whether the guest of a precopy migration was started, when the
 * destination has forgotten the migration
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/observe.h"

#include <string.h>

#include "doubles/world.h"
#include "run/migration-priv.h"
#include "util/boot.h"

#define OTHER_BOOT "1c9d4b9e-6a3a-4c0e-9a55-2f0c7f1e0001"
/* Below the ports that the kernel gives away, and apart from those of the other tests. */
#define PORT_MIN 20900
#define PORT_MAX 20963

static struct {
    PeerServer *server; /* engine thread */
    guint16 port;
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
    world_on_engine(start_server, NULL);
}

static void
host_end(void)
{
    world_on_engine(stop_server, NULL);
    world_stop();
}

/* A domain that is not on this host any more. */
static const unsigned char gone[VIR_UUID_BUFLEN] = {1, 2, 3};

static Migration *
start(MigrationRole role, const Secret *secret)
{
    g_autoptr(Policy) policy = policy_default();
    Migration *migration = migration_start(role, NULL, gone, "guest", policy, 0);

    migration_set_secret(migration, secret);
    return migration;
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

/* The host was restarted: a person decides. */
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

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
    g_test_add_func("/observe/restarted", test_restarted);
    return g_test_run();
}
