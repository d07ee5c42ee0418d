# SPDX-License-Identifier: LGPL-2.1-or-later
"""A backup client that knows nothing of us, virtnbdbackup as Debian has it: a full backup at the
source, a migration, an incremental one at the destination, and what it restores is the disk."""
import os

import pytest

# The client writes its log beside its data, and here where it is told to.
SECONDS = 90


def back_up(lab, host, level):
    """-> what it said."""
    done = host.run("virtnbdbackup", "--uri", "qemu:///system", "--domain", "guest", "--level", level,
                    "--output", os.path.join(lab.shared, "backup"), "--scratchdir", lab.shared,
                    "--socketfile", f"/run/{level}.nbd", "--noprogress", timeout=SECONDS)
    return done.stdout + done.stderr


def restore(lab, host):
    """-> the image that it made of all of its backups."""
    target = os.path.join(lab.shared, "restored")
    host.run("virtnbdrestore", "--input", os.path.join(lab.shared, "backup"), "--output", target,
             "--socketfile", "/run/restore.nbd", "--logfile", os.path.join(lab.shared, "restore.log"),
             "--noprogress", timeout=SECONDS)
    return os.path.join(target, "guest.qcow2")


@pytest.mark.parametrize("flags", [(), ("--copy-storage-all",)], ids=["shared", "copied"])
def test_virtnbdbackup(lab, flags):
    guest = lab.guest(disk_format="qcow2", own_disks=bool(flags), memory=96, arena=16, rate=500,
                      disk_rate=32).start(lab.a)
    back_up(lab, lab.a, "full")
    guest.wait_heartbeat(lab.a)
    lab.migrate(lab.a, lab.b, *flags, "--persistent", "--undefinesource").succeed()
    guest.wait_heartbeat(lab.b)
    lab.b.virsh("suspend", "guest")
    print(back_up(lab, lab.b, "inc"))
    lab.command("qemu-img", "compare", "-U", restore(lab, lab.b), lab.b.path(guest.disk))
    lab.b.virsh("resume", "guest")
    guest.witness_ok(lab.b)
