/*
 * migration.c: a session that is being run
 *
 * How it works: an event is posted to the engine thread, which steps the session, puts the new
 * snapshot in place, wakes whoever waits, shows it on D-Bus and carries the effects out
 * (execute.c). The registry's lock guards the snapshots; it is held for pointer swaps only.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/migration-priv.h"

#include <string.h>

#include "run/connection.h"
#include "run/execute.h"
#include "run/host.h"
#include "run/restore.h"
#include "util/uuid.h"

MigrationRegistry registry;

typedef struct {
    Migration *migration;
    EventType type;
    guint number;
    char *text;
    gboolean *done; /* under the registry's lock; NULL: nobody waits */
} Post;

Migration *
migration_new(MigrationRole role,
              const char *id,
              const unsigned char *uuid,
              const char *name,
              const Policy *policy,
              unsigned int flags)
{
    Migration *migration = g_new0(Migration, 1);
    g_autofree char *uuid_text = uuid_format(uuid);

    g_atomic_ref_count_init(&migration->refs);
    secret_make(&migration->secret);
    migration->role = role;
    migration->id = id ? g_strdup(id) : g_uuid_string_random();
    migration->name = g_strdup(name);
    migration->peer = g_strdup("");
    memcpy(migration->uuid, uuid, VIR_UUID_BUFLEN);
    migration->flags = flags;
    migration->domain_id = -1;
    migration->policy = policy_ref(policy);
    migration->channel.role = role;
    migration->paths = g_ptr_array_new_with_free_func(migration_path_free);
    migration->waits = g_array_new(FALSE, FALSE, sizeof(MigrationWait));
    migration->verdicts = g_ptr_array_new_with_free_func((GDestroyNotify)verdict_unref);
    migration->session = session_new(role, migration->id, uuid_text, name, policy, g_random_int(),
                                     g_get_real_time());
    migration->status = session_get_status(migration->session);
    return migration;
}

Migration *
migration_restore(const JournalRecord *record, const unsigned char *uuid, const Policy *policy)
{
    Migration *migration =
        migration_new(record->role, record->id, uuid, record->name, policy, record->flags);
    SessionMemory memory;

    migration->secret = record->secret;
    session_restore(migration->session, &record->memory, g_get_real_time());
    session_add_verdicts(migration->session, record->verdicts);
    g_free(migration->peer);
    migration->peer = g_strdup(record->peer);
    migration->peer_port = record->peer_port;
    migration->channel.port = record->channel_port;
    migration->undefine = record->undefine;
    migration->kept = record->kept ? KEPT_UNJUDGED : 0;
    migration->kept_since_us = g_get_monotonic_time();
    migration_restore_images(migration, record);
    session_remember(migration->session, &memory);
    migration->finish_claimed = memory.finish_called;
    for (char **host = record->hosts; *host; host++)
        migration_put_path(migration, PATH_URI, *host, 0);
    for (char **host = record->names; *host; host++)
        migration_put_path(migration, PATH_NAME, *host, 0);
    migration->listen_host = *record->listen_host ? g_strdup(record->listen_host) : NULL;
    migration->armed_host = *record->armed_host ? g_strdup(record->armed_host) : NULL;
    migration->peer_boot = *record->peer_boot ? g_strdup(record->peer_boot) : NULL;
    session_set_peer(migration->session, migration->peer, migration_count_ways(migration));
    status_unref(migration->status);
    migration_take_snapshot(migration, session_get_status(migration->session));
    if (registry_add_restored(migration))
        return migration;
    migration_unref(migration);
    return NULL;
}

Migration *
migration_ref(Migration *migration)
{
    g_atomic_ref_count_inc(&migration->refs);
    return migration;
}

void
migration_unref(Migration *migration)
{
    if (!migration || !g_atomic_ref_count_dec(&migration->refs))
        return;
    /* What runs holds a reference, so nothing does. */
    session_free(migration->session);
    status_unref(migration->status);
    g_ptr_array_unref(migration->paths);
    g_array_unref(migration->waits);
    g_ptr_array_unref(migration->verdicts);
    g_clear_pointer(&migration->disks, g_ptr_array_unref);
    policy_unref(migration->policy);
    g_free(migration->peer);
    g_free(migration->peer_boot);
    g_free(migration->resume_host);
    g_free(migration->listen_host);
    g_free(migration->local_host);
    g_free(migration->armed_host);
    g_free(migration->arming_host);
    g_free(migration->id);
    g_free(migration->name);
    g_free(migration);
}

