/*
 * tsan.c: GLib's locks and reference counts, told to ThreadSanitizer
 *
 * GLib's locks are futexes of its own, in a library that is not instrumented: without this, all
 * that they guard looks like a race. In builds with -Db_sanitize=thread only.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <dlfcn.h>
#include <glib.h>

void __tsan_acquire(void *address);
void __tsan_release(void *address);

static struct {
    void (*mutex_lock)(GMutex *mutex);
    void (*mutex_unlock)(GMutex *mutex);
    void (*cond_wait)(GCond *cond, GMutex *mutex);
    gboolean (*cond_wait_until)(GCond *cond, GMutex *mutex, gint64 end_time);
    gboolean (*ref_count_dec)(gatomicrefcount *count);
} real;

/* By whoever comes first, a library's constructor: there is one thread then. */
__attribute__((no_sanitize("thread"))) static void
find_real(void)
{
    if (real.ref_count_dec)
        return;
    *(void **)&real.mutex_lock = dlsym(RTLD_NEXT, "g_mutex_lock");
    *(void **)&real.mutex_unlock = dlsym(RTLD_NEXT, "g_mutex_unlock");
    *(void **)&real.cond_wait = dlsym(RTLD_NEXT, "g_cond_wait");
    *(void **)&real.cond_wait_until = dlsym(RTLD_NEXT, "g_cond_wait_until");
    *(void **)&real.ref_count_dec = dlsym(RTLD_NEXT, "g_atomic_ref_count_dec");
}

__attribute__((visibility("default"))) void
g_mutex_lock(GMutex *mutex)
{
    find_real();
    real.mutex_lock(mutex);
    __tsan_acquire(mutex);
}

__attribute__((visibility("default"))) void
g_mutex_unlock(GMutex *mutex)
{
    find_real();
    __tsan_release(mutex);
    real.mutex_unlock(mutex);
}

__attribute__((visibility("default"))) void
g_cond_wait(GCond *cond, GMutex *mutex)
{
    find_real();
    __tsan_release(mutex);
    real.cond_wait(cond, mutex);
    __tsan_acquire(mutex);
}

__attribute__((visibility("default"))) gboolean
g_cond_wait_until(GCond *cond, GMutex *mutex, gint64 end_time)
{
    gboolean signalled;

    find_real();
    __tsan_release(mutex);
    signalled = real.cond_wait_until(cond, mutex, end_time);
    __tsan_acquire(mutex);
    return signalled;
}

/* Whoever drops the last reference sees what the others did before they dropped theirs. */
__attribute__((visibility("default"))) gboolean(g_atomic_ref_count_dec)(gatomicrefcount *count)
{
    gboolean last;

    find_real();
    __tsan_release((void *)count);
    last = real.ref_count_dec(count);
    if (last)
        __tsan_acquire((void *)count);
    return last;
}
