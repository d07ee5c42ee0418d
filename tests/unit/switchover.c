/*
 * switchover.c: a switch to postcopy whose channel has broken is refused, and nothing else is
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/switchover.h"

#include <string.h>

#include <libvirt/virterror.h>

#include "doubles/libvirt.h"
#include "doubles/world.h"
#include "run/migration.h"
#include "stock/qmp.h"

/* Of a destination's QEMU that was killed (QEMU 10.0). */
#define BROKEN "Channel error: Input/output error"

/** A QEMU in pre-switchover. */
static struct {
    gboolean broken; /* and it has heard of it */
    gboolean mute;   /* it does not answer */
    guint asked;
} qemu;

static char *
on_command(const char *domain, const char *command, const char *arguments, GError **error)
{
    g_assert_nonnull(strstr(command, "\"query-migrate\""));
    qemu.asked++;
    if (qemu.mute) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_MONITOR, "the monitor has failed");
        return NULL;
    }
    return g_strdup_printf("{\"return\": {\"status\": \"pre-switchover\"%s}}",
                           qemu.broken ? ", \"error-desc\": \"" BROKEN "\"" : "");
}

static void
check(guint bits)
{
    gboolean is_source = bits & 4, postcopy = bits & 8;
    gboolean asks = is_source && postcopy;
    g_autoptr(Policy) policy = policy_default();
    Migration *migration;
    const char *text;

    qemu.broken = bits & 1;
    qemu.mute = bits & 2;
    qemu.asked = 0;
    world_start();
    world_set_qemu(on_command);
    switchover_watch();
    migration = migration_start(is_source ? ROLE_SOURCE : ROLE_DESTINATION, NULL, world_domain(0),
                                "guest0", policy, postcopy ? VIR_MIGRATE_POSTCOPY : 0);
    if (asks && qemu.broken && !qemu.mute) {
        g_assert_false(world_migrate_continue(0));
        g_assert_cmpint(world_get_raised(&text), ==, VIR_ERR_OPERATION_FAILED);
        g_assert_cmpstr(text, ==, "job 'migration out' failed: " BROKEN);
    } else {
        g_assert_true(world_migrate_continue(0));
    }
    /* The guest is stopped: one that is none the wiser is not asked. */
    g_assert_cmpuint(qemu.asked, ==, asks);
    world_drop(migration);
    world_stop();
}

static void
test_channel(void)
{
    for (guint bits = 0; bits < 16; bits++)
        check(bits);
}

/* A migration that we have no part in. */
static void
test_stranger(void)
{
    qemu.asked = 0;
    world_start();
    world_set_qemu(on_command);
    switchover_watch();
    g_assert_true(world_migrate_continue(0));
    g_assert_cmpuint(qemu.asked, ==, 0);
    world_stop();
}

int
main(int argc, char **argv)
{
    libvirt_init(&argc, &argv);
    g_test_add_func("/switchover/channel", test_channel);
    g_test_add_func("/switchover/stranger", test_stranger);
    return g_test_run();
}
