/*
 * turns.c: never more at once than may be, nobody forgotten, the longest paused first
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/turns.h"

#define AT_ONCE 3

static gpointer
who(guint number)
{
    return GUINT_TO_POINTER(number + 1);
}

/* Turns go round in the order of the pauses, whoever asks first. */
static void
test_order(void)
{
    static const gint64 since[] = {50, 40, 30, 20, 10, 20, 60, 5};
    static const guint expected[] = {7, 4, 3, 5, 6};
    Turns *turns = turns_new(AT_ONCE);

    for (guint i = 0; i < G_N_ELEMENTS(since); i++)
        g_assert_cmpint(turns_ask(turns, who(i), since[i]), ==, i < AT_ONCE);
    g_assert_cmpuint(turns_count_waiting(turns), ==, G_N_ELEMENTS(expected));
    for (guint i = 0; i < G_N_ELEMENTS(expected); i++)
        g_assert_true(turns_leave(turns, who(i < AT_ONCE ? i : expected[i - AT_ONCE])) ==
                      who(expected[i]));
    for (guint i = G_N_ELEMENTS(expected) - AT_ONCE; i < G_N_ELEMENTS(expected); i++)
        g_assert_null(turns_leave(turns, who(expected[i])));
    turns_free(turns);
}

/* Asking again neither takes a second turn nor loses the place. */
static void
test_again(void)
{
    Turns *turns = turns_new(1);

    g_assert_true(turns_ask(turns, who(0), 1));
    g_assert_true(turns_ask(turns, who(0), 1));
    g_assert_false(turns_ask(turns, who(1), 2));
    g_assert_false(turns_ask(turns, who(2), 3));
    g_assert_false(turns_ask(turns, who(1), 2));
    g_assert_cmpuint(turns_count_waiting(turns), ==, 2);
    g_assert_true(turns_is_waiting(turns, who(1)));
    g_assert_false(turns_is_waiting(turns, who(0)));
    g_assert_false(turns_is_waiting(turns, who(3)));
    g_assert_true(turns_leave(turns, who(0)) == who(1));
    g_assert_null(turns_leave(turns, who(0)));
    g_assert_true(turns_ask(turns, who(1), 2));
    turns_free(turns);
}

/* Whoever is gone is not called. */
static void
test_left(void)
{
    Turns *turns = turns_new(1);

    g_assert_null(turns_leave(turns, who(9)));
    g_assert_true(turns_ask(turns, who(0), 1));
    g_assert_false(turns_ask(turns, who(1), 2));
    g_assert_false(turns_ask(turns, who(2), 3));
    g_assert_null(turns_leave(turns, who(1)));
    g_assert_true(turns_leave(turns, who(0)) == who(2));
    g_assert_null(turns_leave(turns, who(2)));
    g_assert_true(turns_ask(turns, who(1), 2));
    turns_free(turns);
    turns_free(NULL);
}

/* Whatever happens: at most AT_ONCE have the turn, and none waits while one is free. */
static void
test_random(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    Turns *turns = turns_new(AT_ONCE);
    gboolean has[16] = {FALSE};

    for (guint i = 0; i < 100000; i++) {
        guint n = (guint)g_rand_int_range(rand, 0, G_N_ELEMENTS(has));
        guint count = 0;

        if (g_rand_boolean(rand)) {
            has[n] = turns_ask(turns, who(n), g_rand_int_range(rand, 0, 8));
        } else {
            gpointer next = turns_leave(turns, who(n));

            g_assert_true(!next || has[n]);
            has[n] = FALSE;
            if (next) {
                g_assert_false(has[GPOINTER_TO_UINT(next) - 1]);
                has[GPOINTER_TO_UINT(next) - 1] = TRUE;
            }
        }
        for (guint j = 0; j < G_N_ELEMENTS(has); j++)
            count += has[j];
        g_assert_cmpuint(count, <=, AT_ONCE);
        g_assert_true(count == AT_ONCE || turns_count_waiting(turns) == 0);
    }
    turns_free(turns);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/turns/order", test_order);
    g_test_add_func("/turns/again", test_again);
    g_test_add_func("/turns/left", test_left);
    g_test_add_func("/turns/random", test_random);
    return g_test_run();
}
