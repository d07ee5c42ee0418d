/*
 * migration.c: one migration of a domain is known, and everybody who waits for it is told
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/migration-priv.h"

#include <string.h>

#include "doubles/world.h"
#include "util/uuid.h"

#define ID "6f9d9c1e-0d0c-4c3c-9d5e-4e2c6bb0a001"
/* As in run/registry.c: how many that are over are kept. */
#define OVER_MAX 128
/* Long enough to be sure that a wait goes on. */
#define WHILE_MS 20

static const EventType to_postcopy[] = {
    EVENT_QEMU_ACTIVE,
    EVENT_QEMU_PRE_SWITCHOVER,
    EVENT_QEMU_POSTCOPY_ACTIVE,
};

static Migration *
start(MigrationRole role, guint domain, const char *name)
{
    g_autoptr(Policy) policy = policy_default();
    Migration *migration =
        migration_start(role, NULL, world_domain(domain), name, policy, VIR_MIGRATE_POSTCOPY);

    g_assert_nonnull(migration);
    return migration;
}

static void
give_peer(Migration *migration)
{
    /* Where nobody is: questions are refused at once. */
    char *hosts[] = {(char *)"127.0.0.1", NULL};

    migration_set_destination(migration, "b.example", hosts, 1);
    migration_sync(migration);
}

static void
bring_to_postcopy(Migration *migration)
{
    for (gsize i = 0; i < G_N_ELEMENTS(to_postcopy); i++)
        migration_tell(migration, to_postcopy[i], 0, NULL);
}

static MigrationState
get_state(Migration *migration)
{
    g_autoptr(Status) status = migration_get_status(migration);

    return status->state;
}

/* Ends it and takes it out of the registry; the caller's is then the last reference. */
static void
forget(Migration *migration)
{
    migration_tell(migration, EVENT_QEMU_GONE, 0, "the test is over");
    world_forget(migration_get_uuid(migration));
    world_settle();
    g_assert_true(g_atomic_ref_count_compare(&migration->refs, 1));
    migration_unref(migration);
}

static gboolean
is_found(Migration *migration, Migration *expected)
{
    gboolean same = migration == expected;

    migration_unref(migration);
    return same;
}

static guint
count_registered(void)
{
    guint count;

    g_mutex_lock(&registry.lock);
    count = g_queue_get_length(&registry.all);
    g_mutex_unlock(&registry.lock);
    return count;
}

typedef struct {
    Migration *migration;
    MigrationMilestone milestone;
    MigrationState ended;
    guint64 timeout_ms;
} Waiter;

static gpointer
wait_thread(gpointer opaque)
{
    Waiter *waiter = opaque;
    g_autoptr(Status) status = NULL;

    g_assert_true(
        migration_wait(waiter->migration, waiter->milestone, 0, waiter->timeout_ms, &status));
    waiter->ended = status->state;
    return NULL;
}

/* --- the registry --- */

