# SPDX-License-Identifier: LGPL-2.1-or-later
"""An outage of the network in postcopy: the client's call goes on, and so does the guest."""

import pytest

from holdfast_lab import wait
from holdfast_lab.network import DATA_PORTS

SESSION = "org.holdfast.Migration1.Session"


def last(lab, since, seconds):
    wait(lambda: lab.now() - since >= seconds, seconds + 10, f"an outage of {seconds} seconds")


@pytest.mark.parametrize(
    "seconds, p2p",
    [(5, True), (5, False), pytest.param(40, True, marks=pytest.mark.not_each_time)],
    ids=["5s-p2p", "5s-client", "40s-p2p"]
)
def test_a_silent_outage(lab, guest, seconds, p2p):
    migration = lab.postcopy(lab.a, lab.b, "--undefinesource", "--persistent", p2p=p2p)
    guest.wait_heartbeat(lab.b)
    cut = lab.now()
    lab.net.cut("all")
    paused = migration.wait_status("postcopy-paused", timeout=30, hosts=[lab.a])
    last(lab, cut, seconds)
    restored = lab.now()
    lab.net.restore()

    migration.succeed(timeout=180)
    assert lab.a.domain_state() is None
    assert lab.b.domain_state() == "running"
    assert lab.b.is_persistent("guest")
    guest.witness_ok(lab.b)
    active = [at for at, state in migration.states(lab.a) if state == "postcopy-active"][-1]
    print(f"paused after {paused[lab.a] - cut:.2f} s, "
          f"active {active - restored:.2f} s after the network's return")
    for host in lab.hosts:
        signal = host.wait_dbus_signal("Recovered")
        assert signal["args"][0] > 0
        assert host.dbus_signals(member="Paused")[0]["args"][0] in ("network", "io-error")
        assert host.dbus_property(signal["path"], SESSION, "State") == "completed"
        assert host.dbus_property(signal["path"], SESSION, "Recoveries") == 1


@pytest.mark.parametrize("how", ["reset", "down"])
def test_a_network_that_says_so(lab, guest, how):
    """A reset, and an interface that goes down: the other ways a network fails."""
    migration = lab.postcopy(lab.a, lab.b)
    guest.wait_heartbeat(lab.b)
    lab.net.cut("migration", how=how)
    migration.wait_status("postcopy-paused", timeout=30, hosts=[lab.a])
    lab.net.restore()
    migration.succeed(timeout=180)
    guest.witness_ok(lab.b)


@pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])
def test_the_source_learns_late_that_the_guest_runs(lab, guest, p2p):
    """Before it knows, the source breaks nothing, for that might lose the guest; the question goes
    on, and with its answer the channel is watched, so that no outage is left to TCP."""
    asked = lab.net.cut("all", port=int(DATA_PORTS.split("-")[1]))  # where b can be asked
    migration = lab.postcopy(lab.a, lab.b, "--undefinesource", "--persistent", p2p=p2p)
    guest.wait_heartbeat(lab.b)
    channel = lab.net.cut("migration", port=DATA_PORTS)
    migration.wait_status("postcopy-paused", timeout=30, hosts=[lab.b])
    assert migration.status(lab.a) == "postcopy-active"
    begun = lab.now()
    lab.net.restore([cut for cut in asked if cut.network == "management"])
    migration.wait_status("postcopy-paused", timeout=60, hosts=[lab.a])
    assert lab.a.wait_dbus_signal("Paused", since=begun)["args"][0] == "network"
    migration.wait_status("postcopy-active", timeout=60, since=begun)
    assert channel[0] in lab.net.cuts, "it recovered over the other network"
    migration.succeed()
    guest.witness_ok(lab.b)
