/*
 * journal.c: migrations on disk, for a daemon that is restarted
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/journal.h"

#include <errno.h>
#include <string.h>

#include <glib/gstdio.h>

#include "util/uuid.h"

#define VERSION        1
#define GROUP          "migration"
#define SUFFIX         ".journal"
#define SUFFIX_BAD     ".bad"
#define SUFFIX_ARRIVED ".arrived"
#define PORT_FILE      "port"
#define ARRIVALS_MAX   16
/* A policy has 64 KiB at most (model/policy.h); a bitmap's name has 1 KiB at most, and what was
 * decided of 256 of them (engine/session.h) stays below 1 MiB with every character escaped. */
#define FILE_MAX_BYTES (1536 * 1024)
/* One group for each verdict, from 0 on: an older build passes over them. */
#define VERDICT_GROUP "verdict-%u"

G_DEFINE_QUARK(holdfast - journal - error - quark, journal_error)

void
journal_record_clear(JournalRecord *record)
{
    g_free(record->id);
    g_free(record->uuid);
    g_free(record->name);
    g_free(record->peer);
    g_strfreev(record->names);
    g_strfreev(record->hosts);
    g_free(record->listen_host);
    g_free(record->armed_host);
    g_free(record->peer_boot);
    g_free(record->policy);
    g_clear_pointer(&record->verdicts, g_ptr_array_unref);
    memset(record, 0, sizeof(*record));
}

/* Every number of a record: where it is, and how much may be in it. A key that is not of the first
 * version of the format is missing in the journal of an older build, which an upgrade of a running
 * host leaves to us: then the number is 0. */
typedef enum { NUMBER_BOOL, NUMBER_U16, NUMBER_UINT, NUMBER_U64, NUMBER_I64 } NumberType;

/* clang-format off */
static const struct {
    const char *key;
    NumberType type;
    gsize offset;
    gboolean later;
} numbers[] = {
    { "peer-port",        NUMBER_U16,  G_STRUCT_OFFSET(JournalRecord, peer_port) },
    { "channel-port",     NUMBER_U16,  G_STRUCT_OFFSET(JournalRecord, channel_port) },
    { "flags",            NUMBER_UINT, G_STRUCT_OFFSET(JournalRecord, flags) },
    { "undefine",         NUMBER_BOOL, G_STRUCT_OFFSET(JournalRecord, undefine) },
    { "kept",             NUMBER_BOOL, G_STRUCT_OFFSET(JournalRecord, kept), TRUE },
    { "given-up",         NUMBER_BOOL, G_STRUCT_OFFSET(JournalRecord, given_up), TRUE },
    { "guarded",          NUMBER_BOOL, G_STRUCT_OFFSET(JournalRecord, guarded), TRUE },
    { "wanted",           NUMBER_BOOL, G_STRUCT_OFFSET(JournalRecord, memory.wanted) },
    { "gave-up",          NUMBER_BOOL, G_STRUCT_OFFSET(JournalRecord, memory.gave_up) },
    { "finish-called",    NUMBER_BOOL, G_STRUCT_OFFSET(JournalRecord, memory.finish_called) },
    { "running",          NUMBER_BOOL, G_STRUCT_OFFSET(JournalRecord, memory.running), TRUE },
    { "started",          NUMBER_BOOL, G_STRUCT_OFFSET(JournalRecord, memory.started), TRUE },
    { "may-have-run",     NUMBER_BOOL, G_STRUCT_OFFSET(JournalRecord, memory.may_have_run), TRUE },
    { "taken-back",       NUMBER_BOOL, G_STRUCT_OFFSET(JournalRecord, memory.taken_back), TRUE },
    { "untold",           NUMBER_BOOL, G_STRUCT_OFFSET(JournalRecord, memory.untold), TRUE },
    { "unsettled",        NUMBER_BOOL, G_STRUCT_OFFSET(JournalRecord, memory.unsettled), TRUE },
    { "ending",           NUMBER_BOOL, G_STRUCT_OFFSET(JournalRecord, memory.ending), TRUE },
    { "to-stop",          NUMBER_BOOL, G_STRUCT_OFFSET(JournalRecord, memory.to_stop), TRUE },
    { "armed-port",       NUMBER_UINT, G_STRUCT_OFFSET(JournalRecord, memory.armed_port), TRUE },
    { "pauses",           NUMBER_UINT, G_STRUCT_OFFSET(JournalRecord, memory.pauses) },
    { "recoveries",       NUMBER_UINT, G_STRUCT_OFFSET(JournalRecord, memory.recoveries) },
    { "attempts",         NUMBER_UINT, G_STRUCT_OFFSET(JournalRecord, memory.attempts) },
    { "started-at-usec",  NUMBER_I64,  G_STRUCT_OFFSET(JournalRecord, memory.started_at_usec) },
    { "paused-at-usec",   NUMBER_I64,  G_STRUCT_OFFSET(JournalRecord, memory.paused_at_usec) },
    { "paused-usec",      NUMBER_U64,  G_STRUCT_OFFSET(JournalRecord, memory.paused_usec) },
    { "last-outage-usec", NUMBER_U64,  G_STRUCT_OFFSET(JournalRecord, memory.last_outage_usec) },
};
/* clang-format on */

