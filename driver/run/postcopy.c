/*
 * postcopy.c: postcopy that the policy turns on, for a client that has not asked for it
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/postcopy.h"

#include <glib/gi18n-lib.h>

#include "run/host.h"
#include "run/outcome.h"
#include "stock/error.h"
#include "stock/table.h"

/* --- what can be, and what is wanted --- */

/* What libvirt refuses together with postcopy (qemuMigrationSrcBeginPhase(),
 * src/qemu/qemu_migration.c, 11.3.0), and QEMU (migrate_caps_check(), migration/options.c, and
 * migration_channels_and_transport_compatible(), migration/migration.c, 10.0, with the second
 * channel that libvirt turns on). */
static const char *
find_obstacle(unsigned int flags, const char *uri)
{
    if (flags & VIR_MIGRATE_TUNNELLED)
        return N_("a tunnelled migration cannot have it");
    if (!(flags & VIR_MIGRATE_LIVE))
        return N_("a migration that is not live cannot have it");
    if (flags & VIR_MIGRATE_PAUSED)
        return N_("a guest that is paused cannot have it");
    if (flags & VIR_MIGRATE_PARALLEL)
        return N_("QEMU has none with parallel connections");
    if (uri && g_str_has_prefix(uri, "rdma:"))
        return N_("QEMU has none over RDMA");
    return NULL;
}

CookiePostcopy
postcopy_decide(
    PolicyPostcopy mode, unsigned int flags, const char *uri, gboolean paused, const char **why)
{
    const char *obstacle;

    *why = NULL;
    /* An offline migration moves no memory, so there is nothing to want. */
    if (mode < POLICY_POSTCOPY_PREFER ||
        flags & (VIR_MIGRATE_POSTCOPY | VIR_MIGRATE_POSTCOPY_RESUME | VIR_MIGRATE_OFFLINE))
        return COOKIE_POSTCOPY_NONE;
    /* What the client's library adds to the later phases of a guest that is paused. */
    obstacle = find_obstacle(flags | (paused ? VIR_MIGRATE_PAUSED : 0), uri);
    *why = obstacle ? _(obstacle) : NULL;
    if (mode == POLICY_POSTCOPY_REQUIRE)
        return COOKIE_POSTCOPY_REQUIRE;
    return obstacle ? COOKIE_POSTCOPY_NONE : COOKIE_POSTCOPY_PREFER;
}

/* Where a person looks: in the log and in the status. */
static void
say(Migration *migration, const char *note)
{
    g_message("migration %s of domain %s: %s", migration_get_id(migration),
              migration_get_name(migration), note);
    migration_set_note(migration, note);
}

static char *
tell_why_not(const char *why)
{
    return g_strdup_printf(
        _("the policy prefers postcopy, and %1$s: it goes on without, as the client has asked"),
        why);
}

/* --- the source --- */

static gboolean
is_paused(virDomainPtr dom)
{
    int state = VIR_DOMAIN_NOSTATE;

    return virDomainGetState(dom, &state, NULL, 0) == 0 && state == VIR_DOMAIN_PAUSED;
}

static void
refuse(virDomainPtr dom, const char *why)
{
    stock_error_raise(VIR_ERR_OPERATION_INVALID,
                      _("the policy of domain '%1$s' requires postcopy, and %2$s: migrate it "
                        "otherwise, or change its policy"),
                      virDomainGetName(dom), why);
}

gboolean
postcopy_begin(
    virDomainPtr dom, const Policy *policy, const char *uri, unsigned int flags, PostcopyPlan *plan)
{
    plan->flags = flags;
    plan->wish = postcopy_decide(policy->postcopy_mode, flags, uri,
                                 policy->postcopy_mode >= POLICY_POSTCOPY_PREFER && is_paused(dom),
                                 &plan->why);
    if (plan->wish == COOKIE_POSTCOPY_NONE)
        return TRUE;
    if (!plan->why && !host_is_running())
        plan->why = _("Holdfast does not run in this daemon");
    if (!plan->why) {
        plan->flags |= VIR_MIGRATE_POSTCOPY;
        return TRUE;
    }
    if (plan->wish != COOKIE_POSTCOPY_REQUIRE) {
        plan->wish = COOKIE_POSTCOPY_NONE;
        return TRUE;
    }
    refuse(dom, plan->why);
    return FALSE;
}

void
postcopy_planned(Migration *migration, const PostcopyPlan *plan)
{
    g_autofree char *note = plan->why ? tell_why_not(plan->why) : NULL;

    migration_set_wish(migration, plan->wish);
    if (note)
        say(migration, note);
}

