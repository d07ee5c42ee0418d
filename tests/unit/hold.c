/*
 * hold.c: a source whose memory has been sent is held where it has bitmaps to send, and let go
 *
 * The QEMU here sends as migration_thread() does: in each tenth of a second, which is five looks
 * here, an empty section of memory, then pieces of bitmaps while the bandwidth lets it, and the end
 * when a tenth begins with nothing left.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/hold.h"

#include <string.h>

#include "doubles/libvirt.h"
#include "doubles/world.h"
#include "stock/qmp.h"

#define LOOKS_PER_TENTH 5
#define SECTION_BYTES   13
#define BANDWIDTH       4096

typedef struct {
    const char *name;
    guint pieces;       /* of bitmaps, that are left */
    guint under_way;    /* of them, sent in a tenth each before the bandwidth is looked at */
    guint tenths;       /* then the network takes no more; 0: it always does */
    gboolean blocked;   /* it takes nothing from the beginning */
    gboolean silent;    /* what hold_begin() is told */
    gboolean unmapped;  /* a bitmap is busy with something else */
    const char *status; /* after the first tenth; NULL: as before */
    guint64 remaining;  /* memory, after the first tenth */
    guint64 bandwidth;
    const char *fails; /* words of the command that does not succeed */
    gboolean held;
    const char *said; /* the bandwidths that were set */
} Case;

static struct {
    Case is;
    gboolean ended;
    guint looks;
    guint tenths;
    guint64 sent;
    GString *said;
} qemu;

/* migration_iteration_run(), qemu_savevm_state_iterate() */
static void
run_tenth(void)
{
    if (qemu.is.blocked || qemu.ended || (qemu.is.tenths && qemu.tenths >= qemu.is.tenths))
        return;
    qemu.tenths++;
    qemu.sent += SECTION_BYTES;
    if (qemu.is.pieces == 0)
        qemu.ended = TRUE;
    else if (qemu.is.under_way > 0)
        qemu.is.pieces--, qemu.is.under_way--;
    else if (qemu.is.bandwidth == 0)
        qemu.is.pieces = 0;
    else if (SECTION_BYTES <= qemu.is.bandwidth / 10)
        qemu.is.pieces--;
}

static char *
on_command(const char *domain, const char *command, const char *arguments, GError **error)
{
    const char *bandwidth = strstr(command, "\"max-postcopy-bandwidth\":");

    if (qemu.is.fails && strstr(command, qemu.is.fails)) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND, "GenericError: no");
        return NULL;
    }
    if (strstr(command, "query-migrate-parameters"))
        return g_strdup_printf("{\"return\": {\"max-postcopy-bandwidth\": %" G_GUINT64_FORMAT
                               ", \"block-bitmap-mapping\": %s}}",
                               qemu.is.bandwidth,
                               qemu.is.unmapped
                                   ? "[]"
                                   : "[{\"node-name\": \"n1\", \"alias\": \"vda\", \"bitmaps\": "
                                     "[{\"name\": \"monday\", \"alias\": \"a\"}]}]");
    if (strstr(command, "query-named-block-nodes"))
        return g_strdup_printf("{\"return\": [{\"node-name\": \"n1\", \"dirty-bitmaps\": "
                               "[{\"name\": \"monday\", \"granularity\": 65536, \"busy\": %s}]}]}",
                               qemu.ended ? "false" : "true");
    if (strstr(command, "query-migrate")) {
        if (++qemu.looks % LOOKS_PER_TENTH == 0)
            run_tenth();
        return g_strdup_printf("{\"return\": {\"status\": \"%s\", \"ram\": {\"remaining\": "
                               "%" G_GUINT64_FORMAT ", \"transferred\": %" G_GUINT64_FORMAT "}}}",
                               qemu.is.status && qemu.tenths ? qemu.is.status : "postcopy-active",
                               qemu.tenths ? qemu.is.remaining : 0, qemu.sent);
    }
    g_assert_nonnull(bandwidth);
    bandwidth += strlen("\"max-postcopy-bandwidth\":");
    qemu.is.bandwidth = g_ascii_strtoull(bandwidth, NULL, 10);
    g_string_append_printf(qemu.said, "%" G_GUINT64_FORMAT " ", qemu.is.bandwidth);
    return g_strdup("{\"return\": {}}");
}

static virDomainPtr
begin(const Case *is)
{
    virConnectPtr connection;
    virDomainPtr domain;

    memset(&qemu, 0, sizeof(qemu));
    qemu.is = *is;
    qemu.said = g_string_new(NULL);
    world_start();
    world_set_qemu(on_command);
    connection = virConnectOpen("test:///default");
    domain = virDomainLookupByUUID(connection, world_domain(0));
    virConnectClose(connection);
    return domain;
}

