/*
 * decided.c: what has become of a guest's dirty bitmaps, told to whoever wants to know
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/decided.h"

#include "run/disks.h"

static void
tell(Migration *migration,
     virDomainPtr dom,
     const char *what,
     GLogLevelFlags level,
     Verdict *verdict)
{
    g_log(G_LOG_DOMAIN, level, "%s%s%sdomain %s: %s: %s: %s", migration ? "migration " : "",
          migration ? migration_get_id(migration) : "", migration ? " of " : "",
          virDomainGetName(dom), what, verdict->decision, verdict->reason);
    if (migration)
        migration_add_verdict(migration, verdict);
    else
        verdict_unref(verdict);
}

/* A migration that a daemon before this one had has left a domain that runs here. */
static char *
name_disk(Migration *migration, virDomainPtr dom, const char *node)
{
    g_autoptr(GPtrArray) disks = NULL;

    if (migration)
        return migration_name_disk(migration, node);
    disks = disks_read(virDomainGetName(dom));
    return g_strdup(disk_name_node(disks, node));
}

void
decided_tell(Migration *migration,
             virDomainPtr dom,
             const char *node,
             const char *bitmap,
             BitmapDecision decision,
             const char *reason)
{
    g_autofree char *disk = name_disk(migration, dom, node);
    gboolean named = !g_str_equal(disk, node);
    g_autofree char *what = g_strdup_printf("%s%sdirty bitmap %s on %s", named ? disk : "",
                                            named ? ": " : "", bitmap, node);

    tell(migration, dom, what, G_LOG_LEVEL_MESSAGE,
         verdict_new(VERDICT_BITMAP, disk, bitmap, bitmap_decision_to_string(decision), reason,
                     g_get_real_time()));
}

void
decided_tell_checkpoint(Migration *migration,
                        virDomainPtr dom,
                        const char *checkpoint,
                        const char *decision,
                        const char *reason)
{
    g_autofree char *what = g_strdup_printf("checkpoint %s", checkpoint);

    tell(migration, dom, what, G_LOG_LEVEL_WARNING,
         verdict_new(VERDICT_CHECKPOINT, "", checkpoint, decision, reason, g_get_real_time()));
}
