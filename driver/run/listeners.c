/*
 * listeners.c: the clients' listeners for lifecycle events, who see what a client is to see
 *
 * How it works. Each listener is registered with the stock driver as one of ours, so that whom an
 * event is for, and when a listener is gone, stays the stock driver's business; each keeps what is
 * held back from it, by domain, with the domain object that it is to be told with.
 *
 * libvirt sends the event when it has handled QEMU's, which the engine was told before (see
 * stock/hooks.h) but may not have looked at yet; and the event loop may not wait for it. So a
 * failure is always held at first, and the engine thread asked, behind all it was told before. It
 * answers, then or when it stops to bring the migration on, with listeners_settle(), which has the
 * event loop tell what was held. If the answer is late and the failure over by then, it is not told
 * at all. What is held is changed by the event loop's thread, and by the end of a listener.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/listeners.h"

#include "run/host.h"
#include "run/migration.h"
#include "run/takeback.h"
#include "stock/table.h"

/** An event that a listener has not been told. */
typedef struct {
    virDomainPtr domain;
    int event;
    int detail;
} Held;

typedef struct {
    gatomicrefcount refs; /* the stock driver's, and while it is told something late */
    virConnectDomainEventCallback fn;
    gpointer opaque;
    virFreeCallback free_opaque;
    GHashTable *held; /* by UUID in text; under the lock */
} Listener;

static struct {
    GMutex lock;
    GPtrArray *listeners; /* that are registered; under the lock */
} all;

static void
held_free(gpointer opaque)
{
    Held *held = opaque;

    if (!held)
        return;
    virDomainFree(held->domain);
    g_free(held);
}

static Held *
held_new(virDomainPtr domain, int event, int detail)
{
    Held *held = g_new0(Held, 1);

    virDomainRef(domain);
    held->domain = domain;
    held->event = event;
    held->detail = detail;
    return held;
}

static void
listener_unref(gpointer opaque)
{
    Listener *listener = opaque;

    if (!g_atomic_ref_count_dec(&listener->refs))
        return;
    g_hash_table_unref(listener->held);
    if (listener->free_opaque)
        listener->free_opaque(listener->opaque);
    g_free(listener);
}

/* A held event has a reference to the connection by its domain, and the connection one to it by the
 * stock driver's list until a moment after listener_gone(): neither outlives the other for long. */
static Listener *
listener_new(virConnectDomainEventGenericCallback fn, gpointer opaque, virFreeCallback free_opaque)
{
    Listener *listener = g_new0(Listener, 1);

    g_atomic_ref_count_init(&listener->refs);
    listener->fn = (virConnectDomainEventCallback)(void (*)(void))fn;
    listener->opaque = opaque;
    listener->free_opaque = free_opaque;
    listener->held = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, held_free);

    g_mutex_lock(&all.lock);
    if (!all.listeners)
        all.listeners = g_ptr_array_new();
    g_ptr_array_add(all.listeners, listener);
    g_mutex_unlock(&all.lock);
    return listener;
}

/* The stock driver's last word on a listener; any thread, with the list of listeners locked. */
static void
listener_gone(gpointer opaque)
{
    g_mutex_lock(&all.lock);
    g_ptr_array_remove_fast(all.listeners, opaque);
    g_mutex_unlock(&all.lock);
    listener_unref(opaque);
}

/* What is held of a domain, or NULL; the caller's. */
static Held *
take_held(Listener *listener, const char *uuid)
{
    gpointer key = NULL, held = NULL;

    g_mutex_lock(&all.lock);
    g_hash_table_steal_extended(listener->held, uuid, &key, &held);
    g_mutex_unlock(&all.lock);
    g_free(key);
    return held;
}

/* Where nothing is held. */
static void
keep_held(Listener *listener, const char *uuid, Held *held)
{
    g_mutex_lock(&all.lock);
    g_hash_table_insert(listener->held, g_strdup(uuid), held);
    g_mutex_unlock(&all.lock);
}

static void
tell(const Listener *listener, const Held *held)
{
    listener->fn(virDomainGetConnect(held->domain), held->domain, held->event, held->detail,
                 listener->opaque);
}

/* --- what becomes of an event --- */

static gboolean
is_failure(int event, int detail)
{
    return (event == VIR_DOMAIN_EVENT_SUSPENDED &&
            detail == VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY_FAILED) ||
           (event == VIR_DOMAIN_EVENT_RESUMED &&
            detail == VIR_DOMAIN_EVENT_RESUMED_POSTCOPY_FAILED);
}

/* qemuProcessHandleMigrationStatus (libvirt 11.3.0, src/qemu/qemu_process.c): with these, which
 * also tell of the switch to postcopy, a failure is taken back when QEMU begins to recover. */
static gboolean
is_correction(int event, int detail)
{
    return (event == VIR_DOMAIN_EVENT_SUSPENDED && detail == VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY) ||
           (event == VIR_DOMAIN_EVENT_RESUMED && detail == VIR_DOMAIN_EVENT_RESUMED_POSTCOPY);
}

static gboolean
is_success(int event, int detail)
{
    return (event == VIR_DOMAIN_EVENT_STOPPED && detail == VIR_DOMAIN_EVENT_STOPPED_MIGRATED) ||
           (event == VIR_DOMAIN_EVENT_RESUMED && detail == VIR_DOMAIN_EVENT_RESUMED_MIGRATED);
}

