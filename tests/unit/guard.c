/*
 * guard.c: a guard is made where it tells anything or is wanted, and is removed where the guest
 * stays
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/guard.h"

#include <string.h>

#include "bitmap/guard.h"
#include "doubles/libvirt.h"
#include "doubles/world.h"
#include "run/migration-priv.h"
#include "run/switchover.h"

#define OK "{\"return\": {}}"

/** A QEMU in pre-switchover, or with a guest that has arrived. */
static struct {
    gboolean on_stream;
    gboolean inactive;
    gboolean guarded; /* has a guard already */
    gboolean peeking; /* has a node to look through */
    const char *fails;
    Migration *migration;
    GString *said;
} qemu;

static char *
list_nodes(void)
{
    return g_strdup_printf(
        "{\"return\": [{\"node-name\": \"n1\", \"active\": %s, \"dirty-bitmaps\": ["
        "{\"name\": \"monday\", \"granularity\": 65536, \"persistent\": true}, "
        "{\"name\": \"tuesday\", \"granularity\": 65536, \"persistent\": true}%s]}, "
        "{\"node-name\": \"n2\", \"active\": true, \"dirty-bitmaps\": ["
        "{\"name\": \"other\", \"granularity\": 65536, \"persistent\": false}]}%s]}",
        qemu.inactive ? "false" : "true",
        qemu.guarded ? ", {\"name\": \"" GUARD_NAME
                       "\", \"granularity\": 65536, \"persistent\": true}"
                     : "",
        qemu.peeking
            ? ", {\"node-name\": \"holdfast-peek-0\", \"active\": true, \"dirty-bitmaps\": "
              "[{\"name\": \"" GUARD_NAME "\", \"granularity\": 65536}]}"
            : "");
}

static char *
on_command(const char *domain, const char *command, const char *arguments, GError **error)
{
    if (strstr(command, "query-named-block-nodes"))
        return list_nodes();
    if (strstr(command, "query-migrate-parameters"))
        return g_strdup(qemu.on_stream
                            ? "{\"return\": {\"block-bitmap-mapping\": [{\"node-name\": \"n1\", "
                              "\"bitmaps\": [{\"name\": \"monday\"}]}]}}"
                            : OK);
    if (qemu.fails && strstr(command, qemu.fails)) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND, "GenericError: no");
        return NULL;
    }
    if (strstr(command, "blockdev-del")) {
        g_string_append(qemu.said, "closed ");
        qemu.peeking = FALSE;
        return g_strdup(OK);
    }
    g_assert_nonnull(strstr(command, GUARD_NAME));
    g_assert_nonnull(strstr(command, "\"n1\""));
    g_assert_null(strstr(command, "\"n2\""));
    if (strstr(command, "remove")) {
        g_string_append(qemu.said, "-guard ");
        qemu.guarded = FALSE;
        return g_strdup(OK);
    }
    /* Known before it is there, or a guard that is lost would not be missed. */
    g_assert_true(migration_is_guarded(qemu.migration));
    g_assert_nonnull(strstr(command, "\"granularity\":65536"));
    g_assert_nonnull(strstr(command, "\"persistent\":true"));
    g_string_append(qemu.said, "+guard ");
    return g_strdup(OK);
}

static void
begin(void)
{
    memset(&qemu, 0, sizeof(qemu));
    world_start();
    world_set_qemu(on_command);
    switchover_watch();
    qemu.said = g_string_new(NULL);
}

static void
give_peer(gpointer opaque)
{
    Migration *migration = opaque;

    migration->peer_port = 1;
    migration_put_snapshot(migration, EVENT_QEMU_SETUP);
}

static void
start(MigrationRole role, guint flags, PolicyGuard guard, gboolean has_peer)
{
    g_autoptr(Policy) policy = policy_default();

    policy->bitmaps_guard = guard;
    policy->granularity_bytes = 65536;
    qemu.migration = migration_start(role, NULL, world_domain(0), "guest0", policy, flags);
    if (has_peer)
        world_on_engine(give_peer, qemu.migration);
}

static void
end(void)
{
    if (qemu.migration)
        world_drop(qemu.migration);
    world_stop();
    g_string_free(qemu.said, TRUE);
}

/* --- made --- */

