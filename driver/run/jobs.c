/*
 * jobs.c: work that may block, on threads of its own, and its end
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/jobs.h"

#include <libvirt/virterror.h>

#include "stock/error.h"

/* Commands to QEMU take about a millisecond; the threads are for those that do not. A QEMU that
 * answers nobody holds two of them at most (run/command.h) until libvirt gives the job up; a switch
 * that fails may leave dozens of such. Threads that are not needed are not there. */
#define THREADS_MAX 64

typedef struct {
    GFunc fn;
    gpointer opaque;
} Job;

static struct {
    GThreadPool *pool;
    GMutex lock;
    GCond changed;
    guint at_work; /* under the lock, as all that follows */
    gboolean over;
    GQueue left; /* of Job, that came too late: theirs is not ours to free */
} jobs;

static gboolean
begin(Job *job)
{
    gboolean over;

    g_mutex_lock(&jobs.lock);
    over = jobs.over;
    if (over)
        g_queue_push_tail(&jobs.left, job);
    else
        jobs.at_work++;
    g_mutex_unlock(&jobs.lock);
    return !over;
}

static void
end(Job *job)
{
    g_free(job);
    g_mutex_lock(&jobs.lock);
    jobs.at_work--;
    g_cond_broadcast(&jobs.changed);
    g_mutex_unlock(&jobs.lock);
}

static void
job_cb(gpointer data, gpointer unused)
{
    static GPrivate is_system;
    Job *job = data;

    if (!begin(job))
        return;
    /* With access control on, libvirt refuses a thread that nobody stands behind. */
    if (!g_private_get(&is_system)) {
        stock_become_system();
        g_private_set(&is_system, GINT_TO_POINTER(1));
    }
    job->fn(job->opaque, NULL);
    virResetLastError();
    end(job);
}

static gpointer
long_job(gpointer data)
{
    job_cb(data, NULL);
    return NULL;
}

static Job *
job_new(GFunc fn, gpointer opaque)
{
    Job *job = g_new(Job, 1);

    *job = (Job){fn, opaque};
    return job;
}

gboolean
jobs_init(GError **error)
{
    jobs.pool = g_thread_pool_new(job_cb, NULL, THREADS_MAX, FALSE, error);
    return jobs.pool != NULL;
}

void
jobs_run(GFunc fn, gpointer opaque)
{
    /* An error means that no further thread could be made; the job is queued all the same. */
    g_thread_pool_push(jobs.pool, job_new(fn, opaque), NULL);
}

gboolean
jobs_run_long(GFunc fn, gpointer opaque, GError **error)
{
    g_autofree Job *job = job_new(fn, opaque);
    GThread *thread = g_thread_try_new("holdfast-job", long_job, job, error);

    if (!thread)
        return FALSE;
    g_steal_pointer(&job);
    g_thread_unref(thread);
    return TRUE;
}

guint
jobs_end(guint timeout_ms)
{
    gint64 until = g_get_monotonic_time() + (gint64)timeout_ms * G_TIME_SPAN_MILLISECOND;
    guint at_work;

    g_mutex_lock(&jobs.lock);
    jobs.over = TRUE;
    while (jobs.at_work > 0 && g_cond_wait_until(&jobs.changed, &jobs.lock, until))
        continue;
    at_work = jobs.at_work;
    g_mutex_unlock(&jobs.lock);
    return at_work;
}

gboolean
jobs_are_over(void)
{
    gboolean over;

    g_mutex_lock(&jobs.lock);
    over = jobs.over;
    g_mutex_unlock(&jobs.lock);
    return over;
}
