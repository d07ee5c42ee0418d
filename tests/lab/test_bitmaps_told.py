# SPDX-License-Identifier: LGPL-2.1-or-later
"""What was decided of a bitmap is told by migrate-status, statistics, D-Bus and the log alike."""
import json

from holdfast_lab import wait
from holdfast_lab.backup import Backups

SESSION = "org.holdfast.Migration1.Session"
MANAGER = "org.holdfast.Migration1.Manager"
REASON = "it is right, but QEMU, which began to send it, would never store it"


def shown(host):
    """[(disk, bitmap, decision, reason)] of migrate-status."""
    told = json.loads(host.virsh("migrate-status", "guest", "--json").stdout)
    return [(each["disk"], each["name"], each["decision"], each["reason"])
            for each in told.get("bitmaps", []) if each["kind"] == "bitmap"]


def test_a_repair_is_told_everywhere(lab):
    guest = lab.guest(own_disks=True, disk_format="qcow2").start(lab.a)
    Backups(lab, guest).full(lab.a, "monday")
    migration = lab.migrate(lab.a, lab.b, "--copy-storage-all", "--bandwidth", "20")
    migration.wait_status("active")
    wait(lambda: "MiB" in lab.a.jobinfo("guest").get("Data processed", ""), 30,
         "memory on its way")
    assert shown(lab.a) == []
    lab.a.virsh("domjobabort", "guest")
    migration.fail(60)

    # Whoever hears of the failure can ask.
    assert shown(lab.a) == [("vda", "monday", "repair", REASON)]
    text = lab.a.virsh("migrate-status", "guest").stdout
    assert f"Bitmap:     vda monday: repair: {REASON}\n" in text
    stats = lab.a.virsh("domstats", "guest").stdout
    assert "holdfast.bitmaps.decided.repair=1\n" in stats
    assert "holdfast.bitmaps.0.disk=vda\n" in stats

    signal = lab.a.wait_dbus_signal("BitmapsDecided")
    entry = signal["args"][0][0]
    assert (entry["kind"], entry["disk"], entry["name"], entry["decision"], entry["reason"]) == (
        "bitmap", "vda", "monday", "repair", REASON)
    assert lab.a.dbus_property(signal["path"], SESSION, "Bitmaps") == [entry]
    repeated = lab.a.wait_dbus_signal("MigrationBitmapsDecided")
    assert repeated["interface"] == MANAGER
    assert repeated["args"] == [signal["path"], guest.uuid, "guest", "source", [entry]]
    line = f"domain guest: vda: dirty bitmap monday on libvirt-1-format: repair: {REASON}"
    assert any(line in text for _, _, text in lab.a.log.entries(migration.started))
    guest.witness_ok(lab.a)
