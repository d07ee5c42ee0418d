/*
 * policy.h: what a domain's owner and a host's administrator want of a migration
 *
 * A Policy is an immutable, reference-counted value with every field filled in. It is made of three
 * layers: the built-in defaults, the host's file over them, the domain's <holdfast:migration>
 * element over both. Every function here may be called from any thread at any time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

/** The namespace that is read and written, and the prefix that it is written with. */
#define POLICY_NAMESPACE "urn:holdfast:migration:1"
#define POLICY_PREFIX    "holdfast"

/** give_up_s: recovery is tried for as long as it takes. */
#define POLICY_NEVER 0

/** Whether a migration is to be able to switch to postcopy although its client has not asked for
 * that. One whose client has asked is in any case. */
typedef enum {
    POLICY_POSTCOPY_NEVER,   /* no, and none switches by itself */
    POLICY_POSTCOPY_ALLOW,   /* no: the client decides */
    POLICY_POSTCOPY_PREFER,  /* turned on where it can be */
    POLICY_POSTCOPY_REQUIRE, /* turned on, or the migration is refused */
} PolicyPostcopy;

/** When a migration with postcopy turned on, by whomever, switches to it; a client may always ask
 * for that earlier, and precopy may end before. */
typedef enum {
    POLICY_SWITCH_MANUAL,        /* when the client asks */
    POLICY_SWITCH_AFTER_PRECOPY, /* after one pass over the memory */
    POLICY_SWITCH_AFTER,         /* switch_after_s after the memory has begun to move */
} PolicySwitch;

typedef enum {
    POLICY_RECOVERY_AUTO,
    POLICY_RECOVERY_MANUAL, /* libvirt's own behaviour: a person resumes */
} PolicyRecovery;

/** The most that may be done for the bitmaps of a guest that is back at the source. */
typedef enum {
    POLICY_ON_RETURN_AUTO,    /* the most that is provably right */
    POLICY_ON_RETURN_RESTORE, /* exact ones only, else drop */
    POLICY_ON_RETURN_MERGE,   /* a superset of what was written, else drop */
    POLICY_ON_RETURN_DROP,    /* always drop: the next backup is a full one */
} PolicyOnReturn;

/** The extra bitmap that tells whether the destination wrote to a shared image. */
typedef enum {
    POLICY_GUARD_AUTO, /* where it can tell more than the bitmaps' own flags do */
    POLICY_GUARD_ON,
    POLICY_GUARD_OFF,
} PolicyGuard;

typedef enum {
    POLICY_CHECKPOINTS_CARRY, /* defined again at the destination */
    POLICY_CHECKPOINTS_LEAVE, /* not touched: libvirt's own behaviour */
} PolicyCheckpoints;

/** What is done about a bitmap that cannot travel with the guest, before anything is moved. */
typedef enum {
    POLICY_ON_DEPARTURE_PROCEED, /* the migration goes on without it, if QEMU lets it */
    POLICY_ON_DEPARTURE_DROP,    /* it is removed where it is in the way */
    POLICY_ON_DEPARTURE_REFUSE,  /* the migration is refused */
} PolicyOnDeparture;
#define POLICY_ON_DEPARTURE_LAST (POLICY_ON_DEPARTURE_REFUSE + 1)

typedef struct {
    PolicyPostcopy postcopy_mode;
    PolicySwitch switch_when;
    guint switch_after_s; /* with POLICY_SWITCH_AFTER */

    PolicyRecovery recovery_mode;
    guint detect_ms; /* of silence, until a channel in postcopy counts as broken */
    guint min_interval_ms;
    guint max_interval_ms; /* never below min_interval_ms */
    guint give_up_s;       /* or POLICY_NEVER */
    guint at_once;         /* recoveries on this host; from its file alone, no domain can say it */
    char **paths;          /* further networks to the destination, in order: checked tcp:// URIs;
                              NULL-terminated, never NULL */

    PolicyOnDeparture bitmaps_on_departure;
    PolicyOnReturn bitmaps_on_return;
    PolicyGuard bitmaps_guard;
    guint granularity_bytes; /* of the guard, a power of two */
    PolicyCheckpoints checkpoints;

    /*< private >*/
    gatomicrefcount refs;
} Policy;

/**
 * PolicyError:
 *
 * Why a policy is refused. Every message names the place (line and element, or file, line, group
 * and key) and what is allowed there.
 */
#define POLICY_ERROR (policy_error_quark())
GQuark policy_error_quark(void);
typedef enum {
    POLICY_ERROR_IO,        /* the host's file is there but cannot be read */
    POLICY_ERROR_SYNTAX,    /* not well-formed, not a domain, or with a DOCTYPE */
    POLICY_ERROR_TOO_LARGE, /* a bound below was passed */
    POLICY_ERROR_NAMESPACE, /* a version that is not supported, or no namespace at all */
    POLICY_ERROR_DUPLICATE, /* two policies, or two of an element */
    POLICY_ERROR_UNKNOWN,   /* element, attribute, group or key */
    POLICY_ERROR_VALUE,     /* outside of what is allowed */
    POLICY_ERROR_CONFLICT,  /* two values that do not go together */
    POLICY_ERROR_INTERNAL,  /* libxml2 failed us: no memory, or a schema that does not load */
} PolicyError;
#define POLICY_ERROR_LAST (POLICY_ERROR_INTERNAL + 1)

