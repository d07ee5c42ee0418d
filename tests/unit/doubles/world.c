/*
 * world.c: a host for migrations without libvirt's daemon and without QEMU
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "world.h"

#include "later.h"
#include "outgoing.h"
#include "run/host.h"
#include "run/listeners.h"
#include "run/finish.h"
#include "run/migration-priv.h"
#include "stock/domain.h"
#include "stock/error.h"
#include "stock/hooks.h"
#include "stock/qmp.h"
#include "stock/symbols.h"
#include "stock/table.h"

#define DOMAINS    4
#define DEADLINE_S 60

static struct {
    GMainContext *context;
    GMainLoop *loop;
    GThread *engine;
    GThreadPool *pool;
    virConnectPtr connection;
    unsigned char uuids[DOMAINS][VIR_UUID_BUFLEN];
    HooksResumeFn resume_listener;
    HooksMigrationFn listener;
    gpointer listener_data;
    HooksContinueFn continue_listener;
    StockFn_domainMigratePrepare3Params prepare;
    gpointer continue_data;

    GMutex lock;
    GCond changed;
    gboolean stopped; /* nobody is running; under the lock, as all that follows */
    gboolean disconnected;
    guint16 recover_port;
    const char *journal;
    guint busy; /* posts and jobs that are not done */
    WorldQmpFn qemu;
    guint commands;
    guint finishes;
    guint settled;
    GPtrArray *shown;
    virErrorNumber raised;
    char *raised_text;
} world;

/* --- in place of host.c --- */

typedef struct {
    GSourceFunc post;
    GFunc job;
    gpointer opaque;
} Work;

static void
begin_work(void)
{
    g_mutex_lock(&world.lock);
    world.busy++;
    g_mutex_unlock(&world.lock);
}

/* What was written before the work was handed over is seen by whoever does it: GLib's queues see to
 * that, but ThreadSanitizer does not see them. */
static void
take_over(void)
{
    g_mutex_lock(&world.lock);
    g_mutex_unlock(&world.lock);
}

static void
end_work(Work *work)
{
    g_free(work);
    g_mutex_lock(&world.lock);
    world.busy--;
    g_cond_broadcast(&world.changed);
    g_mutex_unlock(&world.lock);
}

static gboolean
post_cb(gpointer opaque)
{
    Work *work = opaque;

    take_over();
    g_assert_false(work->post(work->opaque));
    end_work(work);
    return G_SOURCE_REMOVE;
}

void
host_post(GSourceFunc fn, gpointer opaque)
{
    g_autoptr(GSource) source = g_idle_source_new();
    Work *work = g_new0(Work, 1);

    work->post = fn;
    work->opaque = opaque;
    begin_work();
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, post_cb, work, NULL);
    g_source_attach(source, world.context);
}

static void
job_cb(gpointer data, gpointer unused)
{
    Work *work = data;

    take_over();
    g_assert_false(g_main_context_is_owner(world.context));
    work->job(work->opaque, NULL);
    end_work(work);
}

void
host_run(GFunc fn, gpointer opaque)
{
    Work *work = g_new0(Work, 1);

    work->job = fn;
    work->opaque = opaque;
    begin_work();
    g_thread_pool_push(world.pool, work, NULL);
}

gboolean
host_is_running(void)
{
    gboolean running;

    g_mutex_lock(&world.lock);
    running = !world.stopped;
    g_mutex_unlock(&world.lock);
    return running;
}

virConnectPtr
host_connect(void)
{
    gboolean disconnected;

    /* The engine never waits for libvirt. */
    g_assert_false(g_main_context_is_owner(world.context));
    g_mutex_lock(&world.lock);
    disconnected = world.disconnected;
    g_mutex_unlock(&world.lock);
    if (disconnected || virConnectRef(world.connection) < 0)
        return NULL;
    return world.connection;
}

Policy *
host_get_policy(void)
{
    return policy_default();
}

void
host_get_ports(guint16 *min, guint16 *max)
{
    *min = 49152;
    *max = 49215;
}

const char *
host_get_address(void)
{
    return NULL;
}

guint16
host_get_recover_port(void)
{
    guint16 port;

    g_mutex_lock(&world.lock);
    port = world.recover_port;
    g_mutex_unlock(&world.lock);
    return port;
}

static void
show(char *line)
{
    g_assert_true(g_main_context_is_owner(world.context));
    g_mutex_lock(&world.lock);
    g_ptr_array_add(world.shown, line);
    g_mutex_unlock(&world.lock);
}

static void
publish(Status *status)
{
    show(g_strdup_printf("%s %s %s", status->name, migration_role_to_string(status->role),
                         migration_state_to_string(status->state)));
}

