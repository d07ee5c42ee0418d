/*
 * stuck.c: a QEMU that a failed switch to postcopy has left behind is told from one that is at
 * work, and lets the guest run where the destination never will, and only there
 *
 * The QEMU here refuses in finish-migrate what QEMU 10.0 refuses, and has its stub for a debugger.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/stuck.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "doubles/libvirt.h"
#include "doubles/world.h"
#include "run/migration-priv.h"
#include "run/outcome.h"
#include "stock/error.h"
#include "stock/qmp.h"

#define OK "{\"return\": {}}"

static struct {
    const char *status; /* of its migration */
    gboolean at_work;   /* the migration has not been cleaned up */
    gboolean elsewhere; /* another host has an image */
    gboolean deaf;      /* has no debugger */
    int reason;         /* libvirt's, why it is paused */
    int fd;             /* that it was passed */
    gboolean device;    /* is that, for the debugger */
    gboolean active;    /* its images are */
    gboolean running;
    guint starts;
    const char *fails; /* words of a command that does not succeed */
} qemu;

/* libvirt's, in front of that of its test driver. */
int
virDomainGetState(virDomainPtr domain, int *state, int *reason, unsigned int flags)
{
    *state = qemu.running ? VIR_DOMAIN_RUNNING : VIR_DOMAIN_PAUSED;
    if (reason)
        *reason = qemu.reason;
    return 0;
}

static char *
refuse(GError **error)
{
    g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND, "GenericError: no");
    return NULL;
}

/* What the debugger is answered is there before it asks: whoever asks has no thread besides. */
static void
answer_debugger(void)
{
    g_assert_cmpint(send(qemu.fd, "+$OK#9a", 7, MSG_NOSIGNAL), ==, 7);
}

/* vm_start() asks for nothing. */
static void
hear_debugger(void)
{
    char said[16] = "";
    gboolean detached = recv(qemu.fd, said, sizeof(said) - 1, MSG_DONTWAIT) > 0;

    if (!detached)
        return;
    g_assert_cmpstr(said, ==, "$D#44");
    /* A guest whose images are another's would write to them. */
    g_assert_true(qemu.active);
    qemu.running = !qemu.deaf;
    qemu.starts++;
}

static char *
on_command(const char *domain, const char *command, const char *arguments, GError **error)
{
    if (qemu.fails && strstr(command, qemu.fails))
        return refuse(error);
    if (strstr(command, "query-yank"))
        return g_strdup_printf("{\"return\": [{\"type\": \"block-node\", \"node-name\": \"n\"}%s]}",
                               qemu.at_work ? ", {\"type\": \"migration\"}" : "");
    if (strstr(command, "query-migrate"))
        return g_strdup_printf("{\"return\": {\"status\": \"%s\", \"error-desc\": \"broken\"}}",
                               qemu.status);
    if (strstr(command, "query-status"))
        return g_strdup_printf("{\"return\": {\"status\": \"%s\"}}",
                               qemu.running ? "running" : "finish-migrate");
    if (strstr(command, "blockdev-set-active")) {
        if (qemu.elsewhere)
            return refuse(error);
        qemu.active = TRUE;
        return g_strdup(OK);
    }
    if (sscanf(command, "getfd holdfast-detach %d", &qemu.fd) == 1) {
        qemu.fd = dup(qemu.fd);
        return g_strdup(OK);
    }
    if (strstr(command, "chardev-add")) {
        qemu.device = TRUE;
        return g_strdup(OK);
    }
    if (strstr(command, "chardev-remove") || strstr(command, "closefd")) {
        close(qemu.fd);
        qemu.fd = 0;
        qemu.device = FALSE;
        return g_strdup(OK);
    }
    g_assert_nonnull(strstr(command, "human-monitor-command"));
    if (strstr(command, "gdbserver none")) {
        hear_debugger();
        return g_strdup(OK);
    }
    g_assert_nonnull(strstr(command, "gdbserver chardev:holdfast-detach"));
    g_assert_true(qemu.device);
    answer_debugger();
    return g_strdup(OK);
}

