# SPDX-License-Identifier: LGPL-2.1-or-later
"""A destination that ends in postcopy before it has run the guest: the guest goes on at the source,
in the same QEMU, which is as free for another migration as before."""
import os
import signal

import pytest

from holdfast_lab import late, wait
from holdfast_lab.bitmap_cells import plug_in_behind_libvirts_back

MODULE = os.environ.get("HOLDFAST_MODULE_DIR", "")

pytestmark = pytest.mark.skipif(not MODULE, reason="HOLDFAST_MODULE_DIR names no module")

@pytest.fixture
def late_lab(kept_lab):
    return kept_lab("late", env=late.environment())


# A domain whose QEMU ends while Finish is at work is one that libvirt forgets (run/finish.c).
MAY_STAY = pytest.mark.daemon_may_say(
    r"descriptors, .* threads .*'vm-guest in", reason="libvirt does not end the thread of a domain "
    "that Finish has taken out of its list")

BOTH_WAYS = pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])


def start(lab, p2p=True):
    """A migration that is about to switch to postcopy."""
    migration = lab.migrate(lab.a, lab.b, "--postcopy", "--persistent", "--bandwidth", "40",
                            "--postcopy-bandwidth", "1", p2p=p2p)
    migration.wait_status("active", hosts=[lab.a])
    return migration


def refuse_the_state(lab, guest, p2p=True, meanwhile=lambda: None):
    """QEMU on b reads of a device that it has not, and ends."""
    plug_in_behind_libvirts_back(lab.a, guest)
    migration = start(lab, p2p)
    meanwhile()
    lab.a.virsh("migrate-postcopy", str(guest))
    migration.wait_status("postcopy-active", hosts=[lab.a])
    return migration


def assert_goes_on(lab, guest):
    """On a alone, as if there had been no migration."""
    wait(lambda: lab.a.domain_state(reason=True) == "running (migration canceled)", 60,
         lambda: f"the guest on a: {lab.a.domain_state(reason=True)}")
    wait(lambda: lab.b.qemu() is None, 30, "no QEMU on b")
    wait(lambda: lab.a.jobinfo(guest).get("Job type") == "None", 30,
         lambda: f"no job: {lab.a.jobinfo(guest)}")
    assert str(guest) not in lab.b.domains()
    assert lab.a.is_persistent()
    guest.witness_ok(lab.a)


def migrate_well(lab, guest):
    """The same QEMU, once what was in the way is gone."""
    said = lab.a.virsh("qemu-monitor-command", str(guest), "--hmp", "device_del stowaway").stdout
    assert not said.strip() or "not found" in said, said
    wait(lambda: "stowaway" not in lab.a.virsh(
        "qemu-monitor-command", str(guest), "--hmp", "info qtree").stdout, 30, "the device's end")
    lab.migrate(lab.a, lab.b, "--postcopy", "--persistent").succeed()
    wait(lambda: lab.b.domain_state() == "running", 30, "the guest on b")
    guest.witness_ok(lab.b)


def kill_qemu(lab, p2p=True):
    """QEMU on b is killed when all it needs is there, and before libvirt has told it to run."""
    held = late.Late(lab.a, "pre-switchover")
    migration = start(lab, p2p)
    switch = lab.a.virsh_background("migrate-postcopy", "guest")
    held.wait()
    lab.b.daemon.stop()
    held.release()
    migration.wait_status("postcopy-active", hosts=[lab.a])
    switch.succeed(30)
    lab.b.qemu().kill()
    migration.wait_status("postcopy-paused", hosts=[lab.a])
    return migration


def assert_said(migration, p2p):
    said = migration.fail(60)
    assert ("goes on here" if p2p else "goes on at its source") in str(said), said


@MAY_STAY
@BOTH_WAYS
def test_state_refused(lab, guest, p2p):
    migration = refuse_the_state(lab, guest, p2p)
    assert_said(migration, p2p)
    assert_goes_on(lab, guest)
    assert lab.a.wait_dbus_signal("Finished")["args"][0] == "cancelled"
    migrate_well(lab, guest)


@BOTH_WAYS
def test_qemu_killed(late_lab, p2p):
    lab = late_lab
    guest = lab.guest().start(lab.a)
    migration = kill_qemu(lab, p2p)
    lab.b.daemon.cont()
    assert_said(migration, p2p)
    assert_goes_on(lab, guest)
    migrate_well(lab, guest)


def test_source_daemon_killed(late_lab):
    """The next one hears of it, and nobody else is left who would."""
    lab = late_lab
    guest = lab.guest().start(lab.a)
    migration = kill_qemu(lab)
    lab.a.daemon.restart(hard=True)
    migration.fail(60)
    lab.b.daemon.cont()
    assert_goes_on(lab, guest)
    migrate_well(lab, guest)


def test_client_killed(late_lab):
    lab = late_lab
    guest = lab.guest().start(lab.a)
    migration = kill_qemu(lab, p2p=False)
    migration.send(signal.SIGKILL)
    lab.b.daemon.cont()
    assert_goes_on(lab, guest)
    migrate_well(lab, guest)


@MAY_STAY
def test_suspended_meanwhile(lab, guest):
    """QEMU leaves it stopped, and libvirt lets it run, as after any other migration that has failed:
    a guest that is suspended during a migration is one for that alone."""
    migration = refuse_the_state(lab, guest,
                                 meanwhile=lambda: lab.a.virsh("suspend", str(guest)))
    migration.fail(60)
    assert_goes_on(lab, guest)
    migrate_well(lab, guest)
