/*
 * parcel.c: the source hands something over to the destination, and whatever else is sent there
 *
 * Both ends are real, and so is the time: where a deadline is what is tested, the test lasts as
 * long as it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/parcel.h"

#include <netinet/in.h>
#include <poll.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "doubles/ends.h"
#include "doubles/loop.h"
#include "doubles/world.h"
#include "run/journal.h"
#include "run/migration-priv.h"
#include "run/observe.h"

/* Below the ports that the kernel gives away, and apart from those of the other tests. */
#define PORT_MIN 21000
#define PORT_MAX 21063
/* Longer than any parcel of these takes. */
#define DEADLINE_MS 60000
#define DOMAIN_UUID "01020300-0000-0000-0000-000000000000"

static const unsigned char uuid[VIR_UUID_BUFLEN] = {1, 2, 3};

static struct {
    PeerServer *server; /* engine thread */
    guint16 port;
    Secret secret;
    Migration *source;
    Migration *destination;

    GMutex lock;
    GCond changed;
    guint taken; /* as all that follows under the lock */
    guint at_work;
    guint most_at_work;
    gboolean held; /* takers wait */
    gboolean refuses;
    gboolean dies; /* once: the connection is gone before it is answered */
    GBytes *body;
} test;

/* --- the destination --- */

static void
stop_server(gpointer unused)
{
    g_clear_pointer(&test.server, peer_server_free);
}

static void
start_server(gpointer unused)
{
    guint16 min = test.port ? test.port : PORT_MIN, max = test.port ? test.port : PORT_MAX;
    g_autoptr(GError) error = NULL;

    test.server = peer_server_new(NULL, min, max, observe_question, NULL, &error);
    g_assert_no_error(error);
    test.port = peer_server_get_port(test.server);
}

static void
restart_server(gpointer unused)
{
    stop_server(NULL);
    start_server(NULL);
}

static gboolean
take(const unsigned char *of, GBytes *body, GBytes **reply, GError **error)
{
    gboolean refuses, dies;

    g_assert_cmpmem(of, VIR_UUID_BUFLEN, uuid, sizeof(uuid));
    g_mutex_lock(&test.lock);
    test.taken++;
    test.at_work++;
    test.most_at_work = MAX(test.most_at_work, test.at_work);
    g_clear_pointer(&test.body, g_bytes_unref);
    test.body = g_bytes_ref(body);
    g_cond_broadcast(&test.changed);
    while (test.held)
        g_cond_wait(&test.changed, &test.lock);
    test.at_work--;
    refuses = test.refuses;
    dies = test.dies;
    test.dies = FALSE;
    g_mutex_unlock(&test.lock);
    if (dies)
        world_on_engine(restart_server, NULL);
    if (refuses)
        g_set_error_literal(error, PARCEL_ERROR, PARCEL_ERROR_REFUSED, "the disk is full");
    else
        *reply = g_bytes_new("thanks", 6);
    return !refuses;
}

static void
wait_taken(guint n)
{
    gint64 end = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

    g_mutex_lock(&test.lock);
    while (test.taken < n)
        g_assert_true(g_cond_wait_until(&test.changed, &test.lock, end));
    g_mutex_unlock(&test.lock);
}

static void
hold(gboolean held)
{
    g_mutex_lock(&test.lock);
    test.held = held;
    g_cond_broadcast(&test.changed);
    g_mutex_unlock(&test.lock);
}

/* --- both --- */

static Migration *
start(MigrationRole role)
{
    g_autoptr(Policy) policy = policy_default();
    Migration *migration = migration_start(role, NULL, uuid, "guest", policy, 0);

    migration_set_secret(migration, &test.secret);
    return migration;
}

static void
meet(guint16 port)
{
    char *hosts[] = {(char *)"127.0.0.1", NULL};

    migration_set_destination(test.source, "b.example", hosts, port);
    migration_sync(test.source);
}

