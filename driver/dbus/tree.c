/*
 * tree.c: the objects on one connection to a bus
 *
 * How it works: GLib sends PropertiesChanged from an idle source, for all properties set meanwhile
 * in one message. It is flushed before the signals of the same change, so that a listener who gets
 * a signal has the properties that belong to it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dbus/tree.h"

#include "dbus/announce.h"
#include "dbus/holdfast-dbus.h"
#include "dbus/service.h"

/* Each change of state sends the whole history to every listener: enough for a dozen failed
 * recoveries, and less than a page of memory or two. */
#define HISTORY_MAX_STEPS 64

struct Tree {
    GDBusObjectManagerServer *server;
    HoldfastDBusManager *manager;
    Methods *methods;
};

/* On D-Bus a text must be UTF-8 or the connection is closed on us. */
static void
set_text(HoldfastDBusSession *session, const char *property, const char *value)
{
    g_autofree char *text = g_utf8_make_valid(value ? value : "", -1);

    g_object_set(session, property, text, NULL);
}

/* Points in time before the epoch and lengths of a clock put back count as none. */
static guint64
usec(gint64 value)
{
    return MAX(value, 0);
}

static GVariant *
history_to_variant(const GArray *history)
{
    guint first = history->len > HISTORY_MAX_STEPS ? history->len - HISTORY_MAX_STEPS : 0;
    GVariantBuilder builder;

    g_variant_builder_init(&builder, G_VARIANT_TYPE("a(ttss)"));
    for (guint i = first; i < history->len; i++) {
        const StatusStep *step = &g_array_index(history, StatusStep, i);
        gint64 lasted = i + 1 < history->len ? step[1].at_usec - step->at_usec : 0;

        g_variant_builder_add(&builder, "(ttss)", usec(step->at_usec), usec(lasted),
                              migration_state_to_string(step->state),
                              pause_reason_to_string(step->reason));
    }
    return g_variant_builder_end(&builder);
}

static void
add_valid(GVariantBuilder *entry, const char *key, const char *value)
{
    g_autofree char *text = g_utf8_make_valid(value, -1);

    g_variant_builder_add(entry, "{sv}", key, g_variant_new_string(text));
}

static GVariant *
verdicts_to_variant(const GPtrArray *verdicts)
{
    GVariantBuilder builder;

    g_variant_builder_init(&builder, G_VARIANT_TYPE("aa{sv}"));
    for (guint i = 0; i < verdicts->len; i++) {
        const Verdict *verdict = verdicts->pdata[i];
        GVariantBuilder entry;

        g_variant_builder_init(&entry, G_VARIANT_TYPE_VARDICT);
        add_valid(&entry, "kind", verdict_kind_to_string(verdict->kind));
        add_valid(&entry, "disk", verdict->disk);
        add_valid(&entry, "name", verdict->name);
        add_valid(&entry, "decision", verdict->decision);
        add_valid(&entry, "reason", verdict->reason);
        g_variant_builder_add(&entry, "{sv}", "at", g_variant_new_uint64(usec(verdict->at_usec)));
        g_variant_builder_add_value(&builder, g_variant_builder_end(&entry));
    }
    return g_variant_builder_end(&builder);
}

static void
set_properties(HoldfastDBusSession *session, const Status *status)
{
    set_text(session, "migration-id", status->id);
    set_text(session, "domain-name", status->name);
    set_text(session, "uuid", status->uuid);
    set_text(session, "peer", status->peer);
    set_text(session, "message", status->message);
    holdfast_dbus_session_set_role(session, migration_role_to_string(status->role));
    holdfast_dbus_session_set_state(session, migration_state_to_string(status->state));
    holdfast_dbus_session_set_reason(session, pause_reason_to_string(status->reason));
    holdfast_dbus_session_set_started_at(session, usec(status->started_at_usec));
    holdfast_dbus_session_set_pauses(session, status->pauses);
    holdfast_dbus_session_set_recoveries(session, status->recoveries);
    holdfast_dbus_session_set_paused_at(session, usec(status->paused_at_usec));
    holdfast_dbus_session_set_paused_usec(session, status->paused_usec);
    holdfast_dbus_session_set_last_outage_usec(session, status->last_outage_usec);
    holdfast_dbus_session_set_attempts(session, status->attempts);
    holdfast_dbus_session_set_recovers_itself(session, status->recovers_itself);
    holdfast_dbus_session_set_next_attempt_at(session, usec(status->next_attempt_at_usec));
    holdfast_dbus_session_set_history(session, history_to_variant(status->history));
    holdfast_dbus_session_set_bitmaps(session, verdicts_to_variant(status->verdicts));
}

