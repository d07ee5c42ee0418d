/*
 * statusfile.h: libvirt's status file of a domain, read by a daemon that starts
 *
 * A daemon that starts kills an incoming domain whose migration was prepared and not finished, also
 * one that is in postcopy already and has the only guest there is (qemuProcessRecoverMigrationIn(),
 * src/qemu/qemu_process.c, 11.3.0). It keeps one that it believes broken in postcopy. What it
 * believes is in this file, which we can correct before it is read.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

/** Where libvirt keeps the status of domain @name. Free with g_free(). */
char *statusfile_get_path(gboolean privileged, const char *name);

/** The process of the domain's QEMU; 0 if there is none in @text. */
pid_t statusfile_get_pid(const char *text);

/**
 * statusfile_keep_incoming: the text of a status file, with an incoming migration that was not
 * finished marked as broken in postcopy
 *
 * Returns: NULL when there is no such migration in it, or none of a guest that was not started.
 * Free with g_free().
 */
char *statusfile_keep_incoming(const char *text);
