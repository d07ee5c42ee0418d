/*
 * channel.c: the connections of a migration are found among all of a process's, and only they
 *
 * The process is this one: pidfd_getfd() works on oneself.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doubles/ends.h"
#include "doubles/loop.h"

static const int families[] = {AF_INET, AF_INET6};

static gboolean
has_family(int family)
{
    guint16 port;
    int fd = ends_listen(family, 1, &port);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static GArray *
sample(const Channel *channel)
{
    GArray *samples = g_array_new(FALSE, FALSE, sizeof(ChannelSample));
    g_autoptr(GError) error = NULL;

    g_assert_true(channel_sample(channel, samples, &error));
    g_assert_no_error(error);
    return samples;
}

static guint
count(const Channel *channel)
{
    g_autoptr(GArray) samples = sample(channel);

    return samples->len;
}

/* A byte goes through. */
static void
assert_alive(int from, int to)
{
    g_autoptr(GByteArray) got = g_byte_array_new();

    ends_write(from, "x", 1);
    while (got->len == 0)
        g_assert_true(ends_read(to, got));
}

/* Each role finds its end of its own connection, and breaks that alone. */
static void
test_both_roles(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(families) * ROLE_LAST; i++) {
        int family = families[i / ROLE_LAST];
        Channel channel = {.pid = getpid(), .role = i % ROLE_LAST};
        Channel other = channel;
        int source, destination, other_source, other_destination;
        guint fds;

        if (!has_family(family))
            continue;
        ends_pair(family, &source, &destination, &channel.port);
        ends_pair(family, &other_source, &other_destination, &other.port);
        fds = loop_count_fds();
        g_assert_cmpuint(count(&channel), ==, 1);
        g_assert_cmpuint(count(&other), ==, 1);

        ends_write(i % ROLE_LAST == ROLE_SOURCE ? destination : source, "xyz", 3);
        while (channel_count_received(&channel) < 3)
            g_thread_yield();
        g_assert_cmpuint(channel_count_received(&channel), ==, 3);
        g_assert_cmpuint(channel_count_received(&other), ==, 0);

        g_assert_cmpuint(channel_break(&channel), ==, 1);
        g_assert_true(ends_is_closed(source));
        g_assert_true(ends_is_closed(destination));
        assert_alive(other_source, other_destination);
        assert_alive(other_destination, other_source);
        /* It is over: nothing is left to look at or to break. */
        g_assert_cmpuint(count(&channel), ==, 0);
        g_assert_cmpuint(channel_break(&channel), ==, 0);
        g_assert_cmpuint(loop_count_fds(), ==, fds);

        close(source);
        close(destination);
        close(other_source);
        close(other_destination);
    }
}

/* Only the end that is this role's is touched: QEMU's option on the other end stays as it was. */
static void
test_own_end(void)
{
    for (MigrationRole role = 0; role < ROLE_LAST; role++) {
        Channel channel = {.pid = getpid(), .role = role};
        int ends[2], on[2], idle = 0;

        ends_pair(AF_INET, &ends[ROLE_SOURCE], &ends[ROLE_DESTINATION], &channel.port);
        g_assert_cmpuint(count(&channel), ==, 1);
        for (guint i = 0; i < 2; i++)
            g_assert_no_errno(
                getsockopt(ends[i], SOL_SOCKET, SO_KEEPALIVE, &on[i], &(socklen_t){sizeof(on[i])}));
        g_assert_cmpint(on[role], ==, 1);
        g_assert_cmpint(on[!role], ==, 0);
        g_assert_no_errno(
            getsockopt(ends[role], IPPROTO_TCP, TCP_KEEPIDLE, &idle, &(socklen_t){sizeof(idle)}));
        g_assert_cmpint(idle, ==, 1);
        close(ends[0]);
        close(ends[1]);
    }
}

/* Whoever has turned keepalive on has chosen the times, too. */
static void
test_keepalive_of_others(void)
{
    Channel channel = {.pid = getpid(), .role = ROLE_SOURCE};
    int source, destination, on = 1, idle = 77;

    ends_pair(AF_INET, &source, &destination, &channel.port);
    g_assert_no_errno(setsockopt(source, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle)));
    g_assert_no_errno(setsockopt(source, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)));
    g_assert_cmpuint(count(&channel), ==, 1);
    g_assert_no_errno(
        getsockopt(source, IPPROTO_TCP, TCP_KEEPIDLE, &idle, &(socklen_t){sizeof(idle)}));
    g_assert_cmpint(idle, ==, 77);
    close(source);
    close(destination);
}

