/*
 * bitmap-decision.c: the decisions over all facts there can be, and over all that two hosts can do
 *
 * The second part is a model of QEMU 10.0's bitmaps, small enough to be read: what the hosts do to
 * an image and to a bitmap, what can be seen of it afterwards, and what the decision then makes of
 * it. The guest's disk has two blocks: one written before the source gave the image up, and one
 * that the destination may write.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bitmap/decision-priv.h"

/* --- over all facts --- */

static void
for_all_facts(void (*check)(const BitmapCase *facts))
{
    BitmapCase facts = {0};

    for (guint i = 0; i < 2; i++)
        for (facts.phase = 0; facts.phase < BITMAP_PHASE_LAST; facts.phase++)
            for (facts.image = 0; facts.image < BITMAP_IMAGE_LAST; facts.image++)
                for (facts.guard = 0; facts.guard < BITMAP_GUARD_LAST; facts.guard++)
                    for (guint bits = 0; bits < 8; bits++) {
                        facts.storage = (BitmapStorage)i;
                        facts.on_stream = (bits & 1) != 0;
                        facts.never_active = (bits & 2) != 0;
                        facts.halves = (bits & 4) != 0;
                        facts.on_return = POLICY_ON_RETURN_AUTO;
                        check(&facts);
                    }
}

static guint reached[64]; /* how often a row was the one */

static void
check_row(const BitmapCase *facts)
{
    const BitmapRow *row = bitmap_find_row(facts);

    /* The last one is taken for want of another: it has to fit as well. */
    g_assert_true(row->phase & BITMAP_IS(facts->phase));
    g_assert_true(row->storage & BITMAP_IS(facts->storage));
    g_assert_true(row->on_stream & BITMAP_IS(facts->on_stream));
    g_assert_true(row->never_active & BITMAP_IS(facts->never_active));
    g_assert_true(row->image & BITMAP_IS(facts->image));
    g_assert_true(row->guard & BITMAP_IS(facts->guard));
    g_assert_true(row->halves & BITMAP_IS(facts->halves));
    reached[row - bitmap_rows]++;
}

static void
test_rows(void)
{
    guint decisions = 0;

    g_assert_cmpuint(n_bitmap_rows, <=, G_N_ELEMENTS(reached));
    for_all_facts(check_row);
    for (guint i = 0; i < n_bitmap_rows; i++) {
        g_test_message("row %u: %s", i, bitmap_rows[i].reason);
        g_assert_cmpuint(reached[i], >, 0);
        decisions |= BITMAP_IS(bitmap_rows[i].decision);
    }
    /* The others are obstacle.c's. */
    g_assert_cmpuint(decisions, ==, BITMAP_IS(BITMAP_DROP + 1) - 1);
}

/* From the narrowest to the widest: a wider policy changes nothing but drops. */
static void
check_policies(const BitmapCase *facts)
{
    static const PolicyOnReturn widening[] = {
        POLICY_ON_RETURN_DROP,
        POLICY_ON_RETURN_RESTORE,
        POLICY_ON_RETURN_MERGE,
        POLICY_ON_RETURN_AUTO,
    };
    gboolean is_back = facts->phase == BITMAP_PHASE_COMPLETED || facts->phase == BITMAP_PHASE_LOST;
    BitmapDecision before = BITMAP_DROP;

    for (guint i = 0; i < G_N_ELEMENTS(widening); i++) {
        BitmapCase with = *facts;
        const char *reason = NULL;
        BitmapDecision decision;

        with.on_return = widening[i];
        decision = bitmap_decide(&with, &reason);
        g_assert_true(reason && *reason);
        g_assert_true(i == 0 || before == BITMAP_DROP || decision == before);
        if (is_back && with.on_return == POLICY_ON_RETURN_DROP)
            g_assert_cmpint(decision, ==, BITMAP_DROP);
        if (with.on_return == POLICY_ON_RETURN_RESTORE)
            g_assert_cmpint(decision, !=, BITMAP_MERGE);
        if (!is_back)
            g_assert_cmpint(decision, ==, bitmap_decide(facts, NULL));
        before = decision;
    }
    g_assert_cmpint(before, ==, bitmap_find_row(facts)->decision);
}

static void
test_policies(void)
{
    for_all_facts(check_policies);
}