/** The D-Bus error name of a code; a static string. */
const char *policy_error_dbus_name(PolicyError code);

/* Bounds of what is read, each checked before the work that it bounds. */
enum {
    /* Eight paths of the longest URI and generous comments are below 8 KiB; a policy is stored
     * with the domain and sent with every migration, so it stays small. */
    POLICY_XML_MAX_BYTES = 64 * 1024,
    /* Not ours to bound, except that libxml2 counts in int: libvirt's own bound is 10 MiB for a
     * file (virXMLParseHelper(), src/util/virxml.c) and 4 MiB for a call (REMOTE_STRING_MAX). */
    POLICY_DOMAIN_XML_MAX_BYTES = 16 * 1024 * 1024,
    POLICY_HOST_FILE_MAX_BYTES = 64 * 1024, /* as for a policy in XML */
    /* Paths are tried in turn, each with a deadline of seconds: more would outlast an outage. */
    POLICY_PATHS_MAX = 8,
    POLICY_URI_MAX_BYTES = 6 + 253 + 6, /* tcp://, the longest name in DNS, :65535 */
};

/**
 * policy_prepare:
 *
 * Compiles the schema. Optional: the first policy would do it. To be called where no other thread
 * uses libxml2 yet, as libxml2 before 2.13 initialises its data types without a lock.
 */
gboolean policy_prepare(GError **error);

/** The built-in defaults. */
Policy *policy_default(void);
Policy *policy_ref(const Policy *policy);
void policy_unref(Policy *policy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Policy, policy_unref)

/** Whether the two want the same in every field that a domain can set. */
gboolean policy_equal(const Policy *a, const Policy *b);

/** Where this build looks for the host's file; a static string. */
const char *policy_host_file(void);

/**
 * policy_load_host:
 * @path: an INI file; groups are the elements and keys the attributes of the XML
 *
 * Returns: the host's defaults: the file over the built-in ones, and the built-in ones if there is
 * no file. NULL on error; the caller then keeps to policy_default() and says so. Reads at most
 * POLICY_HOST_FILE_MAX_BYTES of a regular file, so it does not block on anything but the disk.
 */
Policy *policy_load_host(const char *path, GError **error);

/**
 * policy_from_domain_xml:
 * @domain_xml: a whole <domain>, as a client defines it or as libvirt prints it
 * @defaults: what holds where the domain says nothing
 *
 * Looks where libvirt looks: in the first <metadata> of the domain (virDomainDefParseXML(),
 * src/conf/domain_conf.c, libvirt 11.3.0). No DTD, network or file is ever touched.
 *
 * Returns: the policy of the domain; @defaults itself, with a reference, if it has none. On
 * POLICY_ERROR_SYNTAX a caller may prefer the message that libvirt has for the same document.
 */
Policy *policy_from_domain_xml(const char *domain_xml, const Policy *defaults, GError **error);

/**
 * policy_may_be_in:
 * @domain_xml: as above
 *
 * Costs a thousandth of what parsing does, for every domain that a client defines.
 *
 * Returns: FALSE only if policy_from_domain_xml() would find no policy, and nothing wrong with one:
 * the word "holdfast" is in no namespace's name or prefix, nor can it be spelt in another way, by
 * references, a DTD or an encoding.
 */
gboolean policy_may_be_in(const char *domain_xml);

/**
 * policy_from_element_xml:
 * @xml: one metadata element, as virDomainSetMetadata() takes and virDomainGetMetadata() gives it
 * @uri: (nullable): the namespace that came with it: like libvirt, it is given to all elements
 *   without one (virXMLInjectNamespace(), src/util/virxml.c, libvirt 11.3.0)
 *
 * To be called for every metadata element whatever its @uri: one that names another namespace may
 * still wrap an element that is ours.
 *
 * Returns: the policy; @defaults itself, with a reference, if the element is not a policy.
 */
Policy *
policy_from_element_xml(const char *xml, const char *uri, const Policy *defaults, GError **error);

/**
 * policy_to_xml:
 *
 * Returns: the canonical form: every attribute, in the schema's order, ending in a newline; reading
 * it gives an equal policy whatever the defaults. (One exception: defaults with paths, and a
 * policy without any.)
 */
char *policy_to_xml(const Policy *policy);

/**
 * policy_path_parse:
 * @uri: tcp://HOST or tcp://HOST:PORT, an IPv6 address in brackets
 * @host: (out) (optional): without the brackets
 * @port: (out) (optional): 0 if there is none
 *
 * Purely textual, nothing is looked up. Returns: FALSE if that is not what @uri is; outputs are
 * then untouched.
 */
gboolean policy_path_parse(const char *uri, char **host, guint16 *port);
