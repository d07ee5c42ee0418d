/*
 * policy-conf.c: reads the host's defaults from its INI file
 *
 * Groups are the elements of the XML and keys its attributes, so the table of policy.c rules here
 * too; `paths` in [recovery] stands for the <path> elements, and some keys are the host's alone.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model/policy-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <glib/gi18n-lib.h>

typedef struct {
    const char *path;
    const char *text;
    GKeyFile *keys;
} Conf;

/** Reads to the end, but one byte more than the bound at most, so that the caller sees it passed.
 */
static gssize
read_bounded(int fd, GString *text)
{
    char buffer[4096];
    gssize n;

    while (text->len <= POLICY_HOST_FILE_MAX_BYTES) {
        n = read(fd, buffer, sizeof(buffer));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n;
        g_string_append_len(text, buffer, n);
    }
    return 0;
}

static gboolean
fail_io(const char *path, int saved_errno, GError **error)
{
    g_set_error(error, POLICY_ERROR, POLICY_ERROR_IO,
                _("%1$s cannot be read: %2$s: see to its permissions, or remove it"), path,
                g_strerror(saved_errno));
    return FALSE;
}

/** @text is NULL if there is no file. O_NONBLOCK: a FIFO in its place must not hold the daemon. */
static gboolean
load_text(const char *path, char **text, GError **error)
{
    g_autoptr(GString) content = g_string_new(NULL);
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int problem = 0;

    if (fd < 0)
        return errno == ENOENT ? TRUE : fail_io(path, errno, error);
    if (fstat(fd, &st) < 0)
        problem = errno;
    else if (!S_ISREG(st.st_mode))
        problem = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
    else if (read_bounded(fd, content) < 0)
        problem = errno;
    close(fd);
    if (problem)
        return fail_io(path, problem, error);

    if (content->len > POLICY_HOST_FILE_MAX_BYTES) {
        g_set_error(error, POLICY_ERROR, POLICY_ERROR_TOO_LARGE,
                    _("%1$s is too large: give at most %2$d bytes"), path,
                    POLICY_HOST_FILE_MAX_BYTES);
        return FALSE;
    }
    if (strlen(content->str) != content->len) {
        g_set_error(error, POLICY_ERROR, POLICY_ERROR_SYNTAX,
                    _("%1$s is not a text file: it has a byte of value 0, remove it"), path);
        return FALSE;
    }
    *text = g_string_free(g_steal_pointer(&content), FALSE);
    return TRUE;
}

/** Where the group, or the key in it, stands last (the one that GKeyFile lets win); 0 if unseen. */
static guint
find_line(const char *text, const char *group, const char *key)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autofree char *header = g_strdup_printf("[%s]", group);
    gboolean inside = FALSE;
    guint found = 0;

    for (guint i = 0; lines[i]; i++) {
        char *line = g_strstrip(lines[i]);

        if (line[0] == '[') {
            inside = g_str_equal(line, header);
            if (inside && !key)
                found = i + 1;
        } else if (inside && key && line[0] != '#' && strchr(line, '=')) {
            *strchr(line, '=') = '\0';
            if (g_str_equal(g_strchomp(line), key))
                found = i + 1;
        }
    }
    return found;
}

static char *
where_key(const Conf *conf, const char *group, const char *key)
{
    guint line = find_line(conf->text, group, key);

    return line > 0 ? g_strdup_printf(_("%1$s, line %2$u"), conf->path, line)
                    : g_strdup(conf->path);
}

static char *
show_key(const char *group, const char *key, const char *value)
{
    g_autofree char *quoted = policy_quote(value);

    return g_strdup_printf("[%s] %s = %s", group, key, quoted);
}