void
migration_step(Migration *migration, EventType type, guint number, const char *text)
{
    g_autoptr(GArray) effects = g_array_new(FALSE, FALSE, sizeof(Effect));
    Event event = {.type = type, .at_usec = g_get_real_time(), .number = number, .text = text};
    MigrationState before;
    gboolean changed;

    g_debug("migration %s: %s", migration->id, event_type_to_string(type));
    before = session_get_state(migration->session);
    changed = session_step(migration->session, &event, effects);
    if (changed && session_get_state(migration->session) == STATE_POSTCOPY_ACTIVE)
        migration_drop_override(migration);
    if (changed | migration_take_images_changed(migration))
        migration_write_journal(migration);
    if (changed) {
        migration_put_snapshot(migration, type);
        connection_follow(migration);
        if (before != STATE_COMPLETED && session_get_state(migration->session) == STATE_COMPLETED)
            migration_settle_arrival(migration);
    }
    /* What is stock libvirt's alone is looked at, and let go of in the end. */
    if (!migration->foreign)
        execute_settle(migration, before, type);
    for (guint i = 0; i < effects->len; i++) {
        const Effect *effect = &g_array_index(effects, Effect, i);

        if (!migration->foreign || effect->type == EFFECT_END)
            execute(migration, effect);
    }
}

static gboolean
post_cb(gpointer opaque)
{
    Post *post = opaque;

    migration_step(post->migration, post->type, post->number, post->text);
    if (post->done) {
        g_mutex_lock(&registry.lock);
        *post->done = TRUE;
        g_cond_broadcast(&registry.changed);
        g_mutex_unlock(&registry.lock);
    }
    migration_unref(post->migration);
    g_free(post->text);
    g_free(post);
    return G_SOURCE_REMOVE;
}

static void
post_event(Migration *migration, EventType type, guint number, const char *text, gboolean *done)
{
    Post *post = g_new0(Post, 1);

    post->migration = migration_ref(migration);
    post->type = type;
    post->number = number;
    post->text = g_strdup(text);
    post->done = done;
    host_post(post_cb, post);
}

void
migration_post(Migration *migration, EventType type, guint number, const char *text)
{
    post_event(migration, type, number, text, NULL);
}

void
migration_tell(Migration *migration, EventType type, guint number, const char *text)
{
    gboolean done = FALSE;

    post_event(migration, type, number, text, &done);
    g_mutex_lock(&registry.lock);
    while (!done)
        g_cond_wait(&registry.changed, &registry.lock);
    g_mutex_unlock(&registry.lock);
}

/* --- what is told of one --- */

const char *
migration_get_id(const Migration *migration)
{
    return migration->id;
}

const unsigned char *
migration_get_uuid(const Migration *migration)
{
    return migration->uuid;
}

gboolean
migration_is_foreign(const Migration *migration)
{
    return migration->foreign;
}

MigrationRole
migration_get_role(const Migration *migration)
{
    return migration->role;
}

const char *
migration_get_name(const Migration *migration)
{
    return migration->name;
}

const Policy *
migration_get_policy(const Migration *migration)
{
    return migration->policy;
}

Status *
migration_get_status(Migration *migration)
{
    Status *status;

    g_mutex_lock(&registry.lock);
    status = status_ref(migration->status);
    g_mutex_unlock(&registry.lock);
    return status;
}

/* --- flags and claims --- */

static gboolean
read_flag(const gboolean *flag)
{
    gboolean value;

    g_mutex_lock(&registry.lock);
    value = *flag;
    g_mutex_unlock(&registry.lock);
    return value;
}

unsigned int
migration_get_flags(const Migration *migration)
{
    unsigned int flags;

    g_mutex_lock(&registry.lock);
    flags = migration->flags;
    g_mutex_unlock(&registry.lock);
    return flags;
}

void
migration_add_flags(Migration *migration, unsigned int flags)
{
    g_mutex_lock(&registry.lock);
    migration->flags |= flags;
    g_mutex_unlock(&registry.lock);
}

