/*
 * nbdio.c: driver/util/nbdio as a command, for test_bitmap_rebuild.py
 *
 *     nbdio read SOCKET EXPORT CONTEXT MAX       prints OFFSET LENGTH, a line for each extent
 *     nbdio zero SOCKET EXPORT OFFSET LENGTH ...
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/nbdio.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE_US (60 * G_USEC_PER_SEC)

int
main(int argc, char **argv)
{
    g_autoptr(GArray) extents = g_array_new(FALSE, FALSE, sizeof(Extent));
    g_autoptr(GError) error = NULL;
    gboolean good;

    if (argc < 4)
        return 2;
    Nbdio nbd = {argv[2], argv[3], g_get_monotonic_time() + DEADLINE_US};

    if (strcmp(argv[1], "read") == 0 && argc == 6) {
        good = nbdio_fetch_dirty(&nbd, argv[4], (guint)strtoul(argv[5], NULL, 10), extents, &error);
        for (guint i = 0; good && i < extents->len; i++) {
            const Extent *extent = &g_array_index(extents, Extent, i);

            printf("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", extent->offset_bytes,
                   extent->length_bytes);
        }
    } else {
        for (int i = 4; i + 1 < argc; i += 2)
            g_array_append_val(
                extents, ((Extent){strtoull(argv[i], NULL, 10), strtoull(argv[i + 1], NULL, 10)}));
        good = nbdio_write_zeroes(&nbd, extents, &error);
    }
    if (!good)
        fprintf(stderr, "%s\n", error->message);
    return good ? 0 : 1;
}
