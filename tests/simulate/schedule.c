/*
 * schedule.c: one schedule, from the beginning of a migration to its end
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule.h"

#include <stdio.h>

#include "calls.h"
#include "check.h"
#include "daemon.h"
#include "faults.h"
#include "network.h"
#include "qemu.h"

/* Faults happen until then; a schedule with little to move is over long before. */
#define CALM_USEC (100 * SEC)
/* How long it may then take until all is over: some back-offs at their longest (37 s), deadlines of
 * recoveries, and a person who comes when it is that person's turn. */
#define END_USEC     (500 * SEC)
#define RESOLVE_USEC (60 * SEC)
/* libvirt's own ends that follow. */
#define AFTER_USEC (3 * SEC)

static const char *const mutant_names[MUTANT_LAST] = {
    [MUTANT_NONE] = "none",
    [MUTANT_RUNS_WHEN_PAUSED] = "source-runs-when-paused",
    [MUTANT_FAILS_WHEN_PAUSED] = "destination-ends-when-paused",
    [MUTANT_NO_ASKING] = "no-asking",
    [MUTANT_NO_FINISH] = "no-finish",
    [MUTANT_NO_DEADLINE] = "no-deadline",
    [MUTANT_LYING_CALL] = "lying-call",
    [MUTANT_NO_TELLING] = "no-telling",
    [MUTANT_NO_ENDING] = "no-ending",
    [MUTANT_NO_STOPPING] = "no-stopping",
    [MUTANT_NO_TAKING_BACK] = "no-taking-back",
    [MUTANT_DENYING] = "denying",
    [MUTANT_FORGETFUL] = "forgetful",
    [MUTANT_NO_LINE] = "no-line",
    [MUTANT_NO_STARTING] = "no-starting",
    [MUTANT_NO_GRACE] = "no-grace",
};

struct Runner {
    World world;
    GHashTable *policies; /* by their element's attributes */
};

void
world_print(const World *world, const char *format, ...)
{
    va_list arguments;

    printf("%12.6f  ", (double)world->clock.now_usec / (double)SEC);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

const char *
host_to_string(guint host)
{
    return host == ROLE_SOURCE ? "source" : "destination";
}

Runner *
runner_new(Coverage *coverage)
{
    Runner *runner = g_new0(Runner, 1);

    clock_init(&runner->world.clock);
    runner->world.coverage = coverage;
    runner->world.effects = g_array_new(FALSE, FALSE, sizeof(Effect));
    runner->policies =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)policy_unref);
    return runner;
}

void
runner_free(Runner *runner)
{
    if (!runner)
        return;
    clock_clear(&runner->world.clock);
    g_clear_pointer(&runner->world.effects, g_array_unref);
    g_hash_table_unref(runner->policies);
    g_free(runner);
}

static Policy *
get_policy(Runner *runner, const Schedule *schedule)
{
    static const char *const switches[] = {
        [POLICY_SWITCH_MANUAL] = "switch='manual'",
        [POLICY_SWITCH_AFTER_PRECOPY] = "switch='after-precopy'",
        [POLICY_SWITCH_AFTER] = "after='1'",
    };
    char give_up[16] = "never";
    g_autofree char *xml = NULL;
    g_autoptr(Policy) defaults = NULL;
    g_autoptr(GError) error = NULL;
    Policy *policy;

    if (schedule->give_up_s != POLICY_NEVER)
        g_snprintf(give_up, sizeof(give_up), "%u", schedule->give_up_s);
    xml = g_strdup_printf("<m:migration xmlns:m='" POLICY_NAMESPACE
                          "'><m:postcopy %s/><m:recovery mode='%s' give-up='%s'/></m:migration>",
                          switches[schedule->switches], schedule->manual ? "manual" : "auto",
                          give_up);
    policy = g_hash_table_lookup(runner->policies, xml);
    if (policy)
        return policy;
    defaults = policy_default();
    policy = policy_from_element_xml(xml, POLICY_NAMESPACE, defaults, &error);
    g_assert_no_error(error);
    g_hash_table_insert(runner->policies, g_steal_pointer(&xml), policy);
    return policy;
}

static void
calm_cb(World *world, const ClockArgs *args)
{
    faults_calm(world);
}

static void
resolve_cb(World *world, const ClockArgs *args)
{
    faults_resolve(world);
    world_after(world, RESOLVE_USEC, resolve_cb, *args);
}

static void
begin(World *world, const Schedule *schedule, Mutant mutant, gboolean trace)
{
    clock_reset(&world->clock);
    dice_seed(&world->dice, schedule->seed ^ G_GUINT64_CONSTANT(0x5bf03635));
    world->schedule = schedule;
    world->mutant = mutant;
    world->trace = trace;
    world->calm = FALSE;
    world->hang_next = FALSE;
    world->fired = 0;
    world->limits = 0;
    world->quiet = (Quiet){0};
    world->unnoted = FALSE;
    world->violation = NULL;
    world->rpc_down_until_usec = 0;
    world->link = (Link){0};
    network_init(world);
    daemon_init(world);
    qemu_init(world);
    daemon_begin(world, ROLE_SOURCE);
    daemon_begin(world, ROLE_DESTINATION);
    calls_begin(world);
    if (schedule->postcopy) /* postcopy_perform() */
        daemon_step(world, ROLE_SOURCE, EVENT_POSTCOPY_ON, 0);
    qemu_start(world);
    faults_fire(world, TRIGGER_START);
    world_after(world, CALM_USEC, calm_cb, (ClockArgs){0});
    world_after(world, CALM_USEC + RESOLVE_USEC, resolve_cb, (ClockArgs){0});
}

const char *
mutant_to_string(guint mutant)
{
    return mutant < MUTANT_LAST ? mutant_names[mutant] : NULL;
}

void
schedule_roll(Schedule *schedule, guint64 seed)
{
    *schedule = (Schedule){.seed = seed};
    faults_roll(schedule);
}

void
runner_run(
    Runner *runner, const Schedule *schedule, Mutant mutant, gboolean trace, Outcome *outcome)
{
    World *world = &runner->world;
    gint64 until_usec = CALM_USEC + END_USEC;

    world->policy = get_policy(runner, schedule);
    if (trace)
        faults_print(schedule);
    begin(world, schedule, mutant, trace);
    while (!world->violation && clock_advance(&world->clock, world, until_usec)) {
        if (!check_is_over(world))
            until_usec = CALM_USEC + END_USEC;
        else if (until_usec == CALM_USEC + END_USEC)
            until_usec = world->clock.now_usec + AFTER_USEC;
    }
    if (!world->violation)
        check_end(world);
    *outcome = (Outcome){
        .violation = g_steal_pointer(&world->violation),
        .ending = check_get_ending(world),
        .limits = world->limits,
    };
    world->coverage->schedules++;
    world->coverage->endings[outcome->ending]++;
    if (trace)
        world_print(world, "ends: %s", ending_to_string(outcome->ending));
    daemon_clear(world);
}
