/*
 * daemon.c: what the daemon is told of its staying, whoever comes first
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/daemon.h"

#include <stdbool.h>

#include "stock/symbols.h"

/* struct _virStateDriver, src/driver-state.h, libvirt 11.3.0 */
typedef struct {
    const char *name;
    bool initialized;
    int (*initialize)(
        bool privileged, const char *root, bool monolithic, gpointer inhibit, gpointer opaque);
    gpointer others[5];
} Driver;

static Driver *driver;
static GString *told;

static int
take_driver(gpointer registered)
{
    driver = registered;
    return 0;
}

static void
inhibit(bool inhibited, gpointer opaque)
{
    g_assert_true(opaque == &told);
    g_string_append_c(told, inhibited ? '+' : '-');
}

static void
test_inhibit(void)
{
    static const DaemonLifecycle lifecycle;
    g_autoptr(GError) error = NULL;

    told = g_string_new(NULL);
    symbols.virRegisterStateDriver = take_driver;
    g_assert_true(daemon_register(&lifecycle, &error));
    g_assert_no_error(error);

    /* The journal is read before libvirt says whom to tell. */
    daemon_inhibit(TRUE);
    g_assert_cmpstr(told->str, ==, "");
    g_assert_cmpint(driver->initialize(true, NULL, false, inhibit, &told), ==, 1);
    g_assert_cmpstr(told->str, ==, "+");

    daemon_inhibit(TRUE);
    g_assert_cmpstr(told->str, ==, "+");
    daemon_inhibit(FALSE);
    daemon_inhibit(FALSE);
    g_assert_cmpstr(told->str, ==, "+-");
    daemon_inhibit(TRUE);
    g_assert_cmpstr(told->str, ==, "+-+");
    g_string_free(told, TRUE);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/daemon/inhibit", test_inhibit);
    return g_test_run();
}