static Migration *
begin(void)
{
    g_autoptr(Policy) policy = policy_default();
    Migration *migration;

    memset(&qemu, 0, sizeof(qemu));
    world_take_cancelled();
    qemu.status = "device";
    qemu.reason = VIR_DOMAIN_PAUSED_MIGRATION;
    world_start();
    world_set_qemu(on_command);
    migration =
        migration_start(ROLE_SOURCE, NULL, world_domain(0), "guest0", policy, VIR_MIGRATE_POSTCOPY);
    migration_tell(migration, EVENT_QEMU_ACTIVE, 0, NULL);
    migration_tell(migration, EVENT_QEMU_DEVICE, 0, NULL);
    return migration;
}

static void
look(Migration *migration)
{
    virDomainPtr dom = outcome_find_own(migration);

    stuck_look(migration, dom);
    virDomainFree(dom);
    world_settle();
}

static void
end(Migration *migration)
{
    g_assert_false(qemu.device);
    g_assert_cmpint(qemu.fd, ==, 0);
    world_drop(migration);
    world_stop();
}

/* Neither one whose migration's thread is at work nor one that it has left at any other state. */
static void
test_found(void)
{
    static const char *const all[] = {
        "none",      "setup",  "active",    "pre-switchover",  "device",         "cancelling",
        "cancelled", "failed", "completed", "postcopy-active", "postcopy-paused"};

    for (guint i = 0; i < 2 * G_N_ELEMENTS(all); i++) {
        Migration *migration = begin();
        gboolean expected;

        qemu.status = all[i / 2];
        qemu.at_work = i % 2;
        expected = !qemu.at_work &&
                   (g_str_equal(qemu.status, "device") || g_str_equal(qemu.status, "cancelling"));
        look(migration);
        g_assert_cmpint(stuck_get(migration), ==, expected ? STUCK_FOUND : STUCK_NOT);
        g_assert_cmpint(migration_wants_return(migration), ==, expected);
        /* Nothing was done by that alone. */
        g_assert_cmpuint(qemu.starts, ==, 0);
        g_assert_cmpuint(world_take_cancelled(), ==, 0);
        end(migration);
    }
}

/* A QEMU that does not answer, or knows no such question, is none that is known to be. */
static void
test_mute(void)
{
    static const char *const questions[] = {"query-yank", "query-migrate"};

    for (guint i = 0; i < G_N_ELEMENTS(questions); i++) {
        Migration *migration = begin();

        qemu.fails = questions[i];
        look(migration);
        g_assert_cmpint(stuck_get(migration), ==, STUCK_NOT);
        end(migration);
    }
}

/* What the destination says decides. */
static void
test_answers(void)
{
    static const struct {
        EventType answer;
        guint starts;
        Stuck stuck;
    } cases[] = {
        {EVENT_PEER_RETURNED, 1, STUCK_RUNS},
        {EVENT_CALL_CANCELLED, 1, STUCK_RUNS}, /* a person's word */
        {EVENT_PEER_REFUSED, 0, STUCK_FOUND},
        {EVENT_PEER_UNREACHABLE, 0, STUCK_FOUND},
        {EVENT_PEER_COMPLETED, 0, STUCK_FOUND},
        {EVENT_QEMU_GONE, 0, STUCK_FOUND},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Migration *migration = begin();

        look(migration);
        look(migration);
        migration_tell(migration, cases[i].answer, 0, NULL);
        world_settle();
        g_assert_cmpuint(qemu.starts, ==, cases[i].starts);
        g_assert_cmpuint(world_take_cancelled(), ==, cases[i].starts);
        g_assert_cmpint(stuck_get(migration), ==, cases[i].stuck);
        end(migration);
    }
}

