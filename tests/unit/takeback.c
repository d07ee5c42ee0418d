/*
 * takeback.c: a guest that has never run on its destination goes on here, in a QEMU that has its
 * images and has ended its migration, and libvirt's job ends with it
 *
 * The QEMU here does of a migration in postcopy what QEMU 10.0 does of it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/takeback.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "doubles/libvirt.h"
#include "doubles/world.h"
#include "run/migration-priv.h"
#include "stock/qmp.h"

#define OK "{\"return\": {}}"

static struct {
    const char *volatile status; /* of its migration */
    gboolean elsewhere;          /* another host has an image */
    gboolean active;             /* its images are */
    gboolean was_paused;         /* by a person, before the migration */
    gboolean running;
    gboolean gone;
    guint starts;
    guint breaks; /* so many resumed channels break before they are answered */
    GThread *thread;
    guint16 port;
} qemu;

/* libvirt's, in front of that of its test driver. */
int
virDomainGetState(virDomainPtr domain, int *state, int *reason, unsigned int flags)
{
    *state = qemu.running ? VIR_DOMAIN_RUNNING : VIR_DOMAIN_PAUSED;
    if (reason)
        *reason = 0;
    return 0;
}

static char *
refuse(GError **error)
{
    g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND, "GenericError: no");
    return NULL;
}

/* migration_iteration_finish() */
static void
fail(void)
{
    qemu.status = "failed";
    if (qemu.was_paused)
        return;
    g_assert_true(qemu.active);
    qemu.running = TRUE;
    qemu.starts++;
}

/* The thread of a migration that is resumed; of one block of a page. */
static gpointer
run_migration(gpointer unused)
{
    static const char said[] = "\x08\0\x0a\0\x04\x03ram\x08\0\x09\0\0";
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(qemu.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char answer[64];

    g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    if (qemu.breaks > 0) {
        qemu.breaks--;
        qemu.status = "postcopy-paused";
    } else {
        g_assert_cmpint(send(fd, said, sizeof(said) - 1, MSG_NOSIGNAL), ==, sizeof(said) - 1);
        /* The bitmap, and RESUME_ACK. */
        g_assert_cmpint(recv(fd, answer, 32 + 8, MSG_WAITALL), ==, 32 + 8);
        qemu.status = "postcopy-active";
        g_assert_cmpint(send(fd, "end", 3, MSG_NOSIGNAL), ==, 3);
        g_assert_cmpint(recv(fd, answer, 8, MSG_WAITALL), ==, 8);
        g_assert_cmpmem(answer, 8, "\0\x01\0\x04\0\0\0\x01", 8);
        fail();
    }
    close(fd);
    return NULL;
}

static void
join(void)
{
    if (qemu.thread)
        g_thread_join(g_steal_pointer(&qemu.thread));
}

static char *
on_resume(const char *command, GError **error)
{
    const char *uri = strstr(command, "tcp:127.0.0.1:");

    g_assert_nonnull(strstr(command, "\"resume\":true"));
    g_assert_nonnull(uri);
    join();
    if (!g_str_equal(qemu.status, "postcopy-paused"))
        return refuse(error);
    qemu.port = (guint16)atoi(uri + strlen("tcp:127.0.0.1:"));
    qemu.status = "postcopy-recover-setup";
    qemu.thread = g_thread_new("migration", run_migration, NULL);
    return g_strdup(OK);
}

static char *
on_command(const char *domain, const char *command, const char *arguments, GError **error)
{
    if (qemu.gone) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_INACTIVE, "it does not run");
        return NULL;
    }
    if (strstr(command, "query-migrate-parameters"))
        return g_strdup("{\"return\": {}}");
    if (strstr(command, "query-migrate"))
        return g_strdup_printf("{\"return\": {\"status\": \"%s\", \"ram\": {\"page-size\": 4096}}}",
                               qemu.status);
    if (strstr(command, "info ramblock"))
        return g_strdup("{\"return\": \"   ram    4 KiB  0x0000 0x1000 0x1000 0x0  rw\\r\\n\"}");
    if (strstr(command, "blockdev-set-active")) {
        if (qemu.elsewhere && strstr(command, "true"))
            return refuse(error);
        qemu.active = strstr(command, "true") != NULL;
        return g_strdup(OK);
    }
    if (strstr(command, "\"migrate\""))
        return on_resume(command, error);
    return g_strdup(OK);
}