gboolean
postcopy_check_stock(virDomainPtr dom, const Policy *policy, const char *uri, unsigned int flags)
{
    const char *why;
    CookiePostcopy wish = postcopy_decide(policy->postcopy_mode, flags, uri, FALSE, &why);
    g_autofree char *note = NULL;

    if (wish == COOKIE_POSTCOPY_NONE && !why)
        return TRUE;
    if (!why)
        why = _("libvirt does this migration without Holdfast");
    if (wish == COOKIE_POSTCOPY_REQUIRE) {
        refuse(dom, why);
        return FALSE;
    }
    note = tell_why_not(why);
    g_message("domain %s: %s", virDomainGetName(dom), note);
    return TRUE;
}

gboolean
postcopy_perform(Migration *migration, virDomainPtr dom, CookiePostcopy answer, unsigned int *flags)
{
    CookiePostcopy wish = migration_get_wish(migration);
    const char *why = answer == COOKIE_POSTCOPY_OFF
                          ? _("the destination cannot turn it on, and its daemon's log says why")
                          : _("the destination has no Holdfast that could turn it on");
    g_autofree char *note = NULL;

    if (wish != COOKIE_POSTCOPY_NONE && answer == COOKIE_POSTCOPY_ON) {
        *flags |= VIR_MIGRATE_POSTCOPY;
        migration_add_flags(migration, VIR_MIGRATE_POSTCOPY);
        say(migration, _("the policy has turned postcopy on, which the client did not ask for"));
    } else if (wish == COOKIE_POSTCOPY_REQUIRE) {
        outcome_end_job(migration, dom, *flags);
        refuse(dom, why);
        return FALSE;
    } else if (wish == COOKIE_POSTCOPY_PREFER) {
        note = tell_why_not(why);
        say(migration, note);
    }
    if (*flags & VIR_MIGRATE_POSTCOPY)
        migration_post(migration, EVENT_POSTCOPY_ON, 0, NULL);
    return TRUE;
}

gboolean
postcopy_came_to_nothing(Migration *migration)
{
    g_autoptr(Status) status = migration_get_status(migration);

    return status->role == ROLE_SOURCE && !migration_state_is_terminal(status->state) &&
           migration_get_wish(migration) != COOKIE_POSTCOPY_NONE &&
           !(migration_get_flags(migration) & VIR_MIGRATE_POSTCOPY);
}

void
postcopy_start_job(gpointer opaque, gpointer unused)
{
    g_autoptr(Migration) migration = opaque;
    virDomainPtr dom = outcome_find_own(migration);

    if (dom && virDomainMigrateStartPostCopy(dom, 0) == 0) {
        g_message("migration %s of domain %s: QEMU is to switch to postcopy, by the policy",
                  migration_get_id(migration), migration_get_name(migration));
    } else {
        g_message("migration %s of domain %s: it cannot be switched to postcopy now: %s",
                  migration_get_id(migration), migration_get_name(migration),
                  virGetLastErrorMessage());
        migration_post(migration, EVENT_SWITCH_FAILED, 0, NULL);
    }
    if (dom)
        virDomainFree(dom);
}

/* --- the destination --- */

unsigned int
postcopy_prepare(
    const char *cookie, int length, const char *uri, unsigned int flags, CookiePostcopy *wish)
{
    g_auto(Cookie) theirs = {0};
    const char *obstacle = find_obstacle(flags, uri);

    /* A cookie that cannot be read is reported when the migration is taken up. */
    if (!cookie_read(cookie, length, &theirs, NULL))
        return flags;
    *wish = theirs.postcopy;
    if ((theirs.postcopy != COOKIE_POSTCOPY_PREFER && theirs.postcopy != COOKIE_POSTCOPY_REQUIRE) ||
        flags & (VIR_MIGRATE_POSTCOPY | VIR_MIGRATE_OFFLINE))
        return flags;
    if (!obstacle && host_is_running() && host_get_recover_port())
        return flags | VIR_MIGRATE_POSTCOPY;
    g_message("migration %s: the source's policy asks for postcopy, and %s", theirs.id,
              obstacle ? obstacle : "this host could not recover it");
    return flags;
}

void
postcopy_prepared(Migration *migration, const char *refusal)
{
    if (migration_get_wish(migration) == COOKIE_POSTCOPY_NONE)
        return;
    if (migration_get_flags(migration) & VIR_MIGRATE_POSTCOPY)
        say(migration, _("the source's policy has turned postcopy on"));
    else if (refusal)
        g_message("migration %s of domain %s: prepared again without postcopy, which the source's "
                  "policy prefers: %s",
                  migration_get_id(migration), migration_get_name(migration), refusal);
}
