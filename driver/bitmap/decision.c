/*
 * decision.c: what becomes of a dirty bitmap after a migration
 *
 * How it works. Of QEMU 10.0 (block/qcow2-bitmap.c, migration/block-dirty-bitmap.c) it is to be
 * known that
 *  - who opens an image marks its bitmaps in use, and who closes it, or gives it up, stores them
 *    and takes the mark away: a mark that stands without a user means that writes may be missing;
 *  - a bitmap on the migration stream is not stored when the source gives the image up, but kept in
 *    memory; until the source has activated the image again it is never stored (`skip_store`);
 *  - a bitmap that is stored in the image and still in memory when the image is activated makes
 *    QEMU eject the image: the copy in memory has to go first.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bitmap/decision-priv.h"

#include <glib/gi18n-lib.h>

#define PHASE(name) BITMAP_IS(BITMAP_PHASE_##name)
#define IMAGE(name) BITMAP_IS(BITMAP_IMAGE_##name)
#define GUARD(name) BITMAP_IS(BITMAP_GUARD_##name)
#define SHARED      BITMAP_IS(BITMAP_STORAGE_SHARED)
#define COPIED      BITMAP_IS(BITMAP_STORAGE_COPIED)
#define THERE       (PHASE(ARRIVED) | PHASE(RECOVERED))
#define BACK        (PHASE(COMPLETED) | PHASE(LOST))
#define ANY         BITMAP_ANY
#define YES         BITMAP_YES
#define NO          BITMAP_NO

/* QEMU clears `skip_store` when it takes an image up again. Before 10.0 it gives its images up as
 * the last thing of `device`, so that one that failed there may have them yet: what was on the
 * stream is repaired in either case, which changes nothing where it was not needed. */

/* clang-format off */
const BitmapRow bitmap_rows[] = {
    /* phase           storage stream never image                            guard     halves */

    /* The guest never left. */
    { PHASE(PRECOPY),   ANY,    YES,   ANY,  ANY,                             ANY,      ANY,
      BITMAP_REPAIR,  N_("it is right, but QEMU, which began to send it, would never store it") },
    { PHASE(PRECOPY),   ANY,    NO,    ANY,  ANY,                             ANY,      ANY,
      BITMAP_NOTHING, N_("the migration did not touch it") },

    /* It was stopped, and QEMU had it go on. */
    { PHASE(DEVICE),    ANY,    NO,    ANY,  IMAGE(IN_USE) | IMAGE(ABSENT),   ANY,      ANY,
      BITMAP_DROP,    N_("the image did not hold it whole when the source took it up again") },
    { PHASE(DEVICE),    COPIED, NO,    ANY,  ANY,                             ANY,      ANY,
      BITMAP_NOTHING, N_("nobody else writes to this image, and QEMU kept it") },
    { PHASE(DEVICE),    COPIED, YES,   ANY,  ANY,                             ANY,      ANY,
      BITMAP_REPAIR,  N_("nobody else writes to this image, but QEMU may never store it") },
    { PHASE(DEVICE),    SHARED, NO,    YES,  ANY,                             ANY,      ANY,
      BITMAP_NOTHING, N_("the destination never had the image, and QEMU kept it") },
    { PHASE(DEVICE),    SHARED, YES,   YES,  ANY,                             ANY,      ANY,
      BITMAP_REPAIR,  N_("the destination never had the image, but QEMU may never store it") },
    { PHASE(DEVICE),    SHARED, NO,    ANY,  IMAGE(CONSISTENT),               ANY,      ANY,
      BITMAP_NOTHING, N_("the image held it whole when the source took it up again") },
    { PHASE(DEVICE),    SHARED, ANY,   ANY,  ANY,                             ANY,      ANY,
      BITMAP_DROP,    N_("the destination may have written to the image") },

    /* It comes back, or is started anew. */
    { PHASE(LOST),      ANY,    YES,   ANY,  ANY,                             ANY,      ANY,
      BITMAP_DROP,    N_("it was on its way in postcopy, and neither host has all of it") },
    { BACK,             ANY,    ANY,   ANY,  IMAGE(CONSISTENT),               ANY,      ANY,
      BITMAP_ADOPT,   N_("who had the image last has stored it there") },
    { BACK,             ANY,    ANY,   ANY,  ANY,                    GUARD(IN_USE) | GUARD(MISSING), ANY,
      BITMAP_DROP,    N_("the guard was not stored: the destination may have written to the image") },
    { BACK,             ANY,    ANY,   ANY,  IMAGE(UNREAD),                   ANY,      ANY,
      BITMAP_DROP,    N_("the image could not be looked at, so nothing is proven") },
    { BACK,             ANY,    NO,    ANY,  ANY,                             ANY,      ANY,
      BITMAP_DROP,    N_("the source stored it in the image, and it is not there whole any more") },
    { PHASE(COMPLETED), COPIED, YES,   ANY,  ANY,                             ANY,      ANY,
      BITMAP_RESTORE, N_("the destination writes to an image of its own") },
    { PHASE(COMPLETED), SHARED, YES,   ANY,  ANY,                             GUARD(EMPTY), ANY,
      BITMAP_RESTORE, N_("the guard is empty: the destination has written nothing") },
    { PHASE(COMPLETED), SHARED, YES,   ANY,  ANY,                             GUARD(WRITTEN), ANY,
      BITMAP_MERGE,   N_("the guard holds what the destination has written") },
    { PHASE(COMPLETED), SHARED, YES,   YES,  ANY,                             ANY,      ANY,
      BITMAP_RESTORE, N_("the destination never had the image") },
    { PHASE(COMPLETED), SHARED, YES,   NO,   ANY,                             ANY,      ANY,
      BITMAP_DROP,    N_("nothing proves that the destination has written nothing") },

    /* It runs at the destination. */
    { PHASE(ARRIVED),   ANY,    YES,   ANY,  ANY,                             ANY,      ANY,
      BITMAP_NOTHING, N_("it came over the migration's stream") },
    { THERE,          SHARED, NO,    ANY,  ANY,                             ANY,      ANY,
      BITMAP_NOTHING, N_("it came with the image") },
    { THERE,          COPIED, NO,    ANY,  ANY,                             ANY,      ANY,
      BITMAP_DROP,    N_("the image was copied without it") },
    { PHASE(RECOVERED), ANY,    YES,   ANY,  ANY,                             ANY,      YES,
      BITMAP_REBUILD, N_("the pause cut it off on its way, and both of its halves are there") },
    { PHASE(RECOVERED), ANY,    YES,   ANY,  ANY,                             ANY,      NO,
      BITMAP_DROP,    N_("the pause cut it off on its way, and a half of it is gone") },
};
/* clang-format on */
const guint n_bitmap_rows = G_N_ELEMENTS(bitmap_rows);

