/*
 * boot.c: which start of a host it is
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/boot.h"

#include <glib.h>

/* random(4) */
#define BOOT_ID "/proc/sys/kernel/random/boot_id"

static gpointer
read_id(gpointer unused)
{
    char *text = NULL;

    if (g_file_get_contents(BOOT_ID, &text, NULL, NULL) && g_uuid_string_is_valid(g_strchomp(text)))
        return text;
    g_free(text);
    return NULL;
}

const char *
boot_get_id(void)
{
    static GOnce once = G_ONCE_INIT;

    return g_once(&once, read_id, NULL);
}
