# SPDX-License-Identifier: LGPL-2.1-or-later
"""Copied storage, postcopy, and a pause that cuts the bitmaps off on their way: an incremental
backup on the destination is right all the same, or it is refused."""
import json
import re

import pytest

from holdfast_lab import wait
from holdfast_lab.backup import Backups

CHECKPOINTS = ("monday", "tuesday")
FLAGS = ("--undefinesource", "--persistent")
# What the witness writes to is a small part of the disk.
SIZE, WRITTEN = "1G", 64 << 20
SELDOM = pytest.mark.not_each_time


class Scenario:
    """A guest on a with two checkpoints, and what there is to know of them."""

    def __init__(self, lab):
        self.lab = lab
        # It writes fast enough that an outage finds memory that has yet to be sent.
        self.guest = lab.guest(own_disks=True, disk_format="qcow2", disk_size=SIZE,
                               rate=24000).start(lab.a)
        self.backups = Backups(lab, self.guest)
        self.backups.full(lab.a, "monday")
        # Beyond what the witness writes, so that the two bitmaps are not alike.
        self.backups.write(lab.a, "write -q -P 77 48M 1M")
        lab.a.virsh("checkpoint-create-as", "guest", "tuesday")
        self.guest.wait_heartbeat(lab.a)

    def pause(self, flag, **options):
        migration = self.lab.postcopy(self.lab.a, self.lab.b, flag, *FLAGS, bandwidth=400,
                                      postcopy_bandwidth=1, **options)
        self.guest.wait_heartbeat(self.lab.b)  # or the source may leave the outage to TCP
        self.lab.net.cut("all")
        migration.wait_status("postcopy-paused", timeout=30)
        return migration

    def assert_backups_are_right(self):
        wait(lambda: set(CHECKPOINTS) == set(self.lab.b.virsh(
            "checkpoint-list", "guest", "--name").stdout.split()), 60, "the checkpoints on b")
        self.guest.wait_heartbeat(self.lab.b)
        self.lab.b.virsh("suspend", "guest")
        path = self.backups.incremental(self.lab.b, "monday")
        self.backups.assert_equals_disk(path, self.lab.b)
        assert 0 < self.backups.copied_bytes(self.lab, path) <= WRITTEN, "not an incremental one"
        monday, tuesday = self.marked()
        assert tuesday <= monday - (1 << 20) < WRITTEN, "tuesday's marks what monday's does"
        self.lab.b.virsh("resume", "guest")

    def marked(self):
        """How many bytes each of the bitmaps marks; on b."""
        bitmaps = {each["name"]: each for _, each in block_state(self.lab.b)[1]}
        return [bitmaps[name]["count"] for name in CHECKPOINTS]


def block_state(host):
    """Names of QEMU's nodes, and [(node, bitmap)]."""
    nodes = json.loads(host.virsh(
        "qemu-monitor-command", "guest",
        '{"execute": "query-named-block-nodes", "arguments": {"flat": true}}').stdout)["return"]
    return ([node["node-name"] for node in nodes],
            [(node["node-name"], each) for node in nodes for each in node.get("dirty-bitmaps", [])])


def assert_nothing_of_ours(host):
    names, bitmaps = block_state(host)
    assert [each for each in names if "holdfast" in each] == []
    assert [each["name"] for _, each in bitmaps if "holdfast" in each["name"]] == []
    listing = host.run("ls", "/run/libvirt/holdfast", check=False).stdout
    assert ".nbd" not in listing, listing


def decisions(host, since):
    """{bitmap: what was decided} of the daemon's log."""
    found = (re.search(r"dirty bitmap (\S+) on \S+: (\w+): ", line)
             for _, _, line in host.log.entries(since))
    return {match[1]: match[2] for match in found if match}


def wait_decisions(host, since, decision, timeout=60):
    wait(lambda: decisions(host, since) == dict.fromkeys(CHECKPOINTS, decision), timeout,
         lambda: f"{decision} on {host.name}: {decisions(host, since)}")


