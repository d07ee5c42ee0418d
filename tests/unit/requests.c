/*
 * requests.c: what a person asks of a migration, and what is answered when that cannot be
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/requests.h"

#include <string.h>

#include "doubles/world.h"
#include "model/policy.h"
#include "run/error.h"
#include "run/migration-priv.h"

static const EventType to_paused[] = {
    EVENT_QEMU_ACTIVE,
    EVENT_QEMU_POSTCOPY_ACTIVE,
    EVENT_PEER_RUNNING,
    EVENT_QEMU_POSTCOPY_PAUSED,
};

static Migration *
start(MigrationRole role, guint n_events, gboolean peer)
{
    g_autoptr(Policy) policy = policy_default();
    Migration *migration =
        migration_start(role, NULL, world_domain(0), "guest", policy, VIR_MIGRATE_POSTCOPY);
    /* Where nobody is: a question is refused at once. */
    char *hosts[] = {(char *)"127.0.0.1", NULL};

    if (peer)
        migration_set_destination(migration, "b.example", hosts, 1);
    for (guint i = 0; i < n_events; i++)
        migration_post(migration, to_paused[i], 0, NULL);
    migration_sync(migration);
    return migration;
}

static void
end(Migration *migration)
{
    migration_tell(migration, EVENT_QEMU_GONE, 0, "the test is over");
    world_forget(migration_get_uuid(migration));
    world_settle();
    migration_unref(migration);
}

enum { IN_SETUP = 0, IN_PRECOPY = 1, IN_POSTCOPY = 3, IN_PAUSE = 4 };
#define FINE (-1)

/* clang-format off */
static const struct {
    MigrationRole role;
    guint n_events;
    gboolean peer;
    gboolean over;
    const char *uri;
    int code; /* MigrationErrorCode, or FINE */
} recoveries[] = {
    { ROLE_SOURCE,      IN_PAUSE,    TRUE,  FALSE, NULL,                   FINE },
    { ROLE_SOURCE,      IN_PAUSE,    TRUE,  FALSE, "tcp://127.0.0.1",      FINE },
    { ROLE_SOURCE,      IN_PAUSE,    TRUE,  FALSE, "tcp://[::1]:49200",    FINE },
    { ROLE_SOURCE,      IN_PAUSE,    TRUE,  FALSE, "tcp://",               MIGRATION_ERROR_INVALID_ARGUMENT },
    { ROLE_SOURCE,      IN_PAUSE,    TRUE,  FALSE, "",                     MIGRATION_ERROR_INVALID_ARGUMENT },
    { ROLE_SOURCE,      IN_PAUSE,    TRUE,  FALSE, "tcp:b.example:49152",  MIGRATION_ERROR_INVALID_ARGUMENT },
    { ROLE_SOURCE,      IN_PAUSE,    TRUE,  FALSE, "unix:///tmp/x",        MIGRATION_ERROR_INVALID_ARGUMENT },
    { ROLE_SOURCE,      IN_PAUSE,    TRUE,  FALSE, "tcp://b.example:0",    MIGRATION_ERROR_INVALID_ARGUMENT },
    { ROLE_SOURCE,      IN_PAUSE,    TRUE,  FALSE, "tcp://b.example:65536", MIGRATION_ERROR_INVALID_ARGUMENT },
    /* reserved: nobody has that name (RFC 6761) */
    { ROLE_SOURCE,      IN_PAUSE,    TRUE,  FALSE, "tcp://b.invalid",      MIGRATION_ERROR_INVALID_ARGUMENT },
    { ROLE_SOURCE,      IN_PAUSE,    FALSE, FALSE, NULL,                   MIGRATION_ERROR_NOT_SUPPORTED },
    { ROLE_DESTINATION, IN_PAUSE,    TRUE,  FALSE, NULL,                   MIGRATION_ERROR_NOT_SUPPORTED },
    { ROLE_SOURCE,      IN_SETUP,    TRUE,  FALSE, NULL,                   MIGRATION_ERROR_NOT_PAUSED },
    { ROLE_SOURCE,      IN_PRECOPY,  TRUE,  FALSE, NULL,                   MIGRATION_ERROR_NOT_PAUSED },
    { ROLE_SOURCE,      IN_POSTCOPY, TRUE,  FALSE, NULL,                   MIGRATION_ERROR_NOT_PAUSED },
    { ROLE_SOURCE,      IN_PAUSE,    TRUE,  TRUE,  NULL,                   MIGRATION_ERROR_NO_MIGRATION },
    { ROLE_DESTINATION, IN_PAUSE,    TRUE,  TRUE,  NULL,                   MIGRATION_ERROR_NO_MIGRATION },
};
/* clang-format on */

