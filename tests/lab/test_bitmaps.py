# SPDX-License-Identifier: LGPL-2.1-or-later
"""An incremental backup is right after a migration that was cancelled or failed, on the host where
the guest is then, while it runs on and after it was shut down; or it is refused in time."""
import pytest

from holdfast_lab import wait
from holdfast_lab.backup import Backups


def copy_storage(lab, flag, **options):
    """A migration that is held in precopy, its bitmaps on their way."""
    migration = lab.migrate(lab.a, lab.b, flag, "--bandwidth", "20", **options)
    migration.wait_status("active")
    wait(lambda: "MiB" in lab.a.jobinfo("guest").get("Data processed", ""), 30,
         "memory on its way")
    return migration


def abort(lab, migration):
    lab.a.virsh("domjobabort", "guest")


def ctrl_c(lab, migration):
    migration.interrupt()


def kill_the_destination(lab, migration):
    lab.b.qemu().kill()


def kill_the_daemon(lab, migration):
    """... at the source; the next one finds a migration that libvirt cancels."""
    lab.a.daemon.restart(hard=True)


@pytest.mark.parametrize("flag, how, p2p", [
    ("--copy-storage-all", abort, False),
    ("--copy-storage-inc", ctrl_c, True),
    ("--copy-storage-inc", kill_the_destination, True),
    ("--copy-storage-all", kill_the_daemon, False),
], ids=["domjobabort", "ctrl-c", "dead-destination", "dead-daemon"])
def test_in_precopy(lab, flag, how, p2p):
    guest = lab.guest(own_disks=True, disk_format="qcow2").start(lab.a)
    backups = Backups(lab, guest)
    backups.full(lab.a, "monday")
    guest.wait_heartbeat(lab.a)
    lab.a.virsh("checkpoint-create-as", "guest", "tuesday")
    migration = copy_storage(lab, flag, p2p=p2p, terminal=how is ctrl_c)
    how(lab, migration)
    migration.fail(60)
    wait(lambda: lab.b.domains() == [], 30, "the destination gone")
    wait(lambda: lab.a.domain_state() == "running", 30, "the guest to run on a")
    guest.witness_ok(lab.a)
    backups.assert_incremental_is_right(lab.a, "monday")

    # QEMU stores its bitmaps when it is shut down, and this one is told to by SIGTERM.
    lab.a.virsh("destroy", "guest")
    lab.a.virsh("start", "guest", "--paused")
    path = backups.incremental(lab.a, "monday")
    backups.assert_equals_disk(path, lab.a)
    backups.incremental(lab.a, "tuesday")
