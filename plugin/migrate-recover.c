/*
 * migrate-recover.c: `virsh migrate-recover`, a paused post-copy migration taken up again
 *
 * libvirt's public API has the call already: a migration with VIR_MIGRATE_POSTCOPY_RESUME. What a
 * daemon with Holdfast adds is that it remembers the destination, that it takes another network to
 * it as a parameter, and that the call can return as soon as the migration runs again, instead of
 * when it has completed.
 *
 * How it works: the call blocks in a thread of its own; the main thread runs libvirt's event loop
 * (keepalive, Ctrl-C, the line that tells a person how long it has been waiting).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <errno.h>
#include <glib.h>
#include <glib/gi18n.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "command.h"
#include "connection.h"
#include "program.h"

/* libvirt wants a destination that is not this host; the daemon knows the real one. */
#define REMEMBERED_DESTINATION "holdfast://session/"

/* What a daemon with Holdfast understands beyond libvirt's own migration parameters. */
#define PARAM_PREFIX  "holdfast."
#define PARAM_WAIT    PARAM_PREFIX "wait"    /* string: "recovered", return when it runs again */
#define PARAM_TIMEOUT PARAM_PREFIX "timeout" /* unsigned long long, milliseconds */

/* Nobody waits longer than a week; it also keeps the milliseconds far from overflowing. */
#define MAX_TIMEOUT_SECONDS G_GUINT64_CONSTANT(604800)

#define TICK_MS 1000
/* An ordinary recovery takes less than a second: only what lasts longer is worth a line. */
#define PROGRESS_AFTER_USEC (2 * G_USEC_PER_SEC)

enum { DOMAIN, URI, DESTURI, TIMEOUT };

static const CommandOption options[] = {
    [DOMAIN] = {"domain", OPTION_POSITIONAL, N_("domain name, id or uuid")},
    [URI] = {"uri", OPTION_STRING,
             N_("another network to the destination, tcp://HOST[:PORT], instead of the one that "
                "the migration used")},
    [DESTURI] = {"desturi", OPTION_STRING,
                 N_("connection URI of the destination host as seen from the source, instead of "
                    "the remembered one")},
    [TIMEOUT] = {"timeout", OPTION_NUMBER,
                 N_("seconds to wait for the migration to run again; without it, until it does")},
    {0},
};
G_STATIC_ASSERT(G_N_ELEMENTS(options) <= COMMAND_MAX_OPTIONS);

static const Command command = {
    .name = "migrate-recover",
    .summary = N_("take up a paused post-copy migration again"),
    .description =
        N_("Run it on the source host. Makes a new connection for a migration that is paused in\n"
           "    post-copy, whether the network or a person paused it, and returns when the\n"
           "    migration is running again; it then goes on to its end by itself."),
    .options = options,
};

/** What a person asked for, checked. The strings are argv's. */
typedef struct {
    const char *domain;
    const char *uri; /* NULL: the same network as before */
    const char *desturi;
    guint64 timeout_ms; /* 0: no limit */
} Request;

/** A call under way. All but done and the fields the thread fills are the main thread's. */
typedef struct {
    virDomainPtr domain;
    const char *desturi;
    virTypedParameterPtr params;
    int n_params;

    int result;        /* by the thread, valid once done */
    virErrorPtr error; /* by the thread, valid once done */
    gint done;         /* atomic */

    gint64 started_usec; /* monotonic */
    int timer;
    gboolean quiet;
    gboolean interrupted;
    glong shown; /* columns of the progress line on the terminal */
} Recovery;

/* Returns why URI is no network to a destination, or NULL. The caller frees it. */
static char *
complaint_about_uri(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GUri) uri = g_uri_parse(text, G_URI_FLAGS_NONE, &error);

    if (!uri)
        return g_strdup(error->message);
    if (!g_str_equal(g_uri_get_scheme(uri), "tcp"))
        return g_strdup_printf(_("its scheme is '%1$s'"), g_uri_get_scheme(uri));
    if (!g_uri_get_host(uri) || !*g_uri_get_host(uri))
        return g_strdup(_("it names no host"));
    if (g_uri_get_port(uri) == 0 || g_uri_get_port(uri) > 65535)
        return g_strdup(_("its port is out of range"));
    if ((*g_uri_get_path(uri) && !g_str_equal(g_uri_get_path(uri), "/")) || g_uri_get_query(uri) ||
        g_uri_get_fragment(uri) || g_uri_get_userinfo(uri))
        return g_strdup(_("it has more than a host and a port"));
    return NULL;
}

