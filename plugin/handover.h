/*
 * handover.h: how the virsh launcher hands virsh's own options to a virsh-COMMAND
 *
 * `virsh -q -c URI COMMAND ...` becomes `virsh-COMMAND ...` with the options in the environment, so
 * that a command's arguments are its own, and a command can be a script. The URI stands where virsh
 * itself looks for one: a virsh started by a command goes to the same daemon. An option that was
 * not given leaves its variable unset.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#define HANDOVER_URI                "VIRSH_DEFAULT_CONNECT_URI"       /* -c URI */
#define HANDOVER_READONLY           "VIRSH_PLUGIN_READONLY"           /* -r: "1" */
#define HANDOVER_QUIET              "VIRSH_PLUGIN_QUIET"              /* -q: "1" */
#define HANDOVER_TIMING             "VIRSH_PLUGIN_TIMING"             /* -t: "1" */
#define HANDOVER_DEBUG              "VIRSH_PLUGIN_DEBUG"              /* -d LEVEL */
#define HANDOVER_LOG                "VIRSH_PLUGIN_LOG"                /* -l FILE */
#define HANDOVER_ESCAPE             "VIRSH_PLUGIN_ESCAPE"             /* -e CHAR */
#define HANDOVER_KEEPALIVE_INTERVAL "VIRSH_PLUGIN_KEEPALIVE_INTERVAL" /* -k SECONDS */
#define HANDOVER_KEEPALIVE_COUNT    "VIRSH_PLUGIN_KEEPALIVE_COUNT"    /* -K NUMBER */

/* "1": the arguments are the words typed so far, the last one unfinished; print what may stand in
 * its place, one a line, and do nothing else. */
#define HANDOVER_COMPLETE "VIRSH_PLUGIN_COMPLETE"