static void
check_orders(const BitmapCase *facts)
{
    static const guint proofs[BITMAP_GUARD_LAST] = {1, 0, 0, 2, 1};
    BitmapDecision decision = bitmap_decide(facts, NULL);
    BitmapCase less = *facts;

    /* A proof that is taken away never makes a bitmap better trusted. */
    less.never_active = FALSE;
    if (decision == BITMAP_DROP)
        g_assert_cmpint(bitmap_decide(&less, NULL), ==, BITMAP_DROP);
    less = *facts;
    less.halves = FALSE;
    if (decision == BITMAP_DROP)
        g_assert_cmpint(bitmap_decide(&less, NULL), ==, BITMAP_DROP);
    less = *facts;
    less.image = BITMAP_IMAGE_UNREAD;
    if (decision == BITMAP_DROP && facts->phase == BITMAP_PHASE_COMPLETED)
        g_assert_cmpint(bitmap_decide(&less, NULL), ==, BITMAP_DROP);
    /* What was stored with the image needs no guard: a destination has removed it on arrival. */
    if (facts->phase == BITMAP_PHASE_COMPLETED && proofs[facts->guard] == 0 &&
        facts->image != BITMAP_IMAGE_CONSISTENT)
        g_assert_cmpint(decision, ==, BITMAP_DROP);
}

static void
test_orders(void)
{
    for_all_facts(check_orders);
}

/* By the policy's words: it saves what is on the stream of a shared image, and nothing else. */
static void
test_guard(void)
{
    for (guint i = 0; i < 2; i++)
        for (guint on_stream = 0; on_stream < 2; on_stream++)
            for (PolicyOnReturn on_return = POLICY_ON_RETURN_AUTO;
                 on_return <= POLICY_ON_RETURN_DROP; on_return++)
                g_assert_cmpint(bitmap_guard_tells((BitmapStorage)i, on_stream != 0, on_return), ==,
                                i == BITMAP_STORAGE_SHARED && on_stream &&
                                    on_return != POLICY_ON_RETURN_DROP);
}

static void
test_names(void)
{
    for (guint i = 0; i < BITMAP_DECISION_LAST; i++)
        for (guint j = 0; j < i; j++)
            g_assert_cmpstr(bitmap_decision_to_string((BitmapDecision)i), !=,
                            bitmap_decision_to_string((BitmapDecision)j));
}

/* --- over all that two hosts can do --- */

#define BEFORE 1u /* the block that was written before */
#define THERE  2u /* the one that the destination writes */
#define EMPTY  0u
#define ALL    (BEFORE | THERE)

/** What has happened; each member in every combination that makes sense. */
typedef struct {
    BitmapStorage storage;
    gboolean on_stream;
    gboolean stored_before; /* the bitmap was in the image already when the source opened it */
    gboolean guarded;
    gboolean activated; /* the destination took the image into use */
    gboolean proven;    /* ... and if not, that is known */
    gboolean wrote;
    gboolean closed;  /* the destination gave the image up in order; else it was killed */
    gboolean removed; /* the destination removed the bitmap before */
} History;

/** A bitmap's entry in an image. */
typedef struct {
    BitmapImage state; /* never UNREAD */
    guint marks;
} Entry;

/** What the source finds. */
typedef struct {
    Entry image;
    Entry guard;
    gboolean in_memory;
    guint memory;
    guint truth; /* what a right bitmap marks, for this host's image */
} World;

/* The image at the source, while the migration runs and when it has given it up. */
static void
give_up(const History *history, World *world)
{
    world->truth = world->memory = BEFORE;
    world->in_memory = history->on_stream;
    if (history->on_stream)
        world->image.state = history->stored_before ? BITMAP_IMAGE_IN_USE : BITMAP_IMAGE_ABSENT;
    else
        world->image = (Entry){BITMAP_IMAGE_CONSISTENT, BEFORE};
    world->guard.state = history->guarded ? BITMAP_IMAGE_CONSISTENT : BITMAP_IMAGE_ABSENT;
}

/* An entry of the image while the destination has it, and afterwards. @known: it has the bitmap. */
static void
use(const History *history, Entry *entry, gboolean known, guint marks)
{
    if (entry->state == BITMAP_IMAGE_CONSISTENT)
        entry->state = BITMAP_IMAGE_IN_USE;
    if (known && history->closed)
        *entry = (Entry){BITMAP_IMAGE_CONSISTENT, marks | (history->wrote ? THERE : EMPTY)};
}

