/*
 * error.c: the names of the errors on D-Bus
 *
 * They are not registered with g_dbus_error_register_error_domain(): the table it keeps is the
 * whole process's, and the process is somebody else's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dbus/error.h"

G_DEFINE_QUARK(holdfast - service - error, service_error)

#define PREFIX "org.holdfast.Migration1.Error."

static const char *const error_names[SERVICE_ERROR_LAST] = {
    [SERVICE_ERROR_FAILED] = PREFIX "Failed",
    [SERVICE_ERROR_NOT_AUTHORIZED] = PREFIX "NotAuthorized",
    [SERVICE_ERROR_INVALID_ARGUMENT] = PREFIX "InvalidArgument",
    [SERVICE_ERROR_NO_MIGRATION] = PREFIX "NoMigration",
    [SERVICE_ERROR_NOT_PAUSED] = PREFIX "NotPaused",
    [SERVICE_ERROR_NOT_POSTCOPY] = PREFIX "NotPostcopy",
    [SERVICE_ERROR_BUSY] = PREFIX "Busy",
    [SERVICE_ERROR_UNREACHABLE] = PREFIX "Unreachable",
    [SERVICE_ERROR_NOT_SUPPORTED] = PREFIX "NotSupported",
    [SERVICE_ERROR_TIMEOUT] = PREFIX "Timeout",
};

const char *
service_error_dbus_name(const GError *error)
{
    if (error->domain == SERVICE_ERROR && (guint)error->code < SERVICE_ERROR_LAST)
        return error_names[error->code];
    return error_names[SERVICE_ERROR_FAILED];
}
