/*
 * execute.c: a pause and its end, on both hosts at once
 *
 * Source and destination are two migrations in this process that talk over real connections; the
 * two QEMUs are scripted.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/execute.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "doubles/ends.h"
#include "doubles/world.h"
#include "run/migration-priv.h"
#include "run/observe.h"
#include "run/requests.h"
#include "stock/qmp.h"

#define ID "6f9d9c1e-0d0c-4c3c-9d5e-4e2c6bb0a001"
/* Below the ports that the kernel gives away, and apart from those of the other tests. */
#define PORT_MIN 20100
#define PORT_MAX 20163
/* What the destination's QEMU may listen on: run/host.h. */
#define LISTEN_MIN 49152
#define LISTEN_MAX 49215

static struct {
    Migration *source;      /* domain 0 */
    Migration *destination; /* domain 1 */
    PeerServer *server;     /* engine thread */
    guint16 port;           /* where it listens; 0: nowhere */
    guint calls_in_vain;    /* as the engine thread has it */

    GMutex lock;
    char armed_at[64];    /* what the destination's QEMU was told last */
    guint armed;          /* the port that the destination's QEMU was told last */
    guint arm_failures;   /* so often it refuses */
    guint pause_failures; /* likewise, of either */
    gboolean stuck;       /* a recovery gets no further than its beginning */
    GString *commands;    /* "guest0 migrate-pause; ..." */
} pair;

/* --- two QEMUs --- */

/* QEMU's number is its domain's. */
static guint
number_of(const char *domain)
{
    return g_str_equal(domain, "guest0") ? 0 : 1;
}

/* The destination first: the source asks as soon as it is paused. */
static void
emit_both(const char *status)
{
    world_migration_event(1, status);
    world_migration_event(0, status);
}

static gboolean
take(guint *times)
{
    gboolean left;

    g_mutex_lock(&pair.lock);
    left = *times > 0;
    if (left)
        --*times;
    g_mutex_unlock(&pair.lock);
    return left;
}

static gboolean
recover(const char *domain, const char *arguments, GError **error)
{
    const char *port = strrchr(arguments, ':');

    g_assert_cmpstr(domain, ==, "guest1");
    g_assert_true(g_str_has_prefix(arguments, "{\"uri\":\"tcp:"));
    if (take(&pair.arm_failures)) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND, "GenericError: the address is in use");
        return FALSE;
    }
    g_mutex_lock(&pair.lock);
    pair.armed = (guint)g_ascii_strtoull(port + 1, NULL, 10);
    g_strlcpy(pair.armed_at, arguments, sizeof(pair.armed_at));
    g_mutex_unlock(&pair.lock);
    return TRUE;
}

static void
resume(const char *domain, const char *json)
{
    g_autofree char *uri = NULL;

    g_mutex_lock(&pair.lock);
    uri = g_strdup_printf("\"uri\":\"tcp:127.0.0.1:%u\"", pair.armed);
    g_mutex_unlock(&pair.lock);
    g_assert_cmpstr(domain, ==, "guest0");
    g_assert_nonnull(strstr(json, uri));
    g_assert_nonnull(strstr(json, "\"resume\":true"));
    if (pair.stuck) {
        world_migration_event(0, "postcopy-recover-setup");
        return;
    }
    emit_both("postcopy-recover-setup");
    emit_both("postcopy-recover");
    emit_both("postcopy-active");
}

static char *
on_command(const char *domain, const char *command, const char *arguments, GError **error)
{
    /* Not told: there are as many as it takes. */
    if (strstr(command, "query-"))
        return g_strdup("{\"return\": {\"status\": \"postcopy-active\", "
                        "\"ram\": {\"remaining\": 1000000000}}}");
    g_mutex_lock(&pair.lock);
    g_string_append_printf(pair.commands, "%s %s; ", domain, *command == '{' ? "migrate" : command);
    g_mutex_unlock(&pair.lock);
    if (g_str_equal(command, "migrate-recover")) {
        if (!recover(domain, arguments, error))
            return NULL;
    } else if (g_str_equal(command, "migrate-pause")) {
        if (take(&pair.pause_failures)) {
            g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND, "GenericError: not in postcopy");
            return NULL;
        }
        world_migration_event(number_of(domain), "postcopy-paused");
    } else if (!strstr(command, "query-status")) {
        resume(domain, command);
    }
    return g_strdup("{\"return\": {}}");
}