static gboolean
check_request(const CommandArgs *args, Request *request, GError **error)
{
    guint64 timeout = 0;

    if (args->values[URI]) {
        g_autofree char *complaint = complaint_about_uri(args->values[URI]);

        if (complaint) {
            g_set_error(
                error, COMMAND_ERROR, COMMAND_ERROR_USAGE,
                _("value '%1$s' of option --uri is not of the form tcp://HOST[:PORT]: %2$s"),
                args->values[URI], complaint);
            return FALSE;
        }
    }
    if (args->values[DESTURI] && !g_uri_is_valid(args->values[DESTURI], G_URI_FLAGS_NONE, NULL)) {
        g_set_error(error, COMMAND_ERROR, COMMAND_ERROR_USAGE,
                    _("value '%1$s' of option --desturi is not a connection URI such as "
                      "qemu+ssh://HOST/system"),
                    args->values[DESTURI]);
        return FALSE;
    }
    if (args->values[TIMEOUT] && !command_parse_number("timeout", args->values[TIMEOUT], 1,
                                                       MAX_TIMEOUT_SECONDS, &timeout, error))
        return FALSE;
    *request = (Request){
        .domain = args->values[DOMAIN],
        .uri = args->values[URI],
        .desturi = args->values[DESTURI] ? args->values[DESTURI] : REMEMBERED_DESTINATION,
        .timeout_ms = timeout * 1000,
    };
    return TRUE;
}

static gboolean
fill_params(Recovery *recovery, const Request *request)
{
    int max = 0;

    if (virTypedParamsAddString(&recovery->params, &recovery->n_params, &max, PARAM_WAIT,
                                "recovered") < 0)
        return FALSE;
    if (request->uri && virTypedParamsAddString(&recovery->params, &recovery->n_params, &max,
                                                VIR_MIGRATE_PARAM_URI, request->uri) < 0)
        return FALSE;
    return request->timeout_ms == 0 ||
           virTypedParamsAddULLong(&recovery->params, &recovery->n_params, &max, PARAM_TIMEOUT,
                                   request->timeout_ms) == 0;
}

static gpointer
call_thread(gpointer data)
{
    Recovery *recovery = data;

    recovery->result = virDomainMigrateToURI3(
        recovery->domain, recovery->desturi, recovery->params, recovery->n_params,
        VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_POSTCOPY |
            VIR_MIGRATE_POSTCOPY_RESUME);
    if (recovery->result < 0)
        recovery->error = virSaveLastError();
    g_atomic_int_set(&recovery->done, TRUE);
    virEventUpdateTimeout(recovery->timer, 0); /* wakes the main thread */
    return NULL;
}

/* Puts TEXT in place of the progress line; "" takes the line away. */
static void
show_progress(Recovery *recovery, const char *text)
{
    glong columns = g_utf8_strlen(text, -1);

    g_printerr("\r%s%*s", text, (int)MAX(0, recovery->shown - columns), "");
    if (columns == 0)
        g_printerr("\r");
    recovery->shown = columns;
}

static void
on_tick(int timer, void *opaque)
{
    Recovery *recovery = opaque;
    gint64 waited_usec = g_get_monotonic_time() - recovery->started_usec;
    g_autofree char *text = NULL;

    if (g_atomic_int_get(&recovery->done) || recovery->quiet || !isatty(STDERR_FILENO) ||
        waited_usec < PROGRESS_AFTER_USEC)
        return;
    text = g_strdup_printf(_("Waiting for the network to the destination... %1$d s"),
                           (int)(waited_usec / G_USEC_PER_SEC));
    show_progress(recovery, text);
}

static void
on_interrupt(int watch, int fd, int events, void *opaque)
{
    Recovery *recovery = opaque;

    recovery->interrupted = TRUE;
}

/* Runs the event loop until the call has returned or a person has pressed Ctrl-C. SIGINT is blocked
 * only now: ssh and whatever else asked for a password while connecting had to see it. */
