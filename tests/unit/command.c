/*
 * command.c: a QEMU that answers nobody keeps few threads, and what would free it goes past
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/command.h"

#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "doubles/libvirt.h"
#include "doubles/world.h"
#include "run/migration-priv.h"
#include "stock/qmp.h"

static struct {
    Migration *migration;
    GMutex lock;
    GCond changed;
    gboolean blocked; /* commands that go in-band are not answered */
    gboolean shut;    /* the channel is gone already when it is told to pause */
    gboolean all;     /* memory has been sent; dirty bitmaps are sent after it */
    gboolean busy;    /* ... and they have not all been */
    guint sent;       /* bytes */
    guint at_work;    /* of those */
    GString *said;    /* the commands, in the order in which they came */
} qemu;

static char *
on_command(const char *domain, const char *command, const char *arguments, GError **error)
{
    const char *port = strstr(command, "tcp:10.0.0.1:");
    const char *bandwidth = strstr(command, "max-postcopy-bandwidth\":");

    /* Not told: there are as many as it takes. */
    if (g_str_equal(command, "{\"execute\":\"query-migrate\"}"))
        return g_strdup_printf("{\"return\": {\"status\": \"postcopy-active\", "
                               "\"ram\": {\"remaining\": %u, \"transferred\": %u}}}",
                               qemu.all ? 0 : 1000000000, qemu.sent += 13);
    if (strstr(command, "query-migrate-parameters"))
        return g_strdup("{\"return\": {\"max-postcopy-bandwidth\": 0, \"block-bitmap-mapping\": "
                        "[{\"node-name\": \"n1\", \"bitmaps\": [{\"name\": \"monday\"}]}]}}");
    if (strstr(command, "query-named-block-nodes"))
        return g_strdup_printf("{\"return\": [{\"node-name\": \"n1\", \"dirty-bitmaps\": "
                               "[{\"name\": \"monday\", \"granularity\": 65536, \"busy\": %s}]}]}",
                               qemu.busy ? "true" : "false");
    g_mutex_lock(&qemu.lock);
    if (bandwidth)
        g_string_append_printf(qemu.said, "%.*s ", (int)strcspn(bandwidth + 24, "}"),
                               bandwidth + 24);
    else
        g_string_append_printf(qemu.said, "%.*s ", (int)(port ? 5 : strlen(command)),
                               port ? port + strlen("tcp:10.0.0.1:") : command);
    g_cond_broadcast(&qemu.changed);
    if (port) {
        g_assert_cmpuint(++qemu.at_work, ==, 1);
        while (qemu.blocked)
            g_cond_wait(&qemu.changed, &qemu.lock);
        qemu.at_work--;
    }
    g_mutex_unlock(&qemu.lock);
    if (qemu.shut && g_str_equal(command, "migrate-pause")) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND,
                    "GenericError: Failed to pause source migration");
        return NULL;
    }
    return g_strdup("{\"return\": {}}");
}

static void
wait_said(const char *expected)
{
    gint64 end = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

    g_mutex_lock(&qemu.lock);
    while (!g_str_equal(qemu.said->str, expected)) {
        if (!g_cond_wait_until(&qemu.changed, &qemu.lock, end))
            g_error("said '%s' in place of '%s'", qemu.said->str, expected);
    }
    g_mutex_unlock(&qemu.lock);
}

static void
set_blocked(gboolean blocked)
{
    g_mutex_lock(&qemu.lock);
    qemu.blocked = blocked;
    g_cond_broadcast(&qemu.changed);
    g_mutex_unlock(&qemu.lock);
}

static void
resume_at(gpointer port)
{
    command_resume(qemu.migration, "10.0.0.1", (guint16)GPOINTER_TO_UINT(port));
}

static void
pause_it(gpointer unused)
{
    command_pause(qemu.migration);
}

static void
drop_waiting(gpointer unused)
{
    command_drop_waiting(qemu.migration);
}

