# SPDX-License-Identifier: LGPL-2.1-or-later
"""QEMU's source that has sent everything waits for the destination's last word. A channel that ends
then is no pause for it but a failure, after which QEMU itself runs the guest again: what TCP would
survive must not be broken by us, and a guest that has run on the destination must not run on the
source, whatever becomes of the channel."""
import re

import pytest

from holdfast_lab import wait


def remaining(host):
    """Bytes that the source's QEMU has yet to send, by libvirt."""
    text = host.virsh("domjobinfo", "guest", check=False).stdout
    found = re.search(r"Memory remaining:\s+([\d.]+) (B|KiB|MiB|GiB)", text)
    units = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
    return float(found[1]) * units[found[2]] if found else None


@pytest.fixture(params=[True, False], ids=["p2p", "client"])
def sent(request, lab, guest):
    """A migration of which the source has sent all, and the destination's QEMU is stopped."""
    migration = lab.postcopy(lab.a, lab.b, p2p=request.param)
    wait(lambda: remaining(lab.a) < 6 << 20, 60, "the last pages")
    lab.a.virsh("migrate-setspeed", "guest", "1", "--postcopy")
    wait(lambda: remaining(lab.a) < 2 << 20, 60, "the very last pages")
    qemu = lab.b.qemu()
    qemu.stop()
    wait(lambda: remaining(lab.a) == 0, 60, "nothing to remain")
    return migration, qemu


def runs(host, since):
    """QEMU's word on the guest's processors, after the switch."""
    return [message["event"] for at, kind, message in host.qmp_log()
            if kind == "event" and message.get("event") in ("RESUME", "STOP") and at >= since][1:]


def test_a_short_outage(lab, guest, sent):
    migration, qemu = sent
    lab.net.cut("all")
    cut = lab.now()
    wait(lambda: lab.now() - cut >= 5, 10, "five seconds")
    lab.net.restore()
    qemu.cont()
    migration.succeed()
    assert not runs(lab.a, migration.since)
    assert migration.count("postcopy-paused", lab.a) == 0
    assert lab.b.domain_state(reason=True) == "running (migrated)"
    guest.witness_ok(lab.b)


def test_a_channel_that_is_reset(lab, guest, sent):
    """QEMU starts the guest on the source, where it must not stay."""
    migration, qemu = sent
    lab.net.cut("migration", how="reset")
    migration.wait_status("failed", hosts=[lab.a], timeout=60)
    # stopped, or ended by itself for the lack of its disk
    wait(lambda: lab.a.domain_state() != "running", 10, "the guest to be stopped")
    lab.net.restore()
    qemu.cont()
    wait(lambda: lab.b.migration_states()[-1][1] in ("completed", "postcopy-paused"), 30, "b's end")
    assert lab.a.domain_state() != "running"
    assert lab.a.wait_dbus_signal("Finished")["args"][0] == "failed"
    assert runs(lab.a, migration.since) in (["RESUME", "STOP"], ["RESUME"])
