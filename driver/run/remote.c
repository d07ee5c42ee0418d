/*
 * remote.c: a call to the libvirt of another host, which may never answer
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/remote.h"

#include <glib/gi18n-lib.h>

#include "stock/error.h"

/* What the other host answers by itself when it is told of an end; the daemon has half a minute. */
#define LAST_WORDS_USEC G_USEC_PER_SEC

/** The caller's, until it leaves; under the lock but for the first three. */
typedef struct {
    RemoteFn fn;
    gpointer opaque;
    GDestroyNotify free_left;
    virErrorPtr error; /* that @fn has left */
    gboolean done;
    gboolean left; /* nobody waits any more */
} Call;

static struct {
    GMutex lock;
    GCond changed;
    gboolean released;
} remote;

static gpointer
call_thread(gpointer opaque)
{
    Call *call = opaque;
    gboolean left;

    /* With access control on, libvirt refuses a thread that nobody stands behind. */
    stock_become_system();
    call->fn(call->opaque);
    g_mutex_lock(&remote.lock);
    left = call->left;
    call->done = TRUE;
    if (!left)
        call->error = stock_error_save();
    g_cond_broadcast(&remote.changed);
    g_mutex_unlock(&remote.lock);
    if (left) {
        call->free_left(call->opaque);
        g_free(call);
    }
    return NULL;
}

/* FALSE: the thread owns it from now on. */
static gboolean
wait_done(Call *call)
{
    gint64 end = 0;

    g_mutex_lock(&remote.lock);
    while (!call->done && !remote.released)
        g_cond_wait(&remote.changed, &remote.lock);
    if (!call->done)
        end = g_get_monotonic_time() + LAST_WORDS_USEC;
    while (!call->done && g_cond_wait_until(&remote.changed, &remote.lock, end))
        continue;
    call->left = !call->done;
    g_mutex_unlock(&remote.lock);
    return !call->left;
}

gboolean
remote_call(RemoteFn fn, gpointer opaque, GDestroyNotify free_left)
{
    Call *call = g_new0(Call, 1);
    GThread *thread;

    call->fn = fn;
    call->opaque = opaque;
    call->free_left = free_left;
    thread = g_thread_try_new("holdfast-remote", call_thread, call, NULL);
    if (!thread) {
        /* A host without a thread to spare is slow to stop. */
        g_free(call);
        fn(opaque);
        return TRUE;
    }
    if (wait_done(call)) {
        g_thread_join(thread);
        stock_error_restore(call->error);
        g_free(call);
        return TRUE;
    }
    g_thread_unref(thread);
    stock_error_raise(VIR_ERR_OPERATION_FAILED, "%s",
                      _("the daemon stops before the other host has answered: look at both hosts "
                        "for where the domain is"));
    return FALSE;
}

void
remote_release_all(void)
{
    g_mutex_lock(&remote.lock);
    remote.released = TRUE;
    g_cond_broadcast(&remote.changed);
    g_mutex_unlock(&remote.lock);
}
