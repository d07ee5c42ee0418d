/*
 * channel.c: the TCP connections that carry a migration, which belong to QEMU
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/channel.h"

#include <dirent.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <gio/gio.h>

#include "run/addresses.h"

/* Linux' numbers (net/tcp_states.h), which <netinet/tcp.h> has too but not beside <linux/tcp.h>. */
#define STATE_TCP_ESTABLISHED 1
#define STATE_TCP_SYN_SENT    2
#define STATE_TCP_LISTEN      10

/* A probe a second, after a second of silence. The count is left high: it is the watchdog that
 * decides, and a peer that is merely stopped answers probes. */
#define KEEPALIVE_IDLE_S     1
#define KEEPALIVE_INTERVAL_S 1
#define KEEPALIVE_COUNT      30
/* What Linux does where nobody has asked for more: hours. */
#define KEEPALIVE_BORNE_S 7200

typedef void (*SocketFn)(int fd, const struct tcp_info *info, gpointer opaque);

static guint16
get_port(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)address)->sin_port);
    if (address->ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
    return 0;
}

/* Whether the socket is one of TCP's, and what TCP knows of it. */
static gboolean
is_of_tcp(int fd, struct tcp_info *info)
{
    int protocol = 0;

    if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &(socklen_t){sizeof(protocol)}) < 0 ||
        protocol != IPPROTO_TCP)
        return FALSE;
    memset(info, 0, sizeof(*info));
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &(socklen_t){sizeof(*info)}) == 0;
}

/* Whether it is at the channel's port, in whatever state. */
static gboolean
is_at_port(int fd, const Channel *channel)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof(address);
    int rc;

    /* Not getpeername(): that knows no peer while the connection is still being made. SO_PEERNAME
     * does (inet_getname(), net/ipv4/af_inet.c, Linux), but takes no more room than the address
     * needs; the port of either family is in the first bytes. */
    if (channel->role == ROLE_SOURCE) {
        length = sizeof(struct sockaddr_in);
        rc = getsockopt(fd, SOL_SOCKET, SO_PEERNAME, &address, &length);
    } else {
        rc = getsockname(fd, (struct sockaddr *)&address, &length);
    }
    return rc == 0 && get_port(&address) == channel->port;
}

/* Whether it is a connection of the migration, made or being made. */
static gboolean
is_of_channel(int fd, const Channel *channel, const struct tcp_info *info)
{
    return (info->tcpi_state == STATE_TCP_ESTABLISHED || info->tcpi_state == STATE_TCP_SYN_SENT) &&
           is_at_port(fd, channel);
}

/* When a process was started, in ticks since the host was; 0: there is none. */
static guint64
read_started(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *text = NULL;
    g_auto(GStrv) fields = NULL;
    const char *end;

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return 0;
    /* The name of the program is in brackets and may hold anything; `starttime` is the 20th field
     * after it (proc(5)). */
    end = strrchr(text, ')');
    fields = g_strsplit(end ? end : "", " ", 22);
    return g_strv_length(fields) > 20 ? g_ascii_strtoull(fields[20], NULL, 10) : 0;
}

void
channel_set_process(Channel *channel, pid_t pid)
{
    channel->pid = pid;
    channel->started = read_started(pid);
}

gboolean
channel_has_process(const Channel *channel)
{
    return channel->started && read_started(channel->pid) == channel->started;
}

/* A descriptor for QEMU's process, and for none that has its number now; -1 with errno set. */
static int
open_process(const Channel *channel)
{
    int pidfd = (int)syscall(SYS_pidfd_open, channel->pid, 0);

    if (pidfd >= 0 && channel->started && read_started(channel->pid) != channel->started) {
        close(pidfd);
        errno = ESRCH;
        return -1;
    }
    return pidfd;
}

/* Calls @fn for a duplicate of each of QEMU's TCP sockets.
 * @hidden: (out): whether there are sockets that we may not have */
static gboolean
foreach_socket(
    const Channel *channel, SocketFn fn, gpointer opaque, gboolean *hidden, GError **error)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", channel->pid);
    int pidfd = open_process(channel);
    DIR *dir = pidfd >= 0 ? opendir(path) : NULL;
    struct dirent *entry;
    gboolean ok = dir != NULL;

    if (!ok)
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot look into QEMU (process %d): %s", channel->pid, g_strerror(errno));
    while (ok && (entry = readdir(dir))) {
        char target[32];
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
        struct tcp_info info;
        int fd;

        if (n < 7 || strncmp(target, "socket:", 7) != 0)
            continue;
        fd = (int)syscall(SYS_pidfd_getfd, pidfd, atoi(entry->d_name), 0);
        if (fd < 0) {
            *hidden |= errno == EPERM;
            continue;
        }
        if (is_of_tcp(fd, &info))
            fn(fd, &info, opaque);
        close(fd);
    }
    if (pidfd >= 0)
        close(pidfd);
    if (dir)
        closedir(dir);
    return ok;
}

typedef struct {
    const Channel *channel;
    SocketFn fn;
    gpointer opaque;
} Connections;

static void
take_connection(int fd, const struct tcp_info *info, gpointer opaque)
{
    const Connections *connections = opaque;

    if (is_of_channel(fd, connections->channel, info))
        connections->fn(fd, info, connections->opaque);
}

/* Likewise for each connection of the channel. */
static gboolean
foreach_connection(const Channel *channel, SocketFn fn, gpointer opaque, GError **error)
{
    Connections connections = {channel, fn, opaque};
    gboolean hidden = FALSE;

    return foreach_socket(channel, take_connection, &connections, &hidden, error);
}

