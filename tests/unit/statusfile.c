/*
 * statusfile.c: libvirt's status files are changed where a guest would be lost, and nowhere else
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/statusfile.h"

#include <string.h>

#define STATUS(state, reason, job)                                                                 \
    "<domstatus state='" state "' reason='" reason "' pid='4711'>\n  " job                         \
    "\n  <domain type='kvm' id='1'/>\n</domstatus>\n"
#define JOB(async, phase) "<job type='none' async='" async "' phase='" phase "' flags='0x8001'>"

static void
test_keep(void)
{
    static const struct {
        const char *text;
        const char *kept; /* NULL: as it is */
    } cases[] = {
        {STATUS("paused", "migration", JOB("migration in", "prepare")),
         STATUS("paused", "post-copy", JOB("migration in", "postcopy_failed"))},
        {STATUS("paused", "migration", JOB("migration in", "finish3")),
         STATUS("paused", "post-copy", JOB("migration in", "postcopy_failed"))},
        {STATUS("paused", "migration", JOB("migration in", "postcopy_failed")), NULL},
        {STATUS("paused", "migration", JOB("migration in", "prepare_resume")), NULL},
        {STATUS("paused", "migration", JOB("migration out", "perform3")), NULL},
        {STATUS("paused", "user", JOB("migration in", "finish3")), NULL},
        {STATUS("running", "post-copy", JOB("migration in", "finish3")), NULL},
        {STATUS("paused", "migration", ""), NULL},
        {"", NULL},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *kept = statusfile_keep_incoming(cases[i].text);

        g_assert_cmpstr(kept, ==, cases[i].kept);
    }
}

static void
test_cut_short(void)
{
    const char text[] = STATUS("paused", "migration", JOB("migration in", "prepare"));

    for (gsize length = 0; length < sizeof(text); length++) {
        g_autofree char *cut = g_strndup(text, length);
        g_autofree char *kept = statusfile_keep_incoming(cut);

        g_assert_true(!kept || strlen(kept) == length + strlen("postcopy_failed") - 7);
    }
}

static void
test_pid(void)
{
    static const struct {
        const char *text;
        pid_t pid;
    } cases[] = {
        {"<domstatus state='paused' reason='migration' pid='8125'>\n", 8125},
        {"<domstatus state='running' reason='booted' pid='1'><x pid='7'/>", 1},
        {"<domstatus state='running' reason='booted'>\n  <x pid='7'/>\n", 0},
        {"<domstatus state='running' pid='8125'", 0},
        {"<domain pid='7'>", 0},
        {"", 0},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmpint(statusfile_get_pid(cases[i].text), ==, cases[i].pid);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/statusfile/keep", test_keep);
    g_test_add_func("/statusfile/cut-short", test_cut_short);
    g_test_add_func("/statusfile/pid", test_pid);
    return g_test_run();
}
