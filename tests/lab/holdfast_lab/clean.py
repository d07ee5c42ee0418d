# SPDX-License-Identifier: LGPL-2.1-or-later
"""Takes away whatever there is of a lab. Only names with the lab's prefix are touched."""
import contextlib
import glob
import json
import os
import re
import shutil
import signal
import time

from . import process

NETNS = "/run/netns"


def directory_of(prefix):
    return os.path.join("/var/tmp", prefix)


def read_state(prefix):
    try:
        with open(os.path.join(directory_of(prefix), "lab.json"), encoding="ascii") as f:
            return json.load(f)
    except (OSError, ValueError):
        return None


def owner_of(prefix):
    """The pid of the live process this lab belongs to, if it is not ourselves."""
    owner = (read_state(prefix) or {}).get("owner")
    if owner and owner[0] != os.getpid() and process.start_time(owner[0]) == owner[1]:
        return owner[0]
    return None


def namespaces(prefix):
    found = [f"{prefix}-switch"] + [f"{prefix}-{name}" for name in
                                    (read_state(prefix) or {}).get("hosts", {})]
    # A lab that was killed before it wrote its state: hosts have names of one letter.
    found += [os.path.basename(p) for p in glob.glob(f"{NETNS}/{glob.escape(prefix)}-[a-z]")]
    return sorted({name for name in found if os.path.exists(f"{NETNS}/{name}")})


def kill_all(pids_left, timeout=20):
    """SIGKILL until there is none left; a process may fork while it is being killed."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        pids = pids_left()
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    raise RuntimeError(f"processes do not end: {pids_left()}")


def kill_helpers(prefix):
    for pid, started in (read_state(prefix) or {}).get("helpers", []):
        if started and process.start_time(pid) == started:
            with contextlib.suppress(ProcessLookupError):  # the reaper may do the same
                os.kill(pid, signal.SIGKILL)


def clean(prefix):
    """Idempotent; says nothing when there is nothing."""
    kill_helpers(prefix)
    for name in namespaces(prefix):
        path = f"{NETNS}/{name}"
        kill_all(lambda path=path: [pid for pid in process.pids_in_network_namespace(path)
                                    if process.alive(pid)])
        process.run(["ip", "netns", "del", name], check=False)
    # The mounts were in namespaces that have gone with their processes.
    shutil.rmtree(directory_of(prefix), ignore_errors=True)



def clean_family(prefix):
    """The lab, and those whose names are made from it, as PREFIX.gw0 and PREFIX.2. One that
    belongs to another process which lives is left to that process."""
    names = {prefix}
    for pattern in (directory_of(glob.escape(prefix) + ".*"), f"{NETNS}/{glob.escape(prefix)}.*"):
        names |= {re.sub("-([a-z]|switch)$", "", os.path.basename(p)) for p in glob.glob(pattern)}
    for name in sorted(names):
        if owner_of(name) is None:
            clean(name)
