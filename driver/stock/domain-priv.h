/*
 * domain-priv.h: reads of a virDomainObj, within stock/
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

#include "stock/domain.h"

/** By which libvirt knows it while it runs, another one each time; -1: it does not run. The caller
 * holds @vm's lock. */
int stock_domain_id(gconstpointer vm);

/** Whether it runs, as virDomainObjIsActive(). The caller holds @vm's lock. */
gboolean stock_domain_is_active(gconstpointer vm);

/** Its name, of its definition. The caller holds @vm's lock. */
const char *stock_domain_name_of(gconstpointer vm);

/** stock_domain_job() of a domain whose lock the caller holds. */
void stock_domain_read_job(gconstpointer vm, StockJob *job);

/** Its UUID, VIR_UUID_BUFLEN bytes of its definition. The caller holds @vm's lock. */
const unsigned char *stock_domain_uuid(gconstpointer vm);

/** The UUID of the domain a qemuMonitor belongs to, VIR_UUID_BUFLEN bytes of its definition. The
 * caller holds the monitor's lock: while its events come in the definition is not changed. */
const unsigned char *stock_domain_uuid_of_monitor(gconstpointer monitor);
