# SPDX-License-Identifier: LGPL-2.1-or-later
"""Backups as a backup client makes them: a full one with a checkpoint, incremental ones on top of
it, and the proof that together they are the disk."""
import json
import os

from .wait import wait

DISK_BYTES = 64 << 20
BACKUP = """\
<domainbackup mode='push'>
  {incremental}
  <disks>
    <disk name='vda' backup='yes' type='file'>
      <driver type='qcow2'/>
      <target file='{target}'/>
    </disk>
  </disks>
</domainbackup>
"""
CLUSTER = 1 << 16  # of qcow2, and the granularity of libvirt's bitmaps on it
NODE = "libvirt-1-format"  # what libvirt calls the one disk's format layer
DEVICE = "/machine/peripheral/virtio-disk0/virtio-backend"
CHECKPOINT = "<domaincheckpoint><name>{name}</name></domaincheckpoint>\n"


class Backups:
    """The backups of a guest, oldest first; they are on storage that every host has.

    A chain is begun by `full`; `incremental` adds what was written since a checkpoint of it.
    """

    def __init__(self, lab, guest):
        self.lab = lab
        self.guest = guest
        self.count = 0
        self.base = None

    def _write(self, name, text):
        path = os.path.join(self.lab.shared, name)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        return path

    def _begin(self, host, checkpoint, since, check):
        self.count += 1
        target = os.path.join(self.lab.shared, f"{self.guest}-backup-{self.count}.qcow2")
        words = ["backup-begin", str(self.guest), self._write("backup.xml", BACKUP.format(
            target=target, incremental=f"<incremental>{since}</incremental>" if since else ""))]
        if checkpoint:
            words.append(self._write("checkpoint.xml", CHECKPOINT.format(name=checkpoint)))
        return host.virsh(*words, check=check), target

    def _wait(self, host):
        wait(lambda: host.jobinfo(self.guest).get("Job type") == "None", 60, "the backup's end")
        done = host.jobinfo(self.guest, completed=True)
        assert (done["Operation"], done["Job type"]) == ("Backup", "Completed"), done

    def full(self, host, checkpoint):
        """A full backup and a checkpoint of the same moment -> its path."""
        _, self.base = self._begin(host, checkpoint, None, True)
        self._wait(host)
        return self.base

    def incremental(self, host, since, checkpoint=None):
        """What was written since a checkpoint, laid over the full backup -> its path."""
        _, target = self._begin(host, checkpoint, since, True)
        self._wait(host)
        self.lab.command("qemu-img", "rebase", "-q", "-u", "-f", "qcow2", "-F", "qcow2",
                         "-b", self.base, target)
        return target

    def refused(self, host, since):
        """What libvirt says to an incremental backup that it refuses."""
        result, _ = self._begin(host, None, since, False)
        assert not result.ok, "an incremental backup was begun that was to be refused"
        return result.stderr

    def assert_incremental_is_right(self, host, since):
        """With the full backup it is the disk, and it is not the whole of it."""
        host.virsh("suspend", str(self.guest))
        path = self.incremental(host, since)
        self.assert_equals_disk(path, host)
        assert 0 < self.copied_bytes(self.lab, path) < DISK_BYTES, "not an incremental backup"
        host.virsh("resume", str(self.guest))

    def write(self, host, command):
        """Writes to the disk behind the guest's back, as `qemu-io` says; QEMU runs there."""
        said = host.virsh("qemu-monitor-command", str(self.guest), "--hmp",
                          f'qemu-io -d {DEVICE} "{command}"').stdout
        assert not said.strip(), said  # errors, too, are only said

    @staticmethod
    def copied_bytes(lab, path):
        """How much an incremental backup has of its own."""
        extents = json.loads(lab.command("qemu-img", "map", "-f", "qcow2", "--output=json",
                                         path).stdout)
        return sum(each["length"] for each in extents if each["depth"] == 0 and each["present"])

    def assert_equals_disk(self, path, host):
        """Byte for byte; of a guest that is paused there, so that nothing is under way."""
        assert host.domain_state(self.guest) == "paused"
        self.lab.command("qemu-img", "compare", "-U", "-f", "qcow2", "-F", self.guest.disk_format,
                         path, host.path(self.guest.disk))

    def _as_raw(self, path, disk_format, name):
        raw = os.path.join(self.lab.shared, name)
        self.lab.command("qemu-img", "convert", "-U", "-f", disk_format, "-O", "raw", path, raw)
        return raw

    def unwritten_bytes(self, path, host):
        """What an incremental backup, the first of its chain, has copied although it is the same in
        the full one; in clusters, of a guest whose every write differs from the one before."""
        extents = json.loads(self.lab.command("qemu-img", "map", "-f", "qcow2", "--output=json",
                                              path).stdout)
        before = self._as_raw(self.base, "qcow2", "before.raw")
        after = self._as_raw(host.path(self.guest.disk), self.guest.disk_format, "after.raw")
        same = 0
        with open(before, "rb") as old, open(after, "rb") as new:
            for each in extents:
                if each["depth"] or not each["present"]:
                    continue
                for at in range(each["start"], each["start"] + each["length"], CLUSTER):
                    old.seek(at)
                    new.seek(at)
                    same += CLUSTER * (old.read(CLUSTER) == new.read(CLUSTER))
        return same
