/*
 * postcopy.h: postcopy that the policy turns on, for a client that has not asked for it
 *
 * What the client asks for wins; only where it asks for nothing the policy may add to it. Every
 * phase of libvirt's protocol, on both hosts, has the flag from the client, so each gets it from
 * us:
 *
 *      source                                    destination
 *      Begin     with the flag, a wish
 *                in the cookie ------------>     Prepare   with the flag, if it can be
 *      Perform   <------------ on, or not
 *                with the flag if it is on       Finish    likewise
 *
 * It is turned on only where both hosts have Holdfast: a postcopy that breaks and that nobody
 * recovers loses a guest that precopy would have kept.
 *
 * The flag in Begin alone is harmless: libvirt keeps it for virDomainMigrateStartPostCopy() and
 * has QEMU able to do postcopy by the flags of Perform (qemuMigrationJobStart(),
 * qemuDomainMigratePerform3Params(), src/qemu, 11.3.0). Confirm makes nothing of it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libvirt/libvirt.h>

#include "run/migration.h"

/**
 * postcopy_decide: what the policy makes of what the client asks for
 * @flags: the client's virDomainMigrateFlags
 * @uri: (nullable): where the memory is to go, as the client has it
 * @paused: whether the guest is paused on the source
 * @why: (out): why postcopy is wanted and cannot be, for a person, in a static and translated
 *   string; or NULL
 *
 * Pure. Returns: what is to be asked of the destination; COOKIE_POSTCOPY_REQUIRE with @why means
 * that the migration is to be refused.
 */
CookiePostcopy postcopy_decide(
    PolicyPostcopy mode, unsigned int flags, const char *uri, gboolean paused, const char **why);

/** What Begin on the source has decided; for its migration, once there is one. */
typedef struct {
    CookiePostcopy wish;
    unsigned int flags; /* for libvirt's Begin */
    const char *why;    /* why the policy's wish comes to nothing, or NULL */
} PostcopyPlan;

/** Begin. FALSE, with libvirt's error, when the policy requires what cannot be. */
gboolean postcopy_begin(virDomainPtr dom,
                        const Policy *policy,
                        const char *uri,
                        unsigned int flags,
                        PostcopyPlan *plan);
/** Notes in the migration what was decided. */
void postcopy_planned(Migration *migration, const PostcopyPlan *plan);

/** For a migration that is libvirt's alone: FALSE, with libvirt's error, when the policy requires
 * what then cannot be. */
gboolean
postcopy_check_stock(virDomainPtr dom, const Policy *policy, const char *uri, unsigned int flags);

/**
 * postcopy_prepare:
 * @cookie: the source's
 * @wish: (out): what it asks for
 *
 * Returns: @flags, the client's, and postcopy if the source wishes it and it can be had here.
 */
unsigned int postcopy_prepare(
    const char *cookie, int length, const char *uri, unsigned int flags, CookiePostcopy *wish);

/** Says in the migration what came of it. @refusal: (nullable): libvirt's or QEMU's error */
void postcopy_prepared(Migration *migration, const char *refusal);

/**
 * postcopy_perform: the destination has answered
 * @answer: what its cookie says
 * @flags: (inout): for libvirt's Perform
 *
 * Returns: FALSE, with libvirt's error and its job ended, when the policy requires what the
 * destination has not turned on.
 */
gboolean postcopy_perform(Migration *migration,
                          virDomainPtr dom,
                          CookiePostcopy answer,
                          unsigned int *flags);

/** Source: whether the migration that is under way has no postcopy although its policy asks for
 * it. */
gboolean postcopy_came_to_nothing(Migration *migration);

/** For host_run(): has QEMU switch to postcopy. Takes over a reference to a Migration. */
void postcopy_start_job(gpointer migration, gpointer unused);
