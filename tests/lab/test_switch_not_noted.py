# SPDX-License-Identifier: LGPL-2.1-or-later
"""A destination's daemon that is away when the migration switches to postcopy: its journal says
precopy, and its QEMU has the only guest that can go on. libvirt would kill it."""
import pytest

from holdfast_lab import wait
from holdfast_lab.monitored import MonitoredGuest

FLAGS = ("--undefinesource", "--persistent")
by_driver = pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])


@pytest.fixture
def guest(lab):
    return MonitoredGuest(lab).start(lab.a)


def status(lab, guest):
    """Of the migration, as QEMU on b says."""
    return guest.qmp(lab.b, "query-migrate")["status"]


def begin(lab, **options):
    """A migration in precopy, and the daemon on b stopped."""
    lab.a.virsh("migrate-setmaxdowntime", "guest", "1", check=False)
    migration = lab.migrate(lab.a, lab.b, "--postcopy", "--bandwidth", "20",
                            "--postcopy-bandwidth", "4", *FLAGS, **options)
    migration.wait_status("active")
    lab.b.daemon.stop()
    return migration


def assert_moved(lab, guest):
    # "unpaused" where libvirt had drawn its line under the migration before the guest was started.
    wait(lambda: lab.b.domain_state(reason=True) in ("running (migrated)", "running (unpaused)"),
         120, "the end on b")
    wait(lambda: lab.a.domain_state() is None, 60, "the guest to be gone from a")
    assert lab.b.is_persistent(guest)
    guest.witness_ok(lab.b)


def assert_stayed(lab, guest):
    wait(lambda: lab.a.domain_state() == "running", 60, "the guest to run on a")
    wait(lambda: lab.b.domain_state() is None, 60, "the guest to be gone from b")
    wait(lambda: lab.b.qemu() is None, 20, "its QEMU to be gone from b")
    guest.witness_ok(lab.a)


@by_driver
@pytest.mark.parametrize("until", ["postcopy-active", "completed"])
def test_killed_before_it_noted_the_switch(lab, guest, p2p, until):
    migration = begin(lab, p2p=p2p)
    lab.a.virsh_background("migrate-postcopy", "guest")
    migration.wait_status("postcopy-active", hosts=[lab.a])
    wait(lambda: status(lab, guest) == until, 60, f"QEMU on b to be {until}")
    lab.b.daemon.kill()
    lab.b.daemon.start()
    assert_moved(lab, guest)
    migration.wait(60)


def test_killed_again_and_again(lab, guest):
    migration = begin(lab)
    lab.a.virsh_background("migrate-postcopy", "guest")
    migration.wait_status("postcopy-active", hosts=[lab.a])
    wait(lambda: status(lab, guest) == "postcopy-active", 20, "QEMU on b to be in postcopy")
    lab.b.daemon.kill()
    for _ in range(2):
        lab.b.daemon.start()
        lab.b.daemon.kill()
    lab.b.daemon.start()
    assert_moved(lab, guest)


@by_driver
def test_killed_in_precopy(lab, guest, p2p):
    """There is nothing to be kept: it goes on at the source, and nothing is left on b."""
    migration = begin(lab, p2p=p2p)
    lab.b.daemon.kill()
    lab.b.daemon.start()
    migration.fail(120)
    assert_stayed(lab, guest)


def test_precopy_that_completes_while_nobody_looks(lab, guest):
    """All memory is on b, and the guest is the source's all the same: nobody has started it."""
    guest.set_rate(lab.a, pages=100)
    migration = lab.migrate(lab.a, lab.b, "--postcopy", "--bandwidth", "20", *FLAGS)
    migration.wait_status("active")
    lab.b.daemon.stop()
    wait(lambda: status(lab, guest) == "completed", 120, "QEMU on b to have everything")
    lab.b.daemon.kill()
    lab.b.daemon.start()
    migration.fail(120)
    assert_stayed(lab, guest)
