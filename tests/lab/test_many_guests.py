# SPDX-License-Identifier: LGPL-2.1-or-later
"""A switch that carries many migrations fails and comes back: some recover at a time, the longest
paused first, and no guest loses anything."""
import pytest

from holdfast_lab import wait
from holdfast_lab.network import DATA_PORTS
from holdfast_lab.phases import cut_memory

SESSION = "org.holdfast.Migration1.Session"
RECOVERING = ("postcopy-recover-setup", "postcopy-recover")
GUESTS = 10
AT_ONCE = 2


@pytest.fixture
def guests(lab):
    """On host a, where no more than AT_ONCE may recover at the same time."""
    lab.a.write("/etc/libvirt/holdfast.conf", f"[recovery]\nat-once = {AT_ONCE}\n")
    lab.a.daemon.restart()
    yield lab.start_guests(lab.a, GUESTS, memory=96, arena=16, rate=500, disk_rate=2)
    lab.a.write("/etc/libvirt/holdfast.conf", "")
    lab.a.daemon.restart()


def to_postcopy(lab, guests):
    """All of them, and they would stay there for half a minute -> [Migration]"""
    migrations = [lab.migrate(lab.a, lab.b, "--postcopy", "--bandwidth", "4", "--timeout", "1",
                              "--timeout-postcopy", "--postcopy-bandwidth", "1",
                              "--undefinesource", "--persistent", guest=guest)
                  for guest in guests]
    for guest in guests:
        wait(lambda: lab.b.domain_state(guest, reason=True) == "running (post-copy)", 60,
             f"{guest} to run on b")
    return migrations


def steps(lab):
    """The sources' changes of state, in order: [(time, path, state)]."""
    return [(signal["time"], signal["path"], signal["args"][1])
            for signal in lab.a.dbus_signals(SESSION, "StateChanged")]


def recovering(lab):
    """Those that recover now, and the most that ever did at a time."""
    now, most = set(), 0
    for _, path, state in steps(lab):
        now = now | {path} if state in RECOVERING else now - {path}
        most = max(most, len(now))
    return now, most


def waiting(lab):
    return sum("waits for its turn" in text for _, _, text in lab.a.log.entries(lab.epoch))


def test_an_outage_of_all(lab, guests):
    migrations = to_postcopy(lab, guests)
    reset = lab.net.cut("all", "reset", port=DATA_PORTS)
    wait(lambda: len(lab.a.dbus_signals(SESSION, "Paused")) == GUESTS, 30, "every pause on a")
    paused_at = {signal["path"]: signal["args"][1]["at"]
                 for signal in lab.a.dbus_signals(SESSION, "Paused")}
    assert len(paused_at) == GUESTS

    # The destination answers, and the memory's connections hang: so every turn is taken.
    cut_memory(lab, "all")
    lab.net.restore(reset)
    wait(lambda: waiting(lab) == GUESTS - AT_ONCE, 30,
         lambda: f"all but {AT_ONCE} to wait for their turn; {waiting(lab)} do")
    first, _ = recovering(lab)
    assert len(first) == AT_ONCE

    restored = lab.now()
    lab.net.restore()
    wait(lambda: len(lab.a.dbus_signals(SESSION, "Recovered")) == GUESTS, 60,
         "every recovery on a")
    assert recovering(lab)[1] == AT_ONCE
    began = [path for at, path, state in steps(lab)
             if at >= restored and state == RECOVERING[0] and path not in first]
    # In the order of their pauses, but for those that are under way at the same time.
    order = sorted(set(paused_at) - first, key=paused_at.get)
    assert sorted(began) == sorted(order)
    assert all(abs(began.index(path) - order.index(path)) < AT_ONCE for path in order), \
        (began, order)

    for guest in guests:
        lab.a.virsh("migrate-setspeed", guest.name, "200", "--postcopy", check=False)
    for migration in migrations:
        migration.succeed()
    for guest in guests:
        guest.witness_ok(lab.b)
    assert not lab.a.domains()
