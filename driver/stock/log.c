/*
 * log.c: our messages in libvirt's log
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/log.h"

#include <glib.h>

#include "stock/symbols.h"

/* virLogSource and virLogPriority, src/util/virlog.h: the same in libvirt 9.0.0 and 11.3.0;
 * scripts/extract-abi asserts it. libvirt fills in the last two members. */
typedef struct {
    const char *name;
    unsigned int priority;
    unsigned int serial;
} LogSource;

enum {
    LOG_DEBUG = 1,
    LOG_INFO,
    LOG_WARN,
    LOG_ERROR,
};

static int
priority_of(GLogLevelFlags level)
{
    if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
        return LOG_ERROR;
    if (level & G_LOG_LEVEL_WARNING)
        return LOG_WARN;
    if (level & (G_LOG_LEVEL_MESSAGE | G_LOG_LEVEL_INFO))
        return LOG_INFO;
    return LOG_DEBUG;
}

static void
forward(const char *domain, GLogLevelFlags level, const char *message, gpointer opaque)
{
    static LogSource source = {"holdfast", LOG_ERROR, 0};

    symbols.virLogMessage(&source, priority_of(level), "holdfast", 0, NULL, NULL, "%s: %s", domain,
                          message);
}

void
log_install(void)
{
    g_log_set_handler(G_LOG_DOMAIN, G_LOG_LEVEL_MASK | G_LOG_FLAG_FATAL | G_LOG_FLAG_RECURSION,
                      forward, NULL);
}