static void
test_recover(void)
{
    world_start();
    for (gsize i = 0; i < G_N_ELEMENTS(recoveries); i++) {
        Migration *migration =
            start(recoveries[i].role, recoveries[i].n_events, recoveries[i].peer);
        g_autoptr(GError) error = NULL;
        g_autoptr(GError) checked = NULL;
        g_autoptr(Status) before = NULL;
        g_autoptr(Status) after = NULL;
        guint count = 77;
        gboolean ok;

        if (recoveries[i].over)
            migration_tell(migration, EVENT_QEMU_FAILED, 0, "because");
        before = migration_get_status(migration);
        g_test_message("%zu: %s %s", i, migration_state_to_string(before->state),
                       recoveries[i].uri ? recoveries[i].uri : "-");
        ok = requests_recover(migration, recoveries[i].uri, &count, &error);
        g_assert_cmpint(ok, ==, recoveries[i].code == FINE);
        if (ok) {
            g_assert_no_error(error);
            g_assert_cmpuint(count, ==, 0);
        } else {
            g_assert_error(error, MIGRATION_ERROR, recoveries[i].code);
            g_assert_cmpuint(count, ==, 77);
            /* A word for a person, that says what to do. */
            g_assert_nonnull(strstr(error->message, ": "));
            /* Nothing has changed. */
            migration_sync(migration);
            after = migration_get_status(migration);
            g_assert_cmpint(after->state, ==, before->state);
        }
        if (recoveries[i].code != MIGRATION_ERROR_INVALID_ARGUMENT)
            g_assert_cmpint(requests_check_recover(migration, &checked), ==, ok);
        end(migration);
    }
    world_stop();
}

static void
test_pause(void)
{
    static const struct {
        MigrationRole role;
        guint n_events;
        int code;
    } cases[] = {
        {ROLE_SOURCE, IN_SETUP, MIGRATION_ERROR_NOT_POSTCOPY},
        {ROLE_SOURCE, IN_PRECOPY, MIGRATION_ERROR_NOT_POSTCOPY},
        {ROLE_SOURCE, IN_POSTCOPY, FINE},
        {ROLE_SOURCE, IN_PAUSE, FINE},
        {ROLE_DESTINATION, IN_POSTCOPY, MIGRATION_ERROR_NOT_SUPPORTED},
    };

    world_start();
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Migration *migration = start(cases[i].role, cases[i].n_events, TRUE);
        g_autoptr(GError) error = NULL;
        g_autoptr(Status) status = NULL;
        guint before = world_count_commands();

        g_assert_cmpint(requests_pause(migration, &error), ==, cases[i].code == FINE);
        if (cases[i].code != FINE)
            g_assert_error(error, MIGRATION_ERROR, cases[i].code);
        migration_sync(migration);
        world_settle();
        /* QEMU is asked what remains, and to pause; where the network was faster, the pause is the
         * person's. */
        g_assert_cmpuint(world_count_commands() - before, ==,
                         cases[i].code == FINE && cases[i].n_events == IN_POSTCOPY ? 2 : 0);
        status = migration_get_status(migration);
        if (cases[i].n_events == IN_PAUSE)
            g_assert_cmpint(status->reason, ==, REASON_OPERATOR);
        end(migration);
    }
    world_stop();
}

