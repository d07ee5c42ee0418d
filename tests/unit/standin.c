/*
 * standin.c: a QEMU that resumes is answered until it fails, and whatever else it says is not taken
 * for an end
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/standin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of QEMU 10.0. */
static const char blocks[] =
    "              Block Name    PSize              Offset               Used              Total   "
    "  "
    "           HVA  RO\r\n"
    "                  pc.ram    4 KiB  0x0000000000000000 0x0000000008000000 0x0000000008000000 "
    "0x00007fc0c3e00000  rw\r\n"
    "    /rom@etc/acpi/tables    4 KiB  0x0000000008080000 0x0000000000021000 0x0000000000200000 "
    "0x00007fc120200000  ro\r\n"
    "             a long name    2 MiB  0x0000000008000000 0x0000000000040000 0x0000000000040000 "
    "0x00007fc120c00000  ro\r\n";

#define PAGE 4096

/* What QEMU says, and is answered. */
#define RECV_BITMAP(length, name) "\x08\0\x0a\0" length name
#define POSTCOPY_RESUME           "\x08\0\x09\0\0"
#define RESUME_ACK                "\0\x06\0\x04\0\0\0\x01"
#define SHUT_FAILED               "\0\x01\0\x04\0\0\0\x01"
#define ENDING                    "\x01\x23\x45\x67\x89\xab\xcd\xef"

typedef struct {
    StandIn *standin;
    GThread *thread;
    gboolean served;
    GError *error;
    int fd; /* QEMU's end */
} Talk;

static gpointer
serve(gpointer opaque)
{
    Talk *talk = opaque;

    talk->served =
        standin_serve(talk->standin, g_get_monotonic_time() + 5 * G_USEC_PER_SEC, &talk->error);
    /* As whoever has it does then. */
    standin_free(g_steal_pointer(&talk->standin));
    return NULL;
}

static void
begin(Talk *talk)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    g_autoptr(GError) error = NULL;
    const char *uri;

    *talk = (Talk){.standin = standin_new(blocks, PAGE, &error)};
    g_assert_no_error(error);
    uri = standin_get_uri(talk->standin);
    g_assert_true(g_str_has_prefix(uri, "tcp:127.0.0.1:"));
    address.sin_port = htons((guint16)atoi(uri + strlen("tcp:127.0.0.1:")));
    talk->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(talk->fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    talk->thread = g_thread_new("stand-in", serve, talk);
}

static void
end(Talk *talk)
{
    if (talk->fd >= 0)
        close(talk->fd);
    if (talk->thread)
        g_thread_join(talk->thread);
    g_clear_error(&talk->error);
}

static void
say(const Talk *talk, const void *data, gsize length)
{
    g_assert_cmpint(send(talk->fd, data, length, MSG_NOSIGNAL), ==, (gssize)length);
}

static void
hear(const Talk *talk, const void *data, gsize length)
{
    g_autofree guint8 *heard = g_malloc(length);

    g_assert_cmpint(recv(talk->fd, heard, length, MSG_WAITALL), ==, (gssize)length);
    g_assert_cmpmem(heard, length, data, length);
}

#define SAY(talk, text)  say(talk, text, sizeof(text) - 1)
#define HEAR(talk, text) hear(talk, text, sizeof(text) - 1)

static void
hear_bitmap(const Talk *talk, guint64 length)
{
    g_autofree guint8 *pages = g_malloc(length);
    guint64 big = GUINT64_TO_BE(length);

    memset(pages, 0xff, length);
    hear(talk, &big, sizeof(big));
    hear(talk, pages, length);
    HEAR(talk, ENDING);
}

