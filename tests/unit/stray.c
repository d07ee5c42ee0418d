/*
 * stray.c: which Finish reaches which domain
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/stray.h"

#include <stdlib.h>
#include <string.h>

#include "doubles/world.h"
#include "run/host.h"
#include "run/migration-priv.h"
#include "run/phases.h"
#include "stock/hooks.h"
#include "util/uuid.h"

#define OURS     "6f9d9c1e-0000-4000-8000-000000000001"
#define ANOTHERS "6f9d9c1e-0000-4000-8000-000000000002"
#define RUN      4000 /* libvirt's number; no domain of the test driver's comes that far */
#define NEXT_RUN 4001
#define NONE     -1

/* What the client of a Finish sends. */
typedef enum {
    SENT_NOTHING, /* it has failed */
    SENT_OURS,
    SENT_ANOTHERS,
    SENT_NO_ID, /* a source without Holdfast */
    SENT_OTHER_DOMAIN,
    SENT_LAST
} Sent;

typedef struct {
    int id;
    gboolean driven;
    Sent sent;
    gboolean stranger; /* over another connection than Prepare's */
    unsigned int flags;
} Case;

static HooksFinishFn ask;
static virConnectPtr connections[2];
static const unsigned char fresh[VIR_UUID_BUFLEN] = {0xc7, 0xa5}; /* of no domain of this host's */

/* In place of stock/hooks-finish.c. */
void
hooks_set_finish_listener(HooksFinishFn fn)
{
    ask = fn;
}

/* As libvirt has it; (transfer full): free(). */
static char *
make_cookie(Sent sent, const unsigned char *uuid, int *length)
{
    static const unsigned char other[VIR_UUID_BUFLEN] = {0xc7, 0xa6};
    g_autofree char *text = uuid_format(sent == SENT_OTHER_DOMAIN ? other : uuid);
    g_autofree char *xml =
        g_strdup_printf("<qemu-migration><name>guest</name><uuid>%s</uuid></qemu-migration>", text);
    Cookie ours = {.id = (char *)(sent == SENT_OURS ? OURS : ANOTHERS)};
    char *cookie = sent == SENT_NOTHING ? NULL : strdup(xml);

    *length = cookie ? (int)strlen(cookie) + 1 : 0;
    g_assert_true(secret_make(&ours.secret));
    if (sent == SENT_OURS || sent == SENT_ANOTHERS)
        g_assert_true(cookie_add(&cookie, length, &ours, NULL));
    return cookie;
}

static gboolean
reaches(const unsigned char *uuid, Case finish)
{
    int length;
    char *cookie = make_cookie(finish.sent, uuid, &length);
    const char *text = NULL;
    gboolean reached = ask(&(HooksFinish){
        .dconn = connections[finish.stranger],
        .uuid = uuid,
        .name = "guest",
        .id = finish.id,
        .driven = finish.driven,
        .cookie = cookie,
        .cookie_length = length,
        .flags = finish.flags,
    });

    free(cookie);
    if (!reached) {
        g_assert_cmpint(world_get_raised(&text), ==, VIR_ERR_OPERATION_INVALID);
        g_assert_nonnull(strstr(text, "it came too late"));
    }
    return reached;
}

/* Whatever it sends, over whichever connection. */
static void
assert_none_reaches(const unsigned char *uuid, int id, gboolean driven)
{
    for (Sent sent = 0; sent < SENT_LAST; sent++)
        for (gboolean stranger = FALSE; stranger <= TRUE; stranger++)
            g_assert_false(reaches(
                uuid, (Case){.id = id, .driven = driven, .sent = sent, .stranger = stranger}));
}

/* --- what is known of the domain --- */

typedef enum { KNOWN_NOTHING, KNOWN_OURS, KNOWN_FOREIGN, KNOWN_SOURCE, KNOWN_LAST } Known;

static Migration *
make(Known known, const unsigned char *uuid, int run)
{
    g_autoptr(Policy) policy = policy_default();
    Migration *migration = NULL;

    switch (known) {
    case KNOWN_OURS:
        migration = migration_start(ROLE_DESTINATION, OURS, uuid, "guest", policy, 0);
        migration_keep_connection(migration, connections[0]);
        break;
    case KNOWN_FOREIGN:
        migration = migration_start_foreign(uuid, "guest", 0);
        break;
    case KNOWN_SOURCE:
        migration = migration_start(ROLE_SOURCE, OURS, uuid, "guest", policy, 0);
        break;
    default:
        return NULL;
    }
    migration_set_domain_id(migration, run);
    return migration;
}

static void
drop(Migration *migration)
{
    if (migration)
        world_drop(migration);
}

static Preparation *
prepare(const unsigned char *uuid)
{
    int length;
    char *cookie = make_cookie(SENT_ANOTHERS, uuid, &length);
    Preparation *preparation = preparation_begin(connections[0], cookie, length);

    free(cookie);
    g_assert_nonnull(preparation);
    return preparation;
}