static void
withdraw(const char *uuid, MigrationRole role)
{
    show(g_strdup_printf("withdrawn %s %s", uuid, migration_role_to_string(role)));
}

const char *
host_get_journal(void)
{
    return g_atomic_pointer_get(&world.journal);
}

void
world_set_journal(const char *directory)
{
    g_atomic_pointer_set(&world.journal, directory);
}

const HostShow *
host_get_show(void)
{
    static const HostShow shows = {.publish = publish, .withdraw = withdraw};

    return &shows;
}

/* --- in place of stock/ --- */

G_DEFINE_QUARK(holdfast - qmp - error - quark, qmp_error)

static char *
send(virDomainPtr dom, const char *command, const char *arguments, GError **error)
{
    WorldQmpFn fn;

    g_assert_false(g_main_context_is_owner(world.context));
    g_mutex_lock(&world.lock);
    world.commands++;
    fn = world.qemu;
    g_mutex_unlock(&world.lock);
    if (fn)
        return fn(virDomainGetName(dom), command, arguments, error);
    return g_strdup("{\"return\": {}}");
}

char *
qmp_execute(virDomainPtr dom, const char *json, GError **error)
{
    return send(dom, json, NULL, error);
}

char *
qmp_execute_oob(virDomainPtr dom, const char *command, const char *arguments, GError **error)
{
    return send(dom, command, arguments, error);
}

/* The first member of that name, in whatever object. */
gboolean
qmp_reply_number(const char *reply, const char *object, const char *member, guint64 *value)
{
    g_autofree char *begin = g_strdup_printf("\"%s\": ", member);
    const char *found = strstr(reply, begin);

    if (found)
        *value = g_ascii_strtoull(found + strlen(begin), NULL, 10);
    return found != NULL;
}

QmpJob *
qmp_job_begin(virDomainPtr dom, GError **error)
{
    return (QmpJob *)dom;
}

char *
qmp_job_execute(QmpJob *job, const char *json, GError **error)
{
    return send((virDomainPtr)job, json, NULL, error);
}

gboolean
qmp_job_pass_fd(QmpJob *job, const char *name, int fd, GError **error)
{
    g_autofree char *command = g_strdup_printf("getfd %s %d", name, fd);
    g_autofree char *reply = send((virDomainPtr)job, command, NULL, error);

    return reply != NULL;
}

void
qmp_job_end(QmpJob *job)
{
}

gboolean
qmp_error_is_gone(const GError *error)
{
    return g_error_matches(error, QMP_ERROR, QMP_ERROR_GONE) ||
           g_error_matches(error, QMP_ERROR, QMP_ERROR_INACTIVE);
}

/* Of answers as the tests write them: "member": "text", without anything to unquote. */
char *
qmp_reply_string(const char *reply, const char *member)
{
    g_autofree char *begin = g_strdup_printf("\"%s\": \"", member);
    const char *found = strstr(reply, begin);

    return found ? g_strndup(found + strlen(begin), strcspn(found + strlen(begin), "\"")) : NULL;
}

char *
qmp_quote(const char *text)
{
    return g_strdup_printf("\"%s\"", text);
}

void
stock_error_raise(virErrorNumber code, const char *format, ...)
{
    va_list args;

    g_mutex_lock(&world.lock);
    g_free(world.raised_text);
    va_start(args, format);
    world.raised_text = format ? g_strdup_vprintf(format, args) : NULL;
    va_end(args);
    world.raised = code;
    g_mutex_unlock(&world.lock);
}

virErrorPtr
stock_error_save(void)
{
    return virSaveLastError();
}

void
stock_error_restore(virErrorPtr saved)
{
    virResetLastError();
    virFreeError(saved);
}

gboolean
stock_become_system(void)
{
    return TRUE;
}

void
world_set_prepare(StockFn_domainMigratePrepare3Params fn)
{
    world.prepare = fn;
}

/* A test may have a table of its own. */
__attribute__((weak)) gpointer
table_stock(StockSlot slot)
{
    if (slot == SLOT_domainMigrateConfirm3Params)
        return (gpointer)outgoing_confirm;
    if (slot == SLOT_domainMigratePrepare3Params)
        return (gpointer)world.prepare;
    g_assert_cmpint(slot, ==, SLOT_domainLookupByUUID);
    return (gpointer)virDomainLookupByUUID;
}

void
hooks_set_migration_listener(HooksMigrationFn fn, gpointer opaque)
{
    world.listener = fn;
    world.listener_data = opaque;
}

void
hooks_set_resume_listener(HooksResumeFn fn)
{
    world.resume_listener = fn;
}

void
hooks_set_continue_listener(HooksContinueFn fn, gpointer opaque)
{
    world.continue_listener = fn;
    world.continue_data = opaque;
}

