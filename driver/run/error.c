/*
 * error.c: what can be wrong with a request, and how a libvirt client gets to know
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/error.h"

#include "model/policy.h"
#include "stock/error.h"

G_DEFINE_QUARK(holdfast - migration - error - quark, migration_error)

/* clang-format off */
static const virErrorNumber libvirts[MIGRATION_ERROR_LAST] = {
    [MIGRATION_ERROR_FAILED]           = VIR_ERR_OPERATION_FAILED,
    [MIGRATION_ERROR_INVALID_ARGUMENT] = VIR_ERR_INVALID_ARG,
    [MIGRATION_ERROR_NO_MIGRATION]     = VIR_ERR_OPERATION_INVALID,
    [MIGRATION_ERROR_NOT_PAUSED]       = VIR_ERR_OPERATION_INVALID,
    [MIGRATION_ERROR_NOT_POSTCOPY]     = VIR_ERR_OPERATION_INVALID,
    [MIGRATION_ERROR_NOT_SUPPORTED]    = VIR_ERR_OPERATION_UNSUPPORTED,
    [MIGRATION_ERROR_TIMEOUT]          = VIR_ERR_OPERATION_TIMEOUT,
};
/* clang-format on */

virErrorNumber
error_get_libvirt_code(const GError *error)
{
    if (error->domain == POLICY_ERROR)
        return error->code == POLICY_ERROR_INTERNAL ? VIR_ERR_INTERNAL_ERROR
                                                    : VIR_ERR_XML_INVALID_SCHEMA;
    if (error->domain == MIGRATION_ERROR)
        return libvirts[error->code];
    return VIR_ERR_OPERATION_FAILED;
}

void
error_raise(const GError *error)
{
    stock_error_raise(error_get_libvirt_code(error), "%s", error->message);
}