static gboolean
wait_for_call(Recovery *recovery)
{
    g_autoptr(GThread) thread = NULL;
    sigset_t interrupt;
    int fd, watch;

    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupt, NULL);
    fd = signalfd(-1, &interrupt, SFD_CLOEXEC | SFD_NONBLOCK);
    watch = virEventAddHandle(fd, VIR_EVENT_HANDLE_READABLE, on_interrupt, recovery, NULL);
    recovery->timer = virEventAddTimeout(TICK_MS, on_tick, recovery, NULL);
    if (fd < 0 || watch < 0 || recovery->timer < 0) {
        command_report(_("cannot watch the call: %1$s"), g_strerror(errno));
        return FALSE;
    }
    recovery->started_usec = g_get_monotonic_time();
    thread = g_thread_new("migrate-recover", call_thread, recovery);
    while (!g_atomic_int_get(&recovery->done) && !recovery->interrupted) {
        if (virEventRunDefaultImpl() < 0)
            break;
    }
    if (recovery->shown > 0)
        show_progress(recovery, "");
    if (!recovery->interrupted)
        g_thread_join(g_steal_pointer(&thread));
    virEventRemoveTimeout(recovery->timer);
    virEventRemoveHandle(watch);
    return TRUE;
}

/* Ends the process as Ctrl-C does, so that a shell sees it. The call's thread dies with it. */
static G_NORETURN void
die_of_interrupt(const char *name)
{
    sigset_t interrupt;

    command_report(_("interrupted; the source host keeps trying to recover the migration of domain "
                     "'%1$s'"),
                   name);
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    signal(SIGINT, SIG_DFL);
    raise(SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &interrupt, NULL);
    _exit(128 + SIGINT);
}

static void
report_failure(const Recovery *recovery)
{
    const char *message =
        recovery->error && recovery->error->message ? recovery->error->message : _("unknown error");
    int code = recovery->error ? recovery->error->code : VIR_ERR_INTERNAL_ERROR;
    g_autofree char *uri = NULL;

    if (code != VIR_ERR_ARGUMENT_UNSUPPORTED && code != VIR_ERR_NO_SUPPORT) {
        command_report("%s", message);
        return;
    }
    uri = virConnectGetURI(virDomainGetConnect(recovery->domain));
    if (strstr(message, PARAM_PREFIX))
        command_report(_("the libvirt daemon at '%1$s' runs without Holdfast and cannot recover a "
                         "migration; install Holdfast there and restart the daemon"),
                       uri ? uri : "");
    else
        command_report(_("the libvirt daemon at '%1$s' cannot recover a migration; connect to the "
                         "source host of the migration, a QEMU host with Holdfast"),
                       uri ? uri : "");
    command_report("%s", message);
}

static gboolean
recover(const Request *request, const ConnectionOptions *connection)
{
    g_autoptr(virConnect) conn = connection_open(connection);
    g_autoptr(virDomain) domain = conn ? connection_find_domain(conn, request->domain) : NULL;
    Recovery recovery = {
        .domain = domain,
        .desturi = request->desturi,
        .quiet = connection->quiet,
        .result = -1,
    };

    if (!domain)
        return FALSE;
    if (!fill_params(&recovery, request))
        command_report("%s", virGetLastErrorMessage());
    else if (wait_for_call(&recovery)) {
        if (recovery.interrupted)
            die_of_interrupt(virDomainGetName(domain));
        if (recovery.result < 0)
            report_failure(&recovery);
        else if (!connection->quiet)
            g_print(_("Migration of domain '%1$s' recovered\n"), virDomainGetName(domain));
    }
    virTypedParamsFree(recovery.params, recovery.n_params);
    virFreeError(recovery.error);
    return recovery.result == 0;
}

static int
run(const CommandArgs *args, const ConnectionOptions *connection)
{
    g_autoptr(GError) error = NULL;
    Request request;

    if (check_request(args, &request, &error))
        return recover(&request, connection) ? EXIT_SUCCESS : EXIT_FAILURE;
    command_report("%s", error->message);
    return EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
    static const Program program = {.command = &command, .run = run};

    return program_main(&program, argv);
}