/* What the details of every signal begin with. */
static void
details_init(GVariantDict *details, HoldfastDBusSession *session, const Announcement *announcement)
{
    g_variant_dict_init(details, NULL);
    g_variant_dict_insert(details, "migration", "s",
                          holdfast_dbus_session_get_migration_id(session));
    g_variant_dict_insert(details, "role", "s", holdfast_dbus_session_get_role(session));
    g_variant_dict_insert(details, "peer", "s", holdfast_dbus_session_get_peer(session));
    g_variant_dict_insert(details, "at", "t", usec(announcement->at_usec));
}

static void
tell_paused(Tree *tree,
            HoldfastDBusSession *session,
            const char *path,
            const Announcement *announcement)
{
    const char *reason = pause_reason_to_string(announcement->reason);
    g_autoptr(GVariant) value = NULL;
    GVariantDict details;

    details_init(&details, session, announcement);
    g_variant_dict_insert(&details, "reason", "s", reason);
    g_variant_dict_insert(&details, "pauses", "u", holdfast_dbus_session_get_pauses(session));
    g_variant_dict_insert(&details, "message", "s", holdfast_dbus_session_get_message(session));
    g_variant_dict_insert(&details, "next-attempt-at", "t",
                          holdfast_dbus_session_get_next_attempt_at(session));
    value = g_variant_ref_sink(g_variant_dict_end(&details));
    holdfast_dbus_session_emit_paused(session, reason, value);
    holdfast_dbus_manager_emit_migration_paused(tree->manager, path,
                                                holdfast_dbus_session_get_uuid(session),
                                                holdfast_dbus_session_get_domain_name(session),
                                                holdfast_dbus_session_get_role(session), value);
}

static void
tell_recovered(Tree *tree,
               HoldfastDBusSession *session,
               const char *path,
               const Announcement *announcement)
{
    g_autoptr(GVariant) value = NULL;
    GVariantDict details;

    details_init(&details, session, announcement);
    g_variant_dict_insert(&details, "outage-usec", "t", announcement->outage_usec);
    g_variant_dict_insert(&details, "attempts", "u", announcement->attempts);
    g_variant_dict_insert(&details, "recoveries", "u",
                          holdfast_dbus_session_get_recoveries(session));
    g_variant_dict_insert(&details, "paused-usec", "t",
                          holdfast_dbus_session_get_paused_usec(session));
    value = g_variant_ref_sink(g_variant_dict_end(&details));
    holdfast_dbus_session_emit_recovered(session, announcement->outage_usec, announcement->attempts,
                                         value);
    holdfast_dbus_manager_emit_migration_recovered(tree->manager, path,
                                                   holdfast_dbus_session_get_uuid(session),
                                                   holdfast_dbus_session_get_domain_name(session),
                                                   holdfast_dbus_session_get_role(session), value);
}

static void
tell_bitmaps(Tree *tree,
             HoldfastDBusSession *session,
             const char *path,
             const Announcement *announcement)
{
    g_autoptr(GVariant) value = g_variant_ref_sink(verdicts_to_variant(announcement->verdicts));

    holdfast_dbus_session_emit_bitmaps_decided(session, value);
    holdfast_dbus_manager_emit_migration_bitmaps_decided(
        tree->manager, path, holdfast_dbus_session_get_uuid(session),
        holdfast_dbus_session_get_domain_name(session), holdfast_dbus_session_get_role(session),
        value);
}

static char *
path_of(const char *uuid)
{
    g_autofree char *name = g_strdup(uuid);

    return g_strconcat(SERVICE_PATH "/domain/_",
                       g_strcanon(name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS, '_'), NULL);
}

static HoldfastDBusSession *
get_session(Tree *tree, const char *path)
{
    g_autoptr(GDBusObject) object =
        g_dbus_object_manager_get_object(G_DBUS_OBJECT_MANAGER(tree->server), path);

    return object ? holdfast_dbus_object_get_session(HOLDFAST_DBUS_OBJECT(object)) : NULL;
}

