/*
 * oob.c: out-of-band commands past whatever libvirt's monitor is waiting for
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/oob.h"

#include <errno.h>
#include <glib/gi18n-lib.h>
#include <libvirt/virterror.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stock/json.h"
#include "stock/qmp.h"
#include "stock/symbols.h"

/* libvirt's own ids are "libvirt-N". */
#define ID_PREFIX "holdfast-"
/* Linux puts so short a message on a UNIX socket whole or not at all: it splits at half the send
 * buffer (212992 bytes by default) and 36 KiB (net/unix/af_unix.c, unix_stream_sendmsg). So libvirt
 * can never come into the middle of ours. */
#define LINE_MAX_BYTES 16384
/* How soon to try again when libvirt is in the middle of a message or the socket is full, unless an
 * answer shows earlier that QEMU reads. Neither end has an event but in libvirt's own loop. */
#define SEND_AGAIN_US 2000
/* How soon it is noticed that the monitor was closed while we wait for an answer. */
#define LOOK_US (200 * G_TIME_SPAN_MILLISECOND)

typedef struct {
    char *id;
    char *answer; /* under the lock */
} Question;

static struct {
    GMutex lock;
    GCond answered;   /* any of them */
    GQueue questions; /* of Question, each on its thread's stack */
    guint last_id;    /* atomic */
    int bound;        /* atomic */
} oob;

/* The monitor's members, read under its lock. */
typedef struct {
    int fd;
    gboolean open;
    gboolean in_message; /* libvirt has sent a part of one */
} View;

static View
look(const AbiRow *row, gconstpointer monitor)
{
    View view = {.fd = -1};
    int error, sent, length;
    gconstpointer message;
    bool eof;

    ABI_READ(&view.fd, monitor, row->monitor_fd);
    ABI_READ(&error, monitor, row->monitor_last_error_code);
    ABI_READ(&eof, monitor, row->monitor_eof);
    ABI_READ(&message, monitor, row->monitor_message);
    view.open = view.fd >= 0 && error == VIR_ERR_OK && !eof;
    if (message) {
        ABI_READ(&sent, message, row->message_sent);
        ABI_READ(&length, message, row->message_length);
        view.in_message = sent > 0 && sent < length;
    }
    return view;
}

static gboolean
is_open(const AbiRow *row, gpointer monitor)
{
    View view;

    symbols.virObjectLock(monitor);
    view = look(row, monitor);
    symbols.virObjectUnlock(monitor);
    return view.open;
}

static void
set_closed_error(GError **error)
{
    g_set_error(error, QMP_ERROR, QMP_ERROR_MONITOR,
                _("the connection to QEMU's monitor is closed; see whether the guest still runs"));
}

/* TRUE when it is done with: sent, or @error set. FALSE: later. */
static gboolean
try_send(const AbiRow *row, gpointer monitor, const char *line, GError **error)
{
    gsize length = strlen(line);
    View view = look(row, monitor);
    gssize sent;

    if (!view.open) {
        set_closed_error(error);
        return TRUE;
    }
    if (view.in_message)
        return FALSE;
    /* What does not wait cannot keep the monitor's lock. */
    sent = send(view.fd, line, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        return FALSE;
    if (sent != (gssize)length)
        g_set_error(error, QMP_ERROR, QMP_ERROR_MONITOR, _("cannot write to QEMU's monitor: %1$s"),
                    sent < 0 ? g_strerror(errno) : "short write");
    else
        /* In libvirt's words, so that who reads the log for QMP finds it all. */
        g_info("QEMU_MONITOR_SEND_MSG: mon=%p msg=%.*s", monitor, (int)length - 2, line);
    return TRUE;
}

static gboolean
send_line(const AbiRow *row, gpointer monitor, const char *line, gint64 deadline_us, GError **error)
{
    g_autoptr(GError) failure = NULL;

    for (;;) {
        gboolean done;

        symbols.virObjectLock(monitor);
        done = try_send(row, monitor, line, &failure);
        symbols.virObjectUnlock(monitor);
        if (failure) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return FALSE;
        }
        if (done)
            return TRUE;
        if (g_get_monotonic_time() >= deadline_us) {
            g_set_error(error, QMP_ERROR, QMP_ERROR_BUSY,
                        _("QEMU does not read its monitor; see whether it is stopped"));
            return FALSE;
        }
        g_mutex_lock(&oob.lock);
        g_cond_wait_until(&oob.answered, &oob.lock, g_get_monotonic_time() + SEND_AGAIN_US);
        g_mutex_unlock(&oob.lock);
    }
}

