/*
 * peer.h: the other host's Holdfast, reached over the migration network
 *
 * Not libvirt's RPC: that may run over another network, and its connection may be long dead when
 * the migration network is back. What is asked here goes the way the memory will go, so an answer
 * is also the proof that the way is open. QEMU's own port is never probed: a stray connection takes
 * a channel's place there and both QEMUs hang.
 *
 * Everything runs on the engine thread and its GMainContext; nothing blocks.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gio/gio.h>

#include "model/message.h"

/* --- the destination's side: answering --- */

typedef struct PeerServer PeerServer;
typedef struct PeerQuestion PeerQuestion;

/**
 * PeerServerFn:
 * @question: (transfer full): to be answered exactly once, now or later
 */
typedef void (*PeerServerFn)(PeerQuestion *question, gpointer opaque);

/**
 * peer_server_new: listens on the first free port of @port_max, @port_max - 1, ... @port_min
 * @host: the address to listen on, numeric; NULL: all
 *
 * Must be called on the engine thread.
 */
PeerServer *peer_server_new(const char *host,
                            guint16 port_min,
                            guint16 port_max,
                            PeerServerFn answer,
                            gpointer opaque,
                            GError **error);
guint16 peer_server_get_port(const PeerServer *server);
/** Questions that are still open are closed without an answer. */
void peer_server_free(PeerServer *server);

const Message *peer_question_get(const PeerQuestion *question);
/** The address of this host that it came in on. */
const char *peer_question_get_local(const PeerQuestion *question);
/** Sends @type with the question's secret and lets the connection go. @text may be NULL. */
void
peer_question_answer(PeerQuestion *question, MessageType type, guint32 number, const char *text);

/** PeerReceivedFn: @question and @body: (transfer full) */
typedef void (*PeerReceivedFn)(PeerQuestion *question, GBytes *body);

/**
 * peer_question_receive: reads the body of a parcel, for an asker who may send one
 *
 * @received is called later, unless the body does not come: the connection is then closed. What the
 * bodies of all questions take at a time is bounded: FALSE when there is no room for this one now,
 * which is to be answered then.
 */
gboolean peer_question_receive(PeerQuestion *question, PeerReceivedFn received);

/** Answers a parcel: MESSAGE_TAKEN. @body: (nullable): MESSAGE_BODY_MAX bytes at most. */
void peer_question_take(PeerQuestion *question, GBytes *body);

/* --- the source's side: asking --- */

typedef struct PeerCall PeerCall;

/** One of the other host's addresses. */
typedef struct {
    const char *host; /* numeric: nothing is looked up */
    guint32 number;   /* of a question that goes this way */
} PeerWay;

/**
 * PeerCallFn:
 * @answer: NULL when there is none
 * @host: the address that a connection was made to, or NULL
 * @reached: whether a connection was made, or refused by the host itself over all addresses
 * @error: why there is no answer
 *
 * The call is freed when this returns.
 */
typedef void (*PeerCallFn)(const Message *answer,
                           const char *host,
                           gboolean reached,
                           const GError *error,
                           gpointer opaque);

/**
 * peer_call_new: asks one question, over the first address that leads to the other host
 * @ways: the first is preferred where several lead there
 * @question: its number is the way's
 * @connect_ms: deadline for the connection; the answer has PEER_ANSWER_MS more
 * @again_ms: how often it is tried anew, where nobody answers; less often when there are many calls
 */
PeerCall *peer_call_new(const PeerWay *ways,
                        guint n_ways,
                        guint16 port,
                        const Message *question,
                        guint connect_ms,
                        guint again_ms,
                        PeerCallFn done,
                        gpointer opaque);
/** What follows a question: to be set before anything of the call can have happened. */
typedef struct {
    GBytes *body;     /* of as many bytes as the question's number, on each way, says */
    guint answer_ms;  /* deadline for the answer, from the connection on */
    GBytes **replied; /* set before @done is called: the body of a MESSAGE_TAKEN */
} PeerParcel;

/** Sends it behind the question. While the other host is at work on it, a connection that is dead
 * is noticed within seconds. */
void peer_call_set_parcel(PeerCall *call, const PeerParcel *parcel);

/** Gives it up; @done is not called any more. NULL is fine. */
void peer_call_cancel(PeerCall *call);

/* The destination may have to break its channel and wait for QEMU before it listens: some ten
 * milliseconds; a host under load gets this much. */
#define PEER_ANSWER_MS 3000