/* Several channels, as with postcopy-preempt and multifd, and what else QEMU listens on. */
static void
test_several(void)
{
    Channel channel = {.pid = getpid(), .role = ROLE_DESTINATION};
    int listening = ends_listen(AF_INET, 8, &channel.port);
    int sources[4], destinations[4];
    g_autoptr(GArray) samples = NULL;
    g_autoptr(GHashTable) seen = g_hash_table_new(g_int64_hash, g_int64_equal);

    for (guint i = 0; i < G_N_ELEMENTS(sources); i++) {
        sources[i] = ends_connect(AF_INET, channel.port);
        destinations[i] = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
        g_assert_no_errno(destinations[i]);
    }
    samples = sample(&channel);
    /* The listening socket has the port, too, and is none of them. */
    g_assert_cmpuint(samples->len, ==, G_N_ELEMENTS(sources));
    for (guint i = 0; i < samples->len; i++)
        g_assert_true(g_hash_table_add(seen, &g_array_index(samples, ChannelSample, i).connection));
    g_assert_cmpuint(channel_break(&channel), ==, G_N_ELEMENTS(sources));
    for (guint i = 0; i < G_N_ELEMENTS(sources); i++) {
        g_assert_true(ends_is_closed(sources[i]));
        close(sources[i]);
        close(destinations[i]);
    }
    /* QEMU goes on listening for the next. */
    sources[0] = ends_connect(AF_INET, channel.port);
    g_assert_no_errno(sources[0]);
    close(sources[0]);
    close(listening);
}

/* Descriptors that are no TCP connections, whatever their numbers say. */
static void
test_other_descriptors(void)
{
    Channel channel = {.pid = getpid(), .role = ROLE_DESTINATION};
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t length = sizeof(address);
    int local[2], pipes[2];

    g_assert_no_errno(bind(udp, (struct sockaddr *)&address, sizeof(address)));
    g_assert_no_errno(connect(udp, (struct sockaddr *)&address, sizeof(address)));
    g_assert_no_errno(getsockname(udp, (struct sockaddr *)&address, &length));
    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, local));
    g_assert_no_errno(pipe2(pipes, O_CLOEXEC));
    channel.port = ntohs(address.sin_port);
    g_assert_cmpuint(count(&channel), ==, 0);
    g_assert_cmpuint(channel_break(&channel), ==, 0);
    /* UNIX sockets have no port. */
    channel.port = 0;
    g_assert_cmpuint(count(&channel), ==, 0);
    assert_alive(local[0], local[1]);
    close(udp);
    for (guint i = 0; i < 2; i++) {
        close(local[i]);
        close(pipes[i]);
    }
}

/* --- what TCP knows --- */

static void
test_waiting(void)
{
    Channel channel = {.pid = getpid(), .role = ROLE_SOURCE};
    g_autoptr(GArray) idle = NULL;
    g_autoptr(GArray) waiting = NULL;
    g_autoptr(GArray) healed = NULL;
    int source, destination;

    ends_pair(AF_INET, &source, &destination, &channel.port);
    assert_alive(source, destination);
    idle = sample(&channel);
    g_assert_false(g_array_index(idle, ChannelSample, 0).waiting);

    ends_deafen(destination);
    ends_write(source, "x", 1);
    waiting = sample(&channel);
    g_assert_true(g_array_index(waiting, ChannelSample, 0).waiting);
    /* The same connection all the time. */
    g_assert_cmpuint(g_array_index(waiting, ChannelSample, 0).connection, ==,
                     g_array_index(idle, ChannelSample, 0).connection);

    ends_heal(destination);
    assert_alive(destination, source);
    do {
        g_clear_pointer(&healed, g_array_unref);
        healed = sample(&channel);
    } while (g_array_index(healed, ChannelSample, 0).waiting);
    close(source);
    close(destination);
}

/* --- connections that are being made --- */

static void
test_break_connecting(void)
{
    Channel channel = {.pid = getpid(), .role = ROLE_SOURCE};
    int listening = ends_listen(AF_INET, 0, &channel.port);
    int filling = ends_connect(AF_INET, channel.port);
    int connecting = ends_begin_connect(AF_INET, channel.port);
    struct pollfd poller = {.fd = connecting, .events = POLLOUT};

    /* The one that is there is counted, the one that is not there yet is broken as well. */
    g_assert_cmpuint(count(&channel), ==, 1);
    g_assert_cmpint(poll(&poller, 1, 0), ==, 0);
    g_assert_cmpuint(channel_break(&channel), ==, 2);
    g_assert_cmpint(poll(&poller, 1, 0), ==, 1);
    g_assert_true(ends_is_closed(connecting));
    close(connecting);

    /* QEMU connects to other things as well, its disks for one. */
    connecting = ends_begin_connect(AF_INET, channel.port);
    channel.port++;
    poller.fd = connecting;
    g_assert_cmpuint(channel_break(&channel), ==, 0);
    g_assert_cmpint(poll(&poller, 1, 0), ==, 0);
    close(connecting);
    channel.port--;

    /* Nothing of the sort happens to the destination's QEMU. */
    connecting = ends_begin_connect(AF_INET, channel.port);
    channel.role = ROLE_DESTINATION;
    g_assert_cmpuint(channel_break(&channel), ==, 0);
    close(connecting);
    close(filling);
    close(listening);
}

