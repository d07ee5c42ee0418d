/*
 * bus.h: the engine on D-Bus
 *
 * Joins what driver/run does with what driver/dbus shows; neither knows the other.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "run/host.h"

/** Where migrations are shown. Static. */
const HostShow *bus_show(void);