static char *
get_commands(void)
{
    char *commands;

    g_mutex_lock(&pair.lock);
    commands = g_strdup(pair.commands->str);
    g_mutex_unlock(&pair.lock);
    return commands;
}

/* --- the pair --- */

static void
start_server(gpointer unused)
{
    g_autoptr(GError) error = NULL;

    pair.server = peer_server_new(NULL, PORT_MIN, PORT_MAX, observe_question, NULL, &error);
    g_assert_no_error(error);
    pair.port = peer_server_get_port(pair.server);
}

static void
stop_server(gpointer unused)
{
    g_clear_pointer(&pair.server, peer_server_free);
}

static void
give_destination(void)
{
    char *hosts[] = {(char *)"127.0.0.1", NULL};

    migration_set_destination(pair.source, "b.example", hosts, pair.port);
    migration_sync(pair.source);
}

static void
pair_prepare(void)
{
    g_autoptr(Policy) policy = policy_default();
    Secret secret;

    world_start();
    pair.armed = pair.arm_failures = pair.pause_failures = 0;
    pair.stuck = FALSE;
    pair.commands = g_string_new(NULL);
    world_set_qemu(on_command);
    observe_migration_events();
    world_on_engine(start_server, NULL);
    pair.source = migration_start(ROLE_SOURCE, ID, world_domain(0), "guest0", policy, 0);
    pair.destination = migration_start(ROLE_DESTINATION, ID, world_domain(1), "guest1", policy, 0);
    migration_get_secret(pair.source, &secret);
    migration_set_secret(pair.destination, &secret);
    give_destination();
    migration_set_source(pair.destination, "a.example");
    emit_both("active");
}

static void
pair_start(void)
{
    pair_prepare();
    g_assert_true(migration_claim_finish(pair.destination));
    /* Statuses that mean nothing to the engine. */
    emit_both("wait-unplug");
    emit_both("no such status");
    world_migration_event(1, "postcopy-active");
    migration_tell(pair.destination, EVENT_QEMU_RESUME, 0, NULL);
    world_migration_event(0, "postcopy-active");
    migration_sync(pair.source);
    g_assert_true(migration_let_run(pair.source));
}

static void
pair_stop(void)
{
    world_drop(pair.source);
    world_drop(pair.destination);
    world_on_engine(stop_server, NULL);
    world_stop();
    g_string_free(pair.commands, TRUE);
}

/* Not migration_wait(): that lets go of whoever waits in a person's pause. */
static void
wait_recoveries(Migration *migration, guint recoveries)
{
    gint64 end = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

    g_mutex_lock(&registry.lock);
    while (migration->status->recoveries < recoveries)
        g_assert_true(g_cond_wait_until(&registry.changed, &registry.lock, end));
    g_assert_cmpuint(migration->status->recoveries, ==, recoveries);
    g_mutex_unlock(&registry.lock);
    world_wait_state(migration, STATE_POSTCOPY_ACTIVE);
}

static void
wait_recovered(guint before)
{
    wait_recoveries(pair.source, before + 1);
    wait_recoveries(pair.destination, before + 1);
}

static PauseReason
get_reason(Migration *migration)
{
    g_autoptr(Status) status = migration_get_status(migration);

    return status->reason;
}

static void
wait_reason(Migration *migration, PauseReason reason)
{
    gint64 end = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

    g_mutex_lock(&registry.lock);
    while (migration->status->reason != reason)
        g_assert_true(g_cond_wait_until(&registry.changed, &registry.lock, end));
    g_mutex_unlock(&registry.lock);
}

static void
look_at_calls(gpointer opaque)
{
    pair.calls_in_vain = ((Migration *)opaque)->calls_in_vain;
}

/* At least one call since the last one that was answered. */
static gboolean
is_calling_in_vain(Migration *migration)
{
    world_on_engine(look_at_calls, migration);
    return pair.calls_in_vain > 0;
}

/* --- recovery --- */