/* Until the answer is there, the monitor closed or the time over. */
static gboolean
wait_for_answer(
    const AbiRow *row, gpointer monitor, Question *question, gint64 deadline_us, GError **error)
{
    gboolean open = TRUE;
    gint64 now = g_get_monotonic_time();

    g_mutex_lock(&oob.lock);
    while (!question->answer && open && now < deadline_us) {
        if (!g_cond_wait_until(&oob.answered, &oob.lock, MIN(now + LOOK_US, deadline_us)) &&
            !question->answer) {
            g_mutex_unlock(&oob.lock);
            open = is_open(row, monitor);
            g_mutex_lock(&oob.lock);
        }
        now = g_get_monotonic_time();
    }
    g_queue_remove(&oob.questions, question);
    g_mutex_unlock(&oob.lock);
    if (question->answer)
        return TRUE;
    if (!open)
        set_closed_error(error);
    else
        g_set_error(error, QMP_ERROR, QMP_ERROR_BUSY,
                    _("QEMU does not answer out of band either; see whether it is stopped"));
    return FALSE;
}

/* One line that QEMU's parser takes for certain: its complaint about another would carry no id, and
 * so reach libvirt as the answer to libvirt's own command. */
static char *
format_line(const char *command, const char *arguments, const char *id, GError **error)
{
    g_autofree char *name = json_quote(command);
    g_autofree char *text = g_strdup_printf("{\"exec-oob\": %s, %s%s%s\"id\": \"%s\"}", name,
                                            arguments ? "\"arguments\": " : "",
                                            arguments ? arguments : "", arguments ? ", " : "", id);
    g_autoptr(Json) json = json_parse(text);
    g_autofree char *canonical = NULL;
    g_autofree char *ascii = NULL;

    /* Arguments that end the object early have the parser stop there, without the id. */
    if (!json || g_strcmp0(symbols.virJSONValueObjectGetString(json, "id"), id) != 0 ||
        !(canonical = symbols.virJSONValueToString(json, false))) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_MONITOR, _("the arguments of %1$s are no JSON"),
                    command);
        return NULL;
    }
    ascii = json_to_ascii(canonical);
    if (strlen(ascii) + 2 > LINE_MAX_BYTES) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_MONITOR, _("the arguments of %1$s are too long"),
                    command);
        return NULL;
    }
    return g_strconcat(ascii, "\r\n", NULL);
}

char *
oob_execute(const AbiRow *row,
            gpointer monitor,
            const char *command,
            const char *arguments,
            guint timeout_ms,
            GError **error)
{
    gint64 deadline_us = g_get_monotonic_time() + timeout_ms * G_TIME_SPAN_MILLISECOND;
    /* The process is in it for a daemon that was restarted meanwhile. */
    g_autofree char *id = g_strdup_printf(ID_PREFIX "%d-%u", (int)getpid(),
                                          (guint)g_atomic_int_add(&oob.last_id, 1) + 1);
    g_autofree char *line = format_line(command, arguments, id, error);
    Question question = {.id = id};

    if (!line)
        return NULL;
    g_mutex_lock(&oob.lock);
    g_queue_push_tail(&oob.questions, &question);
    g_mutex_unlock(&oob.lock);
    if (!send_line(row, monitor, line, deadline_us, error)) {
        g_mutex_lock(&oob.lock);
        g_queue_remove(&oob.questions, &question);
        g_mutex_unlock(&oob.lock);
        return NULL;
    }
    wait_for_answer(row, monitor, &question, deadline_us, error);
    return question.answer;
}

/* The id of an answer to a command of ours, NULL for any other line. Owned by @json. */
static const char *
own_id(Json *json)
{
    const char *id = symbols.virJSONValueObjectGetString(json, "id");

    if (!id || !g_str_has_prefix(id, ID_PREFIX) || symbols.virJSONValueObjectGet(json, "event"))
        return NULL;
    return symbols.virJSONValueObjectGet(json, "return") ||
                   symbols.virJSONValueObjectGet(json, "error")
               ? id
               : NULL;
}

static void
hand_over(const char *id, const char *line)
{
    gboolean found = FALSE;

    g_mutex_lock(&oob.lock);
    for (GList *l = oob.questions.head; l && !found; l = l->next) {
        Question *question = l->data;

        found = g_str_equal(question->id, id);
        if (found && !question->answer)
            question->answer = g_strdup(line);
    }
    g_cond_broadcast(&oob.answered);
    g_mutex_unlock(&oob.lock);
    if (!found)
        g_info("nobody waits any more for QEMU's answer to %s", id);
}

gboolean
oob_take_line(gpointer monitor, const char *line)
{
    g_autoptr(Json) json = NULL;
    const char *id;

    if (!oob_is_bound())
        g_atomic_int_set(&oob.bound, TRUE);
    /* Nearly every line is somebody else's: do not parse it twice. */
    if (!strstr(line, "\"" ID_PREFIX))
        return FALSE;
    json = json_parse(line);
    id = json ? own_id(json) : NULL;
    if (!id)
        return FALSE;
    g_info("QEMU_MONITOR_RECV_REPLY: mon=%p reply=%s", monitor, line);
    hand_over(id, line);
    return TRUE;
}

gboolean
oob_is_bound(void)
{
    return g_atomic_int_get(&oob.bound);
}