static void
check_made(guint bits, PolicyGuard guard, guint *made)
{
    gboolean copied = bits & 1, has_peer = bits & 4, is_source = bits & 8, inactive = bits & 16;
    gboolean on_stream = bits & 2;
    gboolean expected = !copied && has_peer && is_source && !inactive &&
                        (guard == POLICY_GUARD_ON || (guard == POLICY_GUARD_AUTO && on_stream));

    begin();
    qemu.on_stream = on_stream;
    qemu.inactive = inactive;
    start(is_source ? ROLE_SOURCE : ROLE_DESTINATION, copied ? VIR_MIGRATE_NON_SHARED_INC : 0,
          guard, has_peer);
    world_migrate_continue(0);
    g_assert_cmpstr(qemu.said->str, ==, expected ? "+guard " : "");
    g_assert_cmpint(migration_is_guarded(qemu.migration), ==, expected);
    /* The guest is stopped: a look that comes to nothing is not made. */
    if (copied || !has_peer || !is_source || guard == POLICY_GUARD_OFF)
        g_assert_cmpuint(world_count_commands(), ==, 0);
    *made += expected;
    end();
}

static void
test_made(void)
{
    guint made = 0;

    for (guint bits = 0; bits < 32; bits++)
        for (PolicyGuard guard = POLICY_GUARD_AUTO; guard <= POLICY_GUARD_OFF; guard++)
            check_made(bits, guard, &made);
    g_assert_cmpuint(made, ==, 3);
}

/* One that is still there from before is none of this migration's. */
static void
test_old(void)
{
    begin();
    qemu.guarded = TRUE;
    start(ROLE_SOURCE, 0, POLICY_GUARD_ON, TRUE);
    world_migrate_continue(0);
    g_assert_cmpstr(qemu.said->str, ==, "-guard +guard ");
    end();
}

static void
test_refused(void)
{
    begin();
    qemu.fails = "block-dirty-bitmap-add";
    start(ROLE_SOURCE, 0, POLICY_GUARD_ON, TRUE);
    g_test_expect_message("holdfast", G_LOG_LEVEL_WARNING, "*no guard*");
    world_migrate_continue(0);
    g_test_assert_expected_messages();
    g_assert_false(migration_is_guarded(qemu.migration));
    end();
}

/* A migration that we have no part in. */
static void
test_stranger(void)
{
    begin();
    world_migrate_continue(0);
    g_assert_cmpuint(world_count_commands(), ==, 0);
    end();
}

/* --- removed --- */

/* Where the guest has arrived, and not where its storage was copied, or it has not. */
static void
test_arrived(void)
{
    static const struct {
        guint flags;
        EventType event;
        const char *said;
    } cases[] = {
        {0, EVENT_CALL_COMPLETED, "-guard "},
        {VIR_MIGRATE_NON_SHARED_DISK, EVENT_CALL_COMPLETED, ""},
        {0, EVENT_CALL_CANCELLED, ""},
        {0, EVENT_QEMU_GONE, ""},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        begin();
        qemu.guarded = TRUE;
        start(ROLE_DESTINATION, cases[i].flags, POLICY_GUARD_OFF, TRUE);
        migration_tell(qemu.migration, cases[i].event, 0, NULL);
        world_settle();
        g_assert_cmpstr(qemu.said->str, ==, cases[i].said);
        end();
    }
}

/* What a daemon that was killed has left. */
static void
test_clean(void)
{
    virConnectPtr connection;
    virDomainPtr domain;

    begin();
    qemu.guarded = qemu.peeking = TRUE;
    connection = virConnectOpen("test:///default");
    domain = virDomainLookupByUUID(connection, world_domain(0));
    guard_clean(domain);
    g_assert_cmpstr(qemu.said->str, ==, "closed -guard ");
    guard_clean(domain);
    g_assert_cmpstr(qemu.said->str, ==, "closed -guard ");
    virDomainFree(domain);
    virConnectClose(connection);
    end();
}

int
main(int argc, char **argv)
{
    libvirt_init(&argc, &argv);
    g_test_add_func("/guard/made", test_made);
    g_test_add_func("/guard/old", test_old);
    g_test_add_func("/guard/refused", test_refused);
    g_test_add_func("/guard/stranger", test_stranger);
    g_test_add_func("/guard/arrived", test_arrived);
    g_test_add_func("/guard/clean", test_clean);
    return g_test_run();
}
