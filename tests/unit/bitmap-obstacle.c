/*
 * bitmap-obstacle.c: what is in the way of a bitmap, over all facts and policies
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bitmap/obstacle.h"

#define N_FACTS 7

static ObstacleFacts
make_facts(guint bits)
{
    return (ObstacleFacts){
        .copied = (bits & 1) != 0,
        .inconsistent = (bits & 2) != 0,
        .persistent = (bits & 4) != 0,
        .recording = (bits & 8) != 0,
        .mapped = (bits & 16) != 0,
        .accepted = (bits & 32) != 0,
        .taken = (bits & 64) != 0,
    };
}

/* QEMU's destination fails for a name that it is sent and has; its source for an inconsistent
 * bitmap on a node that it is to send from. */
static gboolean
would_qemu_refuse(const ObstacleFacts *facts)
{
    if (!facts->copied)
        return FALSE;
    if (facts->inconsistent)
        return facts->mapped;
    return facts->persistent && facts->recording && facts->accepted && facts->taken;
}

/* It is there, whole, when the guest has arrived. */
static gboolean
would_arrive(const ObstacleFacts *facts)
{
    if (facts->inconsistent)
        return FALSE;
    return !facts->copied || (facts->recording && facts->accepted && !facts->taken);
}

static void
test_product(void)
{
    guint found[OBSTACLE_LAST] = {0};

    for (guint bits = 0; bits < 1u << N_FACTS; bits++) {
        const ObstacleFacts facts = make_facts(bits);
        Obstacle obstacle = obstacle_find(&facts);
        gboolean fatal = would_qemu_refuse(&facts);

        found[obstacle]++;
        g_test_message("facts %#x: obstacle %u", bits, obstacle);
        /* Nobody misses one that was never to last. */
        if (facts.persistent || facts.inconsistent)
            g_assert_cmpint(obstacle == OBSTACLE_NONE, ==, would_arrive(&facts));
        else
            g_assert_cmpint(obstacle, ==, OBSTACLE_NONE);

        for (guint policy = 0; policy < POLICY_ON_DEPARTURE_LAST; policy++) {
            const char *reason = "";
            ObstacleAnswer answer = obstacle_answer(obstacle, policy, TRUE, &reason);

            g_assert_cmpint(reason == NULL, ==, obstacle == OBSTACLE_NONE);
            if (obstacle == OBSTACLE_NONE)
                g_assert_cmpint(answer, ==, OBSTACLE_PASS);
            else if (policy == POLICY_ON_DEPARTURE_REFUSE)
                g_assert_cmpint(answer, ==, OBSTACLE_REFUSE);
            else if (policy == POLICY_ON_DEPARTURE_PROCEED)
                g_assert_cmpint(answer, ==, fatal ? OBSTACLE_REFUSE : OBSTACLE_PASS);
            else
                /* Never a good one of the source's. */
                g_assert_cmpint(answer, ==,
                                facts.inconsistent ? OBSTACLE_REMOVE
                                : fatal            ? OBSTACLE_REFUSE
                                                   : OBSTACLE_PASS);
        }
    }
    for (guint i = 0; i < OBSTACLE_LAST; i++)
        g_assert_cmpuint(found[i], >, 0);
}

/* The destination removes nothing of its own but for a policy that says so, and nothing that is the
 * source's to remove. */
static void
test_destination(void)
{
    for (guint i = 1; i < OBSTACLE_LAST; i++) {
        gboolean own = i == OBSTACLE_TAKEN || i == OBSTACLE_TAKEN_LEFT;

        for (guint policy = 0; policy < POLICY_ON_DEPARTURE_LAST; policy++)
            g_assert_cmpint(obstacle_answer(i, policy, FALSE, NULL) == OBSTACLE_REMOVE, ==,
                            own && policy == POLICY_ON_DEPARTURE_DROP);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/obstacle/product", test_product);
    g_test_add_func("/obstacle/destination", test_destination);
    return g_test_run();
}
