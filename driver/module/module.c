/*
 * module.c: the shim that libvirt loads in the place of its QEMU driver
 *
 * It is named libvirt_driver_qemu.so, in the directory that LIBVIRT_DRIVER_DIR names, and always
 * ends in the stock module of that name. Holdfast comes in only when everything fits: a libvirt we
 * have a row for, our own library whole and of the same release, and all of libvirt's private
 * functions there. Whatever is wrong costs one warning in libvirt's log and never the host's QEMU
 * driver. For the same reason it is linked to nothing but libc.
 *
 * Environment of the daemon: HOLDFAST=off leaves the stock driver alone. For tests:
 * HOLDFAST_DRIVER (our library's path), HOLDFAST_STOCK_DRIVER_DIR (where the stock module is) and
 * HOLDFAST_LIBVIRT_VERSION (a version to see instead of the running libvirt's).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "module/entry.h"
#include "module/library.h"
#include "stock/abi.h"

#define STOCK_MODULE "libvirt_driver_qemu.so"

/* virLogPriority, src/util/virlog.h. */
enum {
    LOG_INFO = 2,
    LOG_WARN,
    LOG_ERROR,
};

/* In the log's line, and for the reasons that hold a file's name or dlerror(). */
#define REASON_MAX (2 * PATH_MAX)

__attribute__((visibility("default"))) int qemuRegister(void);

__attribute__((format(printf, 2, 3))) static void
say(int priority, const char *format, ...)
{
    /* virLogSource; libvirt fills in the rest. */
    static struct {
        const char *name;
        unsigned int priority;
        unsigned int serial;
    } source = {"holdfast", LOG_ERROR, 0};
    void (*message)(void *source, int priority, const char *file, int line, const char *function,
                    void *metadata, const char *format, ...);
    char text[REASON_MAX + 256];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    *(void **)&message = dlsym(RTLD_DEFAULT, "virLogMessage");
    if (message)
        message(&source, priority, "holdfast", 0, NULL, NULL, "%s", text);
    else
        fprintf(stderr, "%s\n", text);
}

/* The version that runs, or the one a test wants seen; 0 when it cannot be told. */
static unsigned long
libvirt_version(void)
{
    int (*get_version)(unsigned long *version, const char *type, unsigned long *type_version);
    const char *override = getenv("HOLDFAST_LIBVIRT_VERSION");
    unsigned int major, minor, micro;
    unsigned long version;

    if (override && sscanf(override, "%u.%u.%u", &major, &minor, &micro) == 3)
        return major * 1000000UL + minor * 1000UL + micro;
    *(void **)&get_version = dlsym(RTLD_DEFAULT, "virGetVersion");
    return get_version && get_version(&version, NULL, NULL) == 0 ? version : 0;
}

/* Installed, holdfast-driver.so is in the parent of the shim's directory; built, beside it. */
static bool
driver_path(char *path, size_t size)
{
    const char *override = getenv("HOLDFAST_DRIVER");
    char self[PATH_MAX];
    Dl_info info;

    if (override)
        return (size_t)snprintf(path, size, "%s", override) < size;
    if (!dladdr((void *)qemuRegister, &info) || !realpath(info.dli_fname, self))
        return false;
    dirname(self);
    if ((size_t)snprintf(path, size, "%s/holdfast-driver.so", self) >= size)
        return false;
    if (access(path, F_OK) == 0)
        return true;
    return (size_t)snprintf(path, size, "%s/../holdfast-driver.so", self) < size;
}

/* Our library, fit to go on with, or NULL and why not. It is opened with local symbols first: what
 * does not fit must not step in front of anything. */
static const HoldfastEntry *
open_driver(char *reason, size_t size)
{
    unsigned long version = libvirt_version();
    const HoldfastEntry *entry = NULL;
    const char *refusal;
    char path[PATH_MAX];
    void *driver;

    if (!abi_find(version)) {
        snprintf(reason, size, "libvirt %lu.%lu.%lu is not known to Holdfast %s", version / 1000000,
                 version / 1000 % 1000, version % 1000, PACKAGE_VERSION);
        return NULL;
    }
    if (!driver_path(path, sizeof(path))) {
        snprintf(reason, size, "the path of holdfast-driver.so cannot be told");
        return NULL;
    }
    if (!library_is_whole(path)) {
        snprintf(reason, size, "%s is cut short; reinstall Holdfast", path);
        return NULL;
    }
    driver = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (driver)
        entry = dlsym(driver, HOLDFAST_ENTRY);
    if (!entry) {
        snprintf(reason, size, "%s", dlerror());
        return NULL;
    }
    if (strcmp(entry->release, PACKAGE_VERSION) != 0) {
        snprintf(reason, size, "%s is of release %s, not %s", path, entry->release,
                 PACKAGE_VERSION);
        return NULL;
    }
    refusal = entry->prepare(version);
    if (!refusal && !dlopen(path, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE))
        refusal = dlerror();
    if (refusal) {
        snprintf(reason, size, "%s", refusal);
        return NULL;
    }
    return entry;
}

/* The stock module, after our library: its own calls go to our hooks then. */
static void *
open_stock(int (**stock_register)(void))
{
    const char *dir = getenv("HOLDFAST_STOCK_DRIVER_DIR");
    char path[PATH_MAX];
    void *stock;

    snprintf(path, sizeof(path), "%s/%s", dir ? dir : STOCK_MODULE_DIR, STOCK_MODULE);
    stock = dlopen(path, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
    *(void **)stock_register = stock ? dlsym(stock, "qemuRegister") : NULL;
    if (!stock || !*stock_register) {
        say(LOG_ERROR, "Holdfast cannot load the stock QEMU driver: %s", dlerror());
        return NULL;
    }
    if (*stock_register == qemuRegister) {
        say(LOG_ERROR, "%s is Holdfast's own module, not the stock QEMU driver", path);
        return NULL;
    }
    return stock;
}

/* What virDriverLoadModule() calls; its result is the stock driver's. */
int
qemuRegister(void)
{
    const char *mode = getenv("HOLDFAST");
    const HoldfastEntry *entry = NULL;
    char reason[REASON_MAX] = "HOLDFAST=off is set";
    const char *refusal;
    int (*stock_register)(void) = NULL;
    void *stock;
    int result;

    if (!mode || strcmp(mode, "off") != 0)
        entry = open_driver(reason, sizeof(reason));
    stock = open_stock(&stock_register);
    if (!stock)
        return -1;
    if (entry && (refusal = entry->attach(stock))) {
        snprintf(reason, sizeof(reason), "%s", refusal);
        entry = NULL;
    }
    result = stock_register();
    if (entry && result >= 0 && (refusal = entry->registered())) {
        snprintf(reason, sizeof(reason), "%s", refusal);
        entry = NULL;
    }
    if (entry)
        say(LOG_INFO, "Holdfast %s is active for libvirt %s", PACKAGE_VERSION,
            abi_find(libvirt_version())->name);
    else
        say(LOG_WARN, "Holdfast is not active, the stock QEMU driver runs alone: %s", reason);
    return result;
}
