/*
 * standin.c: stands in for a destination that is gone, so that QEMU ends a migration in postcopy
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/standin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib/gi18n-lib.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* QEMU's, on the wire. */
#define VM_COMMAND            8
#define CMD_POSTCOPY_RESUME   9
#define CMD_RECV_BITMAP       10
#define RP_SHUT               1
#define RP_RECV_BITMAP        5
#define RP_RESUME_ACK         6
#define RESUME_ACK_VALUE      1
#define SHUT_FAILED           1
#define RECV_BITMAP_END       G_GUINT64_CONSTANT(0x0123456789abcdef)
#define COMMAND_HEADER_LENGTH 5
#define NAME_MAX_LENGTH       255

/* A bitmap of zettabytes of memory is no bitmap. */
#define BITMAP_MAX_BYTES (1u << 30)
/* The channel of postcopy-preempt connects, too, and has nothing to say. */
#define BACKLOG 4

struct StandIn {
    GHashTable *blocks; /* name -> guint64: bytes of a bitmap of its pages */
    int listener;
    int channel; /* -1: not yet */
    char *uri;
    gint64 deadline_us;
};

/* --- blocks --- */

/* "%24s %8s  0x%016 0x%016 ...": name, page size, offset, bytes in use (ram_block_format(),
 * system/physmem.c, QEMU 10.0). Rounded as in ramblock_recv_bitmap_send(), migration/ram.c. */
static GHashTable *
parse_blocks(const char *text, guint64 page_bytes)
{
    g_autoptr(GRegex) line = g_regex_new("^ *(\\S.*?) +\\S+ \\S+  0x[0-9a-f]+ 0x([0-9a-f]+) ",
                                         G_REGEX_MULTILINE, 0, NULL);
    g_autoptr(GHashTable) blocks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(GMatchInfo) match = NULL;

    for (g_regex_match(line, text, 0, &match); g_match_info_matches(match);
         g_match_info_next(match, NULL)) {
        g_autofree char *used = g_match_info_fetch(match, 2);
        guint64 pages = g_ascii_strtoull(used, NULL, 16) / page_bytes;
        guint64 bytes = (pages + 63) / 64 * 8;

        if (bytes > BITMAP_MAX_BYTES)
            return NULL;
        g_hash_table_insert(blocks, g_match_info_fetch(match, 1), g_memdup2(&bytes, sizeof(bytes)));
    }
    return g_hash_table_size(blocks) > 0 ? g_steal_pointer(&blocks) : NULL;
}

/* --- the socket --- */

static gboolean
fail(GError **error)
{
    g_set_error_literal(error, G_IO_ERROR, g_io_error_from_errno(errno), g_strerror(errno));
    return FALSE;
}

static gboolean
await(StandIn *standin, int fd, short events, GError **error)
{
    struct pollfd ready = {.fd = fd, .events = events};
    gint64 left_us;
    int n;

    do {
        left_us = standin->deadline_us - g_get_monotonic_time();
        n = left_us > 0 ? poll(&ready, 1, (int)(left_us / 1000) + 1) : 0;
    } while (n < 0 && errno == EINTR);
    if (n == 0)
        errno = ETIMEDOUT;
    return n > 0 || fail(error);
}

/* 0: QEMU has closed it; -1 with @error set. */
static gssize
receive(StandIn *standin, void *data, gsize length, GError **error)
{
    gssize n = -1;

    if (!await(standin, standin->channel, POLLIN, error))
        return -1;
    n = recv(standin->channel, data, length, 0);
    if (n < 0)
        fail(error);
    return n;
}

static gboolean
receive_all(StandIn *standin, guint8 *data, gsize length, GError **error)
{
    while (length > 0) {
        gssize n = receive(standin, data, length, error);

        if (n == 0)
            g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CLOSED, "QEMU has closed it");
        if (n <= 0)
            return FALSE;
        data += n;
        length -= (gsize)n;
    }
    return TRUE;
}

static gboolean
send_all(StandIn *standin, const GByteArray *bytes, GError **error)
{
    for (gsize sent = 0; sent < bytes->len;) {
        gssize n = -1;

        if (!await(standin, standin->channel, POLLOUT, error))
            return FALSE;
        n = send(standin->channel, bytes->data + sent, bytes->len - sent,
                 MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN)
            return fail(error);
        sent += n > 0 ? (gsize)n : 0;
    }
    return TRUE;
}

static gboolean
listen_here(StandIn *standin, GError **error)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);

    standin->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (standin->listener < 0 ||
        bind(standin->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(standin->listener, BACKLOG) < 0 ||
        getsockname(standin->listener, (struct sockaddr *)&address, &length) < 0)
        return fail(error);
    standin->uri = g_strdup_printf("tcp:127.0.0.1:%u", ntohs(address.sin_port));
    return TRUE;
}

/* However it ends, it is by a reset: to an orderly end QEMU might say that it has completed. */
static gboolean
accept_channel(StandIn *standin, GError **error)
{
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};

    if (!await(standin, standin->listener, POLLIN, error))
        return FALSE;
    standin->channel = accept4(standin->listener, NULL, NULL, SOCK_CLOEXEC);
    return (standin->channel >= 0 &&
            setsockopt(standin->channel, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) == 0) ||
           fail(error);
}

