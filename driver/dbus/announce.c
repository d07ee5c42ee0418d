/*
 * announce.c: a walk over the history, silent over what is known and loud over what is new
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dbus/announce.h"

/* Where the walk stands: the pause it is in, if any. */
typedef struct {
    GArray *out; /* NULL: silent */
    MigrationState state;
    gboolean paused;
    PauseReason reason; /* of the pause */
    gint64 paused_at_usec;
    guint attempts;
} Walk;

static gboolean
is_in_pause(MigrationState state)
{
    return state == STATE_POSTCOPY_PAUSED || state == STATE_POSTCOPY_RECOVER_SETUP ||
           state == STATE_POSTCOPY_RECOVER;
}

static const StatusStep *
step_at(const Status *status, guint i)
{
    return &g_array_index(status->history, StatusStep, i);
}

static void
say(Walk *walk, Announcement announcement)
{
    if (walk->out)
        g_array_append_val(walk->out, announcement);
}

static void
say_paused(Walk *walk)
{
    say(walk, (Announcement){
                  .kind = ANNOUNCE_PAUSED,
                  .reason = walk->reason,
                  .at_usec = walk->paused_at_usec,
              });
}

static void
enter_pause(Walk *walk, const StatusStep *step)
{
    gboolean changes_hands = (walk->reason == REASON_OPERATOR) != (step->reason == REASON_OPERATOR);

    if (!walk->paused) {
        walk->paused = TRUE;
        walk->paused_at_usec = step->at_usec;
        walk->attempts = 0;
    } else if (!changes_hands) {
        return;
    }
    walk->reason = step->reason;
    say_paused(walk);
}

static void
leave_pause(Walk *walk, const StatusStep *step)
{
    if (step->state == STATE_POSTCOPY_ACTIVE || step->state == STATE_COMPLETED) {
        say(walk, (Announcement){
                      .kind = ANNOUNCE_RECOVERED,
                      .at_usec = step->at_usec,
                      .outage_usec = MAX(step->at_usec - walk->paused_at_usec, 0),
                      .attempts = walk->attempts,
                  });
    }
    walk->paused = FALSE;
}

static void
take_step(Walk *walk, const StatusStep *step)
{
    say(walk, (Announcement){
                  .kind = ANNOUNCE_STATE_CHANGED,
                  .from = walk->state,
                  .to = step->state,
                  .reason = step->reason,
              });
    if (step->state == STATE_POSTCOPY_PAUSED)
        enter_pause(walk, step);
    else if (walk->paused && !is_in_pause(step->state))
        leave_pause(walk, step);
    if (step->state == STATE_POSTCOPY_RECOVER_SETUP)
        walk->attempts++;
    if (migration_state_is_terminal(step->state))
        say(walk, (Announcement){.kind = ANNOUNCE_FINISHED, .to = step->state});
    walk->state = step->state;
}

/* The first step of @current that @previous does not have; 0 if the history, which is bounded,
 * has lost everything that @previous knew. */
static guint
first_new_step(const Status *previous, const Status *current)
{
    const StatusStep *known = step_at(previous, previous->history->len - 1);

    for (guint i = current->history->len; i > 0; i--) {
        const StatusStep *step = step_at(current, i - 1);

        if (step->at_usec == known->at_usec && step->state == known->state &&
            step->reason == known->reason)
            return i;
    }
    return 0;
}

/* Over the steps of @status from @first on, telling @out, or nobody if it is NULL. */
static void
walk_over(Walk *walk, const Status *status, guint first, GArray *out)
{
    walk->out = out;
    for (guint i = first; i < status->history->len; i++)
        take_step(walk, step_at(status, i));
}

/* What is so before the oldest step that is left of a history: what that step itself suggests. */
static Walk
walk_before(const StatusStep *step)
{
    return (Walk){
        .state = step->state,
        .paused = is_in_pause(step->state) && step->state != STATE_POSTCOPY_PAUSED,
        .reason = step->reason,
        .paused_at_usec = step->at_usec,
    };
}

/* The session's own figures are of a monotonic clock and count what the history has lost: they are
 * better for the pause that they are about, the last one that is over. */
static void
refine_last_recovery(GArray *out, const Status *current, gboolean in_new_pause)
{
    for (guint i = out->len; i > 0; i--) {
        Announcement *announcement = &g_array_index(out, Announcement, i - 1);

        if (announcement->kind != ANNOUNCE_RECOVERED)
            continue;
        announcement->outage_usec = current->last_outage_usec;
        if (!in_new_pause)
            announcement->attempts = current->attempts;
        return;
    }
}

/* The snapshots of a migration share their verdicts. */
static void
say_bitmaps(GArray *out, const Status *previous, const Status *current)
{
    g_autoptr(GPtrArray) fresh = g_ptr_array_new_with_free_func((GDestroyNotify)verdict_unref);
    Announcement announcement = {.kind = ANNOUNCE_BITMAPS};

    for (guint i = 0; i < current->verdicts->len; i++) {
        Verdict *verdict = current->verdicts->pdata[i];

        if (!g_ptr_array_find(previous->verdicts, verdict, NULL))
            g_ptr_array_add(fresh, verdict_ref(verdict));
    }
    if (fresh->len == 0)
        return;
    announcement.verdicts = g_steal_pointer(&fresh);
    g_array_append_val(out, announcement);
}

static void
announcement_clear(gpointer opaque)
{
    Announcement *announcement = opaque;

    g_clear_pointer(&announcement->verdicts, g_ptr_array_unref);
}

GArray *
announce(const Status *previous, const Status *current)
{
    GArray *out = g_array_new(FALSE, TRUE, sizeof(Announcement));
    gboolean known = previous && g_strcmp0(previous->id, current->id) == 0;
    const Status *past = known ? previous : current;
    Announcement head = {.kind = known ? ANNOUNCE_CHANGED : ANNOUNCE_ADDED};
    Walk walk;

    g_array_set_clear_func(out, announcement_clear);
    g_array_append_val(out, head);
    if (past->history->len == 0)
        return out;

    walk = walk_before(step_at(past, 0));
    walk_over(&walk, past, 0, NULL);
    walk.out = out;
    if (known)
        walk_over(&walk, current, first_new_step(previous, current), out);
    else if (walk.paused)
        say_paused(&walk);
    refine_last_recovery(out, current, walk.paused);
    if (known)
        say_bitmaps(out, previous, current);
    return out;
}

gboolean
announce_is_late(const Status *previous, const Status *current)
{
    return previous && g_strcmp0(previous->id, current->id) != 0 &&
           !migration_state_is_terminal(previous->state) &&
           migration_state_is_terminal(current->state);
}
