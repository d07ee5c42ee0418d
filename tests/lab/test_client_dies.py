# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client that is killed, or that loses its own way to the destination, costs nobody a guest."""
import signal

import pytest

from holdfast_lab import phases, wait

by_driver = pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])


def die(migration):
    migration.send(signal.SIGKILL)
    migration.wait(10)


def assert_moves(lab, guest):
    wait(lambda: lab.b.domain_state(reason=True) == "running (migrated)", 90,
         lambda: f"the end on b; it is {lab.b.domain_state(reason=True)}")
    wait(lambda: lab.a.domain_state() in (None, "shut off"), 60, "the end on a")
    guest.witness_ok(lab.b)


@by_driver
@pytest.mark.parametrize("phase", phases.POSTCOPY)
def test_in_postcopy(lab, guest, phase, p2p):
    """It goes on without the client, through the recovery too."""
    migration = phases.reach(lab, phase, "--undefinesource", "--persistent", p2p=p2p)
    die(migration)
    phases.let_go(lab)
    assert_moves(lab, guest)
    wait(lambda: lab.a.domain_state() is None, 20, "the guest to be undefined on a, as asked")
    assert lab.b.is_persistent("guest")


def test_in_precopy_p2p(lab, guest):
    """The hosts go on by themselves, as in stock libvirt, also where it stays precopy."""
    migration = phases.reach(lab, "precopy", postcopy=False)
    die(migration)
    lab.a.virsh("migrate-setspeed", "guest", "200")
    assert_moves(lab, guest)


def test_in_precopy_driven_by_the_client(lab, guest):
    """Without the client there is no migration: it is cancelled, as in stock libvirt."""
    migration = phases.reach(lab, "precopy", p2p=False)
    die(migration)
    wait(lambda: lab.b.domains() == [], 60, "the destination gone")
    wait(lambda: lab.a.jobinfo("guest").get("Job type") == "None", 60, "the job's end")
    assert lab.a.domain_state() == "running"
    guest.witness_ok(lab.a)
    lab.migrate(lab.a, lab.b, "--postcopy").succeed()
    guest.witness_ok(lab.b)


@pytest.mark.parametrize("phase", phases.POSTCOPY)
def test_its_connection_to_the_destination_breaks(lab, guest, phase):
    """virsh runs on a; it cannot see b any more, but the hosts can over the migration network.
    It cannot be told that all went well; both hosts still finish."""
    migration = phases.reach(lab, phase, "--undefinesource", "--persistent", p2p=False)
    lab.net.cut("management")
    lab.net.restore([cut for cut in lab.net.cuts if cut.network == "migration"])
    lab.a.virsh("migrate-setspeed", "guest", "4", "--postcopy")
    assert_moves(lab, guest)
    migration.fail(120)
    assert "error: " in migration.output and "cause is unknown" not in migration.output
    lab.net.restore()
    assert lab.a.domain_state() is None
    assert lab.b.is_persistent("guest")
    guest.witness_ok(lab.b)
