# SPDX-License-Identifier: LGPL-2.1-or-later
"""The destination's main loop waits for a missing page, and libvirt for the answer to a command.

libvirt sends one command at a time: until that one is answered it can send no other, and nothing
but the source can bring the page. It happens when the network fails within milliseconds after the
switchover, while libvirt starts the guest there. To have it every time, the destination's daemon
and then the source's QEMU are stopped at that moment, and the main loop is sent for a page over a
monitor that libvirt does not know.
"""
import pytest

from holdfast_lab import wait
from holdfast_lab.monitored import MonitoredGuest
from holdfast_lab.network import DATA_PORTS

def unanswered(host):
    """The in-band commands that libvirt waits for: at most one."""
    log = host.qmp_log()
    answered = {message.get("id") for _, kind, message in log if kind == "reply"}
    return [message["execute"] for _, kind, message in log
            if kind == "send" and "execute" in message and message["id"] not in answered]


def knows_of_postcopy(host):
    """Whether libvirt has asked QEMU: then it needs QEMU no more to tell the destination."""
    return any(kind == "reply" and isinstance(message.get("return"), dict)
               and message["return"].get("status") == "postcopy-active"
               for _, kind, message in host.qmp_log())


@pytest.fixture
def guest(lab):
    return MonitoredGuest(lab).start(lab.a)


@pytest.fixture
def blocked(lab, guest):
    """A migration in postcopy, libvirt stuck at the destination, and no page in sight."""
    migration = lab.postcopy(lab.a, lab.b, "--undefinesource", "--persistent", wait_active=False)
    migration.wait_status("active", hosts=[lab.b])
    lab.b.daemon.stop()
    wait(lambda: knows_of_postcopy(lab.a), 60, "the switchover on a")
    lab.a.qemu().stop()
    guest.occupy(lab.b)
    lab.b.daemon.cont()
    wait(lambda: unanswered(lab.b), 30, "libvirt to wait for an answer")
    return migration


def assert_moved(lab, guest):
    wait(lambda: lab.b.domain_state(reason=True) == "running (migrated)", 60, "the end on b")
    wait(lambda: lab.a.domain_state() is None, 60, "the guest to be gone from a")
    assert not unanswered(lab.b)
    assert lab.b.is_persistent("guest")
    guest.witness_ok(lab.b)


def test_the_channel_ends(lab, guest, blocked):
    """The source's QEMU has lost it: nothing but a recovery can bring the page."""
    lab.net.cut("all", "reset", port=DATA_PORTS)
    lab.a.qemu().cont()
    blocked.wait_status("postcopy-paused", hosts=[lab.a], timeout=30)
    assert unanswered(lab.b)
    lab.net.restore()
    blocked.succeed(timeout=120)
    lab.b.wait_dbus_signal("Recovered")
    assert_moved(lab, guest)


def test_the_network_is_silent(lab, guest, blocked):
    """Whether this QEMU has got its order to run nobody knows: TCP is left to bring the page."""
    lab.net.cut("migration")
    lab.a.qemu().cont()
    cut = lab.now()
    wait(lambda: lab.now() - cut >= 5, 10, "five seconds")
    assert unanswered(lab.b)
    lab.net.restore()
    blocked.succeed(timeout=120)
    assert_moved(lab, guest)
