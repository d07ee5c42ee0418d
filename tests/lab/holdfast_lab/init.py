# SPDX-License-Identifier: LGPL-2.1-or-later
"""Starts a daemon and is the init of all that it leaves behind: it reaps orphans at once.

    init.py PID-FILE COMMAND...

How the daemon has ended stands in PID-FILE.ended, a line for each that was ever started with this
file: the time, its pid, and the status as waitpid(2) gives it.

A QEMU belongs to init from its start, and libvirt, which has killed one, waits until init has
reaped it (virProcessKillPainfullyDelay in virprocess.c): the end of every migration, of every
domain, and each look at what QEMU can do. The init of a container may take seconds for that.

It outlives a daemon that is killed, until the last of its QEMUs is gone.
"""
import ctypes
import os
import sys
import time

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def main(pid_file, *command):
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    pid = os.posix_spawnp(command[0], command, os.environ)
    with open(pid_file + ".new", "w", encoding="ascii") as f:
        f.write(f"{pid}\n")
    os.rename(pid_file + ".new", pid_file)
    while True:
        try:
            ended, status = os.wait()
        except ChildProcessError:
            return
        if ended == pid:
            with open(pid_file + ".ended", "a", encoding="ascii") as f:
                f.write(f"{time.time()} {ended} {status}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