/* A port is listened on, or not; one that is only connected to is not. */
static void
test_may_listen(void)
{
    Channel channel = {.pid = getpid(), .role = ROLE_DESTINATION};
    guint fds = loop_count_fds();
    int source, destination;

    for (gsize i = 0; i < G_N_ELEMENTS(families); i++) {
        guint16 port;
        int listening = ends_listen(families[i], 1, &port);

        if (listening < 0)
            continue;
        g_assert_true(channel_may_listen(&channel, port));
        close(listening);
        g_assert_false(channel_may_listen(&channel, port));
    }
    ends_pair(AF_INET, &source, &destination, &channel.port);
    g_assert_false(channel_may_listen(&channel, channel.port));
    close(source);
    close(destination);
    /* Who is not known, or gone, cannot be looked into. */
    g_assert_true(channel_may_listen(&(Channel){.role = ROLE_DESTINATION}, channel.port));
    channel.started = 1;
    g_assert_true(channel_may_listen(&channel, channel.port));
    g_assert_cmpuint(loop_count_fds(), ==, fds);
}

/* --- other processes --- */

static void
test_no_process(void)
{
    g_autoptr(GArray) samples = NULL;
    g_autoptr(GError) error = NULL;
    Channel channel = {.role = ROLE_SOURCE, .port = 49152};
    guint fds = loop_count_fds();

    channel.pid = fork();
    g_assert_no_errno(channel.pid);
    if (channel.pid == 0)
        _exit(0);
    g_assert_cmpint(waitpid(channel.pid, NULL, 0), ==, channel.pid);
    /* Not before: valgrind would call it lost in the child. */
    samples = g_array_new(FALSE, FALSE, sizeof(ChannelSample));
    g_assert_false(channel_sample(&channel, samples, &error));
    g_assert_nonnull(error);
    g_assert_cmpuint(samples->len, ==, 0);
    g_assert_cmpuint(channel_break(&channel), ==, 0);
    g_assert_cmpuint(loop_count_fds(), ==, fds);
}