static guint64
get_number(const JournalRecord *record, NumberType type, gsize offset)
{
    switch (type) {
    case NUMBER_BOOL:
        return G_STRUCT_MEMBER(gboolean, record, offset) != 0;
    case NUMBER_U16:
        return G_STRUCT_MEMBER(guint16, record, offset);
    case NUMBER_UINT:
        return G_STRUCT_MEMBER(guint, record, offset);
    case NUMBER_U64:
        return G_STRUCT_MEMBER(guint64, record, offset);
    case NUMBER_I64:
        return (guint64)G_STRUCT_MEMBER(gint64, record, offset);
    }
    return 0;
}

static gboolean
set_number(JournalRecord *record, NumberType type, gsize offset, guint64 value)
{
    static const guint64 max[] = {
        [NUMBER_BOOL] = 1,         [NUMBER_U16] = G_MAXUINT16, [NUMBER_UINT] = G_MAXUINT,
        [NUMBER_U64] = G_MAXINT64, [NUMBER_I64] = G_MAXINT64,
    };

    if (value > max[type])
        return FALSE;
    switch (type) {
    case NUMBER_BOOL:
        G_STRUCT_MEMBER(gboolean, record, offset) = (gboolean)value;
        break;
    case NUMBER_U16:
        G_STRUCT_MEMBER(guint16, record, offset) = (guint16)value;
        break;
    case NUMBER_UINT:
        G_STRUCT_MEMBER(guint, record, offset) = (guint)value;
        break;
    case NUMBER_U64:
        G_STRUCT_MEMBER(guint64, record, offset) = value;
        break;
    case NUMBER_I64:
        G_STRUCT_MEMBER(gint64, record, offset) = (gint64)value;
        break;
    }
    return TRUE;
}

static void
format_verdicts(const GPtrArray *verdicts, GKeyFile *file)
{
    for (guint i = 0; verdicts && i < verdicts->len; i++) {
        const Verdict *verdict = verdicts->pdata[i];
        g_autofree char *group = g_strdup_printf(VERDICT_GROUP, i);

        g_key_file_set_string(file, group, "kind", verdict_kind_to_string(verdict->kind));
        g_key_file_set_string(file, group, "disk", verdict->disk);
        g_key_file_set_string(file, group, "name", verdict->name);
        g_key_file_set_string(file, group, "decision", verdict->decision);
        g_key_file_set_string(file, group, "reason", verdict->reason);
        g_key_file_set_int64(file, group, "at-usec", verdict->at_usec);
    }
}

/* NULL for one that does not hold. */
static Verdict *
parse_verdict(GKeyFile *file, const char *group)
{
    g_autofree char *word = g_key_file_get_string(file, group, "kind", NULL);
    g_autofree char *disk = g_key_file_get_string(file, group, "disk", NULL);
    g_autofree char *name = g_key_file_get_string(file, group, "name", NULL);
    g_autofree char *decision = g_key_file_get_string(file, group, "decision", NULL);
    g_autofree char *reason = g_key_file_get_string(file, group, "reason", NULL);
    gint64 at_usec = g_key_file_get_int64(file, group, "at-usec", NULL);
    VerdictKind kind;

    if (!word || !verdict_kind_from_string(word, &kind) || !disk || !name || !decision || !reason)
        return NULL;
    return verdict_new(kind, disk, name, decision, reason, at_usec);
}

