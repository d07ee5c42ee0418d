# SPDX-License-Identifier: LGPL-2.1-or-later
"""libvirt's Finish gets lost around the switchover: the guest lives on exactly one host.

Stock libvirt loses it on both: the source is killed because QEMU completed, and the destination,
whose CPUs never ran, is destroyed when the connection closes.
"""
import signal

import pytest

from holdfast_lab import wait
from holdfast_lab.network import RPC_PORT


def wait_noted(lab, guest):
    """The switch is in b's journal; what a daemon has not noted, libvirt kills when it is back."""
    path = "/org/holdfast/Migration1/domain/_" + guest.uuid.replace("-", "_")
    wait(lambda: lab.b.dbus_property(path, "org.holdfast.Migration1.Session", "State")
         == "postcopy-active", 20, "b to have noted the switch")


def assert_moved(lab, guest):
    wait(lambda: lab.b.domain_state() == "running", 60, "the guest to run on b")
    wait(lambda: lab.a.domain_state() is None, 60, "the guest to be gone from a")
    wait(lambda: lab.b.is_persistent(guest), 60, "it to be defined on b")
    guest.witness_ok(lab.b)


@pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])
@pytest.mark.parametrize("lasts", [0, 35], ids=["comes-back", "outlasts-keepalive"])
def test_rpc_cut_before_the_switchover(lab, guest, p2p, lasts):
    slow = 2 if lasts else 4
    migration = lab.postcopy(lab.a, lab.b, p2p=p2p, wait_active=False, postcopy_bandwidth=slow)
    migration.wait_status("active")
    lab.net.cut("management", port=RPC_PORT)
    migration.wait_status("postcopy-active")
    active = lab.now()
    guest.wait_heartbeat(lab.b)
    if lasts:
        wait(lambda: lab.now() - active >= lasts, lasts + 10, "the connection to be given up")
    lab.net.restore()
    migration.wait(timeout=180)
    wait(lambda: lab.b.domain_state(reason=True) == "running (migrated)", 60, "the end on b")
    wait(lambda: lab.a.domain_state() in (None, "shut off"), 60, "the end on a")
    guest.witness_ok(lab.b)
    if p2p:
        migration.succeed()


def test_the_client_dies_before_the_switchover(lab, guest):
    """Nobody calls Finish at all, and the connection closes."""
    migration = lab.postcopy(lab.a, lab.b, p2p=False, wait_active=False)
    migration.wait_status("active")
    lab.net.cut("management", port=RPC_PORT)
    migration.wait_status("postcopy-active")
    migration.send(signal.SIGKILL)
    lab.net.restore()
    guest.wait_heartbeat(lab.b)
    wait(lambda: lab.b.domain_state(reason=True) == "running (migrated)", 60, "the end on b")
    wait(lambda: lab.a.domain_state() in (None, "shut off"), 60, "the end on a")
    guest.witness_ok(lab.b)


@pytest.mark.parametrize("hard", [False, True], ids=["SIGTERM", "SIGKILL"])
def test_the_destinations_daemon_restarts_before_it(lab, guest, hard):
    """Stock libvirt kills a destination that it has prepared and not finished, also in postcopy."""
    migration = lab.postcopy(lab.a, lab.b, "--undefinesource", "--persistent", wait_active=False)
    migration.wait_status("active")
    lab.net.cut("management", port=RPC_PORT)
    migration.wait_status("postcopy-active")
    wait_noted(lab, guest)
    lab.b.daemon.restart(hard=hard)
    guest.wait_heartbeat(lab.b)
    lab.net.restore()
    wait(lambda: lab.b.domain_state(reason=True) == "running (migrated)", 60, "the end on b")
    assert_moved(lab, guest)
    migration.succeed()


def test_the_destinations_daemon_is_away_until_all_is_sent(lab, guest):
    """Both QEMUs are done, and libvirt takes the destination for one that its user has stopped."""
    migration = lab.postcopy(lab.a, lab.b, "--undefinesource", "--persistent", wait_active=False,
                             postcopy_bandwidth=50)
    migration.wait_status("active")
    lab.net.cut("management", port=RPC_PORT)
    migration.wait_status("postcopy-active")
    wait_noted(lab, guest)
    lab.b.daemon.kill()
    migration.wait_status("completed", hosts=[lab.a])
    lab.net.restore()
    lab.b.daemon.start()
    guest.wait_heartbeat(lab.b)
    assert_moved(lab, guest)
    migration.succeed()


def test_the_sources_daemon_stops_at_once(lab, guest):
    """Peer-to-peer it waits for Finish, which the destination never hears of; libvirt would wait
    with it, for the half minute that keepalive takes."""
    migration = lab.postcopy(lab.a, lab.b, "--undefinesource", "--persistent", wait_active=False)
    migration.wait_status("active")
    lab.net.cut("management", port=RPC_PORT)
    migration.wait_status("postcopy-active")
    begun = lab.now()
    lab.a.daemon.restart()
    assert lab.now() - begun < 20, "the daemon did not stop at once"
    lab.net.restore()
    wait(lambda: lab.b.domain_state(reason=True) == "running (migrated)", 60, "the end on b")
    wait(lambda: lab.a.domain_state() is None, 60, "the guest to be gone from a")
    assert lab.b.is_persistent(guest)
    guest.witness_ok(lab.b)