/* The one that asks is QEMU's monitor here. */
char *
hooks_ask(gpointer monitor, const char *json, GError **error)
{
    return send(monitor, json, NULL, error);
}

gboolean
world_migrate_continue(guint domain)
{
    virDomainPtr dom = virDomainLookupByUUID(world.connection, world_domain(domain));
    gboolean goes_on = world.continue_listener(world_domain(domain), dom, world.continue_data);

    virDomainFree(dom);
    return goes_on;
}

void
world_resume_event(guint domain)
{
    world.resume_listener(world_domain(domain));
}

void
world_migration_event(guint domain, const char *status)
{
    world.listener(world_domain(domain), status, world.listener_data);
}

/* --- in place of finish.c, but in its own test --- */

__attribute__((weak)) void
finish_ourselves(Migration *migration)
{
    g_assert_false(g_main_context_is_owner(world.context));
    g_mutex_lock(&world.lock);
    world.finishes++;
    g_cond_broadcast(&world.changed);
    g_mutex_unlock(&world.lock);
}

__attribute__((weak)) void
finish_cancel(Migration *migration)
{
    g_assert_false(g_main_context_is_owner(world.context));
    if (migration_claim_finish(migration))
        migration_tell(migration, EVENT_CALL_CANCELLED, 0, "the source takes the guest back");
}

__attribute__((weak)) void
finish_look_job(gpointer migration, gpointer unused)
{
    g_assert_false(g_main_context_is_owner(world.context));
    migration_unref(migration);
}

/* --- in place of listeners.c --- */

void
listeners_settle(const Status *status)
{
    g_mutex_lock(&world.lock);
    world.settled++;
    g_mutex_unlock(&world.lock);
}

guint
world_count_settled(void)
{
    guint settled;

    g_mutex_lock(&world.lock);
    settled = world.settled;
    g_mutex_unlock(&world.lock);
    return settled;
}

/* --- the test's side --- */

static gpointer
engine_thread(gpointer unused)
{
    g_main_context_push_thread_default(world.context);
    g_main_loop_run(world.loop);
    g_main_context_pop_thread_default(world.context);
    return NULL;
}

static void
define_domain(guint n)
{
    g_autofree char *xml =
        g_strdup_printf("<domain type='test'><name>guest%u</name><memory>8192</memory>"
                        "<os><type>hvm</type></os></domain>",
                        n);
    virDomainPtr domain = virDomainCreateXML(world.connection, xml, 0);

    g_assert_nonnull(domain);
    g_assert_cmpint(virDomainGetUUID(domain, world.uuids[n]), ==, 0);
    virDomainFree(domain);
}

static void
nothing(gpointer unused)
{
}

void
world_start(void)
{
    g_assert_true(symbols_load(NULL, NULL));
    /* Shared by all tests: the test driver keeps what it made until the process ends. */
    if (!world.connection) {
        world.connection = virConnectOpen("test:///default");
        g_assert_nonnull(world.connection);
        for (guint n = 0; n < DOMAINS; n++)
            define_domain(n);
    }
    world.context = g_main_context_new();
    world.loop = g_main_loop_new(world.context, FALSE);
    world.pool = g_thread_pool_new(job_cb, NULL, 4, TRUE, NULL);
    world.shown = g_ptr_array_new_with_free_func(g_free);
    world.stopped = world.disconnected = FALSE;
    world.recover_port = 49215;
    world.commands = world.finishes = world.settled = 0;
    world.qemu = NULL;
    world.engine = g_thread_new("engine", engine_thread, NULL);
    /* A loop that does not run yet cannot be told to stop. */
    world_on_engine(nothing, NULL);
}

void
world_stop(void)
{
    world_settle();
    g_main_loop_quit(world.loop);
    g_thread_join(world.engine);
    g_thread_pool_free(world.pool, FALSE, TRUE);
    later_clear();
    g_main_loop_unref(world.loop);
    g_main_context_unref(world.context);
    g_ptr_array_unref(world.shown);
    g_clear_pointer(&world.raised_text, g_free);
}

void
world_settle(void)
{
    gint64 end = g_get_monotonic_time() + DEADLINE_S * G_USEC_PER_SEC;

    g_mutex_lock(&world.lock);
    while (world.busy > 0)
        g_assert_true(g_cond_wait_until(&world.changed, &world.lock, end));
    g_mutex_unlock(&world.lock);
}

typedef struct {
    void (*fn)(gpointer opaque);
    gpointer opaque;
    gboolean done;
} Visit;

static gboolean
visit_cb(gpointer opaque)
{
    Visit *visit = opaque;

    visit->fn(visit->opaque);
    g_mutex_lock(&world.lock);
    visit->done = TRUE;
    g_cond_broadcast(&world.changed);
    g_mutex_unlock(&world.lock);
    return G_SOURCE_REMOVE;
}

