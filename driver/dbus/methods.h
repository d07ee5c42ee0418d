/*
 * methods.h: a method call on its way from the bus to the engine
 *
 * Checks the arguments, then the caller, then calls the engine. Nothing of it blocks.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gio/gio.h>

#include "dbus/service.h"

typedef struct Methods Methods;

/** methods_new: calls @calls with @user_data, until it is freed. */
Methods *methods_new(const ServiceCalls *calls, gpointer user_data);
/** Calls that are still being checked are answered with an error. */
void methods_free(Methods *methods);

/* Each takes @invocation and answers it, now or later. */
void methods_recover(Methods *methods,
                     const char *uuid,
                     GVariant *options,
                     GDBusMethodInvocation *invocation);
void methods_pause(Methods *methods, const char *uuid, GDBusMethodInvocation *invocation);