/* --- messages --- */

static void
put(GByteArray *bytes, guint64 value, guint width)
{
    value = GUINT64_TO_BE(value << (64 - 8 * width));
    g_byte_array_append(bytes, (const guint8 *)&value, width);
}

static GByteArray *
message_new(guint type, guint length)
{
    GByteArray *bytes = g_byte_array_new();

    put(bytes, type, 2);
    put(bytes, length, 2);
    return bytes;
}

static gboolean
send_word(StandIn *standin, guint type, guint32 value, GError **error)
{
    g_autoptr(GByteArray) bytes = message_new(type, sizeof(value));

    put(bytes, value, sizeof(value));
    return send_all(standin, bytes, error);
}

/* As one that has received each page. */
static gboolean
send_bitmap(StandIn *standin, const char *name, GError **error)
{
    const guint64 *length = g_hash_table_lookup(standin->blocks, name);
    gsize name_length = strlen(name);
    g_autoptr(GByteArray) bytes = NULL;
    guint head;

    if (!length) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "QEMU has not told of its memory %s",
                    name);
        return FALSE;
    }
    bytes = message_new(RP_RECV_BITMAP, (guint)name_length + 1);
    put(bytes, name_length, 1);
    g_byte_array_append(bytes, (const guint8 *)name, (guint)name_length);
    put(bytes, *length, 8);
    head = bytes->len;
    g_byte_array_set_size(bytes, head + (guint)*length);
    memset(bytes->data + head, 0xff, *length);
    put(bytes, RECV_BITMAP_END, 8);
    return send_all(standin, bytes, error);
}

/* The name is behind its length, and without a zero. */
static gboolean
answer_bitmap(StandIn *standin, const guint8 *data, gsize length, GError **error)
{
    g_autofree char *name = NULL;

    if (length < 2 || data[0] != length - 1) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "no name");
        return FALSE;
    }
    name = g_strndup((const char *)data + 1, length - 1);
    return send_bitmap(standin, name, error);
}

/* Of a source that resumes there is nothing but commands before it has been answered
 * (postcopy_do_resume(), migration/migration.c, QEMU 10.0). */
static gboolean
answer_command(StandIn *standin, gboolean *resumed, GError **error)
{
    guint8 header[COMMAND_HEADER_LENGTH], data[NAME_MAX_LENGTH + 1];
    guint command, length;

    if (!receive_all(standin, header, sizeof(header), error))
        return FALSE;
    command = header[1] << 8 | header[2];
    length = header[3] << 8 | header[4];
    if (header[0] != VM_COMMAND || length > sizeof(data)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "no command");
        return FALSE;
    }
    if (!receive_all(standin, data, length, error))
        return FALSE;
    *resumed = command == CMD_POSTCOPY_RESUME;
    if (*resumed)
        return send_word(standin, RP_RESUME_ACK, RESUME_ACK_VALUE, error);
    return command != CMD_RECV_BITMAP || answer_bitmap(standin, data, length, error);
}

/* Said too early, the end would meet a QEMU that waits for RESUME_ACK still, and pauses again. */
static gboolean
answer_end(StandIn *standin, GError **error)
{
    guint8 data[4096];
    gboolean told = FALSE;
    gssize n;

    while ((n = receive(standin, data, sizeof(data), told ? NULL : error)) > 0) {
        if (!told && !send_word(standin, RP_SHUT, SHUT_FAILED, error))
            return FALSE;
        told = TRUE;
    }
    if (!told && n == 0)
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CLOSED, "QEMU has closed it");
    return told;
}

/* --- all of it --- */

StandIn *
standin_new(const char *blocks, guint64 page_bytes, GError **error)
{
    g_autoptr(StandIn) standin = g_new0(StandIn, 1);

    standin->listener = standin->channel = -1;
    standin->blocks = page_bytes ? parse_blocks(blocks, page_bytes) : NULL;
    if (!standin->blocks) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                            _("QEMU does not tell of its memory"));
        return NULL;
    }
    return listen_here(standin, error) ? g_steal_pointer(&standin) : NULL;
}

void
standin_free(StandIn *standin)
{
    if (!standin)
        return;
    if (standin->channel >= 0)
        close(standin->channel);
    if (standin->listener >= 0)
        close(standin->listener);
    g_clear_pointer(&standin->blocks, g_hash_table_unref);
    g_free(standin->uri);
    g_free(standin);
}

const char *
standin_get_uri(const StandIn *standin)
{
    return standin->uri;
}

gboolean
standin_serve(StandIn *standin, gint64 deadline_us, GError **error)
{
    gboolean resumed = FALSE;

    standin->deadline_us = deadline_us;
    if (!accept_channel(standin, error))
        return FALSE;
    while (!resumed) {
        if (!answer_command(standin, &resumed, error))
            return FALSE;
    }
    return answer_end(standin, error);
}
