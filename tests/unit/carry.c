/*
 * carry.c: what becomes of checkpoints that come with a guest, on a destination that has some
 * already, and of those whose bitmaps are not there
 *
 * The domains are those of libvirt's test driver, which has checkpoints, but no bitmaps: whether
 * one is there is said here.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/carry.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "doubles/world.h"
#include "model/texts.h"
#include "run/observe.h"
#include "run/parcel.h"
#include "stock/symbols.h"

/* Below the ports that the kernel gives away, and apart from those of the other tests. */
#define PORT_MIN 21100
#define PORT_MAX 21163

static struct {
    const char *broken; /* the name of a checkpoint whose bitmap is not there */
    guint timeouts;     /* how often a job of somebody else's is in the way */
    guint defined;
    const char *bitmaps[4]; /* what QEMU has, and NULL */
    PeerServer *server;
    guint16 port;
    Secret secret;
} test;

/* --- libvirt --- */

/* In front of libvirt's. */
virDomainCheckpointPtr
virDomainCheckpointCreateXML(virDomainPtr domain, const char *xml, unsigned int flags)
{
    static virDomainCheckpointPtr (*real)(virDomainPtr, const char *, unsigned int);
    g_autofree char *broken = g_strdup_printf("<name>%s</name><creation", test.broken);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "virDomainCheckpointCreateXML");
    g_assert_cmpuint(flags, ==,
                     VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE |
                         VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE);
    test.defined++;
    if (test.timeouts > 0) {
        test.timeouts--;
        /* Any error of that kind: the test driver has none. */
        virDomainFSTrim(NULL, NULL, 0, 0);
        virGetLastError()->code = VIR_ERR_OPERATION_TIMEOUT;
        return NULL;
    }
    /* Some error of libvirt's, which is what is told. */
    return strstr(xml, broken) ? real(domain, "<none/>", VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE)
                               : real(domain, xml, VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE);
}

static char *
qemu(const char *name, const char *command, const char *arguments, GError **error)
{
    g_autoptr(GString) reply = g_string_new("{\"return\": [{\"node-name\": \"disk\", \"drv\": "
                                            "\"qcow2\", \"active\": true, \"dirty-bitmaps\": [");

    if (strstr(command, "query-migrate-parameters"))
        return g_strdup("{\"return\": {}}");
    for (guint i = 0; test.bitmaps[i]; i++)
        g_string_append_printf(reply,
                               "%s{\"name\": \"%s\", \"recording\": true, \"busy\": false, "
                               "\"persistent\": true, \"granularity\": 65536, \"count\": 0}",
                               i > 0 ? ", " : "", test.bitmaps[i]);
    g_string_append(reply, "]}]}");
    return g_string_free(g_steal_pointer(&reply), FALSE);
}

static virDomainPtr
get_domain(void)
{
    virConnectPtr connection = virConnectOpen("test:///default");
    virDomainPtr dom = virDomainLookupByUUID(connection, world_domain(0));

    g_assert_nonnull(dom);
    virConnectClose(connection);
    return dom;
}

static void
forget_all(void)
{
    virDomainPtr dom = get_domain();
    virDomainCheckpointPtr *list = NULL;
    int n = virDomainListAllCheckpoints(dom, &list, 0);

    for (int i = 0; i < n; i++) {
        virDomainCheckpointDelete(list[i], VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY);
        virDomainCheckpointFree(list[i]);
    }
    free(list);
    virDomainFree(dom);
}

/* --- lists: "NAME PARENT TIME ..." --- */

static GPtrArray *
make_list(const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);

    for (char **word = words; *word && **word; word += 3) {
        g_autofree char *parent =
            g_str_equal(word[1], "-")
                ? g_strdup("")
                : g_strdup_printf("<parent><name>%s</name></parent>", word[1]);

        g_ptr_array_add(list, g_strdup_printf("<domaincheckpoint><name>%s</name><creationTime>%s"
                                              "</creationTime>%s</domaincheckpoint>",
                                              word[0], word[2], parent));
    }
    return list;
}

static gint
compare(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What the domain has, as the list above, without times: "a - b a", in the order of names. */
static char *
show_tree(void)
{
    virDomainPtr dom = get_domain();
    g_autoptr(GPtrArray) list = carry_list(dom);
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < list->len; i++) {
        const char *parent = checkpoint_get_parent(list->pdata[i]);

        g_ptr_array_add(words, g_strdup_printf("%s %s", checkpoint_get_name(list->pdata[i]),
                                               parent ? parent : "-"));
    }
    g_ptr_array_sort(words, compare);
    g_ptr_array_add(words, NULL);
    virDomainFree(dom);
    return g_strjoinv(" ", (char **)words->pdata);
}

