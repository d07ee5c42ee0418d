# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whatever happens to a migration: an incremental backup on the host that has the guest then, laid
over the full one from before, is its disk, byte for byte; or it is refused, as the table says."""
import dataclasses
import json

import pytest

from holdfast_lab import late, wait
from holdfast_lab.backup import NODE
from holdfast_lab.bitmap_cells import CHECKPOINT, Scenario
from holdfast_lab.bitmap_matrix import CELLS, EXACT, LIVES_AT_A, LOST, REFUSED, SUPERSET, WRONG
from holdfast_lab.process import CommandFailed
from holdfast_lab.wait import WaitTimeout


class Person:
    """Who has Holdfast has little to do."""

    @staticmethod
    def resume(scenario):
        scenario.lab.a.virsh("migrate-recover", str(scenario.guest), timeout=60)
        scenario.let_go()

    @staticmethod
    def resume_if_it_is_left(scenario):
        scenario.let_go()


def parameters():
    for cell in CELLS:
        marks = [] if cell.each_time else [pytest.mark.not_each_time]
        if cell.missing:
            # Not for a guest or a backup that is not as it should be.
            marks.append(pytest.mark.xfail(reason=cell.missing, strict=True,
                                           raises=(CommandFailed, WaitTimeout)))
        yield pytest.param(cell, id=cell.id, marks=marks)


@pytest.fixture
def late_lab(kept_lab):
    return kept_lab("late", env=late.environment())


def assert_lives(scenario, here, there):
    """It runs there as if nothing had been, and nowhere else."""
    wait(lambda: here.domain_state() == "running" and
         "post-copy" not in here.domain_state(reason=True), 90, f"the guest to run on {here.name}")
    wait(lambda: there.qemu() is None, 60, f"no QEMU on {there.name}")
    scenario.guest.witness_ok(here)
    here.virsh("suspend", "guest")


def assert_lost(lab, scenario):
    """Nobody runs it, and a person, who is told so, starts it anew where it was."""
    wait(lambda: lab.b.qemu() is None, 60, "no QEMU on b")
    end = "paused (post-copy failed)" if scenario.postcopy else "shut off"
    wait(lambda: lab.a.domain_state(reason=True).startswith(end), 60,
         lambda: f"{end} on a: {lab.a.domain_state(reason=True)}")
    scenario.migration.wait(60)
    if scenario.postcopy:
        lab.a.virsh("destroy", "guest")
    lab.a.virsh("start", "guest", "--paused")


@pytest.mark.parametrize("cell", parameters())
def test_cell(late_lab, cell):
    lab = late_lab
    scenario = Scenario(lab, cell, Person)
    scenario.run()
    if cell.guest == LOST:
        assert_lost(lab, scenario)
    else:
        here, there = (lab.a, lab.b) if cell.guest == LIVES_AT_A else (lab.b, lab.a)
        assert_lives(scenario, here, there)
    assert_worth(scenario, cell, getattr(lab, cell.host))


def assert_worth(scenario, cell, host):
    worth, said = scenario.worth(host)
    assert worth == cell.backup, said
    if worth == REFUSED:
        scenario.backups.assert_equals_disk(scenario.backups.full(host, None), host)
    elif cell.guest != LOST:
        # What is right now is also stored.
        scenario.start_anew(host)
        assert scenario.worth(host) == (cell.backup, "")


def test_outage_while_bitmaps_are_sent(late_lab):
    """Of memory nothing remains, and yet it is not the end: it pauses, and does not wait for TCP."""
    cell = next(cell for cell in CELLS if cell.id == "copied-postcopy-network-cut")
    cell = dataclasses.replace(cell, point="bitmaps")
    scenario = Scenario(late_lab, cell, Person)
    scenario.run()
    assert_lives(scenario, late_lab.b, late_lab.a)
    assert_worth(scenario, cell, late_lab.b)


def test_each_worth_is_told_from_the_others(late_lab):
    """What the cells would say of bitmaps that are not right."""
    lab = late_lab
    scenario = Scenario(lab, CELLS[0], Person)
    scenario.guest.start(lab.a)
    scenario.backups.full(lab.a, CHECKPOINT)
    scenario.guest.wait_heartbeat(lab.a)
    lab.a.virsh("suspend", "guest")
    assert scenario.worth(lab.a) == (EXACT, "")
    # Zeroes where there were none but zeroes.
    scenario.backups.write(lab.a, "write -q -P 0 12M 64k")
    assert scenario.worth(lab.a) == (SUPERSET, "")
    bitmap = json.dumps({"execute": "block-dirty-bitmap-clear", "arguments": {
        "node": NODE, "name": CHECKPOINT}})
    lab.a.virsh("qemu-monitor-command", "guest", bitmap)
    assert scenario.worth(lab.a) == (WRONG, "")
    lab.a.virsh("qemu-monitor-command", "guest", bitmap.replace("-clear", "-remove"))
    worth, said = scenario.worth(lab.a)
    assert worth == REFUSED and CHECKPOINT in said