static void
start(void)
{
    world_start();
    connections[0] = host_connect();
    connections[1] = virConnectOpen("test:///default");
    stray_watch();
}

static void
stop(void)
{
    virConnectClose(connections[0]);
    virConnectClose(connections[1]);
    world_stop();
}

/* --- the tests --- */

/* Also while another call is at its job, and while a Prepare that libvirt will refuse is at work.
 */
static void
test_its_own(void)
{
    Migration *ours, *foreign;
    Preparation *refused;

    start();
    ours = make(KNOWN_OURS, fresh, RUN);
    foreign = make(KNOWN_FOREIGN, world_domain(0), RUN);
    for (guint i = 0; i < 4; i++) {
        Case finish = {.id = RUN, .driven = i & 1};

        refused = i & 2 ? prepare(fresh) : NULL;
        finish.sent = SENT_OURS;
        g_assert_true(reaches(fresh, finish));
        g_assert_false(reaches(world_domain(0), finish));
        finish.sent = SENT_NOTHING;
        g_assert_true(reaches(fresh, finish));
        g_assert_true(reaches(world_domain(0), finish));
        finish.sent = SENT_NO_ID;
        g_assert_true(reaches(fresh, finish));
        g_assert_true(reaches(world_domain(0), finish));
        finish.sent = SENT_ANOTHERS;
        g_assert_false(reaches(fresh, finish));
        g_assert_false(reaches(world_domain(0), finish));
        finish.sent = SENT_OTHER_DOMAIN;
        g_assert_false(reaches(fresh, finish));
        g_assert_false(reaches(world_domain(0), finish));
        /* Of the one nothing is known but its connection; of the other not even that. */
        finish.sent = SENT_NOTHING;
        finish.stranger = TRUE;
        g_assert_false(reaches(fresh, finish));
        g_assert_true(reaches(world_domain(0), finish));
        preparation_free(refused);
    }
    drop(ours);
    drop(foreign);
    stop();
}

/* QEMU is being started, or is not there yet, whatever was here before. */
static void
test_prepare_at_work(void)
{
    start();
    for (Known known = 0; known < KNOWN_LAST; known++) {
        Migration *before = make(known, fresh, RUN);
        Preparation *preparation = prepare(fresh);

        assert_none_reaches(fresh, NEXT_RUN, TRUE);
        assert_none_reaches(fresh, NONE, TRUE);
        preparation_free(preparation);
        /* One that does not pass through us, tunnelled or of the old API. */
        assert_none_reaches(fresh, NEXT_RUN, TRUE);
        drop(before);
    }
    stop();
}

/* libvirt is through with Prepare, and the migration has yet to be known. */
static void
test_just_prepared(void)
{
    start();
    for (Known known = 0; known < KNOWN_LAST; known++) {
        Migration *before = make(known, fresh, RUN);
        Preparation *preparation = prepare(fresh), *refused = prepare(fresh);
        Migration *now;

        preparation_free(refused);
        assert_none_reaches(fresh, NEXT_RUN, FALSE);
        now = make(KNOWN_OURS, fresh, NONE);
        assert_none_reaches(fresh, NEXT_RUN, FALSE);
        migration_set_domain_id(now, NEXT_RUN);
        preparation_free(preparation);
        g_assert_true(reaches(fresh, (Case){.id = NEXT_RUN, .sent = SENT_OURS}));
        g_assert_false(reaches(fresh, (Case){.id = NEXT_RUN, .sent = SENT_ANOTHERS}));
        drop(now);
        if (before)
            migration_unref(before);
    }
    stop();
}

/* What libvirt prepared alone is ended as ever, whatever Prepare it refuses meanwhile, or has
 * refused. */
static void
test_libvirts_alone(void)
{
    virDomainPtr dom;
    int run;

    start();
    dom = virDomainLookupByUUID(connections[0], world_domain(1));
    run = (int)virDomainGetID(dom);
    for (guint preparing = 0; preparing < 3; preparing++) {
        Preparation *refused = preparing ? prepare(world_domain(1)) : NULL;

        if (preparing == 2)
            g_clear_pointer(&refused, preparation_free);
        for (gboolean stranger = FALSE; stranger <= TRUE; stranger++) {
            Case finish = {.id = run, .stranger = stranger};

            g_assert_true(reaches(world_domain(1), finish));
            finish.sent = SENT_NO_ID;
            g_assert_true(reaches(world_domain(1), finish));
            /* Its source has named none. */
            finish.sent = SENT_OURS;
            g_assert_false(reaches(world_domain(1), finish));
        }
        preparation_free(refused);
    }
    virDomainFree(dom);
    stop();
}