/* They are there to be shown, and nothing hangs on one that is damaged. */
static GPtrArray *
parse_verdicts(GKeyFile *file)
{
    GPtrArray *verdicts = g_ptr_array_new_with_free_func((GDestroyNotify)verdict_unref);

    for (guint i = 0; i < SESSION_VERDICTS_MAX; i++) {
        g_autofree char *group = g_strdup_printf(VERDICT_GROUP, i);
        Verdict *verdict = parse_verdict(file, group);

        if (verdict)
            g_ptr_array_add(verdicts, verdict);
    }
    return verdicts;
}

char *
journal_format(const JournalRecord *record)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autofree char *secret = secret_format(&record->secret);

    g_key_file_set_integer(file, GROUP, "version", VERSION);
    g_key_file_set_integer(file, GROUP, "oldest", VERSION);
    g_key_file_set_string(file, GROUP, "id", record->id);
    g_key_file_set_string(file, GROUP, "secret", secret);
    g_key_file_set_string(file, GROUP, "uuid", record->uuid);
    g_key_file_set_string(file, GROUP, "name", record->name);
    g_key_file_set_string(file, GROUP, "role", migration_role_to_string(record->role));
    g_key_file_set_string(file, GROUP, "state", migration_state_to_string(record->memory.state));
    g_key_file_set_string(file, GROUP, "reason", pause_reason_to_string(record->memory.reason));
    g_key_file_set_string(file, GROUP, "peer", record->peer);
    g_key_file_set_string(file, GROUP, "listen-host", record->listen_host);
    g_key_file_set_string(file, GROUP, "armed-host", record->armed_host);
    g_key_file_set_string(file, GROUP, "peer-boot", record->peer_boot);
    g_key_file_set_string_list(file, GROUP, "hosts", (const char *const *)record->hosts,
                               g_strv_length(record->hosts));
    g_key_file_set_string_list(file, GROUP, "names", (const char *const *)record->names,
                               g_strv_length(record->names));
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++)
        g_key_file_set_uint64(file, GROUP, numbers[i].key,
                              get_number(record, numbers[i].type, numbers[i].offset));
    g_key_file_set_string(file, GROUP, "policy", record->policy);
    format_verdicts(record->verdicts, file);
    return g_key_file_to_data(file, NULL, NULL);
}

static gboolean
is_missing(GKeyFile *file, const char *key)
{
    return !g_key_file_has_key(file, GROUP, key, NULL);
}

/* What is not of the first version of the format: a text is "", a list has nothing in it. */
static char *
get_later_text(GKeyFile *file, const char *key, GError **error)
{
    return is_missing(file, key) ? g_strdup("") : g_key_file_get_string(file, GROUP, key, error);
}

static char **
get_later_list(GKeyFile *file, const char *key, GError **error)
{
    return is_missing(file, key) ? g_new0(char *, 1)
                                 : g_key_file_get_string_list(file, GROUP, key, NULL, error);
}

/* Without one nobody can ask about the migration. */
static gboolean
parse_secret(GKeyFile *file, Secret *secret)
{
    g_autofree char *text = g_key_file_get_string(file, GROUP, "secret", NULL);

    return is_missing(file, "secret") || (text && secret_parse(text, secret));
}

