/*
 * error.h: what can be wrong with a request, and how a libvirt client gets to know
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libvirt/virterror.h>

#define MIGRATION_ERROR (migration_error_quark())
GQuark migration_error_quark(void);

typedef enum {
    MIGRATION_ERROR_FAILED,
    MIGRATION_ERROR_INVALID_ARGUMENT,
    MIGRATION_ERROR_NO_MIGRATION,  /* the domain has none, or it has ended */
    MIGRATION_ERROR_NOT_PAUSED,    /* there is nothing to recover */
    MIGRATION_ERROR_NOT_POSTCOPY,  /* only a migration in postcopy can be paused */
    MIGRATION_ERROR_NOT_SUPPORTED, /* not here, or not with that other host */
    MIGRATION_ERROR_TIMEOUT,       /* not done in the time given; it goes on */
} MigrationErrorCode;
#define MIGRATION_ERROR_LAST (MIGRATION_ERROR_TIMEOUT + 1)

/** The libvirt code of one of our errors; VIR_ERR_OPERATION_FAILED for one that is not in the list.
 */
virErrorNumber error_get_libvirt_code(const GError *error);

/** Sets the thread's libvirt error from @error, as a slot does before it returns its failure. */
void error_raise(const GError *error);
