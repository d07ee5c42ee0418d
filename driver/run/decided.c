/*
 * decided.c: what has become of a guest's dirty bitmaps, told to whoever wants to know
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/decided.h"

void
decided_tell(Migration *migration,
             virDomainPtr dom,
             const char *node,
             const char *bitmap,
             BitmapDecision decision,
             const char *reason)
{
    g_message("%s%s%sdomain %s: dirty bitmap %s on %s: %s: %s", migration ? "migration " : "",
              migration ? migration_get_id(migration) : "", migration ? " of " : "",
              virDomainGetName(dom), bitmap, node, bitmap_decision_to_string(decision), reason);
}
