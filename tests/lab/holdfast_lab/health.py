# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a scenario has left in the libvirt daemons that is not to be seen from its result.

A guest can arrive in good order while a daemon has crashed and come back, keeps a job that nobody
ends, has a thread in a call that is never answered, or loses a descriptor with each migration. So
after each scenario that has passed, each daemon is asked for:

    ends      of its process that the scenario has not asked for, and slow ones that it has
    words     in its log and on its stderr that only a fault of the code makes
    calls     that are still dispatched to a thread although no client waits
    jobs      a domain whose migration is over must give one to whoever asks
    threads   of domains that are gone
    fds       more than an idle daemon has

A scenario in which a fault makes one unavoidable says so, and why: `daemon_may_say` in conftest.py.
"""
import collections
import os
import re

from . import process, sanitizer
from .process import CommandFailed
from .wait import WaitTimeout, wait

WORDS = re.compile(
    # libvirt: a job that was never ended, or is held by a call that hangs
    r"cannot acquire state change lock|"
    # libvirt, qemu_domain.c: a call into QEMU in somebody else's job, or in none
    r"doesn't seem to be the async job owner|without asking for a nested job|unexpected async job|"
    # GLib, glibc, libvirt's objects (virobject.c): what only a wrong pointer or a wrong count makes
    r"CRITICAL|[Aa]ssertion|is not a (vir\w+ instance|virObject)|double free|corrupt|"
    r"terminated by signal|dumped core|Segmentation fault")

STOP_SECONDS = 20  # after SIGTERM, with calls held: at once, but for a machine that is busy
SETTLE_SECONDS = 20  # for what still goes on when a client has its answer
JOB_SECONDS = 45  # libvirt itself gives up waiting for a job after 30
FDS_OF_A_DOMAIN = 4  # its monitor and an eventfd; and what a restarted daemon has opened anew
FDS_TO_SPARE = 6
OVER = (None, "completed", "failed", "cancelled")


class Health:
    """Of the daemons of one lab, from one `begin` to the next."""

    def __init__(self, lab):
        self._lab = lab
        self._idle = {}  # host -> descriptors of an idle daemon
        self._printed = {}  # host -> bytes that the daemons before have printed

    def begin(self):
        """Daemons are idle, and serve."""
        for host in self._lab.hosts:
            self._printed[host] = len(host.daemon.printed)
            self._idle.setdefault(host, sum(descriptors(host.daemon.pid).values()))

    def complaints(self, allowed=()):
        """-> what is wrong, a text each, but for those that one of the `allowed` expressions
        matches."""
        found = []
        for host in self._lab.hosts:
            found += [f"{host.name}: {text}" for text in self._of_host(host)]
        return [text for text in found if not any(re.search(each, text) for each in allowed)]

    def complaints_of_the_end(self):
        """At the end of the lab, with no domain left: a daemon that is told to stop does so."""
        self._lab.reset()
        for host in self._lab.hosts:
            host.daemon.terminate()
        return [f"{host.name}: {text}" for host in self._lab.hosts
                for text in self._of_the_past(host)]

    def _of_host(self, host):
        found = list(self._of_the_past(host))
        if not host.daemon.alive or host.daemon.process.stopped:
            return found
        return found + [text for check in (self._calls, self._jobs, self._descriptors)
                        for text in check(host)]

    def _of_the_past(self, host):
        if not host.daemon.alive:  # its end is written down a moment later
            wait(lambda: host.daemon.last_end_is_known, 10, f"the end of {host.daemon.process.what}")
        for ending in host.daemon.endings(self._lab.epoch):
            if sanitizer.at_work() and ending.asked:
                continue  # leaks of libvirt's own change its exit code, and the search takes time
            if not ending.was_asked_for:
                yield f"the daemon {ending}"
            elif ending.seconds > STOP_SECONDS:
                yield f"the daemon {ending}, which took {ending.seconds:.0f} s"
        for _, level, text in host.log.entries(self._lab.epoch):
            if WORDS.search(text) and "QEMU_MONITOR" not in text:
                yield f"{level}: {text}"
        printed = host.daemon.printed[self._printed.get(host, 0):].strip()
        if printed:
            yield f"the daemon has printed: {printed[:500]}"

    def _clients(self):
        return any(not each.done for each in self._lab.backgrounds)

    def _calls(self, host):
        """A client that still waits has a right to its thread."""
        if self._clients():
            return
        try:
            wait(lambda: not busy(host), SETTLE_SECONDS, "")
        except WaitTimeout:
            yield f"{busy(host)} calls are still dispatched, and no client waits"

    def _is_over(self, host):
        states = host.migration_states()
        return (states[-1][1] if states else None) in OVER and not self._clients()

    def _jobs(self, host):
        if not self._is_over(host):
            return
        for name in host.domains():
            if "post-copy failed" in (host.domain_state(name, reason=True) or ""):
                continue  # libvirt keeps the migration's job until a person has decided
            # A job that changes the domain, and one that asks QEMU.
            for words in (("metadata", name, "urn:holdfast:lab", "--remove"),
                          ("domblkstat", name, "vda")):
                if words[0] == "domblkstat" and host.qemu(name) is None:
                    continue
                result = host.virsh(*words, check=False, timeout=JOB_SECONDS)
                if not result.ok:
                    yield str(result)

    def _descriptors(self, host):
        if not self._is_over(host):
            return
        names = host.virsh("list", "--name").stdout.split()
        most = self._idle[host] + FDS_OF_A_DOMAIN * len(names) + FDS_TO_SPARE

        def settled():
            strangers = domain_threads(host.daemon.pid) - collections.Counter(
                f"vm-{name}"[:15] for name in names)
            return not strangers and sum(descriptors(host.daemon.pid).values()) <= most
        try:
            wait(settled, SETTLE_SECONDS, "")
        except WaitTimeout:
            have = descriptors(host.daemon.pid)
            yield (f"{sum(have.values())} descriptors, {most} are expected: {dict(have)}; threads "
                   f"{dict(waits(host.daemon.pid))}, domains {names}")


def descriptors(pid):
    """How many of each kind a process has, as a Counter."""
    found = collections.Counter()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[re.sub(r":\[\d+\]$", "", os.readlink(f"/proc/{pid}/fd/{fd}"))] += 1
        except FileNotFoundError:
            pass  # closed meanwhile, as the one that lists them
    return found


def domain_threads(pid):
    """libvirt has a thread for each domain, vm-NAME."""
    found = collections.Counter()
    for thread in os.listdir(f"/proc/{pid}/task"):
        name = process.name(f"{pid}/task/{thread}")
        if name.startswith("vm-"):
            found[name] += 1
    return found


def waits(pid):
    """What each thread of a process waits in, in the kernel, as a Counter of "name in function": a
    domain's that is in poll is told nothing, and one in futex waits for somebody."""
    found = collections.Counter()
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/wchan", encoding="ascii") as f:
                found[f"{process.name(f'{pid}/task/{thread}')} in {f.read().split('.')[0]}"] += 1
        except OSError:
            pass  # it has ended meanwhile
    return found


def busy(host):
    """How many of a daemon's threads are in a client's call."""
    try:
        text = host.run("virt-admin", "--connect", f"{host.daemon.server}:///system",
                        "srv-threadpool-info", host.daemon.server).stdout
    except CommandFailed:
        return "all"
    info = dict(re.findall(r"(\w+) *: (\d+)", text))
    return int(info["nWorkers"]) - int(info["freeWorkers"]) + int(info["jobQueueDepth"])