def sent_bytes(host, since):
    wait(lambda: any("was told in" in line for _, _, line in host.log.entries(since)), 30, "a size")
    return [int(re.search(r"was told in (\d+) bytes", line)[1])
            for _, _, line in host.log.entries(since) if "was told in" in line][-1]


@pytest.mark.parametrize("flag, p2p", [("--copy-storage-all", True), ("--copy-storage-inc", False)],
                         ids=["all-p2p", "inc-client"])
def test_after_a_pause(lab, flag, p2p):
    scenario = Scenario(lab)
    migration = scenario.pause(flag, p2p=p2p)
    lab.net.restore()
    migration.succeed()
    wait_decisions(lab.b, migration.since, "rebuild")
    assert_nothing_of_ours(lab.b)
    extents = sent_bytes(lab.a, migration.since)
    assert extents < 16 * 1024, "of a disk of 1 GiB a few places are dirty"
    scenario.assert_backups_are_right()
    scenario.guest.witness_ok(lab.b)

    # The destination stores them.
    lab.b.virsh("destroy", "guest")
    lab.b.virsh("start", "guest", "--paused")
    scenario.backups.assert_equals_disk(scenario.backups.incremental(lab.b, "monday"), lab.b)


def test_without_a_pause(lab):
    scenario = Scenario(lab)
    migration = lab.postcopy(lab.a, lab.b, "--copy-storage-all", *FLAGS, bandwidth=400)
    migration.succeed()
    wait_decisions(lab.b, migration.since, "nothing")
    assert_nothing_of_ours(lab.b)
    scenario.assert_backups_are_right()


def wait_moved(scenario):
    lab = scenario.lab
    wait(lambda: lab.b.domain_state(reason=True) == "running (migrated)", 120, "the end on b")
    wait(lambda: lab.a.domain_state() is None, 60, "the guest to be gone from a")


@pytest.mark.parametrize("names", [pytest.param("a", marks=SELDOM),
                                   pytest.param("b", marks=SELDOM), "ab"])
def test_a_restart_in_the_pause(lab, names):
    """Nobody attends the migration then: libvirt ends the source by itself."""
    scenario = Scenario(lab)
    migration = scenario.pause("--copy-storage-all")
    wait(lambda: any(message.get("exec-oob") == "migrate-recover"
                     for _, kind, message in lab.b.qmp_log() if kind == "send"), 20,
         "QEMU on b to listen")
    for name in names:
        getattr(lab, name).daemon.restart(hard=True)
    lab.net.restore()
    wait_moved(scenario)
    wait_decisions(lab.b, migration.since, "rebuild")
    assert_nothing_of_ours(lab.b)
    scenario.assert_backups_are_right()
    scenario.guest.witness_ok(lab.b)


@pytest.mark.parametrize("names, hard", [("a", True), pytest.param("a", False, marks=SELDOM),
                                         pytest.param("b", True, marks=SELDOM), ("ab", True)],
                         ids=["a-SIGKILL", "a-SIGTERM", "b-SIGKILL", "ab-SIGKILL"])
def test_a_restart_before_the_bitmaps_are_there(lab, names, hard):
    """Both QEMUs have completed, and the destination cannot be asked; then a daemon is restarted."""
    scenario = Scenario(lab)
    migration = scenario.pause("--copy-storage-all")
    port = int(lab.b.read("/run/libvirt/holdfast/port"))
    lab.net.restore()
    migration.wait_status("postcopy-recover", timeout=30)
    cut = lab.net.cut("all", port=port)
    wait(lambda: any("has not taken what it is to have" in line
                     for _, _, line in lab.a.log.entries(migration.since)), 60, "a to wait")
    assert migration.status(lab.a) == migration.status(lab.b) == "completed"
    for name in names:
        getattr(lab, name).daemon.restart(hard=hard)
    assert lab.a.qemu() and decisions(lab.b, migration.since) == {}
    lab.net.restore(cut)
    wait_moved(scenario)
    wait_decisions(lab.b, migration.since, "rebuild")
    assert_nothing_of_ours(lab.b)
    scenario.assert_backups_are_right()
