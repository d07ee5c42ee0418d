/*
 * refusing-driver.c: stands in for a holdfast-driver.so that does not fit, for test_shim.py
 *
 * Built once a way of not fitting.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stddef.h>

#include "config.h"
#include "module/entry.h"

static const char *
prepare(unsigned long libvirt_version)
{
#ifdef REFUSE_PREPARE
    return "the test refuses to prepare";
#endif
    return NULL;
}

static const char *
attach(void *stock)
{
#ifdef REFUSE_ATTACH
    return "the test refuses to attach";
#endif
    return NULL;
}

static const char *
registered(void)
{
#ifdef REFUSE_REGISTERED
    return "the test refuses at the end";
#endif
    return NULL;
}

__attribute__((visibility("default"))) const HoldfastEntry holdfast_driver_entry = {
#ifdef OTHER_RELEASE
    .release = "0.0.0-other",
#else
    .release = PACKAGE_VERSION,
#endif
    .prepare = prepare,
    .attach = attach,
    .registered = registered,
};
