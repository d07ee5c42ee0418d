# SPDX-License-Identifier: LGPL-2.1-or-later
"""Outlives the process that made a lab, and takes the lab away when that process is gone.

It holds the reading end of a pipe; the other end closes even when its owner is killed.
"""
import signal
import sys

from .clean import clean

if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    clean(sys.argv[1])