static gboolean
parse_words(GKeyFile *file, JournalRecord *record, GError **error)
{
    g_autofree char *role = g_key_file_get_string(file, GROUP, "role", error);
    g_autofree char *state = role ? g_key_file_get_string(file, GROUP, "state", error) : NULL;
    g_autofree char *reason = state ? g_key_file_get_string(file, GROUP, "reason", error) : NULL;
    guint8 bytes[UUID_BYTES];

    if (!reason || !(record->id = g_key_file_get_string(file, GROUP, "id", error)) ||
        !(record->uuid = g_key_file_get_string(file, GROUP, "uuid", error)) ||
        !(record->name = g_key_file_get_string(file, GROUP, "name", error)) ||
        !(record->peer = g_key_file_get_string(file, GROUP, "peer", error)) ||
        !(record->listen_host = get_later_text(file, "listen-host", error)) ||
        !(record->armed_host = get_later_text(file, "armed-host", error)) ||
        !(record->peer_boot = get_later_text(file, "peer-boot", error)) ||
        !(record->policy = g_key_file_get_string(file, GROUP, "policy", error)) ||
        !(record->hosts = g_key_file_get_string_list(file, GROUP, "hosts", NULL, error)) ||
        !(record->names = get_later_list(file, "names", error)))
        return FALSE;
    record->role = g_str_equal(role, "source") ? ROLE_SOURCE : ROLE_DESTINATION;
    if ((record->role == ROLE_DESTINATION && !g_str_equal(role, "destination")) ||
        !migration_state_from_string(state, &record->memory.state) ||
        !pause_reason_from_string(reason, &record->memory.reason) ||
        !uuid_parse(record->id, bytes) || !uuid_parse(record->uuid, bytes) || !*record->name ||
        !parse_secret(file, &record->secret)) {
        g_set_error_literal(error, JOURNAL_ERROR, JOURNAL_ERROR_INVALID,
                            "a role, state, reason, id, secret or name that is none");
        return FALSE;
    }
    return TRUE;
}

static gboolean
parse(GKeyFile *file, JournalRecord *record, GError **error)
{
    guint64 oldest = g_key_file_get_uint64(file, GROUP, "oldest", NULL);

    if (oldest == 0 || oldest > VERSION) {
        g_set_error(error, JOURNAL_ERROR, JOURNAL_ERROR_VERSION,
                    "written in version %" G_GUINT64_FORMAT " of the format, this one reads %d",
                    oldest, VERSION);
        return FALSE;
    }
    if (!parse_words(file, record, error))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        GError *problem = NULL;
        guint64 value = g_key_file_get_uint64(file, GROUP, numbers[i].key, &problem);

        if (problem && numbers[i].later && is_missing(file, numbers[i].key)) {
            g_clear_error(&problem);
        } else if (problem) {
            g_propagate_error(error, problem);
            return FALSE;
        }
        if (!set_number(record, numbers[i].type, numbers[i].offset, value)) {
            g_set_error(error, JOURNAL_ERROR, JOURNAL_ERROR_INVALID, "'%s' is out of its range",
                        numbers[i].key);
            return FALSE;
        }
    }
    record->verdicts = parse_verdicts(file);
    return TRUE;
}

gboolean
journal_parse(const char *text, gsize length, JournalRecord *record, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();

    memset(record, 0, sizeof(*record));
    if (g_key_file_load_from_data(file, text, length, G_KEY_FILE_NONE, error) &&
        parse(file, record, error))
        return TRUE;
    journal_record_clear(record);
    return FALSE;
}

/* --- files --- */

char *
journal_get_directory(gboolean privileged)
{
    if (privileged)
        return g_strdup("/run/libvirt/holdfast");
    return g_build_filename(g_get_user_runtime_dir(), "libvirt", "holdfast", NULL);
}

static gboolean
put(const char *directory, const char *name, const char *text)
{
    static gint reported;
    g_autofree char *path = g_build_filename(directory, name, NULL);
    g_autoptr(GError) error = NULL;

    /* Replaced as a whole; no need to reach a disk: /run is memory. */
    if (g_mkdir_with_parents(directory, 0700) == 0 &&
        g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error))
        return TRUE;
    if (g_atomic_int_compare_and_exchange(&reported, 0, 1))
        g_warning("cannot write the journal %s (%s): a restart of the daemon forgets what is known "
                  "of running migrations",
                  path, error ? error->message : g_strerror(errno));
    return FALSE;
}

void
journal_write(const char *directory, const JournalRecord *record)
{
    g_autofree char *name = g_strconcat(record->uuid, SUFFIX, NULL);
    g_autofree char *text = journal_format(record);

    put(directory, name, text);
}

void
journal_remove(const char *directory, const char *uuid)
{
    g_autofree char *name = g_strconcat(uuid, SUFFIX, NULL);
    g_autofree char *path = g_build_filename(directory, name, NULL);

    g_unlink(path);
}

