/*
 * domain-priv.h: reads of a virDomainObj, within stock/
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

/** Whether it runs, as virDomainObjIsActive(). The caller holds @vm's lock. */
gboolean stock_domain_is_active(gconstpointer vm);

/** Its UUID, VIR_UUID_BUFLEN bytes of its definition. The caller holds @vm's lock. */
const unsigned char *stock_domain_uuid(gconstpointer vm);

/** The UUID of the domain a qemuMonitor belongs to, VIR_UUID_BUFLEN bytes of its definition. The
 * caller holds the monitor's lock: while its events come in the definition is not changed. */
const unsigned char *stock_domain_uuid_of_monitor(gconstpointer monitor);
