/*
 * hold.c: keeps a source that has dirty bitmaps to send from its end
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/hold.h"

#include "bitmap/view.h"
#include "run/migration-priv.h"
#include "stock/qmp.h"

/* In bytes a second. QEMU takes the tenth of it for a tenth of a second (migration_rate_set(),
 * migration/migration-stats.c, 10.0), where 0 were no limit; an empty section of memory has 13 at
 * least (ram_save_iterate(), migration/ram.c). Nobody else would choose it: what a daemon that was
 * killed has left is known by it. */
#define HOLD_BANDWIDTH 11

/* QEMU sends in each tenth of a second, of which migration_poll() takes some five looks. One that
 * has sent nothing in ten of them waits for the network. */
#define LOOKS 50
/* Two may be of a piece of a bitmap that QEMU was at when it was slowed down (send_bitmap_bits(),
 * migration/block-dirty-bitmap.c). The third is an empty section, or the end, if that piece was the
 * last: the bitmaps, which are busy still or not, tell which. */
#define STEPS 3

/* libvirt's list of domains is freed when the daemon ends, while our threads still run. */
static char *
ask(virDomainPtr dom, const char *json, GError **error)
{
    if (!migration_is_released())
        return qmp_execute(dom, json, error);
    g_set_error(error, QMP_ERROR, QMP_ERROR_GONE, "the daemon ends");
    return NULL;
}

static gboolean
set_bandwidth(virDomainPtr dom, guint64 bandwidth, GError **error)
{
    g_autofree char *json = g_strdup_printf("{\"execute\":\"migrate-set-parameters\",\"arguments\":"
                                            "{\"max-postcopy-bandwidth\":%" G_GUINT64_FORMAT "}}",
                                            bandwidth);
    g_autofree char *reply = ask(dom, json, error);

    return reply != NULL;
}

/* Whether a bitmap is on the stream, and the end is not. @parameters: QEMU's, for the mapping */
static gboolean
has_bitmaps(virDomainPtr dom, const char *parameters, GError **error)
{
    g_autofree char *nodes = ask(dom, VIEW_QUERY_NODES, error);
    g_autoptr(GPtrArray) view = nodes ? view_parse(nodes, parameters, error) : NULL;

    if (!view)
        return FALSE;
    for (guint i = 0; i < view->len; i++) {
        const Bitmap *bitmap = view->pdata[i];

        if (bitmap->busy && bitmap->on_stream)
            return TRUE;
    }
    g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND,
                "all memory has been sent, and the destination's last word is awaited");
    return FALSE;
}

/* @sent: bytes of the whole stream */
static gboolean
look(virDomainPtr dom, guint64 *sent, GError **error)
{
    g_autofree char *reply = ask(dom, "{\"execute\":\"query-migrate\"}", error);
    g_autofree char *status = reply ? qmp_reply_string(reply, "status") : NULL;
    guint64 remaining;

    if (!reply)
        return FALSE;
    /* As one that a broken channel has paused already, or that is at its end. */
    if (g_strcmp0(status, "postcopy-active") != 0 ||
        !qmp_reply_number(reply, "ram", "remaining", &remaining) || remaining > 0 ||
        !qmp_reply_number(reply, "ram", "transferred", sent)) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND,
                    "all memory has been sent, and QEMU is '%s' now", status ? status : "");
        return FALSE;
    }
    return TRUE;
}

typedef struct {
    virDomainPtr dom;
    guint looks; /* so far */
    guint steps; /* looks by which more had been sent */
    guint64 sent;
    GError *error;
} Watch;

static gboolean
is_decided(Migration *migration, gpointer opaque)
{
    Watch *watch = opaque;
    guint64 before = watch->sent;

    if (!look(watch->dom, &watch->sent, &watch->error))
        return TRUE;
    watch->steps += watch->looks > 0 && watch->sent != before;
    return watch->looks++ == LOOKS || watch->steps == STEPS;
}

/* Whether QEMU, which has been slowed down, has come to where it sends nothing of the bitmaps. */
static gboolean
watch_sending(Migration *migration, virDomainPtr dom, gboolean silent, GError **error)
{
    Watch watch = {.dom = dom};
    gboolean decided = migration_poll(migration, is_decided, &watch);

    if (watch.error) {
        g_propagate_error(error, watch.error);
        return FALSE;
    }
    if (decided && (watch.steps == STEPS || (silent && watch.steps == 0)))
        return TRUE;
    g_set_error(error, QMP_ERROR, QMP_ERROR_COMMAND,
                "all memory has been sent, and how much of the dirty bitmaps cannot be told");
    return FALSE;
}

gboolean
hold_begin(Hold *hold, Migration *migration, virDomainPtr dom, gboolean silent, GError **error)
{
    g_autofree char *parameters = ask(dom, VIEW_QUERY_PARAMETERS, error);
    g_auto(Hold) held = {0};

    if (!parameters || !has_bitmaps(dom, parameters, error))
        return FALSE;
    if (!qmp_reply_number(parameters, NULL, "max-postcopy-bandwidth", &held.bandwidth)) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_REPLY, "QEMU does not tell its bandwidth");
        return FALSE;
    }
    /* As by a person's pause in an outage: the first one lets go when it is done. */
    if (held.bandwidth == HOLD_BANDWIDTH) {
        g_set_error(error, QMP_ERROR, QMP_ERROR_BUSY, "it is being paused already");
        return FALSE;
    }
    if (!set_bandwidth(dom, HOLD_BANDWIDTH, error))
        return FALSE;
    virDomainRef(dom);
    held.dom = dom;
    if (!watch_sending(migration, dom, silent, error) || !has_bitmaps(dom, parameters, error))
        return FALSE;
    *hold = held;
    held.dom = NULL;
    return TRUE;
}

void
hold_end(Hold *hold)
{
    g_autoptr(GError) error = NULL;

    if (!hold->dom)
        return;
    if (!set_bandwidth(hold->dom, hold->bandwidth, &error) && !qmp_error_is_gone(error))
        g_warning("domain %s: the bandwidth of its postcopy stays at %u bytes a second: %s",
                  virDomainGetName(hold->dom), HOLD_BANDWIDTH, error->message);
    virDomainFree(hold->dom);
    *hold = (Hold){0};
}

void
hold_end_left(virDomainPtr dom)
{
    g_autofree char *parameters = ask(dom, VIEW_QUERY_PARAMETERS, NULL);
    guint64 bandwidth;

    if (parameters && qmp_reply_number(parameters, NULL, "max-postcopy-bandwidth", &bandwidth) &&
        bandwidth == HOLD_BANDWIDTH) {
        virDomainRef(dom);
        hold_end(&(Hold){.dom = dom});
    }
}