static void
test_found(void)
{
    g_autoptr(Policy) policy = policy_default();
    Migration *source, *destination;
    unsigned char unknown[VIR_UUID_BUFLEN] = {0};
    Secret secret, other;
    g_autofree char *text = NULL;
    g_autofree char *upper = NULL;

    world_start();
    source = start(ROLE_SOURCE, 0, "guest");
    /* Of another domain, under the same name: a name is unique on a host, but old ones are kept. */
    destination = migration_start(ROLE_DESTINATION, ID, world_domain(1), "guest", policy, 7);
    text = uuid_format(world_domain(1));
    upper = g_ascii_strup(text, -1);

    g_assert_true(is_found(migration_find(world_domain(0)), source));
    g_assert_true(is_found(migration_find(world_domain(1)), destination));
    g_assert_true(is_found(migration_find(unknown), NULL));
    g_assert_true(is_found(migration_find_by_uuid_text(text), destination));
    g_assert_true(is_found(migration_find_by_uuid_text(upper), destination));
    g_assert_true(is_found(migration_find_by_uuid_text(ID), NULL));
    migration_get_secret(destination, &secret);
    g_assert_true(is_found(migration_find_by_secret(&secret), destination));
    /* The id is no secret, and the source is not asked. */
    g_assert_true(uuid_parse(ID, other.bytes));
    g_assert_true(is_found(migration_find_by_secret(&other), NULL));
    migration_get_secret(source, &other);
    g_assert_false(secret_equal(&secret, &other));
    g_assert_true(is_found(migration_find_by_secret(&other), NULL));
    migration_set_secret(destination, &other);
    g_assert_true(is_found(migration_find_by_secret(&other), destination));
    g_assert_true(is_found(migration_find_by_secret(&secret), NULL));

    g_assert_true(g_uuid_string_is_valid(migration_get_id(source)));
    g_assert_cmpstr(migration_get_id(destination), ==, ID);
    g_assert_cmpuint(migration_get_flags(destination), ==, 7);
    g_assert_cmpstr(migration_get_name(source), ==, "guest");
    g_assert_cmpint(migration_get_role(source), ==, ROLE_SOURCE);
    forget(source);
    forget(destination);
    g_assert_cmpuint(count_registered(), ==, 0);
    world_stop();
}

/* There and back again: the old session lets go and gives its place on the bus to the new one. */
static void
test_replaced(void)
{
    Migration *old, *fresh;
    g_auto(GStrv) shown = NULL;
    Secret secret;

    world_start();
    old = start(ROLE_DESTINATION, 0, "guest");
    migration_tell(old, EVENT_CALL_COMPLETED, 0, NULL);
    fresh = start(ROLE_SOURCE, 0, "guest");
    world_settle();
    g_assert_true(is_found(migration_find(world_domain(0)), fresh));
    migration_get_secret(old, &secret);
    g_assert_true(is_found(migration_find_by_secret(&secret), NULL));
    g_assert_cmpint(get_state(old), ==, STATE_COMPLETED);
    g_assert_true(g_atomic_ref_count_compare(&old->refs, 1));
    migration_unref(old);

    /* Prepare that is tried again: the first one never got anywhere. */
    old = fresh;
    fresh = start(ROLE_SOURCE, 0, "guest");
    world_settle();
    g_assert_cmpint(get_state(old), ==, STATE_CANCELLED);
    g_assert_true(g_atomic_ref_count_compare(&old->refs, 1));
    migration_unref(old);

    shown = world_get_shown();
    g_assert_cmpstr(shown[0], ==, "guest destination setup");
    g_assert_cmpstr(shown[1], ==, "guest destination completed");
    g_assert_cmpstr(shown[2], ==, "guest source setup");
    g_assert_cmpstr(shown[g_strv_length(shown) - 1], ==, "guest source setup");
    for (char **line = shown; *line; line++)
        g_assert_false(g_str_has_prefix(*line, "withdrawn"));
    forget(fresh);
    world_stop();
}

