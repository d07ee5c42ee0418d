# SPDX-License-Identifier: LGPL-2.1-or-later
"""A QEMU ends in a pause, and the host that waits for it is told, also when its memory is gone."""
import pytest

from holdfast_lab import wait
from holdfast_lab.network import DATA_PORTS


def pause(lab):
    migration = lab.postcopy(lab.a, lab.b, p2p=False)
    lab.net.cut("all", port=DATA_PORTS)
    migration.wait_status("postcopy-paused", timeout=30)
    return migration


def state(host, guest):
    path = "/org/holdfast/Migration1/domain/_" + guest.uuid.replace("-", "_")
    return host.dbus_property(path, "org.holdfast.Migration1.Session", "State")


def test_the_sources_qemu_ends(lab, guest):
    """The destination, whose Finish is held, cannot know: its channel is silent. Nothing is
    destroyed there that stock libvirt would leave."""
    migration = pause(lab)
    lab.a.qemu().kill()
    wait(lambda: state(lab.a, guest) == "failed", 20, "the end on a")
    # It is told by a daemon that has forgotten all but its journal.
    lab.a.daemon.restart(hard=True)
    assert state(lab.b, guest) == "postcopy-paused"
    lab.net.restore()
    wait(lambda: state(lab.b, guest) == "failed", 60, "b to hear of it")
    migration.fail(60)
    assert lab.b.domain_state(reason=True) == "running (post-copy failed)"
    assert lab.b.qemu() is not None
    wait(lambda: lab.a.journals() == lab.b.journals() == [], 20, "the journals to be closed")
    lab.b.virsh("destroy", "guest")


def test_the_destination_has_forgotten(lab, guest):
    """Its QEMU ends, with it the journal, and with its daemon the last that knew of both."""
    migration = pause(lab)
    lab.b.qemu().kill()
    wait(lambda: lab.b.journals() == [], 20, "the end on b")
    lab.b.daemon.restart(hard=True)
    lab.net.restore()
    wait(lambda: state(lab.a, guest) == "failed", 60, "a to hear of it")
    migration.fail(60)
    assert lab.a.domain_state(reason=True) == "paused (post-copy failed)"
    assert lab.b.domain_state() is None
    lab.a.virsh("destroy", "guest")


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_qemu_that_ends_while_its_daemon_is_away(lab, guest, name):
    """libvirt, which finds it dead when it is back, tells nobody."""
    migration = pause(lab)
    host = getattr(lab, name)
    qemu = host.qemu()
    host.daemon.kill()
    qemu.kill()
    host.daemon.start()
    lab.net.restore()
    wait(lambda: state(lab.a, guest) == state(lab.b, guest) == "failed", 60,
         "both to know that it has failed")
    migration.fail(60)
    other = lab.b if host is lab.a else lab.a
    assert other.qemu() is not None
    other.virsh("destroy", "guest")
    wait(lambda: lab.a.journals() == lab.b.journals() == [], 60, "the journals to be closed")
