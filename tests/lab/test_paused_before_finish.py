# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stock libvirt's Finish destroys a destination that it finds paused before it has started the
guest. With manual recovery nobody but a person ends the pause, and Finish is called after that."""
import pytest

from holdfast_lab import wait
from holdfast_lab.network import DATA_PORTS

FIRST_DATA_PORT, LAST_DATA_PORT = map(int, DATA_PORTS.split("-"))
MANUAL = """
<holdfast:migration xmlns:holdfast="urn:holdfast:migration:1">
  <holdfast:recovery mode="manual"/>
</holdfast:migration>
"""


def unread(host):
    """For each connection of the migration that QEMU there, the destination's, has: how many bytes
    it has yet to read."""
    listing = host.run("ss", "-Htn", "state", "established").stdout
    return [int(waiting) for waiting, _, local, _ in map(str.split, listing.splitlines())
            if FIRST_DATA_PORT <= int(local.rpartition(":")[2]) <= LAST_DATA_PORT]


def knows_of_postcopy(host):
    return any(kind == "reply" and isinstance(message.get("return"), dict)
               and message["return"].get("status") == "postcopy-active"
               for _, kind, message in host.qmp_log())


@pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])
def test_a_channel_that_is_reset(lab, p2p):
    guest = lab.guest(metadata=MANUAL).start(lab.a)
    migration = lab.postcopy(lab.a, lab.b, wait_active=False, p2p=p2p)
    migration.wait_status("active", hosts=[lab.b])
    lab.b.daemon.stop()
    wait(lambda: knows_of_postcopy(lab.a), 60, "the switchover on a")
    # or QEMU there, which has not read all of the guest's state, would fail
    wait(lambda: unread(lab.b) and not any(unread(lab.b)), 30, "QEMU on b to have read all")
    # b hears of it first, by the answer to its acknowledgements, and a then by that to its data.
    lab.net.cut("all", "reset", port=DATA_PORTS, at=lab.a)
    migration.wait_status("postcopy-paused", hosts=[lab.a], timeout=30)
    wait(lambda: not unread(lab.b), 30, "the channel to end on b")
    lab.net.restore()
    lab.b.daemon.cont()
    migration.fail(60)
    lab.b.wait_dbus_signal("Paused")
    assert lab.b.domain_state() == "paused"
    lab.a.virsh("migrate-recover", "guest")
    wait(lambda: lab.b.domain_state(reason=True) == "running (migrated)", 60, "the end on b")
    guest.witness_ok(lab.b)
