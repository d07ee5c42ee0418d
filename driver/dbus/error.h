/*
 * error.h: the errors that a caller on D-Bus can get
 *
 * A closed list, part of the interface: org.holdfast.Migration1.Error.NAME.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

typedef enum {
    SERVICE_ERROR_FAILED, /* also for every GError of another domain */
    SERVICE_ERROR_NOT_AUTHORIZED,
    SERVICE_ERROR_INVALID_ARGUMENT,
    SERVICE_ERROR_NO_MIGRATION,  /* the domain has none, or it has ended */
    SERVICE_ERROR_NOT_PAUSED,    /* there is nothing to recover */
    SERVICE_ERROR_NOT_POSTCOPY,  /* only a migration in postcopy can be paused */
    SERVICE_ERROR_BUSY,          /* it is being recovered or paused already */
    SERVICE_ERROR_UNREACHABLE,   /* the other host cannot be reached */
    SERVICE_ERROR_NOT_SUPPORTED, /* the other host, its libvirt or its QEMU cannot do it */
    SERVICE_ERROR_TIMEOUT,       /* not done in the time given; it goes on */
} ServiceError;
#define SERVICE_ERROR_LAST (SERVICE_ERROR_TIMEOUT + 1)

#define SERVICE_ERROR (service_error_quark())
GQuark service_error_quark(void);

/** The name on D-Bus: a static string. Of an error of another domain, that of SERVICE_ERROR_FAILED.
 */
const char *service_error_dbus_name(const GError *error);