/* Two hosts in one process: the destination's migration takes the place of the source's, whose
 * addresses stay. */
static void
begin(void)
{
    memset(&test, 0, sizeof(test));
    g_assert_true(secret_make(&test.secret));
    world_start();
    parcel_set_taker(MESSAGE_PARCEL_CHECKPOINTS, take);
    world_on_engine(start_server, NULL);
    test.source = start(ROLE_SOURCE);
    meet(test.port);
    test.destination = start(ROLE_DESTINATION);
    world_settle();
}

static void
end(void)
{
    world_on_engine(stop_server, NULL);
    world_drop(test.destination);
    world_drop(test.source);
    g_clear_pointer(&test.body, g_bytes_unref);
    world_stop();
}

static gboolean
hand_over(GBytes *body, GError **error)
{
    g_autoptr(GBytes) reply = NULL;
    gboolean sent =
        parcel_send(test.source, MESSAGE_PARCEL_CHECKPOINTS, body, DEADLINE_MS, &reply, error);

    if (sent)
        g_assert_cmpmem(g_bytes_get_data(reply, NULL), g_bytes_get_size(reply), "thanks", 6);
    else
        g_assert_null(reply);
    return sent;
}

/* --- parcels --- */

static void
test_sizes(void)
{
    static const gsize sizes[] = {0, 1, 65535, 65536, 65537, 5 * 1024 * 1024 + 3};

    begin();
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree guint8 *data = g_malloc(sizes[i] + 1);
        g_autoptr(GBytes) body = NULL;
        g_autoptr(GError) error = NULL;

        for (gsize at = 0; at < sizes[i]; at++)
            data[at] = (guint8)(at ^ at >> 8 ^ at >> 16);
        body = g_bytes_new_take(g_steal_pointer(&data), sizes[i]);
        hand_over(body, &error);
        g_assert_no_error(error);
        g_assert_true(g_bytes_equal(test.body, body));
        g_assert_cmpuint(test.taken, ==, i + 1);
    }
    end();
}

static void
test_refused(void)
{
    g_autoptr(GBytes) body = g_bytes_new("hello", 5);
    g_autoptr(GBytes) large = g_bytes_new_static("", MESSAGE_BODY_MAX + 1);
    g_autoptr(GError) error = NULL;

    begin();
    test.refuses = TRUE;
    g_assert_false(hand_over(body, &error));
    g_assert_error(error, PARCEL_ERROR, PARCEL_ERROR_REFUSED);
    g_assert_cmpstr(error->message, ==, "the disk is full");
    g_clear_error(&error);

    /* Not known there: of a build to come. */
    g_assert_false(parcel_send(test.source, MESSAGE_PARCEL_LAST, body, DEADLINE_MS, NULL, &error));
    g_assert_error(error, PARCEL_ERROR, PARCEL_ERROR_REFUSED);
    g_assert_nonnull(strstr(error->message, "does not know what this is"));
    g_clear_error(&error);

    g_assert_false(hand_over(large, &error));
    g_assert_error(error, PARCEL_ERROR, PARCEL_ERROR_TOO_LARGE);
    g_assert_cmpuint(test.taken, ==, 1);
    end();
}

/* A large one that is refused unread: what was said about it is heard all the same. */
static void
test_stranger(void)
{
    g_autofree guint8 *data = g_malloc0(8 * 1024 * 1024);
    g_autoptr(GBytes) body = g_bytes_new_static(data, 8 * 1024 * 1024);
    g_autoptr(GError) error = NULL;
    Secret other;

    begin();
    g_assert_true(secret_make(&other));
    migration_set_secret(test.source, &other);
    g_assert_false(hand_over(body, &error));
    g_assert_error(error, PARCEL_ERROR, PARCEL_ERROR_REFUSED);
    g_assert_nonnull(strstr(error->message, "not known"));
    g_assert_cmpuint(test.taken, ==, 0);
    end();
}

