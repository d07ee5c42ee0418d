/*
 * message.h: what two hosts say to each other about a migration, as bytes
 *
 * One question and one answer a connection: the source asks, the destination answers. Big endian:
 *
 *      0               4       6       8      10      12              16                      32
 *      +---------------+-------+-------+-------+-------+---------------+----------------------+----
 *      |    "HFPM"     |version|oldest | type  |length |    number     |        secret        |
 * text
 *      +---------------+-------+-------+-------+-------+---------------+----------------------+----
 *
 * `version` is what the sender speaks and `oldest` the oldest version that can read it. The secret
 * says which migration it is about, and travels in libvirt's migration cookie: who knows it is the
 * other host. (Or one that listens in on the migration network, where the guest's memory is in the
 * clear as well, unless TLS hides it; such a one can pause a migration and have it resumed, as
 * anybody who can cut the network can.)
 *
 * A *parcel* is a question with a body behind its text, of as many bytes as its number says, and so
 * is the answer to it that it was taken. Every type from MESSAGE_PARCEL to MESSAGE_PARCEL_LAST is
 * one: a build that does not know its kind refuses it in words. A build from before there were any
 * closes the connection.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

#include "util/secret.h"

/* What we speak, and the oldest that we understand and that understands us. (Tests build others.)
 */
#ifndef MESSAGE_VERSION
#define MESSAGE_VERSION 1
#define MESSAGE_OLDEST  1
#endif
#define MESSAGE_HEADER_SIZE 32
#define MESSAGE_TEXT_MAX    512 /* one sentence */
/* A thousand checkpoints with the domain in each are some megabytes, and so is a bitmap with a bit
 * for each 64 KiB of 4 TiB. */
#define MESSAGE_BODY_MAX (64 * 1024 * 1024)

typedef enum {
    /* the source asks */
    MESSAGE_RECOVER = 1,     /* listen for a resumed migration */
    MESSAGE_PAUSED = 2,      /* a person paused it: do not hold the client's call */
    MESSAGE_ASK_RUNNING = 3, /* does the guest run there? Answered when it does. */
    /* the migration has failed at the source: is it over there as well? number: whose the guest is,
     * a MigrationOwner and 1; 0: an older build does not say */
    MESSAGE_ENDED = 6,
    MESSAGE_RETURN = 4, /* was the guest of a precopy migration started? It is not to be if not */
    MESSAGE_ENDING = 5, /* nearly all is sent: do not break the channel by yourself */
    /* the source hands something over; number: the bytes of the body */
    MESSAGE_PARCEL = 0x40,
    MESSAGE_PARCEL_BITMAPS = 0x40,     /* what has become dirty, of bitmaps to be rebuilt */
    MESSAGE_PARCEL_CHECKPOINTS = 0x41, /* definitions of the domain's checkpoints */
    MESSAGE_PARCEL_LAST = 0x7f,
    /* the destination answers */
    MESSAGE_ARMED = 0x81,     /* number: the port its QEMU listens on */
    MESSAGE_COMPLETED = 0x82, /* it has all memory, and owns the guest */
    MESSAGE_REFUSED = 0x83,   /* text: why; number, for a parcel: MESSAGE_LATER or 0 */
    MESSAGE_NOTED = 0x84,
    MESSAGE_RUNNING = 0x85,
    MESSAGE_OVER = 0x86, /* text: how the migration ended, which is not well */
    /* the guest was not started there, and will not be; text: which start of the host says so, as
     * in the cookie, or "" */
    MESSAGE_RETURNED = 0x87,
    MESSAGE_TAKEN = 0x88, /* a parcel; number: the bytes of the body, which is the taker's answer */
} MessageType;

/* A parcel that may be taken if it is sent again in a while. */
#define MESSAGE_LATER 1

typedef struct {
    MessageType type;
    guint32 number;
    Secret secret;
    char text[MESSAGE_TEXT_MAX + 1]; /* UTF-8 */
} Message;

#define MESSAGE_ERROR (message_error_quark())
GQuark message_error_quark(void);
typedef enum {
    MESSAGE_ERROR_FOREIGN, /* not ours at all */
    MESSAGE_ERROR_VERSION, /* of a version that we cannot read */
    MESSAGE_ERROR_INVALID, /* a type, length or text that makes no sense */
} MessageError;

/**
 * message_set_subject: what a question is about, as its text
 * @uuid: of the domain, in text, for a destination that has forgotten the migration
 * @sequence: grows from question to question, by which the destination knows one that was overtaken
 *   by a later one; 0: none
 */
void message_set_subject(Message *message, const char *uuid, guint32 sequence);

/** And back. An older build says less: @uuid and @sequence are all zero where they are missing.
 * FALSE, with zeroes, for any other text. @uuid: UUID_BYTES. */
gboolean message_get_subject(const Message *message, guint8 *uuid, guint32 *sequence);

/** The sequence after @last, that of the first question being 0: the time, so that a daemon that
 * was restarted needs no memory of it. @now_usec: CLOCK_MONOTONIC, which a daemon's restart does
 * not begin anew, and nobody sets back. */
guint32 message_next_sequence(guint32 last, gint64 now_usec);

/** Whether the question @sequence was asked before @other. FALSE if either is unknown. */
gboolean message_is_overtaken(guint32 sequence, guint32 other);

/** Sets text, cut at a character's boundary to what fits. */
void message_set_text(Message *message, const char *text);

/** Whether it is a question with a body, of a kind that is known or not. */
gboolean message_is_parcel(MessageType type);
/** How many bytes follow the text; MESSAGE_BODY_MAX at most. */
gsize message_get_body_length(const Message *message);

/** The bytes of a message, header and text. */
GBytes *message_encode(const Message *message);

/**
 * message_decode_header:
 * @header: MESSAGE_HEADER_SIZE bytes
 * @text_length: (out): bytes of text that follow, MESSAGE_TEXT_MAX at most
 *
 * Outputs are untouched on failure.
 */
gboolean
message_decode_header(const guint8 *header, Message *message, gsize *text_length, GError **error);

/** Adds the text that follows the header. FALSE if it is not UTF-8 or holds a NUL. */
gboolean message_decode_text(Message *message, const guint8 *text, gsize length, GError **error);
