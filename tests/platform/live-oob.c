/*
 * live-oob.c: out-of-band commands to a QEMU that does not answer others
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "live-oob.h"

#include <fcntl.h>
#include <glib.h>
#include <linux/sockios.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stock/domain.h"
#include "stock/qmp.h"
#include "stock/symbols.h"
#include "stock/table.h"

#define WAIT_SECONDS 30
#define N_THREADS    8
#define FIFO         "/run/live.fifo"

typedef struct {
    virDomainPtr dom;
    const char *json; /* in-band; NULL: migrate-pause out of band */
    char *reply;
    GError *error;
    int done; /* atomic */
} Call;

static gpointer
call(gpointer opaque)
{
    Call *call = opaque;

    call->reply = call->json ? qmp_execute(call->dom, call->json, &call->error)
                             : qmp_execute_oob(call->dom, "migrate-pause", NULL, &call->error);
    g_atomic_int_set(&call->done, TRUE);
    return NULL;
}

static void
wait_until(gboolean (*condition)(virDomainPtr dom, int value),
           virDomainPtr dom,
           int value,
           const char *what)
{
    gint64 deadline = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;

    while (!condition(dom, value)) {
        if (g_get_monotonic_time() > deadline)
            g_error("not in %d s: %s", WAIT_SECONDS, what);
        g_usleep(1000);
    }
}

static pid_t
qemu_pid(virDomainPtr dom)
{
    StockJob job = {0};

    g_assert_true(stock_domain_job(dom, &job));
    return job.pid;
}

/* QEMU's main loop is in a system call that does not return. */
static gboolean
hangs_in(virDomainPtr dom, int number)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/syscall", qemu_pid(dom));
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return g_ascii_isdigit(*text) && g_ascii_strtoll(text, NULL, 10) == number;
}

/* Every thread of it: the one that reads the monitor is not the first. */
static gboolean
is_stopped(virDomainPtr dom, int unused)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", qemu_pid(dom));
    g_autoptr(GDir) tasks = g_dir_open(path, 0, NULL);
    gboolean all = TRUE;
    const char *task;

    while (all && (task = g_dir_read_name(tasks))) {
        g_autofree char *status = g_build_filename(path, task, "status", NULL);
        g_autofree char *text = NULL;

        all = g_file_get_contents(status, &text, NULL, NULL) && strstr(text, "\nState:\tT");
    }
    return all;
}

static void
stop(virDomainPtr dom)
{
    g_assert_cmpint(kill(qemu_pid(dom), SIGSTOP), ==, 0);
    wait_until(is_stopped, dom, 0, "QEMU stops");
}

/* What libvirt and we have sent and a stopped QEMU has not read. */
static int
unread_bytes(virDomainPtr dom)
{
    gpointer vm = symbols.qemuDomainObjFromDomain(dom);
    int unread = 0, fd;

    ABI_READ(&fd, symbols.qemuDomainGetMonitor(vm), table_row()->monitor_fd);
    symbols.virDomainObjEndAPI(&vm);
    g_assert_cmpint(ioctl(fd, SIOCOUTQ, &unread), ==, 0);
    return unread;
}

static gboolean
has_unread(virDomainPtr dom, int more_than)
{
    return unread_bytes(dom) > more_than;
}

static gboolean
is_inactive(virDomainPtr dom, int unused)
{
    StockJob job = {0};

    g_assert_true(stock_domain_job(dom, &job));
    return !job.active;
}

static void
assert_refused_by_qemu(Call *paused)
{
    g_assert_null(paused->reply);
    g_assert_error(paused->error, QMP_ERROR, QMP_ERROR_COMMAND);
    g_assert_nonnull(strstr(paused->error->message, "migrate-pause"));
    g_clear_error(&paused->error);
}

/* As when a destination's main loop waits for a missing page: here, for a reader of a FIFO. */
static void
test_past_a_hanging_command(virDomainPtr dom)
{
    Call hanging = {dom, "{\"execute\": \"pmemsave\", \"arguments\": {\"val\": 0, \"size\": 512, "
                         "\"filename\": \"" FIFO "\"}}"};
    Call past[N_THREADS] = {{0}};
    GThread *threads[N_THREADS];
    GThread *thread;
    char content[1024];
    int fifo;

    g_assert_cmpint(mkfifo(FIFO, 0600), ==, 0);
    thread = g_thread_new("hanging", call, &hanging);
    wait_until(hangs_in, dom, SYS_openat, "QEMU opens the FIFO");
    for (guint i = 0; i < N_THREADS; i++) {
        past[i].dom = dom;
        threads[i] = g_thread_new("past", call, &past[i]);
    }
    for (guint i = 0; i < N_THREADS; i++) {
        g_thread_join(threads[i]);
        assert_refused_by_qemu(&past[i]);
    }
    g_assert_true(hangs_in(dom, SYS_openat));
    g_assert_false(g_atomic_int_get(&hanging.done));

    fifo = open(FIFO, O_RDONLY);
    g_assert_cmpint(read(fifo, content, sizeof(content)), ==, 512);
    g_thread_join(thread);
    g_assert_no_error(hanging.error);
    g_assert_true(g_str_has_prefix(hanging.reply, "{\"return\":"));
    g_free(hanging.reply);
    close(fifo);
}

/* Both are on their way at once, and each gets its own answer. */
static void
test_beside_a_command(virDomainPtr dom)
{
    Call in_band = {dom, "{\"execute\": \"query-status\"}"};
    Call out_of_band = {dom, NULL};
    g_autofree char *status = NULL;
    GThread *threads[2];
    pid_t pid = qemu_pid(dom);
    int unread;

    stop(dom);
    threads[0] = g_thread_new("in-band", call, &in_band);
    wait_until(has_unread, dom, 0, "the in-band command is sent");
    unread = unread_bytes(dom);
    threads[1] = g_thread_new("oob", call, &out_of_band);
    wait_until(has_unread, dom, unread, "the other is sent");
    g_assert_cmpint(kill(pid, SIGCONT), ==, 0);
    for (guint i = 0; i < 2; i++)
        g_thread_join(threads[i]);
    g_assert_no_error(in_band.error);
    status = qmp_reply_string(in_band.reply, "status");
    g_assert_cmpstr(status, ==, "running");
    g_free(in_band.reply);
    assert_refused_by_qemu(&out_of_band);
}

/* QEMU dies while we wait for it: noticed at once. */
static void
test_killed(virDomainPtr dom)
{
    Call waiting = {dom, NULL};
    gint64 start = g_get_monotonic_time();
    pid_t pid = qemu_pid(dom);
    GThread *thread;

    stop(dom);
    thread = g_thread_new("waiting", call, &waiting);
    wait_until(has_unread, dom, 0, "the command is sent");
    g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
    g_thread_join(thread);
    g_assert_error(waiting.error, QMP_ERROR, QMP_ERROR_MONITOR);
    g_assert_cmpint(g_get_monotonic_time() - start, <, 5 * G_USEC_PER_SEC);
    g_clear_error(&waiting.error);
    wait_until(is_inactive, dom, 0, "libvirt notices");
    if (virDomainCreate(dom) < 0)
        g_error("create: %s", virGetLastErrorMessage());
}

void
live_oob_test(virDomainPtr dom)
{
    test_past_a_hanging_command(dom);
    test_beside_a_command(dom);
    test_killed(dom);
}