static gboolean
read_paths(PolicyDraft *draft, const char *value, const char *where, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(value, ";", -1);
    g_autoptr(GStrvBuilder) paths = g_strv_builder_new();
    guint n = 0;

    for (char **part = parts; *part; part++) {
        g_autofree char *what = NULL;

        if (!*g_strstrip(*part))
            continue; /* GKeyFile's lists end in a separator */
        what = show_key("recovery", "paths", *part);
        if (!policy_check_path(*part, where, what, error) ||
            !policy_check_path_count(++n, where, error))
            return FALSE;
        g_strv_builder_add(paths, *part);
    }
    policy_draft_take_paths(draft, g_strv_builder_end(paths));
    return TRUE;
}

static gboolean
read_key(const Conf *conf, PolicyDraft *draft, const char *group, const char *key, GError **error)
{
    gboolean is_recovery = g_str_equal(group, "recovery");
    const PolicyRule *rule = policy_rule_find(group, key, TRUE);
    g_autofree char *where = where_key(conf, group, key);
    g_autofree char *value = g_key_file_get_value(conf->keys, group, key, NULL);
    g_autofree char *what = show_key(group, key, value);

    if (is_recovery && g_str_equal(key, "paths"))
        return read_paths(draft, value, where, error);
    if (!rule) {
        g_autofree char *allowed = policy_list_attributes(group, TRUE);
        g_autofree char *name = policy_quote(key);

        g_set_error(error, POLICY_ERROR, POLICY_ERROR_UNKNOWN,
                    _("%1$s: the key %2$s is not known in [%3$s]: give one of %4$s%5$s"), where,
                    name, group, allowed, is_recovery ? ", paths" : "");
        return FALSE;
    }
    return policy_draft_set(draft, rule, value, where, what, error);
}

static gboolean
read_group(const Conf *conf, PolicyDraft *draft, const char *group, GError **error)
{
    g_auto(GStrv) keys = g_key_file_get_keys(conf->keys, group, NULL, NULL);
    g_autofree char *where = where_key(conf, group, NULL);

    if (!g_strv_contains(policy_elements, group)) {
        g_autofree char *allowed = g_strjoinv("], [", (char **)policy_elements);
        g_autofree char *name = policy_quote(group);

        g_set_error(error, POLICY_ERROR, POLICY_ERROR_UNKNOWN,
                    _("%1$s: the group [%2$s] is not known: give one of [%3$s]"), where, name,
                    allowed);
        return FALSE;
    }
    for (char **key = keys; key && *key; key++) {
        if (!read_key(conf, draft, group, *key, error))
            return FALSE;
    }
    return policy_draft_check(draft, where, error);
}

static Policy *
read_conf(const Conf *conf, GError **error)
{
    g_autoptr(Policy) defaults = policy_default();
    g_auto(PolicyDraft) draft = {0};
    g_auto(GStrv) groups = g_key_file_get_groups(conf->keys, NULL);

    policy_draft_init(&draft, defaults);
    for (char **group = groups; *group; group++) {
        if (!read_group(conf, &draft, *group, error))
            return NULL;
    }
    return policy_draft_finish(&draft);
}

Policy *
policy_load_host(const char *path, GError **error)
{
    g_autofree char *text = NULL;
    g_autoptr(GKeyFile) keys = g_key_file_new();
    g_autoptr(GError) problem = NULL;

    if (!load_text(path, &text, error))
        return NULL;
    if (!text)
        return policy_default();
    /* GKeyFile takes no text of length 0; translations are kept so as to be refused. */
    if (text[0] && !g_key_file_load_from_data(keys, text, strlen(text),
                                              G_KEY_FILE_KEEP_TRANSLATIONS, &problem)) {
        enum { MESSAGE_MAX_BYTES = 200 }; /* it quotes the line at any length */
        const char *message = problem->message;
        g_autofree char *valid = g_utf8_make_valid(message, strnlen(message, MESSAGE_MAX_BYTES));

        g_set_error(error, POLICY_ERROR, POLICY_ERROR_SYNTAX,
                    _("%1$s is not a file of [group] and key = value lines: %2$s"), path, valid);
        return NULL;
    }
    return read_conf(&(Conf){.path = path, .text = text, .keys = keys}, error);
}
