/*
 * answer.c: what the destination answers to its source's question
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/answer.h"

#include "run/migration-priv.h"
#include "util/boot.h"

static void
answer(Migration *migration, MessageType type, guint number, const char *text)
{
    if (migration->question)
        peer_question_answer(migration->question, type, number, text);
    migration->question = NULL;
}

void
answer_refuse(Migration *migration, const char *text)
{
    answer(migration, MESSAGE_REFUSED, 0, text);
}

/* Two attempts at one port would be taken for one by a QEMU that did not get round to the first. */
static void
answer_armed(Migration *migration, guint port)
{
    const char *why = channel_find_obstacle(&migration->channel, (guint16)port);

    if (why) {
        answer_refuse(migration, why);
        return;
    }
    migration->channel.port = (guint16)port;
    answer(migration, MESSAGE_ARMED, port, NULL);
}

/* libvirt tells the end of a domain by its name, and may tell that of an earlier one late. What has
 * failed before postcopy is not started any more, whether it is there or not. */
static void
answer_returned(Migration *migration)
{
    if (session_get_owner(migration->session) == OWNER_DESTINATION &&
        channel_has_process(&migration->channel))
        answer_refuse(migration, "its QEMU has yet to end");
    else
        answer(migration, MESSAGE_RETURNED, 0, boot_get_id());
}

void
answer_execute(Migration *migration, const Effect *effect)
{
    switch (effect->type) {
    case EFFECT_REPLY_ARMED:
        answer_armed(migration, effect->number);
        break;
    case EFFECT_REPLY_COMPLETED:
        answer(migration, MESSAGE_COMPLETED, 0, NULL);
        break;
    case EFFECT_REPLY_RETURNED:
        answer_returned(migration);
        break;
    case EFFECT_REPLY_REFUSED:
        answer_refuse(migration, effect->text);
        break;
    case EFFECT_REPLY_RUNNING:
        answer(migration, MESSAGE_RUNNING, 0, NULL);
        break;
    case EFFECT_REPLY_OVER:
        answer(migration, MESSAGE_OVER, 0, effect->text);
        break;
    default:
        break;
    }
}