static void
end(virDomainPtr domain)
{
    virDomainFree(domain);
    world_stop();
    g_string_free(qemu.said, TRUE);
}

#define HELD    .bandwidth = BANDWIDTH, .held = TRUE, .said = "11 4096 "
#define LET_GO  .bandwidth = BANDWIDTH, .said = "11 4096 "
#define NOTHING .bandwidth = BANDWIDTH, .said = ""

static const Case cases[] = {
    {"bitmaps are left", .pieces = 100, HELD},
    {"... one", .pieces = 1, HELD},
    {"... and one is under way", .pieces = 2, .under_way = 1, HELD},
    {"... which is the last", .pieces = 1, .under_way = 1, LET_GO},
    {"... or two, and the end", .pieces = 2, .under_way = 2, LET_GO},
    {"the end", .pieces = 0, LET_GO},
    {"no limit before", .pieces = 100, .held = TRUE, .said = "11 0 "},
    {"the network takes nothing", .pieces = 100, .blocked = TRUE, LET_GO},
    {"... and is silent", .pieces = 100, .blocked = TRUE, .silent = TRUE, HELD},
    {"the network takes some", .pieces = 100, .tenths = 2, LET_GO},
    {"... and is silent", .pieces = 100, .tenths = 2, .silent = TRUE, LET_GO},
    {"silent, and all is buffered", .pieces = 100, .silent = TRUE, HELD},
    {"it pauses by itself", .pieces = 100, .status = "postcopy-paused", LET_GO},
    {"memory is left", .pieces = 100, .remaining = 4096, LET_GO},
    {"bitmaps that are not on the stream", .pieces = 100, .unmapped = TRUE, NOTHING},
    {"it is held already", .pieces = 100, .bandwidth = 11, .said = ""},
    {"no parameters", .pieces = 100, .fails = "parameters", NOTHING},
    {"no bitmaps", .pieces = 100, .fails = "nodes", NOTHING},
    {"it cannot be slowed down", .pieces = 100, .fails = "set-parameters", NOTHING},
    {"it does not say how far it is", .pieces = 100, .fails = "query-migrate\"", LET_GO},
};

static void
test_held(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        virDomainPtr domain = begin(&cases[i]);
        g_autoptr(GError) error = NULL;
        Hold hold = {0};

        g_test_message("%s", cases[i].name);
        g_assert_cmpint(hold_begin(&hold, NULL, domain, cases[i].silent, &error), ==,
                        cases[i].held);
        g_assert_cmpint(error == NULL, ==, cases[i].held);
        g_assert_cmpint(hold.dom != NULL, ==, cases[i].held);
        /* However long the pause takes. */
        for (guint tenth = 0; tenth < 1000; tenth++)
            run_tenth();
        if (cases[i].held)
            g_assert_false(qemu.ended);
        hold_end(&hold);
        hold_end(&hold);
        g_assert_cmpstr(qemu.said->str, ==, cases[i].said);
        for (guint tenth = 0; tenth < 1000; tenth++)
            run_tenth();
        if (cases[i].held && !cases[i].blocked)
            g_assert_true(qemu.ended);
        end(domain);
    }
}

/* The end has been sent, and nothing is changed. */
static void
test_at_the_end(void)
{
    virDomainPtr domain = begin(&(Case){"", .bandwidth = BANDWIDTH});
    g_autoptr(GError) error = NULL;
    Hold hold = {0};

    qemu.ended = TRUE;
    g_assert_false(hold_begin(&hold, NULL, domain, TRUE, &error));
    g_assert_nonnull(strstr(error->message, "last word"));
    g_assert_cmpstr(qemu.said->str, ==, "");
    end(domain);
}

/* What a daemon has left that was killed; nobody else's limit. */
static void
test_left(void)
{
    virDomainPtr domain = begin(&(Case){"", .bandwidth = BANDWIDTH});

    hold_end_left(domain);
    g_assert_cmpstr(qemu.said->str, ==, "");
    qemu.is.bandwidth = 11;
    hold_end_left(domain);
    g_assert_cmpstr(qemu.said->str, ==, "0 ");
    qemu.is.fails = "parameters";
    hold_end_left(domain);
    end(domain);
}

int
main(int argc, char **argv)
{
    libvirt_init(&argc, &argv);
    g_test_add_func("/hold/held", test_held);
    g_test_add_func("/hold/at-the-end", test_at_the_end);
    g_test_add_func("/hold/left", test_left);
    return g_test_run();
}
