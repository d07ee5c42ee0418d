/*
 * nbdio.c: a server that says nothing, nonsense, or goes away holds nobody up
 *
 * That it reads and writes what it should is tests/platform/test_bitmap_rebuild.py's, with a QEMU.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/nbdio.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CONTEXT "qemu:dirty-bitmap:x"
/* What a newstyle server begins with (doc/proto.md of the NBD project). */
#define GREETING "NBDMAGICIHAVEOPT\0\3"
/* Longer than any answer takes; shorter than the test's own limit. */
#define FAR_US (60 * G_USEC_PER_SEC)

typedef struct {
    char *directory;
    char *path;
    int listener;
    GBytes *says;
    gboolean holds; /* the connection open */
    int connection;
    GThread *thread;
} Server;

static gpointer
serve(gpointer opaque)
{
    Server *server = opaque;
    gsize size;
    const char *data = g_bytes_get_data(server->says, &size);

    server->connection = accept(server->listener, NULL, NULL);
    /* Who was told to stop may have left already. */
    g_assert_true(send(server->connection, data, size, MSG_NOSIGNAL) == (gssize)size ||
                  errno == EPIPE);
    if (!server->holds)
        close(server->connection);
    return NULL;
}

static void
begin(Server *server, const char *says, gsize length, gboolean holds)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    *server = (Server){.holds = holds, .says = g_bytes_new(says, length)};
    server->directory = g_dir_make_tmp("nbdio-XXXXXX", NULL);
    server->path = g_build_filename(server->directory, "socket", NULL);
    g_strlcpy(address.sun_path, server->path, sizeof(address.sun_path));
    server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(server->listener, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    g_assert_cmpint(listen(server->listener, 1), ==, 0);
    server->thread = g_thread_new("server", serve, server);
}

static void
end(Server *server)
{
    g_thread_join(server->thread);
    if (server->holds)
        close(server->connection);
    close(server->listener);
    g_unlink(server->path);
    g_rmdir(server->directory);
    g_bytes_unref(server->says);
    g_free(server->path);
    g_free(server->directory);
}

static void
assert_fails(const char *path, gint64 within_us, int code)
{
    g_autoptr(GArray) extents = g_array_new(FALSE, FALSE, sizeof(Extent));
    gint64 begun_us = g_get_monotonic_time();
    const Nbdio nbd = {path, "disk", begun_us + within_us};
    g_autoptr(GError) error = NULL;

    g_assert_false(nbdio_fetch_dirty(&nbd, CONTEXT, 10, extents, &error));
    g_assert_error(error, NBDIO_ERROR, code);
    g_assert_cmpuint(extents->len, ==, 0);
}

static void
test_silent(void)
{
    Server server;

    begin(&server, GREETING, 8, TRUE);
    assert_fails(server.path, G_USEC_PER_SEC / 10, NBDIO_ERROR_DEADLINE);
    end(&server);
}

static void
test_leaves(void)
{
    for (gsize length = 0; length <= sizeof(GREETING) - 1; length++) {
        Server server;

        begin(&server, GREETING, length, FALSE);
        assert_fails(server.path, FAR_US, NBDIO_ERROR_FAILED);
        end(&server);
    }
}

static void
test_nonsense(void)
{
    Server server;
    char nonsense[64];

    memset(nonsense, 'x', sizeof(nonsense));
    begin(&server, nonsense, sizeof(nonsense), TRUE);
    assert_fails(server.path, FAR_US, NBDIO_ERROR_FAILED);
    end(&server);
}

static void
test_nobody(void)
{
    assert_fails("/nonexistent/socket", FAR_US, NBDIO_ERROR_FAILED);
}

static gpointer
release(gpointer unused)
{
    nbdio_release_all();
    return NULL;
}

/* The last: there is no way back. */
static void
test_stops(void)
{
    Server server;
    GThread *thread;

    begin(&server, GREETING, 8, TRUE);
    thread = g_thread_new("release", release, NULL);
    assert_fails(server.path, FAR_US, NBDIO_ERROR_STOPPED);
    g_thread_join(thread);
    end(&server);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nbdio/silent", test_silent);
    g_test_add_func("/nbdio/leaves", test_leaves);
    g_test_add_func("/nbdio/nonsense", test_nonsense);
    g_test_add_func("/nbdio/nobody", test_nobody);
    g_test_add_func("/nbdio/stops", test_stops);
    return g_test_run();
}