/* The destination's daemon was restarted, and the migration had ended before. */
static void
test_forgotten(void)
{
    g_autofree char *journal = g_dir_make_tmp("parcel-XXXXXX", NULL);
    g_autofree char *note = g_build_filename(journal, DOMAIN_UUID ".arrived", NULL);
    g_autoptr(GBytes) body = g_bytes_new("hello", 5);
    g_autoptr(GError) error = NULL;

    begin();
    world_set_journal(journal);
    migration_tell(test.destination, EVENT_QEMU_GONE, 0, "the daemon forgets it");
    world_forget(uuid);
    world_settle();
    g_assert_false(hand_over(body, &error));
    g_assert_error(error, PARCEL_ERROR, PARCEL_ERROR_REFUSED);
    g_clear_error(&error);
    journal_note_arrival(journal, DOMAIN_UUID, &test.secret, ARRIVAL_STARTED);
    hand_over(body, &error);
    g_assert_no_error(error);
    g_assert_true(g_bytes_equal(test.body, body));
    world_set_journal(NULL);
    end();
    g_assert_no_errno(unlink(note));
    g_assert_no_errno(rmdir(journal));
}

/* The answer is lost with its connection: the same comes again. */
static void
test_answer_lost(void)
{
    g_autoptr(GBytes) body = g_bytes_new("hello", 5);
    g_autoptr(GError) error = NULL;

    begin();
    test.dies = TRUE;
    hand_over(body, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(test.taken, ==, 2);
    end();
}

static gpointer
send_thread(gpointer body)
{
    g_autoptr(GError) error = NULL;

    hand_over(body, &error);
    g_assert_no_error(error);
    return NULL;
}

/* Of one migration and kind, never two at a time. */
static void
test_one_by_one(void)
{
    g_autoptr(GBytes) body = g_bytes_new("hello", 5);
    GThread *threads[3];

    begin();
    hold(TRUE);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("sender", send_thread, body);
    wait_taken(1);
    hold(FALSE);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    g_assert_cmpuint(test.taken, ==, G_N_ELEMENTS(threads));
    g_assert_cmpuint(test.most_at_work, ==, 1);
    end();
}

/* --- nobody takes it --- */

typedef struct {
    int listening;
    gint accepted; /* atomic */
} OldHost;

/* As a build does that knows no parcels: the type is not known, and nothing is answered. */
static gpointer
old_thread(gpointer opaque)
{
    OldHost *old = opaque;
    int fd;

    while ((fd = accept(old->listening, NULL, NULL)) >= 0) {
        guint8 header[MESSAGE_HEADER_SIZE];

        g_assert_cmpint(recv(fd, header, sizeof(header), MSG_WAITALL), ==, sizeof(header));
        g_atomic_int_inc(&old->accepted);
        close(fd);
    }
    return NULL;
}

static void
test_old_build(void)
{
    g_autofree guint8 *data = g_malloc0(1024 * 1024);
    g_autoptr(GBytes) body = g_bytes_new_static(data, 1024 * 1024);
    g_autoptr(GError) error = NULL;
    OldHost old = {0};
    GThread *thread;
    guint16 port;

    begin();
    old.listening = ends_listen(AF_INET, 8, &port);
    thread = g_thread_new("old", old_thread, &old);
    meet(port);
    g_assert_false(hand_over(body, &error));
    g_assert_error(error, PARCEL_ERROR, PARCEL_ERROR_UNKNOWN);
    g_assert_nonnull(strstr(error->message, "b.example"));
    /* no storm */
    g_assert_cmpint(g_atomic_int_get(&old.accepted), ==, 3);
    shutdown(old.listening, SHUT_RDWR);
    g_thread_join(thread);
    close(old.listening);
    end();
}

/* Takes the connection, from which on the network swallows everything. Returns: it. */
static gpointer
deaf_thread(gpointer listening)
{
    int fd = accept(GPOINTER_TO_INT(listening), NULL, NULL);

    ends_deafen(fd);
    return GINT_TO_POINTER(fd);
}

/* A destination at work may take long; a dead connection is noticed all the same. */
static void
test_dead_network(void)
{
    g_autoptr(GBytes) body = g_bytes_new("hello", 5);
    g_autoptr(GError) error = NULL;
    gint64 begun;
    GThread *thread;
    guint16 port;
    int listening;

    begin();
    listening = ends_listen(AF_INET, 8, &port);
    thread = g_thread_new("deaf", deaf_thread, GINT_TO_POINTER(listening));
    meet(port);
    begun = g_get_monotonic_time();
    g_assert_false(parcel_send(test.source, MESSAGE_PARCEL_CHECKPOINTS, body, 1000, NULL, &error));
    g_assert_error(error, PARCEL_ERROR, PARCEL_ERROR_UNREACHABLE);
    g_assert_cmpint(g_get_monotonic_time() - begun, <, PARCEL_WORK_MS / 10 * 1000);
    end();
    close(GPOINTER_TO_INT(g_thread_join(thread)));
    close(listening);
}

/* Until the deadline, and not longer. */
static void
test_nobody(void)
{
    g_autoptr(GBytes) body = g_bytes_new("hello", 5);
    g_autoptr(GError) error = NULL;
    gint64 begun;

    begin();
    world_on_engine(stop_server, NULL);
    begun = g_get_monotonic_time();
    g_assert_false(parcel_send(test.source, MESSAGE_PARCEL_CHECKPOINTS, body, 1500, NULL, &error));
    g_assert_error(error, PARCEL_ERROR, PARCEL_ERROR_UNREACHABLE);
    g_assert_cmpint(g_get_monotonic_time() - begun, >=, 1500 * 1000);
    g_clear_error(&error);
    meet(0);
    g_assert_false(hand_over(body, &error));
    g_assert_error(error, PARCEL_ERROR, PARCEL_ERROR_UNREACHABLE);
    end();
}

/* --- hostile senders --- */

/* The header and text of a parcel with @length bytes of body. */
static GBytes *
make_head(guint32 length)
{
    Message message = {
        .type = MESSAGE_PARCEL_CHECKPOINTS,
        .number = length,
        .secret = test.secret,
    };

    message_set_subject(&message, DOMAIN_UUID, 0);
    return message_encode(&message);
}

static int
open_connection(void)
{
    int fd = ends_connect(AF_INET, test.port);
    struct timeval limit = {.tv_sec = 60};

    g_assert_no_errno(fd);
    g_assert_no_errno(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
    return fd;
}

/* Until the other end closes it; nothing is said before. */
static void
wait_closed(int fd)
{
    guint8 byte;
    ssize_t n = recv(fd, &byte, 1, 0);

    g_assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
    close(fd);
}

static void
test_cut(void)
{
    static const char content[] = "sixteen bytes...";
    g_autoptr(GBytes) head = NULL;
    g_autoptr(GByteArray) whole = g_byte_array_new();

    begin();
    head = make_head(sizeof(content));
    g_byte_array_append(whole, g_bytes_get_data(head, NULL), (guint)g_bytes_get_size(head));
    g_byte_array_append(whole, (const guint8 *)content, sizeof(content));
    for (guint cut = 0; cut < whole->len; cut++) {
        int fd = open_connection();

        ends_write(fd, whole->data, cut);
        g_assert_no_errno(shutdown(fd, SHUT_WR));
        wait_closed(fd);
    }
    world_settle();
    g_assert_cmpuint(test.taken, ==, 0);
    end();
}

static void
test_lengths(void)
{
    static const guint32 lengths[] = {MESSAGE_BODY_MAX + 1, G_MAXINT32, G_MAXUINT32};

    begin();
    for (gsize i = 0; i < G_N_ELEMENTS(lengths); i++) {
        g_autoptr(GBytes) head = make_head(lengths[i]);
        int fd = open_connection();

        ends_write(fd, g_bytes_get_data(head, NULL), g_bytes_get_size(head));
        wait_closed(fd);
    }
    end();
}

/* Half a body is not waited for. */
static void
test_slow(void)
{
    g_autoptr(GBytes) head = NULL;
    gint64 begun;
    int fd;

    begin();
    head = make_head(6);
    fd = open_connection();
    begun = g_get_monotonic_time();
    ends_write(fd, g_bytes_get_data(head, NULL), g_bytes_get_size(head));
    ends_write(fd, "hel", 3);
    wait_closed(fd);
    g_assert_cmpint(g_get_monotonic_time() - begun, >=, 4 * G_USEC_PER_SEC);
    g_assert_cmpuint(test.taken, ==, 0);
    end();
}

/* As much as may be on its way is: others are told to come again, and do. */
static void
test_crowd(void)
{
    g_autoptr(GBytes) head = NULL;
    g_autoptr(GBytes) body = g_bytes_new("hello", 5);
    g_autoptr(GError) error = NULL;
    guint8 answer[MESSAGE_HEADER_SIZE];
    struct pollfd crowd[5];
    GThread *thread;
    Message message;
    gsize length, late = 0;

    begin();
    head = make_head(MESSAGE_BODY_MAX);
    for (gsize i = 0; i < G_N_ELEMENTS(crowd); i++) {
        crowd[i] = (struct pollfd){.fd = open_connection(), .events = POLLIN};
        ends_write(crowd[i].fd, g_bytes_get_data(head, NULL), g_bytes_get_size(head));
    }
    g_assert_cmpint(poll(crowd, G_N_ELEMENTS(crowd), 60000), ==, 1);
    while (!crowd[late].revents)
        late++;
    g_assert_cmpint(recv(crowd[late].fd, answer, sizeof(answer), MSG_WAITALL), ==, sizeof(answer));
    g_assert_true(message_decode_header(answer, &message, &length, &error));
    g_assert_cmpint(message.type, ==, MESSAGE_REFUSED);
    g_assert_cmpuint(message.number, ==, MESSAGE_LATER);
    thread = g_thread_new("sender", send_thread, body);
    for (gsize i = 0; i < G_N_ELEMENTS(crowd); i++)
        close(crowd[i].fd);
    g_thread_join(thread);
    g_assert_cmpuint(test.taken, ==, 1);
    end();
}

/* --- the daemon stops --- */

/* For good: the last of the tests. */
static void
test_released(void)
{
    g_autoptr(GBytes) body = g_bytes_new("hello", 5);
    g_autoptr(GError) error = NULL;

    begin();
    hold(TRUE);
    parcel_release_all();
    g_assert_false(hand_over(body, &error));
    g_assert_error(error, PARCEL_ERROR, PARCEL_ERROR_STOPPED);
    hold(FALSE);
    end();
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/parcel/sizes", test_sizes);
    g_test_add_func("/parcel/refused", test_refused);
    g_test_add_func("/parcel/stranger", test_stranger);
    g_test_add_func("/parcel/forgotten", test_forgotten);
    g_test_add_func("/parcel/answer-lost", test_answer_lost);
    g_test_add_func("/parcel/one-by-one", test_one_by_one);
    g_test_add_func("/parcel/old-build", test_old_build);
    g_test_add_func("/parcel/dead-network", test_dead_network);
    g_test_add_func("/parcel/nobody", test_nobody);
    g_test_add_func("/parcel/cut", test_cut);
    g_test_add_func("/parcel/lengths", test_lengths);
    g_test_add_func("/parcel/slow", test_slow);
    g_test_add_func("/parcel/crowd", test_crowd);
    g_test_add_func("/parcel/released", test_released);
    return g_test_run();
}
