/*
 * ends.c: a bare end of a TCP connection, for tests that speak to the other end byte by byte
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "ends.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} Address;

static socklen_t
loopback(int family, guint16 port, Address *address)
{
    memset(address, 0, sizeof(*address));
    if (family == AF_INET6) {
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_addr = in6addr_loopback;
        address->v6.sin6_port = htons(port);
        return sizeof(address->v6);
    }
    address->v4.sin_family = AF_INET;
    address->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address->v4.sin_port = htons(port);
    return sizeof(address->v4);
}

int
ends_listen(int family, int backlog, guint16 *port)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    Address address;
    socklen_t length = loopback(family, 0, &address);

    if (fd < 0)
        return -1;
    if (bind(fd, &address.any, length) < 0) {
        close(fd);
        return -1;
    }
    g_assert_no_errno(listen(fd, backlog));
    g_assert_no_errno(getsockname(fd, &address.any, &length));
    *port = ntohs(family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
    return fd;
}

int
ends_connect(int family, guint16 port)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    Address address;
    socklen_t length = loopback(family, port, &address);

    g_assert_no_errno(fd);
    if (connect(fd, &address.any, length) == 0)
        return fd;
    close(fd);
    return -1;
}

int
ends_begin_connect(int family, guint16 port)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    Address address;
    socklen_t length = loopback(family, port, &address);

    g_assert_no_errno(fd);
    if (connect(fd, &address.any, length) < 0)
        g_assert_cmpint(errno, ==, EINPROGRESS);
    return fd;
}

int
ends_accept(int listening)
{
    struct pollfd poller = {.fd = listening, .events = POLLIN};

    return poll(&poller, 1, 0) == 1 ? accept4(listening, NULL, NULL, SOCK_CLOEXEC) : -1;
}

void
ends_pair(int family, int *connecting, int *accepted, guint16 *port)
{
    int listening = ends_listen(family, 1, port);

    g_assert_no_errno(listening);
    *connecting = ends_connect(family, *port);
    g_assert_no_errno(*connecting);
    *accepted = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    g_assert_no_errno(*accepted);
    close(listening);
}

void
ends_write(int fd, gconstpointer data, gsize size)
{
    g_assert_cmpint(send(fd, data, size, MSG_NOSIGNAL), ==, size);
}

gboolean
ends_read(int fd, GByteArray *into)
{
    guint8 buffer[4096];
    ssize_t n;

    while ((n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0) {
        if (into)
            g_byte_array_append(into, buffer, (guint)n);
    }
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

gboolean
ends_is_closed(int fd)
{
    return !ends_read(fd, NULL);
}

void
ends_reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    g_assert_no_errno(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
    close(fd);
}

void
ends_deafen(int fd)
{
    struct sock_filter drop[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = G_N_ELEMENTS(drop), .filter = drop};

    g_assert_no_errno(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
}

void
ends_heal(int fd)
{
    int unused = 0;

    g_assert_no_errno(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused)));
}

gboolean
ends_has_pidfd(void)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}
