/*
 * cookie.h: our element in libvirt's migration cookie
 *
 * libvirt's cookies are XML that is read by XPath: stock libvirt passes over an element that it
 * does not know (qemuMigrationCookieXMLParse(), src/qemu/qemu_migration_cookie.c, 9.0.0
 * and 11.3.0), so that a host without Holdfast sees nothing of this:
 *
 *     <qemu-migration>
 *       ...
 *       <holdfast version='1' oldest='1' id='6f9d9c1e-...' secret='2b0e...'
 *                 postcopy='prefer'          if the source's policy asks for it, or 'require';
 *                                            'on' or 'off' from the destination
 *                 boot='1c9d...'>            from the destination only: which start of it, a UUID
 *         <recover port='49215'>             likewise
 *           <address host='10.0.0.2'/>       ... numeric; the first is the best
 *         </recover>
 *         <taken disk='vda' bitmap='monday'/>  from the destination: its image has one of that name
 *       </holdfast>
 *     </qemu-migration>
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

#include "util/secret.h"

/* What we speak, and the oldest that we understand and that understands us. (Tests build others.)
 */
#ifndef COOKIE_VERSION
#define COOKIE_VERSION 1
#define COOKIE_OLDEST  1
#endif
/* A host has a few networks; more would only be more to try in an outage. */
#define COOKIE_ADDRESSES_MAX 8

/** What the two hosts agree on about postcopy that no client has asked for. */
typedef enum {
    COOKIE_POSTCOPY_NONE,    /* nothing is asked for */
    COOKIE_POSTCOPY_PREFER,  /* from the source: turn it on if you can */
    COOKIE_POSTCOPY_REQUIRE, /* ... or refuse the migration */
    COOKIE_POSTCOPY_ON,      /* from the destination: it is on */
    COOKIE_POSTCOPY_OFF,     /* ... it cannot be */
} CookiePostcopy;
#define COOKIE_POSTCOPY_LAST (COOKIE_POSTCOPY_OFF + 1)

/* Of ours: as many as a migration tells of (engine/session.h). */
#define COOKIE_BITMAPS_MAX 256

/** A dirty bitmap, by the disk as the domain names it. */
typedef struct {
    char *disk;
    char *name;
} CookieBitmap;

CookieBitmap *cookie_bitmap_new(const char *disk, const char *name);
void cookie_bitmap_free(CookieBitmap *bitmap);
/** Whether one of (element-type CookieBitmap) @bitmaps, which may be NULL, is it; @name: NULL: any.
 */
gboolean cookie_has_bitmap(const GPtrArray *bitmaps, const char *disk, const char *name);

typedef struct {
    char *id;      /* of the migration, a UUID in text; NULL: the peer has no Holdfast */
    Secret secret; /* by which the two hosts' questions are believed */
    CookiePostcopy postcopy;
    char *boot;           /* of the destination, boot_get_id(); NULL: it does not say */
    guint16 recover_port; /* where the destination's Holdfast listens; 0 at the source */
    char **addresses;     /* of the destination, NULL-terminated, or NULL: it offers none */
    char *name;           /* of the domain, as libvirt has it; NULL if it does not say */
    char *uuid;           /* of the domain, likewise */
    char *hostname;       /* of the sender, likewise */
    GPtrArray *taken;     /* (nullable) of CookieBitmap: those that are in the way there */
    GPtrArray *bitmaps;   /* (nullable) of CookieBitmap: what libvirt offers, or takes */
} Cookie;

void cookie_clear(Cookie *cookie);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Cookie, cookie_clear)

#define COOKIE_ERROR (cookie_error_quark())
GQuark cookie_error_quark(void);
typedef enum {
    COOKIE_ERROR_SYNTAX,  /* not a migration cookie */
    COOKIE_ERROR_VERSION, /* the peer's Holdfast is too new for us, or too old */
    COOKIE_ERROR_INVALID, /* our element, with contents that make no sense */
} CookieError;

/**
 * cookie_read:
 * @data: as it comes from the peer: not trusted, not necessarily terminated; may be NULL
 * @length: in bytes
 * @cookie: (out): to be cleared, also on failure: our element alone may be what cannot be read, and
 *   what libvirt itself says is then there all the same
 */
gboolean cookie_read(const char *data, int length, Cookie *cookie, GError **error);

/**
 * cookie_add:
 * @data: (inout): libvirt's cookie, malloc'd as libvirt does; replaced on success
 * @length: (inout): with the terminating NUL, as libvirt counts
 * @ours: what our element is to say: id, secret, postcopy, boot, recover_port, addresses and taken;
 * without an id our version alone
 */
gboolean cookie_add(char **data, int *length, const Cookie *ours, GError **error);