static Migration *
begin(void)
{
    g_autoptr(Policy) policy = policy_default();
    char *hosts[] = {(char *)"192.0.2.1", NULL};
    Migration *migration;

    memset(&qemu, 0, sizeof(qemu));
    qemu.status = "postcopy-paused";
    world_start();
    world_set_qemu(on_command);
    world_set_outgoing();
    migration =
        migration_start(ROLE_SOURCE, NULL, world_domain(0), "guest0", policy, VIR_MIGRATE_POSTCOPY);
    migration_set_destination(migration, "b", hosts, 0);
    migration_tell(migration, EVENT_QEMU_ACTIVE, 0, NULL);
    migration_tell(migration, EVENT_QEMU_DEVICE, 0, NULL);
    migration_tell(migration, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
    migration_tell(migration, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    return migration;
}

static void
end(Migration *migration)
{
    join();
    world_drop(migration);
    world_stop();
}

static gboolean
is_settled(Migration *migration)
{
    SessionMemory memory;

    world_settle();
    session_remember(migration->session, &memory);
    return !memory.unsettled;
}

static void
test_goes_on(void)
{
    for (guint paused = 0; paused < 2; paused++) {
        Migration *migration = begin();
        guint confirms = world_count_confirms();

        qemu.was_paused = paused;
        g_assert_false(takeback_wait(migration));
        migration_tell(migration, EVENT_PEER_RETURNED, 0, NULL);
        g_assert_true(takeback_wait(migration));
        g_assert_true(is_settled(migration));
        g_assert_cmpuint(qemu.starts, ==, !paused);
        g_assert_true(qemu.active);
        g_assert_cmpstr(qemu.status, ==, "failed");
        g_assert_cmpuint(world_count_confirms() - confirms, ==, 1);
        g_assert_false(world_is_outgoing());
        end(migration);
    }
}

/* A channel that breaks before QEMU has its answer is a pause, and there is another. */
static void
test_again(void)
{
    Migration *migration = begin();

    qemu.breaks = 2;
    migration_tell(migration, EVENT_PEER_RETURNED, 0, NULL);
    g_assert_true(takeback_wait(migration));
    g_assert_cmpuint(qemu.breaks, ==, 0);
    g_assert_cmpuint(qemu.starts, ==, 1);
    end(migration);
}

/* By an earlier daemon, or by QEMU itself: libvirt's part is left. */
static void
test_has_failed(void)
{
    Migration *migration = begin();

    qemu.active = TRUE;
    fail();
    migration_tell(migration, EVENT_PEER_RETURNED, 0, NULL);
    g_assert_true(takeback_wait(migration));
    g_assert_cmpuint(qemu.starts, ==, 1);
    g_assert_false(world_is_outgoing());
    end(migration);
}

/* What it is not safe for it is not done in: the guest stays stopped, and libvirt's job. */
static void
test_stays(void)
{
    static const char *const statuses[] = {"completed", "device", "active"};

    for (guint i = 0; i <= G_N_ELEMENTS(statuses); i++) {
        Migration *migration = begin();

        if (i < G_N_ELEMENTS(statuses))
            qemu.status = statuses[i];
        else
            qemu.elsewhere = TRUE;
        migration_tell(migration, EVENT_PEER_RETURNED, 0, NULL);
        g_assert_false(takeback_wait(migration));
        g_assert_false(is_settled(migration));
        g_assert_cmpuint(qemu.starts, ==, 0);
        g_assert_false(qemu.active);
        g_assert_true(world_is_outgoing());
        end(migration);
    }
}

static void
test_gone(void)
{
    Migration *migration = begin();

    qemu.gone = TRUE;
    migration_tell(migration, EVENT_PEER_RETURNED, 0, NULL);
    g_assert_true(takeback_wait(migration));
    g_assert_true(is_settled(migration));
    end(migration);
}

int
main(int argc, char **argv)
{
    libvirt_init(&argc, &argv);
    g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR);
    g_test_add_func("/takeback/goes-on", test_goes_on);
    g_test_add_func("/takeback/again", test_again);
    g_test_add_func("/takeback/has-failed", test_has_failed);
    g_test_add_func("/takeback/stays", test_stays);
    g_test_add_func("/takeback/gone", test_gone);
    return g_test_run();
}