ListenersDecision
listeners_decide(int event, int detail, gboolean migrating, gboolean held)
{
    if (is_failure(event, detail) && migrating)
        return LISTENERS_HOLD;
    if (!held)
        return LISTENERS_PASS;
    if (is_correction(event, detail))
        return LISTENERS_DROP;
    if (is_success(event, detail))
        return LISTENERS_FORGET;
    if (is_failure(event, detail) || event == VIR_DOMAIN_EVENT_STOPPED)
        return LISTENERS_TELL_FIRST;
    return LISTENERS_PASS;
}

static Migration *
find_migration_under_way(virDomainPtr domain)
{
    unsigned char uuid[VIR_UUID_BUFLEN];
    g_autoptr(Migration) migration = NULL;
    g_autoptr(Status) status = NULL;

    if (virDomainGetUUID(domain, uuid) < 0)
        return NULL;
    migration = migration_find(uuid);
    if (!migration || migration_is_foreign(migration))
        return NULL;
    status = migration_get_status(migration);
    return migration_state_is_terminal(status->state) && !takeback_is_under_way(migration)
               ? NULL
               : g_steal_pointer(&migration);
}

/* The engine has taken in what it was told before the event came. */
static gboolean
ask_cb(gpointer opaque)
{
    g_autoptr(Migration) migration = opaque;
    g_autoptr(Status) status = migration_get_status(migration);

    if (!migration_holds_callers(migration))
        listeners_settle(status);
    return G_SOURCE_REMOVE;
}

static int
on_lifecycle(virConnectPtr conn, virDomainPtr domain, int event, int detail, void *opaque)
{
    Listener *listener = opaque;
    g_autoptr(Migration) migration =
        is_failure(event, detail) ? find_migration_under_way(domain) : NULL;
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    Held *held;

    virDomainGetUUIDString(domain, uuid);
    held = take_held(listener, uuid);
    switch (listeners_decide(event, detail, migration != NULL, held != NULL)) {
    case LISTENERS_HOLD:
        held_free(held);
        keep_held(listener, uuid, held_new(domain, event, detail));
        host_post(ask_cb, migration_ref(migration));
        return 0;
    case LISTENERS_DROP:
        held_free(held);
        return 0;
    case LISTENERS_FORGET:
        held_free(held);
        break;
    case LISTENERS_TELL_FIRST:
        tell(listener, held);
        held_free(held);
        break;
    case LISTENERS_PASS:
        if (held)
            keep_held(listener, uuid, held);
        break;
    }
    listener->fn(conn, domain, event, detail, listener->opaque);
    return 0;
}

int
listeners_register(virConnectPtr conn,
                   virDomainPtr dom,
                   int event,
                   virConnectDomainEventGenericCallback fn,
                   void *opaque,
                   virFreeCallback free_opaque)
{
    Listener *listener;
    int id;

    if (event != VIR_DOMAIN_EVENT_ID_LIFECYCLE)
        return TABLE_STOCK(connectDomainEventRegisterAny)(conn, dom, event, fn, opaque,
                                                          free_opaque);
    listener = listener_new(fn, opaque, free_opaque);
    id = TABLE_STOCK(connectDomainEventRegisterAny)(
        conn, dom, event, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), listener, listener_gone);
    if (id < 0) {
        /* What was not taken stays the caller's. */
        listener->free_opaque = NULL;
        listener_gone(listener);
    }
    return id;
}

/* --- the engine's answer --- */

typedef struct {
    char *uuid;
    gboolean is_to_be_told;
} Answer;

static void
answer_free(gpointer opaque)
{
    g_free(((Answer *)opaque)->uuid);
    g_free(opaque);
}

static gpointer
copy_listener(gconstpointer opaque, gpointer unused)
{
    Listener *listener = (Listener *)opaque;

    g_atomic_ref_count_inc(&listener->refs);
    return listener;
}

static GPtrArray *
get_listeners(void)
{
    GPtrArray *listeners;

    g_mutex_lock(&all.lock);
    listeners =
        all.listeners ? g_ptr_array_copy(all.listeners, copy_listener, NULL) : g_ptr_array_new();
    g_mutex_unlock(&all.lock);
    g_ptr_array_set_free_func(listeners, listener_unref);
    return listeners;
}

static gboolean
has_listeners(void)
{
    gboolean has;

    g_mutex_lock(&all.lock);
    has = all.listeners && all.listeners->len > 0;
    g_mutex_unlock(&all.lock);
    return has;
}

/* On the event loop's thread. */
static void
answer_cb(int timer, void *opaque)
{
    const Answer *answer = opaque;
    g_autoptr(GPtrArray) listeners = get_listeners();

    virEventRemoveTimeout(timer);
    for (guint i = 0; i < listeners->len; i++) {
        Listener *listener = listeners->pdata[i];
        Held *held = take_held(listener, answer->uuid);

        if (held && answer->is_to_be_told)
            tell(listener, held);
        held_free(held);
    }
}

void
listeners_settle(const Status *status)
{
    Answer *answer;

    if (!has_listeners())
        return;
    answer = g_new0(Answer, 1);
    answer->uuid = g_strdup(status->uuid);
    answer->is_to_be_told = status->state != STATE_COMPLETED;
    /* Takes no more than the event loop's own short lock. */
    if (virEventAddTimeout(0, answer_cb, answer, answer_free) < 0) {
        g_warning("libvirt's event loop takes nothing: events held back are not told");
        answer_free(answer);
    }
}