static char *
read_small(const char *path, gsize *length, GError **error)
{
    GStatBuf info;
    char *text = NULL;

    if (g_lstat(path, &info) < 0 || !S_ISREG(info.st_mode) || info.st_size > FILE_MAX_BYTES) {
        g_set_error_literal(error, JOURNAL_ERROR, JOURNAL_ERROR_INVALID,
                            "not a file, or too large a one");
        return NULL;
    }
    return g_file_get_contents(path, &text, length, error) ? text : NULL;
}

static void
read_one(const char *directory, const char *name, JournalFn fn, gpointer opaque)
{
    g_autofree char *path = g_build_filename(directory, name, NULL);
    g_autofree char *bad = g_strconcat(path, SUFFIX_BAD, NULL);
    g_autoptr(GError) error = NULL;
    g_auto(JournalRecord) record = {0};
    gsize length = 0;
    g_autofree char *text = read_small(path, &length, &error);

    if (text && journal_parse(text, length, &record, &error)) {
        fn(&record, opaque);
        return;
    }
    g_warning("the journal %s cannot be read (%s): it is set aside as %s, and the migration is "
              "libvirt's alone",
              path, error->message, bad);
    g_rename(path, bad);
}

void
journal_read_all(const char *directory, JournalFn fn, gpointer opaque)
{
    g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        if (g_str_has_suffix(name, SUFFIX))
            read_one(directory, name, fn, opaque);
    }
}

gboolean
journal_has_any(const char *directory)
{
    g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        if (g_str_has_suffix(name, SUFFIX))
            return TRUE;
    }
    return FALSE;
}

/* --- what has arrived --- */

static const char *const arrival_words[] = {
    [ARRIVAL_LOST] = "lost",
    [ARRIVAL_DOUBTFUL] = "doubtful",
    [ARRIVAL_STARTED] = "started",
};

static char *
format_arrival(const Secret *secret, Arrival arrival)
{
    g_autofree char *text = secret_format(secret);

    return g_strdup_printf("%s %s", text, arrival_words[arrival]);
}

/* The lines, newest first. */
static char **
read_arrivals(const char *directory, const char *uuid)
{
    g_autofree char *name = g_strconcat(uuid, SUFFIX_ARRIVED, NULL);
    g_autofree char *path = g_build_filename(directory, name, NULL);
    gsize length = 0;
    g_autofree char *text = read_small(path, &length, NULL);

    return g_strsplit(text ? text : "", "\n", ARRIVALS_MAX + 1);
}

Arrival
journal_get_arrival(const char *directory, const char *uuid, const Secret *secret)
{
    g_auto(GStrv) lines = read_arrivals(directory, uuid);

    for (Arrival arrival = ARRIVAL_STARTED; arrival > ARRIVAL_NONE; arrival--) {
        g_autofree char *line = format_arrival(secret, arrival);

        if (g_strv_contains((const char *const *)lines, line))
            return arrival;
    }
    return ARRIVAL_NONE;
}

void
journal_note_arrival(const char *directory, const char *uuid, const Secret *secret, Arrival arrival)
{
    g_auto(GStrv) lines = NULL;
    g_autofree char *name = g_strconcat(uuid, SUFFIX_ARRIVED, NULL);
    g_autofree char *line = NULL;
    g_autoptr(GString) text = NULL;

    if (secret_is_none(secret) || journal_get_arrival(directory, uuid, secret) >= arrival)
        return;
    lines = read_arrivals(directory, uuid);
    line = format_arrival(secret, arrival);
    text = g_string_new(line);
    for (guint i = 0; lines[i] && *lines[i] && i < ARRIVALS_MAX - 1; i++)
        g_string_append_printf(text, "\n%s", lines[i]);
    g_string_append_c(text, '\n');
    put(directory, name, text->str);
}

guint16
journal_read_port(const char *directory)
{
    g_autofree char *path = g_build_filename(directory, PORT_FILE, NULL);
    gsize length = 0;
    g_autofree char *text = read_small(path, &length, NULL);
    guint64 port = 0;

    if (!text || !g_ascii_string_to_unsigned(g_strchomp(text), 10, 1, G_MAXUINT16, &port, NULL))
        return 0;
    return (guint16)port;
}

void
journal_write_port(const char *directory, guint16 port)
{
    g_autofree char *text = g_strdup_printf("%u\n", port);

    put(directory, PORT_FILE, text);
}
