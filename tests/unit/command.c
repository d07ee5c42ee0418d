/*
 * command.c: a QEMU that answers nobody keeps few threads, and what would free it goes past
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/command.h"

#include <string.h>

#include "doubles/world.h"
#include "run/migration-priv.h"

static struct {
    Migration *migration;
    GMutex lock;
    GCond changed;
    gboolean blocked; /* commands that go in-band are not answered */
    guint at_work;    /* of those */
    GString *said;    /* the commands, in the order in which they came */
} qemu;

static char *
on_command(const char *domain, const char *command, const char *arguments, GError **error)
{
    const char *port = strstr(command, "tcp:10.0.0.1:");

    g_mutex_lock(&qemu.lock);
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
    migration_forget(world_domain(0));
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

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/command/blocked", test_blocked);
    g_test_add_func("/command/dropped", test_dropped);
    return g_test_run();
}