/* A migration that is known by its name alone, after a restart of the daemon. */
static void
test_run_unknown(void)
{
    Migration *restored;

    start();
    restored = make(KNOWN_OURS, fresh, NONE);
    g_assert_true(reaches(fresh, (Case){.id = RUN, .sent = SENT_OURS}));
    g_assert_true(reaches(fresh, (Case){.id = RUN, .sent = SENT_NOTHING, .stranger = TRUE}));
    g_assert_false(reaches(fresh, (Case){.id = RUN, .sent = SENT_ANOTHERS}));
    drop(restored);
    stop();
}

static void
test_flags(void)
{
    Migration *ours;

    start();
    ours = make(KNOWN_OURS, fresh, RUN);
    for (Sent sent = 0; sent < SENT_LAST; sent++)
        g_assert_true(reaches(fresh, (Case){.id = RUN,
                                            .sent = sent,
                                            .stranger = TRUE,
                                            .flags = VIR_MIGRATE_POSTCOPY_RESUME}));
    g_assert_false(reaches(fresh, (Case){.id = RUN, .flags = VIR_MIGRATE_OFFLINE}));
    g_assert_false(reaches(fresh, (Case){.id = NEXT_RUN, .flags = VIR_MIGRATE_OFFLINE}));
    g_assert_true(
        reaches(fresh, (Case){.id = NONE, .sent = SENT_NO_ID, .flags = VIR_MIGRATE_OFFLINE}));
    g_assert_false(
        reaches(fresh, (Case){.id = NONE, .driven = TRUE, .flags = VIR_MIGRATE_OFFLINE}));
    drop(ours);
    stop();
}

/* libvirt's Prepare at the moment at which it is through with its job. */
static int
stock_prepare(virConnectPtr dconn,
              virTypedParameterPtr params,
              int nparams,
              const char *cookiein,
              int cookieinlen,
              char **cookieout,
              int *cookieoutlen,
              char **uri_out,
              unsigned int flags)
{
    assert_none_reaches(world_domain(2), NEXT_RUN, FALSE);
    if (flags & VIR_MIGRATE_PAUSED) /* any that it may fail by */
        return -1;
    *cookieout = make_cookie(SENT_NO_ID, world_domain(2), cookieoutlen);
    return 0;
}

/* The whole of Prepare, which fails, and then does not. */
static void
test_prepare(void)
{
    g_autoptr(Migration) migration = NULL;
    virDomainPtr dom;
    int length, outlen = 0, run;
    char *cookie = make_cookie(SENT_ANOTHERS, world_domain(2), &length);
    char *out = NULL, *uri = NULL;

    start();
    world_set_prepare(stock_prepare);
    g_assert_cmpint(phases_prepare(connections[0], NULL, 0, cookie, length, &out, &outlen, &uri,
                                   VIR_MIGRATE_LIVE | VIR_MIGRATE_PAUSED),
                    ==, -1);
    g_assert_true(reaches(world_domain(2), (Case){.id = NEXT_RUN, .sent = SENT_NO_ID}));
    g_assert_cmpint(phases_prepare(connections[0], NULL, 0, cookie, length, &out, &outlen, &uri,
                                   VIR_MIGRATE_LIVE),
                    ==, 0);
    dom = virDomainLookupByUUID(connections[0], world_domain(2));
    run = (int)virDomainGetID(dom);
    virDomainFree(dom);
    g_assert_true(reaches(world_domain(2), (Case){.id = run, .sent = SENT_ANOTHERS}));
    g_assert_false(reaches(world_domain(2), (Case){.id = run, .sent = SENT_OURS}));
    g_assert_true(reaches(world_domain(2), (Case){.id = NEXT_RUN, .sent = SENT_NO_ID}));
    migration = migration_find(world_domain(2));
    world_drop(g_steal_pointer(&migration));
    free(cookie);
    free(out);
    stop();
}

/* A source that does not say of which domain it speaks. */
static void
test_no_cookie(void)
{
    start();
    g_assert_null(preparation_begin(connections[0], NULL, 0));
    g_assert_null(preparation_begin(connections[0], "<qemu", 6));
    g_assert_null(preparation_begin(connections[0], "<qemu-migration/>", 18));
    preparation_free(NULL);
    g_assert_true(reaches(fresh, (Case){.id = RUN, .sent = SENT_NO_ID}));
    stop();
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/stray/its-own", test_its_own);
    g_test_add_func("/stray/prepare-at-work", test_prepare_at_work);
    g_test_add_func("/stray/just-prepared", test_just_prepared);
    g_test_add_func("/stray/libvirts-alone", test_libvirts_alone);
    g_test_add_func("/stray/run-unknown", test_run_unknown);
    g_test_add_func("/stray/flags", test_flags);
    g_test_add_func("/stray/prepare", test_prepare);
    g_test_add_func("/stray/no-cookie", test_no_cookie);
    return g_test_run();
}