/* It cannot be, or is not to be: libvirt's wait ends all the same, and the client's with it. */
static void
test_stands(void)
{
    static const struct {
        int reason;
        gboolean elsewhere;
        gboolean deaf;
        const char *fails;
    } cases[] = {
        {VIR_DOMAIN_PAUSED_MIGRATION, TRUE, FALSE, NULL},
        {VIR_DOMAIN_PAUSED_MIGRATION, FALSE, TRUE, NULL},
        {VIR_DOMAIN_PAUSED_MIGRATION, FALSE, FALSE, "getfd"},
        {VIR_DOMAIN_PAUSED_MIGRATION, FALSE, FALSE, "chardev-add"},
        {VIR_DOMAIN_PAUSED_MIGRATION, FALSE, FALSE, "gdbserver chardev"},
        {VIR_DOMAIN_PAUSED_USER, FALSE, FALSE, NULL},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Migration *migration = begin();
        virDomainPtr dom = outcome_find_own(migration);
        const char *text;

        qemu.reason = cases[i].reason;
        qemu.elsewhere = cases[i].elsewhere;
        qemu.deaf = cases[i].deaf;
        qemu.fails = cases[i].fails;
        look(migration);
        migration_tell(migration, EVENT_PEER_RETURNED, 0, NULL);
        world_settle();
        g_assert_false(qemu.running);
        g_assert_cmpuint(world_take_cancelled(), ==, 1);
        g_assert_cmpint(stuck_get(migration), ==, STUCK_STANDS);
        stuck_explain(migration, dom);
        g_assert_cmpint(world_get_raised(&text), ==, VIR_ERR_OPERATION_FAILED);
        g_assert_nonnull(strstr(text, "cannot go on"));
        virDomainFree(dom);
        end(migration);
    }
}

/* The next one is refused as long as that QEMU lives. */
static void
test_refused(void)
{
    for (guint i = 0; i < 3; i++) {
        Migration *migration = begin();
        virDomainPtr dom = outcome_find_own(migration);

        migration_set_domain_id(migration, (int)virDomainGetID(dom) + (i == 1));
        if (i == 2)
            qemu.status = "failed";
        look(migration);
        migration_tell(migration, EVENT_PEER_RETURNED, 0, NULL);
        world_settle();
        g_assert_cmpint(stuck_refuse(dom), ==, i == 0);
        virDomainFree(dom);
        end(migration);
    }
}

/* libvirt hears of the end of one that is over, and is left alone where another has begun. */
static void
test_wait_ended(void)
{
    for (guint bits = 0; bits < 4; bits++) {
        Migration *migration = begin();
        Migration *next = NULL;
        g_autoptr(Policy) policy = policy_default();
        virDomainPtr dom = outcome_find_own(migration);

        qemu.at_work = bits & 1;
        if (bits & 2)
            next = migration_start(ROLE_SOURCE, NULL, world_domain(0), "guest0", policy,
                                   VIR_MIGRATE_POSTCOPY);
        world_settle();
        stuck_end_wait(migration, dom);
        g_assert_cmpuint(world_take_cancelled(), ==, bits == 0);
        virDomainFree(dom);
        if (next)
            world_drop(next);
        end(migration);
    }
}

/* The client hears why, and what comes of it; and nothing where it is another failure. */
static void
test_explained(void)
{
    for (guint i = 0; i < 2; i++) {
        Migration *migration = begin();
        virDomainPtr dom = outcome_find_own(migration);
        const char *text = NULL;

        stock_error_raise(VIR_ERR_OK, "%s", "as it was");
        if (i == 0)
            qemu.status = "failed";
        look(migration);
        migration_tell(migration, EVENT_PEER_RETURNED, 0, NULL);
        world_settle();
        stuck_explain(migration, dom);
        g_assert_cmpint(world_get_raised(&text), ==,
                        i == 0 ? VIR_ERR_OK : VIR_ERR_OPERATION_FAILED);
        if (i == 1)
            g_assert_nonnull(strstr(text, "(broken): domain 'guest0' goes on here"));
        virDomainFree(dom);
        end(migration);
    }
}

int
main(int argc, char **argv)
{
    libvirt_init(&argc, &argv);
    g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR);
    g_test_add_func("/stuck/found", test_found);
    g_test_add_func("/stuck/mute", test_mute);
    g_test_add_func("/stuck/answers", test_answers);
    g_test_add_func("/stuck/stands", test_stands);
    g_test_add_func("/stuck/refused", test_refused);
    g_test_add_func("/stuck/wait-ended", test_wait_ended);
    g_test_add_func("/stuck/explained", test_explained);
    return g_test_run();
}
