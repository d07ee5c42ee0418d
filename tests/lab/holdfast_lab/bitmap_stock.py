# SPDX-License-Identifier: LGPL-2.1-or-later
"""What becomes of a cell of bitmap_matrix.py without Holdfast: nothing is expected, all is told.

A person does what stock libvirt offers: resumes a paused migration with --postcopy-resume, starts a
daemon that has crashed, resumes a guest that is left paused, and starts one anew that runs nowhere.
"""
import contextlib
import re

from .bitmap_cells import Scenario
from .bitmap_matrix import LIVES_AT_A, LIVES_AT_B, LOST
from .process import CommandFailed
from .wait import WaitTimeout, wait

NONE = "none"
TWICE, UNUSABLE = "runs on both hosts", "unusable"
CALL_SECONDS = 60   # libvirt itself lets go of a dead connection after 30
RESUME_SECONDS = 30


class Person:
    """... with stock libvirt."""

    @staticmethod
    def resume(scenario):
        lab = scenario.lab
        again = lab.migrate(lab.a, lab.b, "--postcopy", "--postcopy-resume")
        with contextlib.suppress(WaitTimeout):
            again.wait(RESUME_SECONDS)

    @classmethod
    def resume_if_it_is_left(cls, scenario):
        """Once the call has ended: before, libvirt refuses it."""
        with contextlib.suppress(WaitTimeout):
            scenario.migration.wait(CALL_SECONDS)
        if scenario.migration.returncode:
            cls.resume(scenario)


class Observation:
    """One cell, to its end; `found` is what there is to tell."""

    def __init__(self, lab, cell):
        self.lab = lab
        self.scenario = Scenario(lab, cell, Person)
        self.notes = []
        self.anew = False  # it had to be started anew
        self.found = {}

    def run(self):
        try:
            self.scenario.run()
        except AssertionError as failure:
            if not self.scenario.reached:
                raise
            # What stock libvirt does instead is to be told, not judged.
            print(f"    {str(failure).splitlines()[0]}")
        with contextlib.suppress(WaitTimeout):
            self.scenario.migration.wait(CALL_SECONDS)
        self.lab.net.restore()
        self._start_daemons()
        guest, host = self._find_guest()
        if guest in (LIVES_AT_A, LIVES_AT_B) and not self._is_well(host):
            guest = UNUSABLE
        now, later = self._worth(host)
        self.found = {"guest": guest, "backup": now, "after a shutdown": later,
                      "notes": self.notes}
        return self.found

    def _start_daemons(self):
        for host in self.lab.hosts:
            if not host.daemon.alive:
                self.notes.append(f"libvirtd on {host.name} had crashed")
                host.daemon.start()

    def _running(self):
        """Hosts whose guest runs, and whose QEMU is there."""
        return [host for host in self.lab.hosts
                if host.domain_state() == "running" and host.qemu() and
                "failed" not in host.domain_state(reason=True)]

    def _find_guest(self):
        lab = self.lab
        with contextlib.suppress(WaitTimeout):
            wait(self._running, 10, "the guest to run somewhere")
        running = self._running()
        if len(running) == 2:
            return TWICE, lab.a
        if running:
            there = lab.b if running[0] is lab.a else lab.a
            if there.qemu():
                self.notes.append(f"left {there.domain_state(reason=True)} on {there.name}")
            return (LIVES_AT_A if running[0] is lab.a else LIVES_AT_B), running[0]
        if lab.a.domain_state() == "paused" and lab.a.virsh("resume", "guest", check=False).ok:
            self.notes.append("resumed by a person")
            return LIVES_AT_A, lab.a
        return self._start_anew()

    def _start_anew(self):
        """It runs nowhere, and nobody can make it run."""
        for host in self.lab.hosts:
            state = host.domain_state(reason=True)
            if host.qemu():
                self.notes.append(f"left {state} on {host.name}")
                host.virsh("destroy", "guest", check=False, timeout=60)
        self.anew = True
        started = self.lab.a.virsh("start", "guest", "--paused", check=False)
        return (LOST if started.ok else UNUSABLE), self.lab.a

    def _is_well(self, host):
        try:
            self.scenario.guest.witness_ok(host)
        except AssertionError as failure:
            self.notes.append(str(failure).splitlines()[0])
            return False
        return True

    def _worth(self, host):
        """Now, and when the guest has been shut down and started."""
        if host.domain_state() == "running":
            host.virsh("suspend", "guest", check=False)
        if host.domain_state() != "paused":
            return NONE, NONE
        now, said = self.scenario.worth(host)
        self._note_error(said)
        if self.anew:
            return now, now
        try:
            self.scenario.start_anew(host)
        except CommandFailed as failed:
            self._note_error(str(failed))
            return now, NONE
        later, said = self.scenario.worth(host)
        self._note_error(said)
        return now, later

    def _note_error(self, text):
        self.notes += re.findall(r"error: (.*)", text)[:1]
