# SPDX-License-Identifier: LGPL-2.1-or-later
"""Peer-to-peer, libvirt on the source has a connection to libvirt on the destination. When it is
lost the migration fails in precopy, as soon as qemu.conf says, and does not in postcopy."""
import pytest

from holdfast_lab import phases, wait

SOON = 15
LOST = "operation failed: Lost connection to destination host"


@pytest.mark.parametrize("driver,postcopy", [("stock_lab", True), ("lab", True), ("lab", False)],
                         ids=["stock", "ours", "ours-precopy-only"])
def test_in_precopy(request, impatient, driver, postcopy):
    """The network that the memory goes over is whole; the guest stays where it is all the same."""
    lab = impatient(request.getfixturevalue(driver), 1, 2)
    guest = lab.guest().start(lab.a)
    migration = phases.reach(lab, "precopy", "--undefinesource", "--persistent",
                             postcopy=postcopy)
    cut = lab.now()
    lab.net.cut("management")
    migration.fail(SOON)
    assert any(LOST in text for _, _, text in lab.a.log.entries(cut))
    # Closing its connection, stock libvirt puts another error in place of its own.
    assert (LOST if driver == "lab" else "error: ") in migration.output
    assert [state for _, state in migration.states(lab.a)][-1] == "cancelled"
    assert lab.a.jobinfo(guest)["Job type"] == "None"
    assert lab.a.domain_state() == "running" and lab.a.is_persistent(guest)
    lab.net.restore()
    wait(lambda: lab.b.domains() == [], 60, "the destination gone")
    guest.witness_ok(lab.a)
    # and nothing of it is left that would be in the way of the next
    lab.migrate(lab.a, lab.b, "--postcopy").succeed()
    guest.witness_ok(lab.b)


def test_in_postcopy(lab, impatient):
    """The guest is on the other host already: the migration goes on, and the call with it."""
    impatient(lab, 1, 2)
    guest = lab.guest().start(lab.a)
    migration = phases.reach(lab, "postcopy-active", "--undefinesource", "--persistent")
    cut = lab.now()
    lab.net.cut("management")
    wait(lambda: any("keepalive timeout" in text for _, _, text in lab.a.log.entries(cut)), SOON,
         "the source to have lost its connection")
    assert lab.a.jobinfo(guest)["Job type"] == "Unbounded"
    phases.let_go(lab)
    migration.succeed()
    assert migration.output.strip() == ""
    assert migration.count("postcopy-paused", lab.a) == 0
    assert lab.a.domain_state() is None and lab.b.is_persistent(guest)
    guest.witness_ok(lab.b)
