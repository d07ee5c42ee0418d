# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keeps a daemon from hearing of a status of QEMU's migration, which so lasts, or at Prepare;
late-event.c does it.

Only in a lab whose daemons have it preloaded: Lab(env=late.environment()).
"""
import os

from .wait import wait

LIBRARY = os.path.join("tests", "lab", "late-event.so")


def environment():
    """For the daemons of a lab. The library is made by the build, as the module is."""
    build = os.environ.get("HOLDFAST_BUILD_DIR") or os.path.dirname(
        os.environ.get("HOLDFAST_MODULE_DIR", "")) or "build"
    path = os.path.abspath(os.path.join(build, LIBRARY))
    assert os.path.exists(path), f"{path} is not there: build the project"
    return {"LD_PRELOAD": path}


class Late:
    """`status` on `host`, from now on, until `release`, or `forget`: then it is never heard of."""

    def __init__(self, host, status):
        self.host = host
        self.status = status
        self._file = f"/run/lab-late-{status}"
        host.write(self._file, "")

    def wait(self, timeout=60):
        """Until QEMU has it: the event is in the daemon's log, and nowhere else."""
        self.host.saw_migration(self.status, timeout)

    def release(self):
        os.unlink(self.host.path(self._file))

    def forget(self):
        self.host.write(self._file, "forget")
        wait(lambda: not os.path.exists(self.host.path(self._file)), 20, f"{self.status} forgotten")


class LatePrepare:
    """Prepare on `host` is at work, from now on, until `release`."""

    def __init__(self, host):
        self.host = host
        self._file = "/run/lab-late-incoming"
        host.write(self._file, "")

    def wait(self, timeout=60):
        """Until it is there: QEMU runs, and has yet to listen."""
        wait(lambda: self.host.read(self._file) != "", timeout, f"a Prepare on {self.host.name}")

    def release(self):
        os.unlink(self.host.path(self._file))