static void
test_ends(void)
{
    Talk talk;

    begin(&talk);
    SAY(&talk, RECV_BITMAP("\x07", "\x06pc.ram"));
    HEAR(&talk, "\0\x05\0\x07\x06pc.ram");
    hear_bitmap(&talk, 0x08000000 / PAGE / 8);
    /* 33 pages: QEMU rounds up to eight bytes. */
    SAY(&talk, RECV_BITMAP("\x15", "\x14/rom@etc/acpi/tables"));
    HEAR(&talk, "\0\x05\0\x15\x14/rom@etc/acpi/tables");
    hear_bitmap(&talk, 8);
    SAY(&talk, RECV_BITMAP("\x0c", "\x0b"
                                   "a long name"));
    HEAR(&talk, "\0\x05\0\x0c\x0b"
                "a long name");
    hear_bitmap(&talk, 8);
    SAY(&talk, POSTCOPY_RESUME);
    HEAR(&talk, RESUME_ACK);
    SAY(&talk, "the end");
    HEAR(&talk, SHUT_FAILED);
    SAY(&talk, "and something more");
    close(talk.fd);
    talk.fd = -1;
    end(&talk);
    g_assert_true(talk.served);
}

/* What is acknowledged ends in a reset, or it would be an end for QEMU that is none. */
static void
assert_reset(const Talk *talk)
{
    char byte;

    g_assert_cmpint(recv(talk->fd, &byte, 1, 0), ==, -1);
    g_assert_cmpint(errno, ==, ECONNRESET);
}

static void
test_nothing_else_is_an_answer(void)
{
    static const struct {
        const char *text;
        gsize length;
    } cases[] = {
#define CASE(text) {text, sizeof(text) - 1}
        CASE(RECV_BITMAP("\x04", "\x03hda")),    /* no such block */
        CASE(RECV_BITMAP("\x07", "\x05pc.ram")), /* two lengths */
        CASE(RECV_BITMAP("\x01", "\0")),         /* no name */
        CASE(RECV_BITMAP("\0", "")),             /* nothing */
        CASE("\x08\0\x0a\x01\x01pc.ram"),        /* too long */
        CASE("\x01\0\0\0\x02"),                  /* a section */
#undef CASE
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Talk talk;

        begin(&talk);
        say(&talk, cases[i].text, cases[i].length);
        assert_reset(&talk);
        end(&talk);
        g_assert_false(talk.served);
    }
}

/* At each byte; QEMU pauses again. */
static void
test_cut(void)
{
    static const char said[] = RECV_BITMAP("\x07", "\x06pc.ram") POSTCOPY_RESUME;

    for (gsize cut = 0; cut < sizeof(said); cut++) {
        Talk talk;

        begin(&talk);
        say(&talk, said, cut);
        g_assert_cmpint(shutdown(talk.fd, SHUT_WR), ==, 0);
        g_thread_join(g_steal_pointer(&talk.thread));
        g_assert_false(talk.served);
        g_assert_nonnull(talk.error);
        end(&talk);
    }
}

static void
test_reset_after_the_acknowledgement(void)
{
    Talk talk;

    begin(&talk);
    SAY(&talk, POSTCOPY_RESUME);
    HEAR(&talk, RESUME_ACK);
    g_assert_cmpint(shutdown(talk.fd, SHUT_WR), ==, 0);
    assert_reset(&talk);
    end(&talk);
    g_assert_false(talk.served);
}

static void
test_no_blocks(void)
{
    static const char *const texts[] = {"", "unknown command: 'info ramblock'\r\n"};

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(standin_new(texts[i], PAGE, &error));
        g_assert_nonnull(error);
    }
    g_assert_null(standin_new(blocks, 0, NULL));
}

static void
test_nobody_comes(void)
{
    g_autoptr(StandIn) standin = standin_new(blocks, PAGE, NULL);
    g_autoptr(GError) error = NULL;

    g_assert_false(standin_serve(standin, g_get_monotonic_time() + 1000, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/standin/ends", test_ends);
    g_test_add_func("/standin/nothing-else-is-an-answer", test_nothing_else_is_an_answer);
    g_test_add_func("/standin/cut", test_cut);
    g_test_add_func("/standin/reset-after-the-acknowledgement",
                    test_reset_after_the_acknowledgement);
    g_test_add_func("/standin/no-blocks", test_no_blocks);
    g_test_add_func("/standin/nobody-comes", test_nobody_comes);
    return g_test_run();
}
