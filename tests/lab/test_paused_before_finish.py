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


def has_channel(host):
    """Whether QEMU there, the destination's, has a connection of the migration."""
    listing = host.run("ss", "-Htn", "state", "established").stdout
    ports = [int(line.split()[2].rpartition(":")[2]) for line in listing.splitlines()]
    return any(FIRST_DATA_PORT <= port <= LAST_DATA_PORT for port in ports)


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
    # b hears of it first, by the answer to its acknowledgements, and a then by that to its data.
    lab.net.cut("all", "reset", port=DATA_PORTS, at=lab.a)
    migration.wait_status("postcopy-paused", hosts=[lab.a], timeout=30)
    wait(lambda: not has_channel(lab.b), 30, "the channel to end on b")
    lab.net.restore()
    lab.b.daemon.cont()
    migration.fail(60)
    lab.b.wait_dbus_signal("Paused")
    assert lab.b.domain_state() == "paused"
    lab.a.virsh("migrate-recover", "guest")
    wait(lambda: lab.b.domain_state(reason=True) == "running (migrated)", 60, "the end on b")
    guest.witness_ok(lab.b)
