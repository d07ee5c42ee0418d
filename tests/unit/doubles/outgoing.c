/*
 * outgoing.c: libvirt's job of a migration from here, in place of driver/stock/domain.c, and
 * Confirm
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "outgoing.h"

#include "world.h"
#include "stock/domain.h"

enum { OUTGOING_NONE, OUTGOING_POSTCOPY, OUTGOING_CANCELLED };

static gint outgoing; /* atomic */
static gint confirms; /* atomic */

/* No job is under way, but the one of an outgoing migration that nobody drives. */
gboolean
stock_domain_job(virDomainPtr dom, StockJob *job)
{
    *job = (StockJob){.active = virDomainIsActive(dom) == 1};
    if (g_atomic_int_get(&outgoing) != OUTGOING_NONE)
        job->async = STOCK_ASYNC_OUT;
    return TRUE;
}

void
world_set_outgoing(void)
{
    g_atomic_int_set(&outgoing, OUTGOING_POSTCOPY);
}

gboolean
world_is_outgoing(void)
{
    return g_atomic_int_get(&outgoing) != OUTGOING_NONE;
}

void
stock_domain_leave_postcopy(virDomainPtr dom, gboolean io_error)
{
    if (world_is_outgoing())
        g_atomic_int_set(&outgoing, OUTGOING_CANCELLED);
}

int
outgoing_confirm(virDomainPtr dom,
                 virTypedParameterPtr params,
                 int nparams,
                 const char *cookiein,
                 int cookieinlen,
                 unsigned int flags,
                 int cancelled)
{
    g_assert_cmpint(cancelled, ==, 1);
    g_atomic_int_inc(&confirms);
    /* libvirt keeps the job of a postcopy that has failed. */
    if (g_atomic_int_get(&outgoing) == OUTGOING_CANCELLED)
        g_atomic_int_set(&outgoing, OUTGOING_NONE);
    return 0;
}

guint
world_count_confirms(void)
{
    return (guint)g_atomic_int_get(&confirms);
}
