/*
 * qmp.h: QMP commands over libvirt's own monitor, also in the middle of a migration
 *
 * An in-band command runs as a MODIFY_MIGRATION_SAFE job, which the job masks of both sides of a
 * migration admit (libvirt 9.0.0 and 11.3.0, src/qemu/qemu_migration.c), so that it needs neither
 * the thread that drives the migration nor virDomainQemuMonitorCommand, which would taint the
 * domain.
 *
 * It blocks until QEMU answers: a destination that is paused in postcopy may never answer, since
 * its main loop may wait for a missing page. Send such a one out-of-band commands alone, which take
 * no job and pass an in-band command that hangs, libvirt's own too (oob.h). Call from threads that
 * may block, never from the engine's, nor from one that drives a job of the domain (a stock slot is
 * then still under way on it). The thread's libvirt error is left as it was.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

#define QMP_ERROR (qmp_error_quark())
GQuark qmp_error_quark(void);

typedef enum {
    QMP_ERROR_COMMAND,  /* QEMU refused; the message is "CLASS: DESCRIPTION" */
    QMP_ERROR_GONE,     /* there is no such domain any more */
    QMP_ERROR_INACTIVE, /* the domain does not run */
    QMP_ERROR_BUSY,     /* in-band: no job within libvirt's 30 s. Out of band: not sent, or not
                         * answered, in 10 s; what was sent may still be carried out */
    QMP_ERROR_MONITOR,  /* the monitor failed: QEMU died, or an invalid command */
    QMP_ERROR_REPLY,    /* an answer that is no QMP */
} QmpError;

/** Whether there is no QEMU any more to ask or tell. */
gboolean qmp_error_is_gone(const GError *error);

/**
 * qmp_execute:
 * @json: a whole command, {"execute": ..., "arguments": ...}; text in it through qmp_quote()
 *
 * Returns: (transfer full): the answer as QEMU gave it, {"return": ...}; NULL with @error set.
 */
char *qmp_execute(virDomainPtr dom, const char *json, GError **error);

/**
 * QmpJob: several in-band commands, with nobody else's between them
 *
 * As long as it lasts libvirt begins no other job of the domain: nobody sees what is half done.
 * Begun and ended on one thread, within moments.
 */
typedef struct QmpJob QmpJob;
QmpJob *qmp_job_begin(virDomainPtr dom, GError **error);
/** As qmp_execute(); QMP_ERROR_INACTIVE when QEMU has ended since. */
char *qmp_job_execute(QmpJob *job, const char *json, GError **error);
/** Gives QEMU a file descriptor, which commands after it know by @name (QEMU's getfd). @fd stays
 * the caller's. */
gboolean qmp_job_pass_fd(QmpJob *job, const char *name, int fd, GError **error);
void qmp_job_end(QmpJob *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QmpJob, qmp_job_end)

/**
 * qmp_execute_oob:
 * @command: "migrate-recover", "migrate-pause", ...: one that QEMU allows out of band
 * @arguments: (nullable): a JSON object
 *
 * Out of band where the domain's monitor can, at most 10 s; otherwise (a QEMU before 2.12, or our
 * hooks not in effect) as qmp_execute().
 *
 * Returns: (transfer full): as qmp_execute().
 */
char *qmp_execute_oob(virDomainPtr dom, const char *command, const char *arguments, GError **error);

/** A reference to the domain's monitor, a GObject; NULL with @error set when it does not run. */
gpointer qmp_get_monitor(virDomainPtr dom, GError **error);

/** Whether the domain's monitor has out-of-band commands; FALSE for one that does not run. */
gboolean qmp_has_oob(virDomainPtr dom);

/** A JSON string literal with its quotes, in ASCII; invalid UTF-8 is replaced. Free with g_free().
 */
char *qmp_quote(const char *text);

/**
 * qmp_parse_reply: the pure part of qmp_execute()
 *
 * FALSE with QMP_ERROR_COMMAND for {"error": ...} and QMP_ERROR_REPLY for what is not an answer.
 */
gboolean qmp_parse_reply(const char *reply, GError **error);

/**
 * qmp_reply_string:
 *
 * A string member of the answer's "return" object itself, as "status" of query-migrate, never of an
 * object within it. Free with g_free(); NULL when it is not there or not a string.
 */
char *qmp_reply_string(const char *reply, const char *member);

/**
 * qmp_reply_number:
 *
 * A number in an object within the answer's "return", as "remaining" in "ram" of query-migrate;
 * with
 * @object NULL in that itself.
 * FALSE, and @value untouched, when it is not there or not a whole number.
 */
gboolean
qmp_reply_number(const char *reply, const char *object, const char *member, guint64 *value);