void
world_on_engine(void (*fn)(gpointer opaque), gpointer opaque)
{
    Visit visit = {.fn = fn, .opaque = opaque};
    gint64 end = g_get_monotonic_time() + DEADLINE_S * G_USEC_PER_SEC;

    host_post(visit_cb, &visit);
    g_mutex_lock(&world.lock);
    while (!visit.done)
        g_assert_true(g_cond_wait_until(&world.changed, &world.lock, end));
    g_mutex_unlock(&world.lock);
}

void
world_set_running(gboolean running)
{
    g_mutex_lock(&world.lock);
    world.stopped = !running;
    g_mutex_unlock(&world.lock);
}

void
world_set_connected(gboolean connected)
{
    g_mutex_lock(&world.lock);
    world.disconnected = !connected;
    g_mutex_unlock(&world.lock);
}

void
world_set_recover_port(guint16 port)
{
    g_mutex_lock(&world.lock);
    world.recover_port = port;
    g_mutex_unlock(&world.lock);
}

const unsigned char *
world_domain(guint n)
{
    g_assert_cmpuint(n, <, DOMAINS);
    return world.uuids[n];
}

void
world_set_qemu(WorldQmpFn fn)
{
    g_mutex_lock(&world.lock);
    world.qemu = fn;
    g_mutex_unlock(&world.lock);
}

guint
world_count_commands(void)
{
    guint commands;

    g_mutex_lock(&world.lock);
    commands = world.commands;
    g_mutex_unlock(&world.lock);
    return commands;
}

void
world_wait_finishes(guint finishes)
{
    gint64 end = g_get_monotonic_time() + DEADLINE_S * G_USEC_PER_SEC;

    g_mutex_lock(&world.lock);
    while (world.finishes < finishes)
        g_assert_true(g_cond_wait_until(&world.changed, &world.lock, end));
    g_assert_cmpuint(world.finishes, ==, finishes);
    g_mutex_unlock(&world.lock);
}

GStrv
world_get_shown(void)
{
    GStrvBuilder *lines = g_strv_builder_new();
    GStrv all;

    g_mutex_lock(&world.lock);
    for (guint i = 0; i < world.shown->len; i++)
        g_strv_builder_add(lines, world.shown->pdata[i]);
    g_mutex_unlock(&world.lock);
    all = g_strv_builder_end(lines);
    g_strv_builder_unref(lines);
    return all;
}

void
world_clear_shown(void)
{
    g_mutex_lock(&world.lock);
    g_ptr_array_set_size(world.shown, 0);
    g_mutex_unlock(&world.lock);
}

virErrorNumber
world_get_raised(const char **text)
{
    virErrorNumber raised;

    g_mutex_lock(&world.lock);
    raised = world.raised;
    *text = world.raised_text;
    g_mutex_unlock(&world.lock);
    return raised;
}

void
world_wait_state(Migration *migration, MigrationState state)
{
    gint64 end = g_get_monotonic_time() + DEADLINE_S * G_USEC_PER_SEC;
    const Status *status;

    g_mutex_lock(&registry.lock);
    while (migration->status->state != state &&
           g_cond_wait_until(&registry.changed, &registry.lock, end))
        continue;
    status = migration->status;
    for (guint i = 0; status->state != state && i < status->history->len; i++)
        g_test_message("was %s", migration_state_to_string(
                                     g_array_index(status->history, StatusStep, i).state));
    g_assert_cmpstr(migration_state_to_string(status->state), ==, migration_state_to_string(state));
    g_mutex_unlock(&registry.lock);
}

void
world_forget(const unsigned char *uuid)
{
    Migration *forgotten = NULL;

    g_mutex_lock(&registry.lock);
    for (GList *link = registry.all.head; link; link = link->next) {
        Migration *migration = link->data;

        if (memcmp(migration->uuid, uuid, VIR_UUID_BUFLEN) == 0 &&
            migration_state_is_terminal(migration->status->state)) {
            forgotten = migration;
            g_queue_delete_link(&registry.all, link);
            break;
        }
    }
    g_mutex_unlock(&registry.lock);
    if (forgotten)
        migration_retire(forgotten);
}

static gboolean
is_mine_alone(gpointer opaque)
{
    return g_atomic_ref_count_compare(&((Migration *)opaque)->refs, 1);
}

void
world_drop(Migration *migration)
{
    gint64 end = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

    migration_tell(migration, EVENT_QEMU_GONE, 0, "the test is over");
    world_forget(migration_get_uuid(migration));
    world_settle();
    while (!is_mine_alone(migration)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        world_settle();
        g_thread_yield();
    }
    migration_unref(migration);
}