/* QEMU is gone, and another process has its number. */
static void
test_number_given_again(void)
{
    g_autoptr(GArray) samples = g_array_new(FALSE, FALSE, sizeof(ChannelSample));
    g_autoptr(GError) error = NULL;
    Channel channel = {.role = ROLE_SOURCE};
    guint fds = loop_count_fds();
    int source, destination;

    ends_pair(AF_INET, &source, &destination, &channel.port);
    channel_set_process(&channel, getpid());
    g_assert_cmpuint(channel.started, >, 0);
    g_assert_true(channel_has_process(&channel));
    g_assert_cmpuint(count(&channel), ==, 1);
    channel.started--;
    g_assert_false(channel_has_process(&channel));
    g_assert_false(channel_sample(&channel, samples, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_FAILED);
    g_assert_cmpuint(channel_break(&channel), ==, 0);
    g_assert_false(ends_is_closed(destination));
    close(source);
    close(destination);
    g_assert_cmpuint(loop_count_fds(), ==, fds);
}

/* The connection belongs to a child alone, as it belongs to QEMU alone. */
static void
test_child(void)
{
    Channel channel = {.role = ROLE_SOURCE};
    int source, destination, life[2];

    ends_pair(AF_INET, &source, &destination, &channel.port);
    g_assert_no_errno(pipe2(life, O_CLOEXEC));
    channel.pid = fork();
    g_assert_no_errno(channel.pid);
    if (channel.pid == 0) {
        char byte;

        close(life[1]);
        close(destination);
        /* Until the parent is done, or dies. */
        _exit(read(life[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(life[0]);
    close(source);
    g_assert_cmpuint(count(&channel), ==, 1);
    g_assert_false(ends_is_closed(destination));
    g_assert_cmpuint(channel_break(&channel), ==, 1);
    g_assert_true(ends_is_closed(destination));
    close(life[1]);
    g_assert_cmpint(waitpid(channel.pid, NULL, 0), ==, channel.pid);
    close(destination);
}

static gboolean
is_vacant(const Channel *channel)
{
    return g_strcmp0(channel_find_obstacle(channel, channel->port),
                     "QEMU there has yet to take up an earlier attempt") != 0;
}

/* The kernel answers for a QEMU that accepts nothing, and one that has accepted may have yet to see
 * that the other end has left. */
static void
test_vacant(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(families); i++) {
        Channel channel = {.pid = getpid(), .role = ROLE_DESTINATION};
        int listening, connecting, accepted;
        guint fds;

        if (!has_family(families[i]))
            continue;
        listening = ends_listen(families[i], 2, &channel.port);
        fds = loop_count_fds();
        g_assert_true(is_vacant(&channel));
        connecting = ends_connect(families[i], channel.port);
        g_assert_false(is_vacant(&channel));
        accepted = ends_accept(listening);
        g_assert_false(is_vacant(&channel));
        close(connecting);
        g_assert_true(ends_is_closed(accepted));
        g_assert_false(is_vacant(&channel));
        close(accepted);
        g_assert_true(is_vacant(&channel));

        /* It came and went, and nobody has looked. */
        close(ends_connect(families[i], channel.port));
        g_assert_false(is_vacant(&channel));
        g_assert_cmpuint(channel_break(&channel), ==, 0);
        g_assert_cmpuint(loop_count_fds(), ==, fds);
        close(listening);
        g_assert_true(is_vacant(&channel));
    }
}

typedef struct {
    GMutex lock;
    GCond changed;
    pid_t thread;
    gboolean over;
} Monitor;

static gpointer
monitor_thread(gpointer opaque)
{
    Monitor *monitor = opaque;

    prctl(PR_SET_NAME, "IO mon_iothread");
    g_mutex_lock(&monitor->lock);
    monitor->thread = (pid_t)syscall(SYS_gettid);
    g_cond_broadcast(&monitor->changed);
    while (!monitor->over)
        g_cond_wait(&monitor->changed, &monitor->lock);
    g_mutex_unlock(&monitor->lock);
    return NULL;
}

/* The thread that accepts is the only one, and not for ever; where that is forbidden, nothing is.
 */
static void
test_hasten(void)
{
    Monitor monitor = {0};
    Channel channel = {.role = ROLE_DESTINATION};
    GThread *thread = g_thread_new("monitor", monitor_thread, &monitor);
    int hastened;

    g_mutex_lock(&monitor.lock);
    while (!monitor.thread)
        g_cond_wait(&monitor.changed, &monitor.lock);
    g_mutex_unlock(&monitor.lock);
    channel_set_process(&channel, getpid());
    channel_hasten(&channel, TRUE);
    hastened = sched_getscheduler(monitor.thread);
    g_assert_true(hastened == SCHED_RR || hastened == SCHED_OTHER);
    if (geteuid() == 0 && hastened == SCHED_OTHER)
        g_test_message("no priority is given here");
    g_assert_cmpint(sched_getscheduler(0), ==, SCHED_OTHER);
    channel_hasten(&channel, FALSE);
    g_assert_cmpint(sched_getscheduler(monitor.thread), ==, SCHED_OTHER);

    channel.started++;
    channel_hasten(&channel, TRUE);
    g_assert_cmpint(sched_getscheduler(monitor.thread), ==, SCHED_OTHER);
    g_mutex_lock(&monitor.lock);
    monitor.over = TRUE;
    g_cond_broadcast(&monitor.changed);
    g_mutex_unlock(&monitor.lock);
    g_thread_join(thread);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!ends_has_pidfd()) {
        puts("1..0 # SKIP no pidfd here");
        return 0;
    }
    g_test_add_func("/channel/may-listen", test_may_listen);
    g_test_add_func("/channel/both-roles", test_both_roles);
    g_test_add_func("/channel/own-end", test_own_end);
    g_test_add_func("/channel/keepalive-of-others", test_keepalive_of_others);
    g_test_add_func("/channel/several", test_several);
    g_test_add_func("/channel/other-descriptors", test_other_descriptors);
    g_test_add_func("/channel/waiting", test_waiting);
    g_test_add_func("/channel/break-connecting", test_break_connecting);
    g_test_add_func("/channel/no-process", test_no_process);
    g_test_add_func("/channel/number-given-again", test_number_given_again);
    g_test_add_func("/channel/vacant", test_vacant);
    g_test_add_func("/channel/hasten", test_hasten);
    g_test_add_func("/channel/child", test_child);
    return g_test_run();
}
