# SPDX-License-Identifier: LGPL-2.1-or-later
"""An incremental backup is right after a migration that was cancelled or failed, on the host where
the guest is then, while it runs on and after it was shut down; or it is refused in time."""
import json

import pytest

from holdfast_lab import wait
from holdfast_lab.backup import Backups
from holdfast_lab.migration import Migration
from holdfast_lab.network import RPC_PORT

DISK = 64 << 20


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


def assert_backup_is_right(lab, backups, since):
    lab.a.virsh("suspend", "guest")
    path = backups.incremental(lab.a, since)
    backups.assert_equals_disk(path, lab.a)
    assert 0 < backups.copied_bytes(lab, path) < DISK, "not an incremental backup"
    lab.a.virsh("resume", "guest")


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
    assert_backup_is_right(lab, backups, "monday")

    # QEMU stores its bitmaps when it is shut down, and this one is told to by SIGTERM.
    lab.a.virsh("destroy", "guest")
    lab.a.virsh("start", "guest", "--paused")
    path = backups.incremental(lab.a, "monday")
    backups.assert_equals_disk(path, lab.a)
    backups.incremental(lab.a, "tuesday")


def wait_log(migration, text):
    log = migration.source.log
    wait(lambda: any(text in line for _, _, line in log.entries(migration.started)), 60, text)


def complete_without_an_answer(lab, at):
    """A migration over shared storage that QEMU completes, and of which the source hears no more:
    Finish is lost on its way to b (at None), or is carried out and its answer lost (at a)."""
    words = ["-k", "5", "-K", "1", "migrate", "guest", lab.b.uri(), "--live", "--bandwidth", "10"]
    migration = lab.keep(Migration(lab.a.enter + lab.a.virsh_command + words, lab.a, lab.b))
    migration.wait_status("active")
    lab.net.cut("management", port=RPC_PORT, at=at)
    lab.a.virsh("migrate-setspeed", "guest", "1000")
    migration.wait_status("completed")
    return migration


def test_back_from_a_destination_that_never_ran(lab):
    """Shared storage: the source stored the bitmaps in the image, and takes them from there."""
    guest = lab.guest(disk_format="qcow2").start(lab.a)
    backups = Backups(lab, guest)
    backups.full(lab.a, "monday")
    guest.wait_heartbeat(lab.a)
    migration = complete_without_an_answer(lab, None)
    lab.b.qemu().kill()
    migration.wait(60)
    wait(lambda: lab.a.domain_state() == "running", 60, "the guest to run on a")
    wait_log(migration, "dirty bitmap monday on libvirt-1-format: adopt")
    guest.witness_ok(lab.a)
    assert_backup_is_right(lab, backups, "monday")


def active_nodes(host):
    reply = host.virsh("qemu-monitor-command", "guest",
                       '{"execute": "query-named-block-nodes", "arguments": {"flat": true}}')
    return [node["node-name"] for node in json.loads(reply.stdout)["return"] if node["active"]]


def test_back_on_a_persons_word_too_early(lab):
    """The destination has the image and writes to it. Then it is lost: the source reads what it has
    written, and its bitmaps are gone."""
    guest = lab.guest(disk_format="qcow2").start(lab.a)
    backups = Backups(lab, guest)
    backups.full(lab.a, "monday")
    migration = complete_without_an_answer(lab, lab.a)
    lab.b.wait_event("Resumed Migrated")
    lab.net.cut("all")
    wait_log(migration, "cannot be asked")
    refused = lab.a.virsh("resume", "guest", check=False)
    assert not refused.ok and lab.a.domain_state() == "paused", refused
    wait_log(migration, "they are given up again")
    assert active_nodes(lab.a) == []
    # Beyond what the guest has ever written, so that the image grows.
    lab.b.virsh("qemu-monitor-command", "guest", "--hmp",
                'qemu-io -d libvirt-1-format "write -q -P 77 48M 1M"')
    guest.wait_heartbeat(lab.b)
    lab.b.qemu().kill()
    lab.a.virsh("resume", "guest")
    wait_log(migration, "dirty bitmap monday on libvirt-1-format: drop")
    assert "monday" in backups.refused(lab.a, "monday")
    lab.a.virsh("suspend", "guest")
    backups.assert_equals_disk(backups.full(lab.a, None), lab.a)