static gboolean
fits(guint mask, guint value)
{
    return (mask & BITMAP_IS(value)) != 0;
}

const BitmapRow *
bitmap_find_row(const BitmapCase *facts)
{
    const BitmapRow *row = bitmap_rows;

    while (row < bitmap_rows + n_bitmap_rows - 1 &&
           !(fits(row->phase, facts->phase) && fits(row->storage, facts->storage) &&
             fits(row->on_stream, !!facts->on_stream) &&
             fits(row->never_active, !!facts->never_active) && fits(row->image, facts->image) &&
             fits(row->guard, facts->guard) && fits(row->halves, !!facts->halves)))
        row++;
    return row;
}

/* The policy speaks of a guest that is back, not of one that stayed or arrived. NULL: it agrees. */
static const char *
refuse(const BitmapCase *facts, BitmapDecision decision)
{
    if (!fits(BACK, facts->phase) || decision == BITMAP_DROP)
        return NULL;
    switch (facts->on_return) {
    case POLICY_ON_RETURN_DROP:
        return N_("the policy has every bitmap dropped when the guest is back");
    case POLICY_ON_RETURN_RESTORE:
        return decision == BITMAP_MERGE
                   ? N_("it would mark more than was written, and the policy wants it exact or not")
                   : NULL;
    case POLICY_ON_RETURN_MERGE:
    case POLICY_ON_RETURN_AUTO:
        break;
    }
    return NULL;
}

BitmapDecision
bitmap_decide(const BitmapCase *facts, const char **reason)
{
    const BitmapRow *row = bitmap_find_row(facts);
    const char *refusal = refuse(facts, row->decision);

    if (reason)
        *reason = _(refusal ? refusal : row->reason);
    return refusal ? BITMAP_DROP : row->decision;
}

/* Whether one of what a guard may say is worth more than none for these facts. */
static gboolean
is_worth_more(const BitmapCase *facts)
{
    BitmapCase with = *facts;

    for (with.guard = BITMAP_GUARD_NONE + 1; with.guard < BITMAP_GUARD_LAST; with.guard++) {
        if (bitmap_decide(facts, NULL) == BITMAP_DROP && bitmap_decide(&with, NULL) != BITMAP_DROP)
            return TRUE;
    }
    return FALSE;
}

gboolean
bitmap_guard_tells(BitmapStorage storage, gboolean on_stream, PolicyOnReturn on_return)
{
    BitmapCase facts = {.storage = storage, .on_stream = on_stream, .on_return = on_return};

    for (facts.phase = 0; facts.phase < BITMAP_PHASE_LAST; facts.phase++) {
        for (facts.image = 0; facts.image < BITMAP_IMAGE_LAST; facts.image++) {
            for (facts.never_active = 0; facts.never_active < 2; facts.never_active++) {
                if (is_worth_more(&facts))
                    return TRUE;
            }
        }
    }
    return FALSE;
}

const char *
bitmap_decision_to_string(BitmapDecision decision)
{
    static const char *const names[BITMAP_DECISION_LAST] = {
        [BITMAP_NOTHING] = "nothing", [BITMAP_REPAIR] = "repair", [BITMAP_RESTORE] = "restore",
        [BITMAP_ADOPT] = "adopt",     [BITMAP_MERGE] = "merge",   [BITMAP_REBUILD] = "rebuild",
        [BITMAP_DROP] = "drop",       [BITMAP_LEAVE] = "leave",   [BITMAP_REFUSE] = "refuse",
    };

    return names[decision];
}