static void
set_keepalive(int fd)
{
    int on = 0;
    int idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S, count = KEEPALIVE_COUNT;

    if (getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &(socklen_t){sizeof(on)}) < 0 || on)
        return;
    on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static void
sample_connection(int fd, const struct tcp_info *info, gpointer opaque)
{
    ChannelSample sample = {
        .waiting = info->tcpi_unacked > 0 || info->tcpi_probes > 0,
        .probing = info->tcpi_unacked == 0 && info->tcpi_probes > 0,
        .silent_ms = info->tcpi_last_ack_recv,
    };

    if (info->tcpi_state != STATE_TCP_ESTABLISHED ||
        getsockopt(fd, SOL_SOCKET, SO_COOKIE, &sample.connection,
                   &(socklen_t){sizeof(sample.connection)}) < 0)
        return;
    set_keepalive(fd);
    g_array_append_val((GArray *)opaque, sample);
}

gboolean
channel_sample(const Channel *channel, GArray *samples, GError **error)
{
    return foreach_connection(channel, sample_connection, samples, error);
}

static void
break_connection(int fd, const struct tcp_info *info, gpointer opaque)
{
    guint *broken = opaque;

    /* On a connection that is being made, shutdown() ends the attempt (inet_shutdown(),
     * net/ipv4/af_inet.c) although it reports ENOTCONN. */
    shutdown(fd, SHUT_RDWR);
    (*broken)++;
}

guint
channel_break(const Channel *channel)
{
    guint broken = 0;

    foreach_connection(channel, break_connection, &broken, NULL);
    return broken;
}

static void
bear_connection(int fd, const struct tcp_info *info, gpointer opaque)
{
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &(int){KEEPALIVE_BORNE_S}, sizeof(int));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &(int){KEEPALIVE_BORNE_S}, sizeof(int));
}

void
channel_bear(const Channel *channel)
{
    foreach_connection(channel, bear_connection, NULL, NULL);
}

/* QEMU's own name for it (monitor_init_globals_core(), monitor/monitor.c; iothread_new(), 10.0),
 * which threads have since libvirt starts QEMU with debug-threads=on. */
#define MONITOR_THREAD "IO mon_iothread"

static pid_t
find_monitor_thread(const Channel *channel)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", channel->pid);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *comm = g_strdup_printf("%s/%s/comm", path, name);
        g_autofree char *text = NULL;

        if (g_file_get_contents(comm, &text, NULL, NULL) &&
            g_str_equal(g_strchomp(text), MONITOR_THREAD))
            return (pid_t)atoi(name);
    }
    return 0;
}

void
channel_hasten(const Channel *channel, gboolean hasten)
{
    struct sched_param param = {.sched_priority = hasten ? 1 : 0};
    pid_t thread;

    if (!channel->pid || (channel->started && read_started(channel->pid) != channel->started))
        return;
    thread = find_monitor_thread(channel);
    if (thread && sched_setscheduler(thread, hasten ? SCHED_RR : SCHED_OTHER, &param) < 0)
        g_info("QEMU's monitors keep their priority: %s", g_strerror(errno));
}

static void
add_received(int fd, const struct tcp_info *info, gpointer opaque)
{
    *(guint64 *)opaque += info->tcpi_bytes_received;
}

guint64
channel_count_received(const Channel *channel)
{
    guint64 received = 0;

    foreach_connection(channel, add_received, &received, NULL);
    return received;
}

static void
find_local(int fd, const struct tcp_info *info, gpointer opaque)
{
    char **host = opaque;
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof(address);

    if (!*host && info->tcpi_state == STATE_TCP_ESTABLISHED &&
        getsockname(fd, (struct sockaddr *)&address, &length) == 0)
        *host = addresses_format((struct sockaddr *)&address, length);
}

char *
channel_find_local(const Channel *channel)
{
    char *host = NULL;

    foreach_connection(channel, find_local, &host, NULL);
    return host;
}

/* What is at the channel's port. */
typedef struct {
    const Channel *channel;
    gboolean listener;
    gboolean occupant;
} Port;

static void
look_at_port(int fd, const struct tcp_info *info, gpointer opaque)
{
    Port *port = opaque;

    if (!is_at_port(fd, port->channel))
        return;
    if (info->tcpi_state == STATE_TCP_LISTEN)
        port->listener = TRUE;
    /* Of a socket that listens, this is how many wait to be accepted (tcp_get_info(),
     * net/ipv4/tcp.c, Linux). */
    if (info->tcpi_state != STATE_TCP_LISTEN || info->tcpi_unacked > 0)
        port->occupant = TRUE;
}

static Port
look(const Channel *channel, guint16 port, gboolean *seen)
{
    Channel there = *channel;
    Port at = {.channel = &there};
    gboolean hidden = FALSE;

    there.port = port;
    *seen = channel->pid && port && foreach_socket(channel, look_at_port, &at, &hidden, NULL) &&
            !hidden;
    at.channel = NULL;
    return at;
}

gboolean
channel_may_listen(const Channel *channel, guint16 port)
{
    gboolean seen;

    return look(channel, port, &seen).listener || !seen;
}

const char *
channel_find_obstacle(const Channel *channel, guint16 port)
{
    gboolean seen;
    Port at = look(channel, port, &seen);

    if (at.occupant)
        return "QEMU there has yet to take up an earlier attempt";
    return at.listener || !seen ? NULL : "QEMU there does not listen yet";
}