/* libvirt's API: what stock libvirt does, and what it cannot do. */
static void
test_pause_call(void)
{
    static const struct {
        guint n_events;
        RequestsPause begun;
        EventType refused; /* what has happened when stock libvirt refuses it */
        gboolean paused;
    } cases[] = {
        {IN_SETUP, REQUESTS_PAUSE_STOCK, EVENT_QEMU_SETUP, FALSE},
        {IN_PRECOPY, REQUESTS_PAUSE_STOCK, EVENT_QEMU_SETUP, FALSE},
        {IN_POSTCOPY, REQUESTS_PAUSE_STOCK, EVENT_QEMU_SETUP, FALSE},
        {IN_POSTCOPY, REQUESTS_PAUSE_STOCK, EVENT_QEMU_POSTCOPY_PAUSED, TRUE},
        {IN_POSTCOPY, REQUESTS_PAUSE_STOCK, EVENT_QEMU_COMPLETED, FALSE},
        {IN_PAUSE, REQUESTS_PAUSED, EVENT_QEMU_SETUP, TRUE},
    };

    world_start();
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Migration *migration = start(ROLE_SOURCE, cases[i].n_events, TRUE);
        g_autoptr(GError) error = NULL;
        guint before = world_count_commands();

        g_test_message("%zu", i);
        g_assert_cmpint(requests_pause_begin(migration, &error), ==, cases[i].begun);
        g_assert_no_error(error);
        migration_tell(migration, cases[i].refused, 0, NULL);
        g_assert_cmpint(requests_pause_end(migration), ==, cases[i].paused);
        g_assert_cmpuint(world_count_commands(), ==, before);
        end(migration);
    }
    world_stop();
}

/* --- errors --- */

static void
test_codes(void)
{
    static const virErrorNumber expected[MIGRATION_ERROR_LAST] = {
        VIR_ERR_OPERATION_FAILED,  VIR_ERR_INVALID_ARG,       VIR_ERR_OPERATION_INVALID,
        VIR_ERR_OPERATION_INVALID, VIR_ERR_OPERATION_INVALID, VIR_ERR_OPERATION_UNSUPPORTED,
        VIR_ERR_OPERATION_TIMEOUT,
    };

    for (int code = 0; code < MIGRATION_ERROR_LAST; code++) {
        g_autoptr(GError) error = g_error_new_literal(MIGRATION_ERROR, code, "because 100%");

        g_assert_cmpint(error_get_libvirt_code(error), ==, expected[code]);
    }
    for (int code = 0; code < POLICY_ERROR_LAST; code++) {
        g_autoptr(GError) error = g_error_new_literal(POLICY_ERROR, code, "because");

        g_assert_cmpint(error_get_libvirt_code(error), ==,
                        code == POLICY_ERROR_INTERNAL ? VIR_ERR_INTERNAL_ERROR
                                                      : VIR_ERR_XML_INVALID_SCHEMA);
    }
}

static void
test_raised(void)
{
    g_autoptr(GError) ours =
        g_error_new_literal(MIGRATION_ERROR, MIGRATION_ERROR_TIMEOUT, "at 100% %s");
    g_autoptr(GError) foreign =
        g_error_new_literal(g_quark_from_static_string("other"), 4711, "what?");
    const char *text;

    world_start();
    error_raise(ours);
    g_assert_cmpint(world_get_raised(&text), ==, VIR_ERR_OPERATION_TIMEOUT);
    g_assert_cmpstr(text, ==, "at 100% %s");
    error_raise(foreign);
    g_assert_cmpint(world_get_raised(&text), ==, VIR_ERR_OPERATION_FAILED);
    g_assert_cmpstr(text, ==, "what?");
    world_stop();
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/requests/recover", test_recover);
    g_test_add_func("/requests/pause", test_pause);
    g_test_add_func("/requests/pause-call", test_pause_call);
    g_test_add_func("/error/codes", test_codes);
    g_test_add_func("/error/raised", test_raised);
    return g_test_run();
}
