# SPDX-License-Identifier: LGPL-2.1-or-later
"""QEMU at the source has given its images up, is refused at the destination, and takes them again
by itself: what becomes then of bitmaps that the matrix has none of."""
import os

from holdfast_lab import wait
from holdfast_lab.backup import Backups
from holdfast_lab.bitmap_cells import plug_in_behind_libvirts_back

WHERE = "dirty bitmap monday on libvirt-1-format"


def start(lab, **parameters):
    guest = lab.guest(disk_format="qcow2", **parameters).start(lab.a)
    backups = Backups(lab, guest)
    backups.full(lab.a, "monday")
    guest.wait_heartbeat(lab.a)
    return guest, backups


def be_refused(source, destination, guest, *flags):
    """The destination hears of what it lacks when the states of devices come, the last of all."""
    plug_in_behind_libvirts_back(source, guest)
    migration = guest.lab.migrate(source, destination, *flags)
    migration.wait_status("device", hosts=[source])
    migration.fail(60)
    assert [state for _, state in migration.states(source)][-2:] == ["device", "failed"]
    wait(lambda: source.domain_state() == "running", 60, f"the guest to run on {source.name}")
    return migration


def wait_decision(host, migration, text):
    wait(lambda: any(f"{WHERE}: {text}" in line
                     for _, _, line in host.log.entries(migration.since)), 60, text)


def assert_stored(host, guest, backups):
    backups.assert_incremental_is_right(host, "monday")
    host.virsh("destroy", str(guest))
    host.virsh("start", str(guest), "--paused")
    backups.assert_equals_disk(backups.incremental(host, "monday"), host)


def test_one_that_has_come_on_a_stream(lab):
    """... of an earlier migration, to storage that both hosts have: it is in the image now, like
    any other."""
    guest, backups = start(lab)
    guest.disk = os.path.join(lab.shared, "elsewhere.qcow2")
    lab.command("qemu-img", "create", "-q", "-f", "qcow2", guest.disk, guest.disk_size)
    path = guest.xml_file()
    lab.migrate(lab.a, lab.b, "--copy-storage-all", "--undefinesource", "--persistent",
                "--xml", path, "--persistent-xml", path).succeed(120)
    guest.wait_heartbeat(lab.b)
    migration = be_refused(lab.b, lab.a, guest)
    wait_decision(lab.b, migration, "nothing: the image held it whole when the source took it up")
    guest.witness_ok(lab.b)
    assert_stored(lab.b, guest, backups)


def test_one_that_was_broken_before(lab):
    """A QEMU that was killed had not stored it."""
    guest, backups = start(lab)
    lab.a.virsh("destroy", "guest")  # which stores it
    lab.a.virsh("start", "guest", "--paused")
    lab.a.qemu().kill()
    wait(lambda: lab.a.domain_state() == "shut off", 60, "the guest shut off")
    lab.a.virsh("start", "guest")
    migration = be_refused(lab.a, lab.b, guest)
    wait_decision(lab.a, migration, "drop: the image did not hold it whole")
    assert "monday" in backups.refused(lab.a, "monday")


def test_one_that_the_copy_could_not_hold(lab):
    """It stays in the image at the source, which nobody else writes to."""
    guest, backups = start(lab, own_disks=True)
    there = lab.b.path(guest.disk)
    os.unlink(there)
    lab.command("qemu-img", "create", "-q", "-f", "qcow2", "-o", "compat=0.10", there,
                guest.disk_size)
    migration = be_refused(lab.a, lab.b, guest, "--copy-storage-all")
    wait_decision(lab.a, migration, "nothing: nobody else writes to this image, and QEMU kept it")
    guest.witness_ok(lab.a)
    assert_stored(lab.a, guest, backups)