static void
test_both_paused(void)
{
    g_autofree char *commands = NULL;

    pair_start();
    for (guint i = 0; i < 3; i++) {
        emit_both("postcopy-paused");
        wait_recovered(i);
        g_assert_cmpuint(pair.armed, >=, LISTEN_MIN);
        g_assert_cmpuint(pair.armed, <=, LISTEN_MAX);
    }
    commands = get_commands();
    g_assert_true(g_str_has_prefix(commands, "guest1 migrate-recover; guest0 migrate; "));
    pair_stop();
}

/* The destination has not noticed: the source's question makes it break its channel. */
static void
test_source_alone_paused(void)
{
    g_autofree char *commands = NULL;

    pair_start();
    migration_post(pair.source, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    wait_recovered(0);
    commands = get_commands();
    g_assert_cmpstr(commands, ==, "guest1 migrate-pause; guest1 migrate-recover; guest0 migrate; ");
    pair_stop();
}

static void
set_local(gpointer host)
{
    pair.destination->local_host = g_strdup(host);
}

static void
assert_armed_at(const char *host)
{
    g_autofree char *uri = g_strdup_printf("\"tcp:%s:%u\"", host, pair.armed);

    g_mutex_lock(&pair.lock);
    g_assert_nonnull(strstr(pair.armed_at, uri));
    g_mutex_unlock(&pair.lock);
}

/* QEMU listens where the channel was, and where the source asks, never elsewhere. */
static void
test_where_it_listens(void)
{
    static const char *const channel[] = {"127.0.0.1", "127.0.0.9"};

    for (gsize i = 0; i < G_N_ELEMENTS(channel); i++) {
        g_autofree char *commands = NULL;

        pair_start();
        world_on_engine(set_local, (gpointer)channel[i]);
        migration_tell(pair.destination, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
        world_settle();
        world_settle();
        assert_armed_at(channel[i]);
        migration_tell(pair.source, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
        wait_recovered(0);
        assert_armed_at("127.0.0.1");
        commands = get_commands();
        g_assert_cmpstr(commands, ==,
                        i == 0
                            ? "guest1 migrate-recover; guest0 migrate; "
                            : "guest1 migrate-recover; guest1 migrate-recover; guest0 migrate; ");
        pair_stop();
    }
}

/* A destination that may listen on one address alone says so to a source that comes to another. */
static void
test_may_not_listen_there(void)
{
    g_autoptr(Status) status = NULL;

    pair_start();
    migration_set_listen(pair.destination, "127.0.0.9");
    emit_both("postcopy-paused");
    do {
        g_clear_pointer(&status, status_unref);
        world_settle();
        status = migration_get_status(pair.source);
    } while (status->attempts < 1);
    g_assert_cmpint(status->state, ==, STATE_POSTCOPY_PAUSED);
    assert_armed_at("127.0.0.9");
    migration_set_listen(pair.destination, "127.0.0.1");
    wait_recovered(0);
    assert_armed_at("127.0.0.1");
    pair_stop();
}

/* QEMU takes no port, nine times: refused, asked again, recovered. */
static void
test_no_port_at_first(void)
{
    pair_start();
    pair.arm_failures = 9;
    emit_both("postcopy-paused");
    wait_recovered(0);
    g_assert_cmpuint(pair.arm_failures, ==, 0);
    pair_stop();
}

/* The destination needs nothing any more. */
static void
test_completed_there(void)
{
    pair_start();
    migration_tell(pair.destination, EVENT_QEMU_COMPLETED, 0, NULL);
    migration_post(pair.source, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    world_wait_state(pair.source, STATE_COMPLETED);
    pair_stop();
}

/* A destination that does not know it any more goes by the domain, and refuses as long as it takes
 * to see that. */
static void
test_unknown_there(void)
{
    g_autoptr(Status) status = NULL;

    pair_start();
    migration_tell(pair.destination, EVENT_QEMU_GONE, 0, "it is gone");
    world_forget(world_domain(1));
    world_set_connected(FALSE);
    migration_post(pair.source, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    do {
        g_clear_pointer(&status, status_unref);
        world_settle();
        status = migration_get_status(pair.source);
    } while (status->attempts < 2);
    g_assert_cmpint(status->state, ==, STATE_POSTCOPY_PAUSED);
    g_assert_cmpint(status->next_attempt_at_usec, >, 0);
    world_set_connected(TRUE);
    world_wait_state(pair.source, STATE_COMPLETED);
    pair_stop();
}

/* --- persons --- */

static void
test_person(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *commands = NULL;
    guint recoveries;

    pair_start();
    g_assert_true(requests_pause(pair.source, &error));
    world_wait_state(pair.source, STATE_POSTCOPY_PAUSED);
    world_wait_state(pair.destination, STATE_POSTCOPY_PAUSED);
    g_assert_cmpint(get_reason(pair.source), ==, REASON_OPERATOR);
    g_assert_cmpint(get_reason(pair.destination), ==, REASON_OPERATOR);
    commands = get_commands();
    /* The destination may listen already, but nobody resumes. */
    g_assert_true(g_str_has_prefix(commands, "guest0 migrate-pause; guest1 migrate-pause; "));
    g_assert_null(strstr(commands, "migrate; "));

    g_assert_true(requests_recover(pair.source, NULL, &recoveries, &error));
    wait_recovered(0);
    pair_stop();
}

/* A port that a person names, and only that: one of libvirt's, one that is none of them, and one
 * that looks taken, which is QEMU's to say. */
static void
test_persons_port(void)
{
    guint16 taken;
    int listening = ends_listen(AF_INET, 1, &taken);
    const guint ports[] = {49160, 20190, taken};

    for (gsize i = 0; i < G_N_ELEMENTS(ports); i++) {
        g_autofree char *uri = g_strdup_printf("tcp://127.0.0.1:%u", ports[i]);
        g_autoptr(GError) error = NULL;
        guint recoveries;

        pair_start();
        g_assert_true(requests_pause(pair.source, &error));
        world_wait_state(pair.source, STATE_POSTCOPY_PAUSED);
        g_assert_true(requests_recover(pair.source, uri, &recoveries, &error));
        wait_recovered(0);
        g_assert_cmpuint(pair.armed, ==, ports[i]);
        pair_stop();
    }
    close(listening);
}

/* QEMU refuses the pause: it goes on, and what pauses it later is not the person's. */
static void
test_pause_refused(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Status) status = NULL;

    pair_start();
    pair.pause_failures = 1;
    g_assert_true(requests_pause(pair.source, &error));
    /* Whoever waits for it gets to know. */
    migration_sync(pair.source);
    g_assert_true(migration_wait(pair.source, MIGRATION_PAUSED, 0, 60000, &status));
    g_assert_cmpint(status->state, ==, STATE_POSTCOPY_ACTIVE);
    migration_tell(pair.source, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    wait_recovered(0);
    pair_stop();
}

/* QEMU refuses the pause of a recovery that has no connection yet: it is told again until it is
 * paused, and the person's call waits for that. */
static void
test_pause_of_recovery(void)
{
    g_autoptr(GError) error = NULL;
    guint recoveries;

    pair_start();
    pair.stuck = TRUE;
    emit_both("postcopy-paused");
    world_wait_state(pair.source, STATE_POSTCOPY_RECOVER_SETUP);
    pair.pause_failures = 3;
    g_assert_cmpint(requests_pause_begin(pair.source, &error), ==, REQUESTS_PAUSED);
    g_assert_no_error(error);
    g_assert_cmpuint(pair.pause_failures, ==, 0);
    g_assert_cmpint(get_reason(pair.source), ==, REASON_OPERATOR);
    wait_reason(pair.destination, REASON_OPERATOR);

    pair.stuck = FALSE;
    g_assert_true(requests_recover(pair.source, NULL, &recoveries, &error));
    wait_recovered(0);
    pair_stop();
}

/* The network to the destination is down, another one is not: it is told over that. */
static void
test_told_by_name(void)
{
    /* RFC 5737: nobody's; a connection to it goes nowhere or is refused on the way. */
    char *hosts[] = {(char *)"192.0.2.1", NULL};
    g_autoptr(GError) error = NULL;
    guint recoveries;

    pair_start();
    migration_set_destination(pair.source, "b.example", hosts, pair.port);
    migration_add_paths(pair.source, PATH_NAME, (char *[]){(char *)"127.0.0.1", NULL});
    migration_sync(pair.source);
    emit_both("postcopy-paused");
    g_assert_cmpint(requests_pause_begin(pair.source, &error), ==, REQUESTS_PAUSED);
    wait_reason(pair.destination, REASON_OPERATOR);
    /* Never for memory. */
    g_assert_true(requests_recover(pair.source, NULL, &recoveries, &error));
    while (!is_calling_in_vain(pair.source))
        world_settle();
    g_assert_cmpint(get_reason(pair.destination), ==, REASON_OPERATOR);

    give_destination();
    g_assert_true(requests_recover(pair.source, NULL, &recoveries, &error));
    wait_recovered(0);
    pair_stop();
}

/* A destination that is not there is told when it is. */
static void
test_told_late(void)
{
    g_autoptr(GError) error = NULL;
    guint16 port;

    pair_start();
    port = pair.port;
    world_on_engine(stop_server, NULL);
    emit_both("postcopy-paused");
    g_assert_cmpint(requests_pause_begin(pair.source, &error), ==, REQUESTS_PAUSED);
    while (!is_calling_in_vain(pair.source))
        world_settle();
    g_assert_cmpint(get_reason(pair.destination), ==, REASON_IO_ERROR);
    world_on_engine(start_server, NULL);
    g_assert_cmpuint(pair.port, ==, port);
    wait_reason(pair.destination, REASON_OPERATOR);
    pair_stop();
}

/* --- the world goes away --- */

static gint answer; /* atomic */

static void
on_answer(const Message *message,
          const char *host,
          gboolean reached,
          const GError *error,
          gpointer opaque)
{
    g_atomic_int_set(&answer, message ? (gint)message->type : -1);
}

static void
tell_paused(gpointer sequence)
{
    const PeerWay way = {.host = "127.0.0.1"};
    Message message = {.type = MESSAGE_PAUSED};

    migration_get_secret(pair.destination, &message.secret);
    message_set_subject(&message, pair.destination->status->uuid, *(guint32 *)sequence);
    peer_call_new(&way, 1, pair.port, &message, 60000, 400, on_answer, NULL);
}

/* A person's pause that was withdrawn, and arrives when the recovery is over, breaks nothing. */
static void
test_overtaken(void)
{
    guint32 sequence;

    pair_start();
    emit_both("postcopy-paused");
    wait_recovered(0);
    sequence = pair.destination->sequence - 1;
    g_assert_cmpuint(sequence, !=, 0);
    for (guint i = 0; i < 2; i++, sequence += 2) {
        g_atomic_int_set(&answer, 0);
        world_on_engine(tell_paused, &sequence);
        while (g_atomic_int_get(&answer) == 0)
            world_settle();
        g_assert_cmpint(g_atomic_int_get(&answer), ==, i ? MESSAGE_NOTED : MESSAGE_REFUSED);
        wait_reason(pair.destination, i ? REASON_OPERATOR : REASON_NONE);
    }
    pair_stop();
}

/* In the middle of a question that nobody answers. */
static void
test_ended_while_asking(void)
{
    guint16 port;
    int listening = ends_listen(AF_INET, 8, &port);

    pair_start();
    pair.port = port;
    give_destination();
    migration_tell(pair.source, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    world_wait_state(pair.source, STATE_POSTCOPY_PAUSED);
    g_assert_nonnull(pair.source->call);
    /* world_drop() waits for the last reference: the call's is among them. */
    pair_stop();
    close(listening);
}

/* In the middle of a question that the destination has not answered yet. */
static void
test_ended_while_asked(void)
{
    pair_start();
    world_set_connected(FALSE);
    migration_tell(pair.destination, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    migration_tell(pair.source, EVENT_QEMU_POSTCOPY_PAUSED, 0, NULL);
    /* No connection to libvirt: nothing can be done, and nothing breaks. */
    world_settle();
    migration_tell(pair.destination, EVENT_QEMU_GONE, 0, "it is gone");
    world_settle();
    g_assert_null(pair.destination->question);
    pair_stop();
}

/* --- Finish that does not come --- */

static void
test_finish_overdue(void)
{
    g_autoptr(Policy) policy = policy_default();
    Migration *lost, *called;

    world_start();
    lost = migration_start(ROLE_DESTINATION, NULL, world_domain(0), "guest0", policy, 0);
    called = migration_start(ROLE_DESTINATION, NULL, world_domain(1), "guest1", policy, 0);
    g_assert_true(migration_claim_finish(called));
    migration_tell(called, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
    migration_tell(lost, EVENT_QEMU_POSTCOPY_ACTIVE, 0, NULL);
    /* The one that was called had its time as well when the lost one's is up. */
    world_wait_finishes(1);
    world_drop(lost);
    world_drop(called);
    world_stop();
}

/* --- the end of precopy, without Finish's answer --- */

static void
pair_switch_over(void)
{
    pair_prepare();
    emit_both("completed");
    migration_sync(pair.destination);
}

/* Finish has not come: it is cancelled for good, and the source goes on. */
static void
test_return(void)
{
    pair_switch_over();
    migration_tell(pair.source, EVENT_RETURN_REQUESTED, 0, NULL);
    world_wait_state(pair.source, STATE_CANCELLED);
    world_wait_state(pair.destination, STATE_CANCELLED);
    g_assert_false(migration_claim_finish(pair.destination));
    pair_stop();
}

/* Finish is at work: the source waits for what comes of it. */
static void
test_return_too_late(void)
{
    g_autoptr(Status) status = NULL;

    pair_switch_over();
    g_assert_true(migration_claim_finish(pair.destination));
    migration_tell(pair.source, EVENT_RETURN_REQUESTED, 0, NULL);
    for (guint i = 0; i < 20; i++)
        world_settle();
    status = migration_get_status(pair.source);
    g_assert_cmpint(status->state, ==, STATE_SWITCHOVER);
    migration_tell(pair.destination, EVENT_GUEST_STARTED, 0, NULL);
    world_wait_state(pair.source, STATE_COMPLETED);
    pair_stop();
}

/* Nobody listens there, until somebody does; whoever waits for the source's outcome waits. */
static void
test_return_unreachable(void)
{
    pair_switch_over();
    world_on_engine(stop_server, NULL);
    migration_tell(pair.source, EVENT_RETURN_REQUESTED, 0, NULL);
    g_assert_true(migration_wants_return(pair.source));
    g_assert_false(migration_wait(pair.source, MIGRATION_SETTLED, 0, 500, NULL));
    world_on_engine(start_server, NULL);
    give_destination();
    world_wait_state(pair.source, STATE_CANCELLED);
    pair_stop();
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    /* A warning is what a refusal of QEMU's is worth. */
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
    g_test_add_func("/execute/both-paused", test_both_paused);
    g_test_add_func("/execute/source-alone-paused", test_source_alone_paused);
    g_test_add_func("/execute/where-it-listens", test_where_it_listens);
    g_test_add_func("/execute/may-not-listen-there", test_may_not_listen_there);
    g_test_add_func("/execute/no-port-at-first", test_no_port_at_first);
    g_test_add_func("/execute/completed-there", test_completed_there);
    g_test_add_func("/execute/unknown-there", test_unknown_there);
    g_test_add_func("/execute/person", test_person);
    g_test_add_func("/execute/persons-port", test_persons_port);
    g_test_add_func("/execute/pause-refused", test_pause_refused);
    g_test_add_func("/execute/pause-of-recovery", test_pause_of_recovery);
    g_test_add_func("/execute/told-by-name", test_told_by_name);
    g_test_add_func("/execute/told-late", test_told_late);
    g_test_add_func("/execute/overtaken", test_overtaken);
    g_test_add_func("/execute/ended-while-asking", test_ended_while_asking);
    g_test_add_func("/execute/ended-while-asked", test_ended_while_asked);
    g_test_add_func("/execute/finish-overdue", test_finish_overdue);
    g_test_add_func("/execute/return", test_return);
    g_test_add_func("/execute/return-too-late", test_return_too_late);
    g_test_add_func("/execute/return-unreachable", test_return_unreachable);
    return g_test_run();
}