/* Has the domain take them; returns the names of those that were left, in order. */
static char *
take(const char *text)
{
    g_autoptr(GPtrArray) list = make_list(text);
    g_autoptr(GBytes) body = texts_encode(list);
    g_autoptr(GBytes) reply = NULL;
    g_autoptr(GPtrArray) left = NULL;
    g_autoptr(GString) names = g_string_new(NULL);
    g_autoptr(GError) error = NULL;

    g_assert_true(carry_take(world_domain(0), body, &reply, &error));
    g_assert_no_error(error);
    left = texts_decode(reply, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(left->len % 2, ==, 0);
    for (guint i = 0; i < left->len; i += 2) {
        g_string_append_printf(names, "%s%s", i > 0 ? " " : "", (char *)left->pdata[i]);
        g_test_message("%s: %s", (char *)left->pdata[i], (char *)left->pdata[i + 1]);
        g_assert_cmpuint(strlen(left->pdata[i + 1]), >, 10);
    }
    return g_string_free(g_steal_pointer(&names), FALSE);
}

static void
begin(void)
{
    memset(&test, 0, sizeof(test));
    world_start();
    world_set_qemu(qemu);
}

static void
end(void)
{
    forget_all();
    world_stop();
}

/* --- the destination --- */

static void
test_take(void)
{
    static const struct {
        const char *what;
        const char *before; /* what it has */
        const char *comes;
        const char *broken;
        const char *left;
        const char *after;
        const char *bitmaps[4];
    } cases[] = {
        {"none", "", "", NULL, "", ""},
        {"a chain", "", "a - 1 b a 2 c b 3", NULL, "", "a - b a c b"},
        {"branches", "", "a - 1 b a 2 c a 3", NULL, "", "a - b a c a"},
        {"the same", "a - 1 b a 2", "a - 1 b a 2", NULL, "", "a - b a"},
        {"some of them", "a - 1", "a - 1 b a 2", NULL, "", "a - b a"},
        {"an older one of that name", "a - 1", "a - 7 b a 8", NULL, "", "a - b a"},
        {"a later one of that name", "a - 7", "a - 1 b a 2", NULL, "a", "a - b a"},
        {"an older one that is broken now", "a - 1", "a - 7 b a 8", "a", "a", "a - b a"},
        {"a broken root", "", "a - 1 b a 2 c b 3", "a", "a", "b - c b"},
        {"a broken one between", "", "a - 1 b a 2 c b 3", "b", "b", "a - c a"},
        {"a broken leaf", "", "a - 1 b a 2 c b 3", "c", "c", "a - b a"},
        {"its parent is nowhere", "", "b a 2", NULL, "", "b -"},
        {"its parent is here", "a - 1", "b a 2", NULL, "", "a - b a", {"a"}},
        {"deleted meanwhile", "a - 1 b a 2", "b - 2 c b 3", NULL, "", "b - c b", {"b", "c"}},
        {"only forgotten there", "a - 1 b a 2", "b - 2", NULL, "", "a - b -", {"a", "b"}},
        {"a child of its own", "", "a a 1", NULL, "", "a -"},
        {"children of each other", "", "a b 1 b a 2", NULL, "", "a - b a"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *left = NULL;
        g_autofree char *after = NULL;

        g_test_message("%s", cases[i].what);
        begin();
        memcpy(test.bitmaps, cases[i].bitmaps, sizeof(test.bitmaps));
        g_free(take(cases[i].before));
        test.broken = cases[i].broken;
        left = take(cases[i].comes);
        g_assert_cmpstr(left, ==, cases[i].left);
        after = show_tree();
        g_assert_cmpstr(after, ==, cases[i].after);
        g_free(take(cases[i].comes));
        g_free(after);
        after = show_tree();
        g_assert_cmpstr(after, ==, cases[i].after);
        end();
    }
}

/* A definition of then would have a bitmap that begins later. */
static void
test_outdated(void)
{
    static const char *const times[] = {"a - 1", "a - 7", "a - 3"};

    for (gsize i = 0; i < G_N_ELEMENTS(times); i++) {
        virDomainPtr dom;
        virDomainCheckpointPtr checkpoint;
        char *xml;

        begin();
        for (gsize j = 0; j <= i; j++)
            g_free(take(times[j]));
        dom = get_domain();
        checkpoint = virDomainCheckpointLookupByName(dom, "a", 0);
        xml = virDomainCheckpointGetXMLDesc(checkpoint, 0);
        g_assert_nonnull(strstr(xml, i == 0 ? "<creationTime>1<" : "<creationTime>7<"));
        free(xml);
        virDomainCheckpointFree(checkpoint);
        virDomainFree(dom);
        end();
    }
}

/* Somebody else's job: waited for a few times, and not for each of hundreds. */
static void
test_busy(void)
{
    g_autofree char *left = NULL;
    g_autofree char *after = NULL;

    begin();
    test.timeouts = 2;
    left = take("a - 1 b a 2");
    g_assert_cmpstr(left, ==, "");
    g_assert_cmpuint(test.defined, ==, 4);
    test.timeouts = 100;
    test.defined = 0;
    g_free(left);
    left = take("c b 3 d c 4 e d 5 f e 6");
    g_assert_cmpstr(left, ==, "c d e f");
    g_assert_cmpuint(test.defined, ==, 4 + 3);
    test.timeouts = 0;
    end();
}

static void
test_refused(void)
{
    static const unsigned char unknown[VIR_UUID_BUFLEN] = {9, 9};
    g_autoptr(GPtrArray) list = make_list("a - 1");
    g_autoptr(GPtrArray) odd = make_list("a - 1");
    g_autoptr(GBytes) body = texts_encode(list);
    g_autoptr(GBytes) cut = g_bytes_new_from_bytes(body, 0, g_bytes_get_size(body) - 1);
    g_autoptr(GBytes) none = NULL;
    g_autoptr(GBytes) reply = NULL;
    g_autoptr(GError) error = NULL;

    begin();
    g_ptr_array_add(odd, g_strdup("<nothing/>"));
    none = texts_encode(odd);
    g_assert_false(carry_take(unknown, body, &reply, &error));
    g_assert_error(error, PARCEL_ERROR, PARCEL_ERROR_REFUSED);
    g_clear_error(&error);
    g_assert_false(carry_take(world_domain(0), cut, &reply, &error));
    g_assert_error(error, TEXTS_ERROR, TEXTS_ERROR_INVALID);
    g_clear_error(&error);
    /* all or nothing is believed */
    g_assert_false(carry_take(world_domain(0), none, &reply, &error));
    g_assert_error(error, CHECKPOINT_ERROR, CHECKPOINT_ERROR_SYNTAX);
    g_assert_null(reply);
    g_assert_cmpuint(test.defined, ==, 0);
    end();
}

/* --- both --- */

static void
start_server(gpointer unused)
{
    test.server = peer_server_new(NULL, PORT_MIN, PORT_MAX, observe_question, NULL, NULL);
    test.port = peer_server_get_port(test.server);
}

static void
stop_server(gpointer unused)
{
    g_clear_pointer(&test.server, peer_server_free);
}

static Migration *
start(MigrationRole role, const Policy *policy)
{
    Migration *migration = migration_start(role, NULL, world_domain(0), "guest", policy, 0);
    char *hosts[] = {(char *)"127.0.0.1", NULL};

    migration_set_secret(migration, &test.secret);
    if (role == ROLE_SOURCE)
        migration_set_destination(migration, "b.example", hosts, test.port);
    migration_sync(migration);
    return migration;
}

/* As the policy says, and once. Source and destination are one domain here. */
static void
test_source(void)
{
    static const char leave[] = "<h:migration xmlns:h='" POLICY_NAMESPACE
                                "'><h:bitmaps checkpoints='leave'/></h:migration>";
    g_autoptr(Policy) defaults = policy_default();

    for (guint carries = 0; carries < 2; carries++) {
        g_autoptr(Policy) policy = policy_from_element_xml(leave, POLICY_NAMESPACE, defaults, NULL);
        Migration *source, *destination;
        virDomainPtr dom;

        begin();
        g_assert_true(secret_make(&test.secret));
        world_on_engine(start_server, NULL);
        parcel_set_taker(MESSAGE_PARCEL_CHECKPOINTS, carry_take);
        g_free(take("a - 1 b a 2"));
        test.defined = 0;
        dom = get_domain();
        source = start(ROLE_SOURCE, carries ? defaults : policy);
        destination = start(ROLE_DESTINATION, defaults);
        carry_source(source, dom);
        g_assert_cmpuint(test.defined, ==, carries ? 2 : 0);
        carry_source(source, dom);
        g_assert_cmpuint(test.defined, ==, carries ? 2 : 0);
        world_on_engine(stop_server, NULL);
        virDomainFree(dom);
        world_drop(destination);
        world_drop(source);
        end();
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_true(symbols_load(NULL, NULL));
    /* What is left is a warning. */
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
    g_test_add_func("/carry/take", test_take);
    g_test_add_func("/carry/outdated", test_outdated);
    g_test_add_func("/carry/busy", test_busy);
    g_test_add_func("/carry/refused", test_refused);
    g_test_add_func("/carry/source", test_source);
    return g_test_run();
}
