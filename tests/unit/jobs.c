/*
 * jobs.c: what jobs use is there for as long as they are at work
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/jobs.h"

#include <libvirt/libvirt.h>

#include "stock/error.h"

#define THREADS    64 /* of the pool */
#define BOUND_MS   50
#define DEADLINE_S 60

/* libvirt's driver, as a job finds it. */
static struct {
    GMutex lock;
    GCond changed;
    guint looking; /* jobs that are at it */
    guint looked;
    gboolean held; /* it answers nobody */
    gboolean ending;
    gboolean freed;
} driver;

/* In place of stock/error.c: each thread says once who it is. */
gboolean
stock_become_system(void)
{
    static GPrivate is_system;

    g_assert_null(g_private_get(&is_system));
    g_private_set(&is_system, GINT_TO_POINTER(1));
    return TRUE;
}

static void
set(gboolean *what, gboolean value)
{
    g_mutex_lock(&driver.lock);
    *what = value;
    g_cond_broadcast(&driver.changed);
    g_mutex_unlock(&driver.lock);
}

static gint64
deadline(void)
{
    return g_get_monotonic_time() + DEADLINE_S * G_USEC_PER_SEC;
}

static void
wait_for(const guint *count, guint n)
{
    gint64 end = deadline();

    g_mutex_lock(&driver.lock);
    while (*count != n)
        g_assert_true(g_cond_wait_until(&driver.changed, &driver.lock, end));
    g_mutex_unlock(&driver.lock);
}

static void
look_job(gpointer opaque, gpointer unused)
{
    g_mutex_lock(&driver.lock);
    g_assert_true(opaque == &driver);
    g_assert_false(driver.freed);
    driver.looking++;
    g_cond_broadcast(&driver.changed);
    while (driver.held)
        g_cond_wait(&driver.changed, &driver.lock);
    g_assert_false(driver.freed);
    driver.looking--;
    driver.looked++;
    g_cond_broadcast(&driver.changed);
    g_mutex_unlock(&driver.lock);
}

static void
late_job(gpointer opaque, gpointer unused)
{
    g_assert_not_reached();
}

/* The daemon's main thread in virStateCleanup(). */
static gpointer
end_thread(gpointer unused)
{
    guint at_work;

    set(&driver.ending, TRUE);
    at_work = jobs_end(DEADLINE_S * 1000);
    set(&driver.freed, TRUE);
    return GUINT_TO_POINTER(at_work);
}

static void
run_jobs(guint n, GFunc fn)
{
    for (guint i = 0; i < n; i++)
        jobs_run(fn, &driver);
}

static void
run_long(GFunc fn)
{
    g_autoptr(GError) error = NULL;

    jobs_run_long(fn, &driver, &error);
    g_assert_no_error(error);
}

/* Threads of the pool that have nothing left to do. */
static void
wait_idle(void)
{
    gint64 end = deadline();

    while (g_thread_pool_get_num_unused_threads() < THREADS) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_thread_yield();
    }
}

static void
test_at_work(void)
{
    g_assert_false(jobs_are_over());
    run_jobs(THREADS * 2, look_job);
    run_long(look_job);
    wait_for(&driver.looked, THREADS * 2 + 1);
    driver.looked = 0;
}

/* One after the other: there is one end. */
static void
test_end(void)
{
    gint64 begun;
    GThread *thread;

    set(&driver.held, TRUE);
    run_jobs(THREADS, look_job);
    run_long(look_job);
    wait_for(&driver.looking, THREADS + 1);
    run_jobs(1, late_job); /* there is no thread left for it */

    /* No answer comes. */
    begun = g_get_monotonic_time();
    g_assert_cmpuint(jobs_end(BOUND_MS), ==, THREADS + 1);
    g_assert_cmpint(g_get_monotonic_time() - begun, >=, BOUND_MS * G_TIME_SPAN_MILLISECOND);
    g_assert_true(jobs_are_over());
    run_jobs(1, late_job);
    run_long(late_job);

    /* It comes. */
    thread = g_thread_new("end", end_thread, NULL);
    g_mutex_lock(&driver.lock);
    while (!driver.ending)
        g_cond_wait(&driver.changed, &driver.lock);
    g_mutex_unlock(&driver.lock);
    set(&driver.held, FALSE);
    g_assert_cmpuint(GPOINTER_TO_UINT(g_thread_join(thread)), ==, 0);
    g_assert_cmpuint(driver.looked, ==, THREADS + 1);
    wait_idle();
    g_assert_cmpuint(jobs_end(0), ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(virInitialize(), ==, 0);
    g_thread_pool_set_max_unused_threads(-1);
    g_assert_true(jobs_init(NULL));
    g_test_add_func("/jobs/at-work", test_at_work);
    g_test_add_func("/jobs/end", test_end);
    return g_test_run();
}