static void
run_destination(const History *history, World *world)
{
    if (!history->activated || history->storage == BITMAP_STORAGE_COPIED)
        return;
    use(history, &world->image, !history->removed, BEFORE);
    if (history->removed)
        world->image = (Entry){BITMAP_IMAGE_ABSENT, EMPTY};
    use(history, &world->guard, history->guarded, EMPTY);
    if (history->wrote)
        world->truth |= THERE;
}

static BitmapGuard
see_guard(const History *history, const World *world)
{
    if (!history->guarded)
        return BITMAP_GUARD_NONE;
    if (world->guard.state != BITMAP_IMAGE_CONSISTENT)
        return BITMAP_GUARD_IN_USE;
    return world->guard.marks ? BITMAP_GUARD_WRITTEN : BITMAP_GUARD_EMPTY;
}

/* What the bitmap marks after the decision, or -1: there is none any more. */
static int
carry_out(BitmapDecision decision, const World *world)
{
    switch (decision) {
    case BITMAP_RESTORE:
    case BITMAP_MERGE:
        /* Else QEMU ejects the image, or there is nothing to restore. */
        g_assert_true(world->in_memory);
        g_assert_cmpint(world->image.state, !=, BITMAP_IMAGE_CONSISTENT);
        return (int)(world->memory | (decision == BITMAP_MERGE ? world->guard.marks : EMPTY));
    case BITMAP_ADOPT:
        g_assert_cmpint(world->image.state, ==, BITMAP_IMAGE_CONSISTENT);
        return (int)world->image.marks;
    case BITMAP_DROP:
        return -1;
    default:
        g_assert_not_reached();
    }
}

static void
check_history(const History *history)
{
    World world = {0};
    BitmapCase facts = {
        .storage = history->storage,
        .on_stream = history->on_stream,
        .phase = BITMAP_PHASE_COMPLETED,
        .never_active = !history->activated && history->proven,
    };
    BitmapDecision decision;
    int marks;

    give_up(history, &world);
    run_destination(history, &world);
    facts.image = world.image.state;
    facts.guard = see_guard(history, &world);
    decision = bitmap_decide(&facts, NULL);
    marks = carry_out(decision, &world);
    if (marks < 0) {
        /* Not without need: a proof, a guard that was stored, or an image that has it. */
        g_assert_false(facts.never_active);
        g_assert_false(history->guarded && (history->closed || !history->activated) &&
                       (history->on_stream || !history->removed));
        g_assert_true(history->storage == BITMAP_STORAGE_SHARED);
        return;
    }
    g_assert_cmpuint(world.truth & ~(guint)marks, ==, EMPTY);
    if (decision != BITMAP_MERGE)
        g_assert_cmpuint((guint)marks, ==, world.truth);

    /* ... and also where the image cannot be looked at. */
    facts.image = BITMAP_IMAGE_UNREAD;
    g_assert_cmpint(bitmap_decide(&facts, NULL), ==, BITMAP_DROP);
}

static void
test_histories(void)
{
    guint n = 0;

    for (guint bits = 0; bits < 1u << 9; bits++) {
        History history = {
            .storage = (BitmapStorage)(bits & 1),
            .on_stream = (bits >> 1) & 1,
            .stored_before = (bits >> 2) & 1,
            .guarded = (bits >> 3) & 1,
            .activated = (bits >> 4) & 1,
            .proven = (bits >> 5) & 1,
            .wrote = (bits >> 6) & 1,
            .closed = (bits >> 7) & 1,
            .removed = (bits >> 8) & 1,
        };

        if ((history.guarded && history.storage == BITMAP_STORAGE_COPIED) ||
            (!history.activated && (history.wrote || history.closed || history.removed)) ||
            (history.activated && history.proven))
            continue;
        g_test_message("history %u", bits);
        check_history(&history);
        n++;
    }
    g_assert_cmpuint(n, >, 50);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/decision/rows", test_rows);
    g_test_add_func("/decision/policies", test_policies);
    g_test_add_func("/decision/orders", test_orders);
    g_test_add_func("/decision/guard", test_guard);
    g_test_add_func("/decision/names", test_names);
    g_test_add_func("/decision/histories", test_histories);
    return g_test_run();
}
