/*
 * log.h: our messages in libvirt's log
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

/**
 * log_install: sends what g_warning() and its like say in our log domain to libvirt's log
 *
 * The source is named "holdfast", so that log_filters="1:holdfast" shows all of it. For this domain
 * alone; other users of GLib in the process are not touched. After symbols_load().
 */
void log_install(void);
