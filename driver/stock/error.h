/*
 * error.h: libvirt's error of this thread
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

/**
 * stock_error_raise: sets the thread's error, as a slot does before it returns its failure
 * @code: VIR_ERR_OPERATION_INVALID and so on
 *
 * Domain VIR_FROM_QEMU. libvirt prefixes the code's own text and logs it: do not log it again.
 */
void stock_error_raise(virErrorNumber code, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Around clean-up calls that may fail without the caller's error being lost:
 *     virErrorPtr saved = stock_error_save();
 *     ...
 *     stock_error_restore(saved);
 * What was no error is restored to no error. */
virErrorPtr stock_error_save(void);
void stock_error_restore(virErrorPtr saved);

/**
 * stock_become_system: makes the calling thread act as the daemon itself
 *
 * For threads of our own, before they open a connection: with access control on (polkit) a
 * thread without an identity is refused. FALSE when libvirt gives none; harmless without access
 * control.
 */
gboolean stock_become_system(void);