void
migration_set_domain_id(Migration *migration, int id)
{
    g_mutex_lock(&registry.lock);
    migration->domain_id = id;
    g_mutex_unlock(&registry.lock);
}

int
migration_get_domain_id(Migration *migration)
{
    int id;

    g_mutex_lock(&registry.lock);
    id = migration->domain_id;
    g_mutex_unlock(&registry.lock);
    return id;
}

void
migration_set_fresh(Migration *migration, gboolean fresh)
{
    g_atomic_int_set(&migration->fresh, fresh);
}

gboolean
migration_is_fresh(Migration *migration)
{
    return g_atomic_int_get(&migration->fresh);
}

void
migration_set_wish(Migration *migration, CookiePostcopy wish)
{
    g_mutex_lock(&registry.lock);
    migration->wish = wish;
    g_mutex_unlock(&registry.lock);
}

CookiePostcopy
migration_get_wish(Migration *migration)
{
    CookiePostcopy wish;

    g_mutex_lock(&registry.lock);
    wish = migration->wish;
    g_mutex_unlock(&registry.lock);
    return wish;
}

void
migration_sync(Migration *migration)
{
    /* QEMU's setup is the one event that never means anything. */
    migration_tell(migration, EVENT_QEMU_SETUP, 0, NULL);
}

gboolean
migration_has_peer(Migration *migration)
{
    return read_flag(&migration->has_peer);
}

gboolean
migration_wants_return(Migration *migration)
{
    return read_flag(&migration->wants_return);
}

gboolean
migration_may_have_run(Migration *migration)
{
    return read_flag(&migration->may_have_run);
}

gboolean
migration_can_ask(Migration *migration)
{
    return read_flag(&migration->can_ask);
}

virConnectPtr
migration_get_connection(Migration *migration)
{
    virConnectPtr dconn;

    g_mutex_lock(&registry.lock);
    dconn = migration->dconn;
    if (dconn)
        virConnectRef(dconn);
    g_mutex_unlock(&registry.lock);
    return dconn;
}

gboolean
migration_claim_finish(Migration *migration)
{
    gboolean mine;

    g_mutex_lock(&registry.lock);
    mine = !migration->finish_claimed;
    migration->finish_claimed = TRUE;
    g_mutex_unlock(&registry.lock);
    if (mine)
        migration_tell(migration, EVENT_FINISH_CALLED, 0, NULL);
    return mine;
}

void
migration_release_finish(Migration *migration)
{
    g_mutex_lock(&registry.lock);
    migration->finish_claimed = FALSE;
    g_mutex_unlock(&registry.lock);
    migration_tell(migration, EVENT_FINISH_FAILED, 0, NULL);
}

gboolean
migration_may_break(Migration *migration)
{
    return read_flag(&migration->may_break);
}

gboolean
migration_holds_callers(Migration *migration)
{
    return read_flag(&migration->holds);
}

void
migration_begin_confirm(Migration *migration)
{
    g_mutex_lock(&registry.lock);
    migration->confirms++;
    g_mutex_unlock(&registry.lock);
}

void
migration_end_confirm(Migration *migration)
{
    g_mutex_lock(&registry.lock);
    migration->confirms--;
    g_mutex_unlock(&registry.lock);
}

void
migration_set_undefine(Migration *migration, gboolean undefine)
{
    g_mutex_lock(&registry.lock);
    migration->undefine = undefine;
    g_mutex_unlock(&registry.lock);
}

gboolean
migration_is_to_undefine(Migration *migration)
{
    return read_flag(&migration->undefine);
}

gboolean
migration_take_undefine(Migration *migration)
{
    gboolean undefine;

    g_mutex_lock(&registry.lock);
    undefine = migration->undefine && !migration->undefine_taken;
    migration->undefine_taken = TRUE;
    g_mutex_unlock(&registry.lock);
    return undefine;
}

gboolean
migration_claim_carry(Migration *migration)
{
    gboolean claimed;

    g_mutex_lock(&registry.lock);
    claimed = !migration->carried;
    migration->carried = TRUE;
    g_mutex_unlock(&registry.lock);
    return claimed;
}

gboolean
migration_is_confirmed(Migration *migration)
{
    gboolean confirmed;

    g_mutex_lock(&registry.lock);
    confirmed = migration->confirms > 0;
    g_mutex_unlock(&registry.lock);
    return confirmed;
}
