/*
 * error.c: libvirt's error of this thread
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stock/error.h"

#include <glib-object.h>

#include "stock/symbols.h"

void
stock_error_raise(virErrorNumber code, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    symbols.virReportErrorHelper(VIR_FROM_QEMU, code, __FILE__, __func__, __LINE__, "%s", text);
}

virErrorPtr
stock_error_save(void)
{
    virErrorPtr saved = NULL;

    symbols.virErrorPreserveLast(&saved);
    return saved;
}

void
stock_error_restore(virErrorPtr saved)
{
    virResetLastError();
    symbols.virErrorRestore(&saved);
}

gboolean
stock_become_system(void)
{
    g_autoptr(GObject) identity = symbols.virIdentityGetSystem();

    return identity && symbols.virIdentitySetCurrent(identity) == 0;
}