static gboolean
on_recover(HoldfastDBusSession *session,
           GDBusMethodInvocation *invocation,
           GVariant *options,
           gpointer user_data)
{
    Tree *tree = user_data;

    methods_recover(tree->methods, holdfast_dbus_session_get_uuid(session), options, invocation);
    return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
on_pause(HoldfastDBusSession *session, GDBusMethodInvocation *invocation, gpointer user_data)
{
    Tree *tree = user_data;

    methods_pause(tree->methods, holdfast_dbus_session_get_uuid(session), invocation);
    return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static void
remove_path(Tree *tree, const char *path)
{
    g_autoptr(HoldfastDBusSession) session = get_session(tree, path);

    if (!session)
        return;
    g_signal_handlers_disconnect_by_data(session, tree);
    g_dbus_object_manager_server_unexport(tree->server, path);
}

Tree *
tree_new(Methods *methods)
{
    Tree *tree = g_new0(Tree, 1);

    tree->methods = methods;
    tree->manager = holdfast_dbus_manager_skeleton_new();
    holdfast_dbus_manager_set_version(tree->manager, HOLDFAST_VERSION);
    tree->server = g_dbus_object_manager_server_new(SERVICE_PATH);
    return tree;
}

void
tree_show(Tree *tree, GDBusConnection *connection)
{
    g_autoptr(GError) error = NULL;

    if (!g_dbus_interface_skeleton_export(G_DBUS_INTERFACE_SKELETON(tree->manager), connection,
                                          SERVICE_PATH, &error))
        g_warning("D-Bus: %s is not there: %s", SERVICE_PATH, error->message);
    g_dbus_object_manager_server_set_connection(tree->server, connection);
}

void
tree_free(Tree *tree)
{
    GList *objects;

    if (!tree)
        return;
    objects = g_dbus_object_manager_get_objects(G_DBUS_OBJECT_MANAGER(tree->server));
    for (GList *item = objects; item; item = item->next)
        remove_path(tree, g_dbus_object_get_object_path(item->data));
    g_list_free_full(objects, g_object_unref);
    if (g_dbus_interface_skeleton_get_connection(G_DBUS_INTERFACE_SKELETON(tree->manager)))
        g_dbus_interface_skeleton_unexport(G_DBUS_INTERFACE_SKELETON(tree->manager));
    g_object_unref(tree->manager);
    g_object_unref(tree->server);
    g_free(tree);
}

void
tree_add(Tree *tree, const Status *status)
{
    g_autofree char *path = path_of(status->uuid);
    g_autoptr(HoldfastDBusSession) session = holdfast_dbus_session_skeleton_new();
    g_autoptr(HoldfastDBusObjectSkeleton) object = holdfast_dbus_object_skeleton_new(path);

    set_properties(session, status);
    g_signal_connect(session, "handle-recover", G_CALLBACK(on_recover), tree);
    g_signal_connect(session, "handle-pause", G_CALLBACK(on_pause), tree);
    holdfast_dbus_object_skeleton_set_session(object, session);

    remove_path(tree, path);
    g_dbus_object_manager_server_export(tree->server, G_DBUS_OBJECT_SKELETON(object));
}

void
tree_tell(Tree *tree, const Status *status, const GArray *announcements)
{
    g_autofree char *path = path_of(status->uuid);

    for (guint i = 0; i < announcements->len; i++) {
        const Announcement *announcement = &g_array_index(announcements, Announcement, i);
        g_autoptr(HoldfastDBusSession) session = get_session(tree, path);

        switch (announcement->kind) {
        case ANNOUNCE_ADDED:
            tree_add(tree, status);
            break;
        case ANNOUNCE_CHANGED:
            set_properties(session, status);
            g_dbus_interface_skeleton_flush(G_DBUS_INTERFACE_SKELETON(session));
            break;
        case ANNOUNCE_STATE_CHANGED:
            holdfast_dbus_session_emit_state_changed(session,
                                                     migration_state_to_string(announcement->from),
                                                     migration_state_to_string(announcement->to),
                                                     pause_reason_to_string(announcement->reason));
            break;
        case ANNOUNCE_PAUSED:
            tell_paused(tree, session, path, announcement);
            break;
        case ANNOUNCE_RECOVERED:
            tell_recovered(tree, session, path, announcement);
            break;
        case ANNOUNCE_BITMAPS:
            tell_bitmaps(tree, session, path, announcement);
            break;
        case ANNOUNCE_FINISHED:
            holdfast_dbus_session_emit_finished(session,
                                                migration_state_to_string(announcement->to),
                                                holdfast_dbus_session_get_message(session));
            break;
        }
    }
}

void
tree_remove(Tree *tree, const char *uuid)
{
    g_autofree char *path = path_of(uuid);

    remove_path(tree, path);
}
