/*
 * access.h: what libvirt's access control lets the client of a call see
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

/**
 * access_may_read: asks libvirt's access manager about a domain that is not on this host any more
 * @name: of the domain, as it was here
 * @uuid: VIR_UUID_BUFLEN bytes
 *
 * The permission is the one that filters the answers of virConnectGetAllDomainStats()
 * (domain:read; src/remote/remote_protocol.x, libvirt 9.0.0 and 11.3.0). Access drivers judge a
 * domain by its name and UUID alone (virAccessDriverPolkitCheckDomain(),
 * src/access/viraccessdriverpolkit.c, likewise).
 *
 * On the thread of the client's call, who is the one that is judged. May block, as long as polkit
 * takes. FALSE also when it cannot be known. Leaves no error.
 */
gboolean access_may_read(const char *name, const unsigned char *uuid);