static void
begin(void)
{
    g_autoptr(Policy) policy = policy_default();

    world_start();
    world_set_qemu(on_command);
    qemu.said = g_string_new(NULL);
    qemu.migration = migration_start(ROLE_SOURCE, NULL, world_domain(0), "guest0", policy, 0);
    /* Else it would not be known to run, and not be paused. */
    migration_tell(qemu.migration, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
    migration_tell(qemu.migration, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    set_blocked(TRUE);
    world_on_engine(resume_at, GUINT_TO_POINTER(49201));
    wait_said("49201 ");
}

static void
end(void)
{
    set_blocked(FALSE);
    world_settle();
    migration_tell(qemu.migration, EVENT_QEMU_GONE, 0, "the test is over");
    world_forget(world_domain(0));
    world_settle();
    g_assert_true(g_atomic_ref_count_compare(&qemu.migration->refs, 1));
    migration_unref(qemu.migration);
    world_stop();
    g_string_free(qemu.said, TRUE);
}

/* One at a time, the newest of a kind; a pause goes by QEMU's main loop and by them. */
static void
test_blocked(void)
{
    begin();
    world_on_engine(resume_at, GUINT_TO_POINTER(49202));
    world_on_engine(resume_at, GUINT_TO_POINTER(49203));
    world_on_engine(pause_it, NULL);
    wait_said("49201 migrate-pause ");
    set_blocked(FALSE);
    wait_said("49201 migrate-pause 49203 ");
    end();
}

/* What comes of a channel that is gone when QEMU is told to pause is the person's pause. */
static void
test_shut_before_a_pause(void)
{
    g_autoptr(Status) status = NULL;

    begin();
    set_blocked(FALSE);
    world_settle();
    migration_tell(qemu.migration, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
    qemu.shut = TRUE;
    migration_tell(qemu.migration, EVENT_PAUSE_REQUESTED, 1, NULL);
    wait_said("49201 migrate-pause ");
    world_settle();
    migration_tell(qemu.migration, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    status = migration_get_status(qemu.migration);
    g_assert_cmpint(status->reason, ==, REASON_OPERATOR);
    qemu.shut = FALSE;
    end();
}

static void
break_it(gpointer unused)
{
    command_break(qemu.migration);
}

/* What breaks the channel when the memory has been sent is a pause where bitmaps are left, and QEMU
 * does not come to its end before it is told; else it would be a failure, and nothing is done. */
static void
test_bitmaps_left(void)
{
    static const char *const said[] = {"49201 11 migrate-pause 0 ", "49201 "};

    for (guint ended = 0; ended < 2; ended++) {
        for (guint outage = 0; outage < 2; outage++) {
            begin();
            set_blocked(FALSE);
            world_settle();
            migration_tell(qemu.migration, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
            qemu.all = TRUE;
            qemu.busy = !ended;
            if (outage)
                world_on_engine(break_it, NULL);
            else
                migration_tell(qemu.migration, EVENT_PAUSE_REQUESTED, 1, NULL);
            world_settle();
            wait_said(said[ended]);
            qemu.all = FALSE;
            end();
        }
    }
}

/* What has not been sent when the migration ends is not sent. */
static void
test_dropped(void)
{
    begin();
    world_on_engine(resume_at, GUINT_TO_POINTER(49202));
    world_on_engine(drop_waiting, NULL);
    set_blocked(FALSE);
    world_settle();
    wait_said("49201 ");
    end();
}

/* --- the priority of QEMU's monitors --- */

/* This process is QEMU, and has the thread that serves its monitors. */
static struct {
    GMutex lock;
    GCond changed;
    pid_t thread; /* 0: not yet */
    gboolean over;
} monitors;

static gpointer
monitors_thread(gpointer unused)
{
    prctl(PR_SET_NAME, "IO mon_iothread");
    g_mutex_lock(&monitors.lock);
    monitors.thread = (pid_t)syscall(SYS_gettid);
    g_cond_broadcast(&monitors.changed);
    while (!monitors.over)
        g_cond_wait(&monitors.changed, &monitors.lock);
    g_mutex_unlock(&monitors.lock);
    return NULL;
}

static GThread *
monitors_start(void)
{
    GThread *thread;

    monitors.over = FALSE;
    monitors.thread = 0;
    thread = g_thread_new("monitors", monitors_thread, NULL);
    g_mutex_lock(&monitors.lock);
    while (!monitors.thread)
        g_cond_wait(&monitors.changed, &monitors.lock);
    g_mutex_unlock(&monitors.lock);
    qemu.said = g_string_new(NULL);
    return thread;
}

static void
monitors_stop(GThread *thread)
{
    g_string_free(qemu.said, TRUE);
    g_mutex_lock(&monitors.lock);
    monitors.over = TRUE;
    g_cond_broadcast(&monitors.changed);
    g_mutex_unlock(&monitors.lock);
    g_thread_join(thread);
}

static Migration *
pause_destination(void)
{
    g_autoptr(Policy) policy = policy_default();
    Migration *migration =
        migration_start(ROLE_DESTINATION, NULL, world_domain(0), "guest0", policy, 0);

    migration_set_channel(migration, getpid(), 0);
    migration_tell(migration, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
    migration_tell(migration, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    world_settle();
    return migration;
}

/* However a recovery ends, and if the daemon was restarted in it: the thread is as all others. */
static void
test_hastened(void)
{
    static const EventType ends[] = {EVENT_QEMU_POSTCOPY_ACTIVE, EVENT_QEMU_FAILED, EVENT_QEMU_GONE,
                                     EVENT_CALL_COMPLETED, EVENT_RESTORED};
    struct sched_param param = {.sched_priority = 1};
    GThread *thread = monitors_start();

    for (gsize i = 0; i < G_N_ELEMENTS(ends); i++) {
        Migration *migration;

        world_start();
        world_set_qemu(on_command);
        migration = pause_destination();
        if (ends[i] == EVENT_RESTORED) { /* after a recovery that nobody saw */
            migration_tell(migration, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
            sched_setscheduler(monitors.thread, SCHED_RR, &param);
        } else if (sched_getscheduler(monitors.thread) != SCHED_RR) {
            g_test_message("no priority is given here");
        }
        migration_tell(migration, ends[i], 0, NULL);
        world_settle();
        g_assert_cmpint(sched_getscheduler(monitors.thread), ==, SCHED_OTHER);
        world_drop(migration);
        world_stop();
    }
    monitors_stop(thread);
}

static void
arm_it(gpointer migration)
{
    command_arm(migration, NULL, 49210);
}

/* QEMU is told to listen when the recovery is over already. */
static void
test_hastened_too_late(void)
{
    GThread *thread = monitors_start();
    Migration *migration;

    world_start();
    world_set_qemu(on_command);
    migration = pause_destination();
    migration_tell(migration, EVENT_QEMU_FAILED, 0, "it broke");
    world_on_engine(arm_it, migration);
    world_settle();
    g_assert_cmpint(sched_getscheduler(monitors.thread), ==, SCHED_OTHER);
    world_drop(migration);
    world_stop();
    monitors_stop(thread);
}

static void
look_at_it(gpointer migration)
{
    command_look(migration);
}

static char *
say_nothing(const char *domain, const char *command, const char *arguments, GError **error)
{
    return g_strdup("{\"return\": {}}");
}

/* libvirt frees its list of domains when the daemon ends, and the looks would go on. */
static void
test_released(void)
{
    Migration *migration;
    guint before;

    world_start();
    world_set_qemu(say_nothing);
    migration = pause_destination();
    world_on_engine(look_at_it, migration);
    world_settle();
    before = world_count_commands();
    g_assert_cmpuint(before, >, 0);
    migration_release_all();
    world_on_engine(look_at_it, migration);
    world_settle();
    g_assert_cmpuint(world_count_commands(), ==, before);
    world_drop(migration);
    world_stop();
}

int
main(int argc, char **argv)
{
    libvirt_init(&argc, &argv);
    g_test_add_func("/command/blocked", test_blocked);
    g_test_add_func("/command/shut-before-a-pause", test_shut_before_a_pause);
    g_test_add_func("/command/bitmaps-left", test_bitmaps_left);
    g_test_add_func("/command/dropped", test_dropped);
    g_test_add_func("/command/hastened", test_hastened);
    g_test_add_func("/command/hastened-too-late", test_hastened_too_late);
    /* The last, since that is for good. */
    g_test_add_func("/command/released", test_released);
    return g_test_run();
}