/* Whoever waits for one whose place is taken is let go, and it comes to rest. */
static void
test_replaced_in_pause(void)
{
    Waiter waiter;
    GThread *thread;
    Migration *old, *fresh;

    world_start();
    old = start(ROLE_SOURCE, 0, "guest");
    give_peer(old);
    bring_to_postcopy(old);
    migration_tell(old, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    waiter = (Waiter){old, MIGRATION_SETTLED, STATE_SETUP};
    thread = g_thread_new("waiter", wait_thread, &waiter);
    fresh = start(ROLE_DESTINATION, 0, "guest");
    g_thread_join(thread);
    g_assert_cmpint(waiter.ended, ==, STATE_FAILED);
    /* What was on its way to it. */
    migration_tell(old, EVENT_RESUME_FAILED, 0, "late");
    migration_tell(old, EVENT_TIMER_STATE, 0, NULL);
    world_settle();
    g_assert_null(old->state_timer);
    g_assert_null(old->call);
    migration_unref(old);
    forget(fresh);
    world_stop();
}

static void
test_forgotten(void)
{
    Migration *migration;
    g_auto(GStrv) shown = NULL;
    g_autofree char *uuid = uuid_format(world_domain(2));
    g_autofree char *withdrawn = g_strdup_printf("withdrawn %s destination", uuid);

    world_start();
    migration = start(ROLE_DESTINATION, 2, "guest");
    forget(migration);
    g_assert_true(is_found(migration_find(world_domain(2)), NULL));
    shown = world_get_shown();
    g_assert_cmpstr(shown[g_strv_length(shown) - 1], ==, withdrawn);
    world_stop();
}

/* Those that are over are kept for a person to read, but not for ever; those that are not, are. */
static void
test_bounded(void)
{
    g_autoptr(Policy) policy = policy_default();
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    unsigned char uuid[VIR_UUID_BUFLEN] = {0};

    world_start();
    for (guint i = 0; i < 2 * OVER_MAX; i++) {
        Migration *migration;

        memcpy(uuid, &i, sizeof(i));
        migration = migration_start(ROLE_SOURCE, NULL, uuid, "guest", policy, 0);
        g_ptr_array_add(all, migration);
        /* Every eighth goes on. */
        if (i % 8)
            migration_tell(migration, EVENT_CALL_FAILED, 0, "the test says so");
    }
    world_settle();
    /* The newest was not over when room was made for it. */
    g_assert_cmpuint(count_registered(), ==, 2 * OVER_MAX / 8 + OVER_MAX + 1);
    for (guint i = 0; i < all->len; i++) {
        Migration *migration = all->pdata[i];
        Migration *found = migration_find(migration_get_uuid(migration));

        if (i % 8 == 0 || i >= all->len - OVER_MAX)
            g_assert_true(found == migration);
        else if (i < OVER_MAX / 2)
            g_assert_null(found);
        migration_unref(found);
    }
    for (guint i = 0; i < all->len; i++) {
        Migration *migration = all->pdata[i];

        migration_tell(migration, EVENT_QEMU_GONE, 0, "the test is over");
        world_forget(migration_get_uuid(migration));
    }
    world_settle();
    for (guint i = 0; i < all->len; i++) {
        Migration *migration = all->pdata[i];

        g_assert_true(g_atomic_ref_count_compare(&migration->refs, 1));
        migration_unref(migration);
    }
    g_assert_cmpuint(count_registered(), ==, 0);
    world_stop();
}

static void
test_no_engine(void)
{
    g_autoptr(Policy) policy = policy_default();

    world_start();
    world_set_running(FALSE);
    g_assert_null(migration_start(ROLE_SOURCE, NULL, world_domain(0), "guest", policy, 0));
    g_assert_cmpuint(count_registered(), ==, 0);
    world_stop();
}

/* --- events --- */

/* Posted from one thread, they are taken in in that order; tell() returns when they are. */
static void
test_order(void)
{
    g_autofree char *text = g_strdup("the first");
    Migration *migration;
    g_autoptr(Status) status = NULL;

    world_start();
    migration = start(ROLE_SOURCE, 0, "guest");
    for (gsize i = 0; i < G_N_ELEMENTS(to_postcopy); i++)
        migration_post(migration, to_postcopy[i], 0, NULL);
    migration_post(migration, EVENT_QEMU_FAILED, 0, text);
    /* Copied. */
    memset(text, 'x', strlen(text));
    migration_tell(migration, EVENT_CALL_FAILED, 0, "the second");
    status = migration_get_status(migration);
    g_assert_cmpint(status->state, ==, STATE_FAILED);
    g_assert_cmpuint(status->history->len, ==, 2 + G_N_ELEMENTS(to_postcopy));
    g_assert_cmpstr(status->message, ==, "the first");
    forget(migration);
    world_stop();
}

static void
test_undefine(void)
{
    Migration *migration;

    world_start();
    migration = start(ROLE_SOURCE, 0, "guest");
    g_assert_false(migration_is_to_undefine(migration));
    migration_set_undefine(migration, TRUE);
    g_assert_true(migration_is_to_undefine(migration));
    migration_begin_confirm(migration);
    migration_begin_confirm(migration);
    migration_end_confirm(migration);
    g_assert_true(migration_is_confirmed(migration));
    migration_end_confirm(migration);
    g_assert_false(migration_is_confirmed(migration));
    forget(migration);
    world_stop();
}

static void
test_finish_claimed_once(void)
{
    Migration *migration;

    world_start();
    migration = start(ROLE_DESTINATION, 0, "guest");
    g_assert_true(migration_claim_finish(migration));
    g_assert_false(migration_claim_finish(migration));
    forget(migration);
    world_stop();
}

/* --- waits --- */

#define SETTLED   (1u << MIGRATION_SETTLED)
#define FLOWING   (1u << MIGRATION_FLOWING)
#define PAUSED    (1u << MIGRATION_PAUSED)
#define RECOVERED (1u << MIGRATION_RECOVERED)
#define ALL       (SETTLED | FLOWING | PAUSED | RECOVERED)

/* Who is let go where, when the migration recovers by itself. RECOVERED is for the first time;
 * PAUSED is reached where no person's pause is awaited. */
/* clang-format off */
static const struct {
    const char *what;
    EventType events[6]; /* after postcopy-active; EVENT_QEMU_SETUP ends them */
    guint reached;
} milestones[] = {
    { "postcopy",       { EVENT_QEMU_SETUP }, FLOWING | PAUSED },
    { "network",        { EVENT_LINK_SILENT, EVENT_QEMU_POSTCOPY_PAUSED }, PAUSED },
    { "error",          { EVENT_QEMU_POSTCOPY_PAUSED }, PAUSED },
    { "recovering",     { EVENT_QEMU_POSTCOPY_PAUSED, EVENT_QEMU_POSTCOPY_RECOVER }, PAUSED },
    { "recovered",      { EVENT_QEMU_POSTCOPY_PAUSED, EVENT_QEMU_POSTCOPY_RECOVER,
                          EVENT_QEMU_POSTCOPY_ACTIVE }, FLOWING | PAUSED | RECOVERED },
    { "person asked",   { EVENT_PAUSE_REQUESTED }, FLOWING },
    { "refused",        { EVENT_PAUSE_REQUESTED, EVENT_PAUSE_WITHDRAWN }, FLOWING | PAUSED },
    { "in a recovery",  { EVENT_QEMU_POSTCOPY_PAUSED, EVENT_QEMU_POSTCOPY_RECOVER_SETUP,
                          EVENT_PAUSE_REQUESTED, EVENT_PAUSE_WITHDRAWN }, 0 },
    { "of a recovery",  { EVENT_QEMU_POSTCOPY_PAUSED, EVENT_QEMU_POSTCOPY_RECOVER_SETUP,
                          EVENT_PAUSE_REQUESTED, EVENT_QEMU_POSTCOPY_PAUSED }, ALL },
    { "person",         { EVENT_PAUSE_REQUESTED, EVENT_QEMU_POSTCOPY_PAUSED }, ALL },
    { "person later",   { EVENT_QEMU_POSTCOPY_PAUSED, EVENT_PAUSE_REQUESTED }, ALL },
    { "person, again",  { EVENT_PAUSE_REQUESTED, EVENT_QEMU_POSTCOPY_PAUSED,
                          EVENT_RECOVER_REQUESTED }, PAUSED },
    { "given up",       { EVENT_QEMU_POSTCOPY_PAUSED, EVENT_TIMER_GIVE_UP }, ALL },
    { "completed",      { EVENT_QEMU_COMPLETED }, ALL },
    { "failed",         { EVENT_QEMU_FAILED }, ALL },
    { "gone",           { EVENT_QEMU_POSTCOPY_PAUSED, EVENT_QEMU_GONE }, ALL },
};
/* clang-format on */

static void
test_milestones(void)
{
    world_start();
    for (gsize i = 0; i < G_N_ELEMENTS(milestones); i++) {
        Migration *migration = start(ROLE_SOURCE, 0, "guest");

        give_peer(migration);
        bring_to_postcopy(migration);
        for (gsize j = 0; milestones[i].events[j] != EVENT_QEMU_SETUP; j++)
            migration_tell(migration, milestones[i].events[j], 0, "because");
        for (MigrationMilestone m = MIGRATION_SETTLED; m <= MIGRATION_RECOVERED; m++) {
            g_autoptr(Status) status = NULL;

            g_test_message("%s, milestone %u", milestones[i].what, m);
            g_assert_cmpint(migration_wait(migration, m, 0, 1, &status), ==,
                            (milestones[i].reached >> m) & 1);
            g_assert_nonnull(status);
        }
        forget(migration);
    }
    world_stop();
}

/* Once each time that the engine lets go of a migration, whatever happens in between. */
static void
test_settled(void)
{
    Migration *migration;

    world_start();
    migration = start(ROLE_SOURCE, 0, "guest");
    give_peer(migration);
    bring_to_postcopy(migration);
    migration_tell(migration, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    g_assert_cmpuint(world_count_settled(), ==, 0);
    migration_tell(migration, EVENT_PAUSE_REQUESTED, 0, NULL);
    g_assert_cmpuint(world_count_settled(), ==, 1);
    migration_tell(migration, EVENT_RECOVER_REQUESTED, 0, NULL);
    migration_tell(migration, EVENT_QEMU_POSTCOPY_RECOVER, 0, NULL);
    migration_tell(migration, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
    g_assert_cmpuint(world_count_settled(), ==, 1);
    migration_tell(migration, EVENT_QEMU_COMPLETED, 0, NULL);
    g_assert_cmpuint(world_count_settled(), ==, 2);
    forget(migration);
    world_stop();
}

/* A pause is nobody's to hold callers for where there is nobody to ask. */
static void
test_not_held(void)
{
    Migration *migration;

    world_start();
    migration = start(ROLE_SOURCE, 0, "guest");
    bring_to_postcopy(migration);
    migration_tell(migration, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    g_assert_true(migration_wait(migration, MIGRATION_SETTLED, 0, 0, NULL));
    g_assert_true(migration_wait(migration, MIGRATION_FLOWING, 0, 0, NULL));
    g_assert_true(migration_wait(migration, MIGRATION_PAUSED, 0, 0, NULL));
    forget(migration);
    world_stop();
}

static void
test_woken(void)
{
    Waiter waiters[4];
    GThread *threads[G_N_ELEMENTS(waiters)];
    Migration *migration;

    world_start();
    migration = start(ROLE_SOURCE, 0, "guest");
    give_peer(migration);
    bring_to_postcopy(migration);
    migration_tell(migration, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(waiters); i++) {
        waiters[i] =
            (Waiter){migration, i % 2 ? MIGRATION_FLOWING : MIGRATION_SETTLED, STATE_SETUP};
        threads[i] = g_thread_new("waiter", wait_thread, &waiters[i]);
    }
    migration_tell(migration, EVENT_QEMU_POSTCOPY_RECOVER, 0, NULL);
    migration_tell(migration, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
    for (guint i = 1; i < G_N_ELEMENTS(waiters); i += 2) {
        g_thread_join(threads[i]);
        g_assert_cmpint(waiters[i].ended, ==, STATE_POSTCOPY_ACTIVE);
    }
    migration_tell(migration, EVENT_QEMU_COMPLETED, 0, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(waiters); i += 2) {
        g_thread_join(threads[i]);
        g_assert_cmpint(waiters[i].ended, ==, STATE_COMPLETED);
    }
    forget(migration);
    world_stop();
}

static void
test_timeout(void)
{
    gint64 begin = g_get_monotonic_time();
    Migration *migration;
    g_autoptr(Status) status = NULL;

    world_start();
    migration = start(ROLE_SOURCE, 0, "guest");
    give_peer(migration);
    g_assert_false(migration_wait(migration, MIGRATION_SETTLED, 0, WHILE_MS, &status));
    g_assert_cmpint(g_get_monotonic_time() - begin, >=, WHILE_MS * 1000);
    g_assert_cmpint(status->state, ==, STATE_SETUP);
    forget(migration);
    world_stop();
}

/* What a client gives for "as long as it takes". */
static void
test_long_timeout(void)
{
    static const guint64 timeouts[] = {G_MAXUINT64, G_MAXINT64, G_MAXINT64 / 1000, G_MAXUINT32};
    Waiter waiters[G_N_ELEMENTS(timeouts)];
    GThread *threads[G_N_ELEMENTS(timeouts)];
    Migration *migration;

    world_start();
    migration = start(ROLE_SOURCE, 0, "guest");
    give_peer(migration);
    for (guint i = 0; i < G_N_ELEMENTS(timeouts); i++) {
        waiters[i] = (Waiter){migration, MIGRATION_SETTLED, STATE_SETUP, timeouts[i]};
        threads[i] = g_thread_new("waiter", wait_thread, &waiters[i]);
    }
    g_assert_false(migration_wait(migration, MIGRATION_SETTLED, 0, WHILE_MS, NULL));
    migration_tell(migration, EVENT_QEMU_FAILED, 0, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(timeouts); i++)
        g_thread_join(threads[i]);
    forget(migration);
    world_stop();
}

static gboolean
never(Migration *migration, gpointer opaque)
{
    ++*(guint *)opaque;
    return FALSE;
}

static gpointer
poll_thread(gpointer opaque)
{
    guint looks = 0;

    g_assert_false(migration_poll(opaque, never, &looks));
    g_assert_cmpuint(looks, >=, 1);
    return NULL;
}

/* The daemon stops: whoever is held, and whoever comes after, is let go. */
static void
test_released(void)
{
    Waiter waiter;
    GThread *waits, *polls;
    Migration *migration;

    world_start();
    migration = start(ROLE_SOURCE, 0, "guest");
    give_peer(migration);
    bring_to_postcopy(migration);
    migration_tell(migration, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    waiter = (Waiter){migration, MIGRATION_SETTLED, STATE_SETUP};
    waits = g_thread_new("waiter", wait_thread, &waiter);
    polls = g_thread_new("poller", poll_thread, migration);
    migration_release_all();
    g_thread_join(waits);
    g_thread_join(polls);
    g_assert_cmpint(waiter.ended, ==, STATE_POSTCOPY_PAUSED);
    for (MigrationMilestone m = MIGRATION_SETTLED; m <= MIGRATION_RECOVERED; m++)
        g_assert_true(migration_wait(migration, m, 99, 0, NULL));
    registry.released = FALSE;
    forget(migration);
    world_stop();
}

typedef struct {
    Migration *migration;
    guint calls;
    MigrationState seen;
    gboolean again; /* asks anew when it is called */
} Called;

static void
on_reached(const Status *status, gpointer opaque)
{
    Called *called = opaque;

    called->calls++;
    called->seen = status->state;
    if (called->again) {
        called->again = FALSE;
        migration_when(called->migration, MIGRATION_SETTLED, 0, on_reached, called);
    }
}

static void
ask_when(gpointer opaque)
{
    Called *called = opaque;

    migration_when(called->migration, MIGRATION_FLOWING, 0, on_reached, called);
}

static void
test_when(void)
{
    Called called[3] = {0};
    Migration *migration;

    world_start();
    migration = start(ROLE_SOURCE, 0, "guest");
    give_peer(migration);
    bring_to_postcopy(migration);
    migration_tell(migration, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(called); i++) {
        called[i].migration = migration;
        called[i].again = i == 1;
        world_on_engine(ask_when, &called[i]);
        g_assert_cmpuint(called[i].calls, ==, 0);
    }
    migration_tell(migration, EVENT_QEMU_POSTCOPY_RECOVER, 0, NULL);
    migration_tell(migration, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(called); i++) {
        g_assert_cmpuint(called[i].calls, ==, 1);
        g_assert_cmpint(called[i].seen, ==, STATE_POSTCOPY_ACTIVE);
    }
    /* Reached already: called at once. */
    world_on_engine(ask_when, &called[0]);
    g_assert_cmpuint(called[0].calls, ==, 2);
    migration_tell(migration, EVENT_QEMU_COMPLETED, 0, NULL);
    g_assert_cmpuint(called[0].calls, ==, 2);
    g_assert_cmpuint(called[1].calls, ==, 2);
    g_assert_cmpint(called[1].seen, ==, STATE_COMPLETED);
    forget(migration);
    world_stop();
}

/* It is shown, and nobody is told to do anything about it. */
static void
test_foreign(void)
{
    Migration *migration;

    world_start();
    migration = migration_start_foreign(world_domain(0), "guest", VIR_MIGRATE_POSTCOPY);
    bring_to_postcopy(migration);
    g_assert_null(migration->state_timer);
    migration_tell(migration, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    g_assert_cmpint(get_state(migration), ==, STATE_POSTCOPY_PAUSED);
    g_assert_false(migration->commands[COMMAND_OOB].busy);
    g_assert_false(migration_holds_callers(migration));
    forget(migration);
    world_stop();
}

/* --- many threads --- */

#define THREADS 8
#define ROUNDS  150

/* Starts, finds, tells and waits, on two domains that all threads share. */
static gpointer
crowd_thread(gpointer number)
{
    guint n = GPOINTER_TO_UINT(number);

    for (guint i = 0; i < ROUNDS; i++) {
        guint domain = (n + i) % 2;
        g_autoptr(Migration) migration =
            i % 8 == n ? start(i % 2, domain, "guest") : migration_find(world_domain(domain));
        g_autoptr(Status) status = NULL;

        if (!migration)
            continue;
        migration_post(migration, i % EVENT_LAST, 0, "because");
        if (i % 3 == 0)
            give_peer(migration);
        if (i % 5 == 0)
            migration_tell(migration, EVENT_QEMU_ACTIVE, 0, NULL);
        migration_wait(migration, i % 4, 0, 1, &status);
        g_assert_nonnull(status->history);
        migration_set_undefine(migration, i % 2);
        if (i % 7 == 0)
            world_forget(world_domain(domain));
    }
    return NULL;
}

static void
test_crowd(void)
{
    GThread *threads[THREADS];

    world_start();
    for (guint i = 0; i < THREADS; i++)
        threads[i] = g_thread_new("crowd", crowd_thread, GUINT_TO_POINTER(i));
    for (guint i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
    for (guint domain = 0; domain < 2; domain++) {
        Migration *migration = migration_find(world_domain(domain));

        if (migration)
            forget(migration);
    }
    g_assert_cmpuint(count_registered(), ==, 0);
    world_stop();
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/migration/found", test_found);
    g_test_add_func("/migration/replaced", test_replaced);
    g_test_add_func("/migration/replaced-in-pause", test_replaced_in_pause);
    g_test_add_func("/migration/forgotten", test_forgotten);
    g_test_add_func("/migration/bounded", test_bounded);
    g_test_add_func("/migration/no-engine", test_no_engine);
    g_test_add_func("/migration/order", test_order);
    g_test_add_func("/migration/undefine", test_undefine);
    g_test_add_func("/migration/finish-claimed-once", test_finish_claimed_once);
    g_test_add_func("/migration/milestones", test_milestones);
    g_test_add_func("/migration/settled", test_settled);
    g_test_add_func("/migration/not-held", test_not_held);
    g_test_add_func("/migration/woken", test_woken);
    g_test_add_func("/migration/timeout", test_timeout);
    g_test_add_func("/migration/long-timeout", test_long_timeout);
    g_test_add_func("/migration/released", test_released);
    g_test_add_func("/migration/when", test_when);
    g_test_add_func("/migration/foreign", test_foreign);
    g_test_add_func("/migration/crowd", test_crowd);
    return g_test_run();
}
