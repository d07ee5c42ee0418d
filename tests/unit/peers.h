/*
 * peers.h: two hosts that ask and answer, both on the loopback of this machine
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "run/peer.h"

/* Below the ports that the kernel gives away. */
#define PORT_MIN 20000
#define PORT_MAX 20063
/* Longer than any connection on a loopback takes, shorter than a person waits. */
#define CONNECT_MS 10000
/* Where nobody answers. */
#define AGAIN_MS 20

/** A server that keeps its questions, or answers them at once. */
typedef struct {
    PeerServer *server;
    gboolean at_once;
    const char *text;
    GPtrArray *questions; /* of PeerQuestion, those that are not answered */
    guint asked;
} Destination;

/** Listens on a port at @port_max or below it. */
void destination_init(Destination *destination, guint16 port_max);
/** Answers what is open, so that nothing of it stays. */
void destination_clear(Destination *destination);
/** A PeerServerFn. */
void destination_ask(PeerQuestion *question, gpointer destination);
/** A LoopCondition. */
gboolean destination_was_asked(gpointer destination);

/** What became of a call. */
typedef struct {
    gboolean done;
    gboolean answered;
    gboolean reached;
    char host[64]; /* that a connection was made to */
    Message answer;
    GError *error;
    PeerCall *call; /* NULL once it is done */
} Outcome;

void ask_over(Outcome *outcome, const PeerWay *ways, guint n_ways, guint16 port, guint connect_ms);
/** Tries anew after @again_ms. */
void ask_again(Outcome *outcome, const char *host, guint16 port, guint connect_ms, guint again_ms);
void ask(Outcome *outcome, const char *host, guint16 port, guint connect_ms);
void ask_and_wait(Outcome *outcome, const char *host, guint16 port, guint connect_ms);

/** A message with the right secret. */
GBytes *make_message(MessageType type, const char *text);

/** Two bytes in a message, and what is wrong with it then. */
typedef struct {
    const char *what;
    gsize at;
    guint8 bytes[2];
    MessageError code;
} Spoilt;
extern const Spoilt spoilt[];
extern const gsize n_spoilt;

typedef enum { END_CLOSED, END_RESET } End;
