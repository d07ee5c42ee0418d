# SPDX-License-Identifier: LGPL-2.1-or-later
"""QEMU fails to switch to postcopy when it is in `device` already, where QEMU 10.0 stays for good:
the guest goes on at the source, and nobody waits for ever."""
import os

import pytest

from holdfast_lab import late, wait
from holdfast_lab.bitmap_cells import Scenario
from holdfast_lab.bitmap_matrix import CELLS
from test_bitmap_matrix import Person, assert_lives, assert_worth

MODULE = os.environ.get("HOLDFAST_MODULE_DIR", "")
CELL = next(cell for cell in CELLS if cell.id == "shared-postcopy-qemu-killed-pre-switchover")

pytestmark = pytest.mark.skipif(not MODULE, reason="HOLDFAST_MODULE_DIR names no module")


@pytest.fixture
def late_lab(kept_lab):
    return kept_lab("late", env=late.environment())


class Stuck(Scenario):
    """The destination's QEMU ends in the moment when libvirt has the source's go on: libvirt would
    look whether the channel is there, so that another has it go on in its place."""

    def _qemu_killed(self):
        self._reach()
        self.lab.b.qemu().kill()
        self._ask_a("migrate-continue", state="pre-switchover")
        self.migration.wait_status("device", hosts=[self.lab.a])
        self.late.forget()


class Deserted(Stuck):
    """... and nobody is left to be asked."""

    def _qemu_killed(self):
        super()._qemu_killed()
        self.lab.b.daemon.kill()


def refuse_another(scenario):
    """It is known, and said, that this QEMU takes no other."""
    lab = scenario.lab
    lab.a.virsh("resume", "guest")
    said = lab.migrate(lab.a, lab.b, *scenario.flags).fail(60)
    assert "cannot be migrated until it is shut down and started" in str(said), said
    assert_lives(scenario, lab.a, lab.b)


def test_guest_goes_on(late_lab):
    lab = late_lab
    scenario = Stuck(lab, CELL, Person)
    scenario.run()
    said = scenario.migration.fail(60)
    assert "goes on here, and cannot be migrated until" in str(said), said
    assert_lives(scenario, lab.a, lab.b)
    refuse_another(scenario)
    assert_worth(scenario, CELL, lab.a)
    # That was another QEMU.
    lab.a.virsh("resume", "guest")
    lab.migrate(lab.a, lab.b, *scenario.flags).succeed()
    wait(lambda: lab.b.domain_state() == "running", 30, "the guest on b")


@pytest.mark.daemon_may_say(
    r"cannot acquire state change lock \(held by monitor=init-",
    reason="libvirt waits for the end of what it has cancelled, and has the domain's job meanwhile")
def test_source_daemon_is_killed(late_lab):
    """The next one finds it so, cancels it as stock libvirt does, and cannot have it run."""
    lab = late_lab
    scenario = Stuck(lab, CELL, Person)
    scenario.run()
    lab.a.daemon.restart(hard=True)
    scenario.migration.fail(60)
    assert_lives(scenario, lab.a, lab.b)
    assert_worth(scenario, CELL, lab.a)


def test_nobody_can_be_asked(late_lab):
    """The guest stays stopped, until a person says that it does not run there."""
    lab = late_lab
    scenario = Deserted(lab, CELL, Person)
    scenario.run()
    wait(lambda: any("stays stopped until that is known" in line
                     for _, _, line in lab.a.log.entries(scenario.migration.started)), 60,
         "a to have seen it")
    assert not scenario.migration.done
    assert lab.a.domain_state() == "paused"
    lab.a.virsh("resume", "guest", timeout=60)
    scenario.migration.fail(60)
    lab.b.daemon.start()
    assert_lives(scenario, lab.a, lab.b)
    assert_worth(scenario, CELL, lab.a)
