/*
 * error.c: our errors as a libvirt client gets them
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run/error.h"

#include "dbus/error.h"
#include "model/policy.h"
#include "stock/error.h"

/* clang-format off */
static const struct {
    ServiceError ours;
    virErrorNumber libvirts;
} service_codes[] = {
    { SERVICE_ERROR_FAILED,           VIR_ERR_OPERATION_FAILED },
    { SERVICE_ERROR_NOT_AUTHORIZED,   VIR_ERR_ACCESS_DENIED },
    { SERVICE_ERROR_INVALID_ARGUMENT, VIR_ERR_INVALID_ARG },
    { SERVICE_ERROR_NO_MIGRATION,     VIR_ERR_OPERATION_INVALID },
    { SERVICE_ERROR_NOT_PAUSED,       VIR_ERR_OPERATION_INVALID },
    { SERVICE_ERROR_NOT_POSTCOPY,     VIR_ERR_OPERATION_INVALID },
    { SERVICE_ERROR_BUSY,             VIR_ERR_OPERATION_INVALID },
    { SERVICE_ERROR_UNREACHABLE,      VIR_ERR_OPERATION_FAILED },
    { SERVICE_ERROR_NOT_SUPPORTED,    VIR_ERR_OPERATION_UNSUPPORTED },
    { SERVICE_ERROR_TIMEOUT,          VIR_ERR_OPERATION_TIMEOUT },
};
/* clang-format on */
G_STATIC_ASSERT(G_N_ELEMENTS(service_codes) == SERVICE_ERROR_LAST);

virErrorNumber
error_get_libvirt_code(const GError *error)
{
    if (error->domain == POLICY_ERROR)
        return error->code == POLICY_ERROR_INTERNAL ? VIR_ERR_INTERNAL_ERROR
                                                    : VIR_ERR_XML_INVALID_SCHEMA;
    for (gsize i = 0; error->domain == SERVICE_ERROR && i < G_N_ELEMENTS(service_codes); i++) {
        if ((int)service_codes[i].ours == error->code)
            return service_codes[i].libvirts;
    }
    return VIR_ERR_OPERATION_FAILED;
}

void
error_raise(const GError *error)
{
    stock_error_raise(error_get_libvirt_code(error), "%s", error->message);
}
