# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest's checkpoints come with it: on the destination they are the tree that they were on the
source, and an incremental backup since any of them is right there; what does not come is told."""
import os

import pytest

from holdfast_lab import wait
from holdfast_lab.backup import Backups
from holdfast_lab.network import DATA_PORTS

DISK = 64 << 20
FILES = "/var/lib/libvirt/qemu/checkpoint"


def tree(host, domain="guest"):
    return host.virsh("checkpoint-list", domain, "--tree", timeout=60).stdout


def create(host, name, domain="guest"):
    host.virsh("checkpoint-create-as", domain, name)


def parent(host, name, domain="guest"):
    result = host.virsh("checkpoint-parent", domain, name, check=False)
    return result.stdout.strip() if result.ok else None


def definitions(host):
    """Of all checkpoints, in full."""
    names = host.virsh("checkpoint-list", "guest", "--name").stdout.split()
    return {name: host.virsh("checkpoint-dumpxml", "guest", name).stdout for name in names}


def said(host, text, since):
    return any(text in line for _, _, line in host.log.entries(since))


def begin_chain(lab, **parameters):
    """A guest with a full backup and two checkpoints, which goes on writing."""
    guest = lab.guest(disk_format="qcow2", **parameters).start(lab.a)
    backups = Backups(lab, guest)
    backups.full(lab.a, "monday")
    guest.wait_heartbeat(lab.a)
    create(lab.a, "tuesday")
    guest.wait_heartbeat(lab.a)
    return guest, backups


def assert_backup_is_right(lab, backups, host, since):
    host.virsh("suspend", "guest")
    path = backups.incremental(host, since)
    backups.assert_equals_disk(path, host)
    assert 0 < backups.copied_bytes(lab, path) < DISK, "not an incremental backup"
    host.virsh("resume", "guest")


FORGET = ("--undefinesource", "--persistent")


@pytest.mark.parametrize("how, p2p, flags", [
    ("precopy", True, ()),
    ("precopy", False, FORGET),
    ("postcopy", True, FORGET),
    ("postcopy", False, ()),
], ids=["precopy-p2p", "precopy-client-forgotten", "postcopy-p2p-forgotten", "postcopy-client"])
def test_they_come_with_the_guest(lab, how, p2p, flags):
    guest, backups = begin_chain(lab)
    before = tree(lab.a)
    move = lab.postcopy if how == "postcopy" else lab.migrate
    move(lab.a, lab.b, *flags, p2p=p2p).succeed()
    assert tree(lab.b) == before
    if flags:
        assert lab.a.domains() == []
        assert not lab.a.run("ls", f"{FILES}/guest", check=False).ok
    else:
        assert tree(lab.a) == before
    guest.witness_ok(lab.b)
    assert_backup_is_right(lab, backups, lab.b, "monday")
    create(lab.b, "wednesday")
    assert parent(lab.b, "wednesday") == "tuesday"


def test_with_copied_storage(lab):
    """The bitmaps come over the migration's stream."""
    guest, backups = begin_chain(lab, own_disks=True)
    before = tree(lab.a)
    lab.migrate(lab.a, lab.b, "--copy-storage-all").succeed()
    assert tree(lab.b) == before
    guest.witness_ok(lab.b)
    assert_backup_is_right(lab, backups, lab.b, "monday")


def test_under_another_name(lab):
    begin_chain(lab)
    before = tree(lab.a)
    lab.migrate(lab.a, lab.b, *FORGET, "--dname", "other").succeed()
    assert tree(lab.b, "other") == before
    create(lab.b, "wednesday", "other")
    assert parent(lab.b, "wednesday", "other") == "tuesday"


def test_and_back(lab):
    """The source stays defined, and has its checkpoints of then when the guest comes back; one was
    deleted meanwhile, and a new one made."""
    guest, backups = begin_chain(lab)
    lab.migrate(lab.a, lab.b, "--persistent").succeed()
    lab.b.virsh("checkpoint-delete", "guest", "monday")
    guest.wait_heartbeat(lab.b)
    create(lab.b, "wednesday")
    before = tree(lab.b)
    assert before != tree(lab.a)
    since = lab.now()
    lab.postcopy(lab.b, lab.a).succeed()
    assert tree(lab.a) == before
    assert said(lab.a, "checkpoint monday of an earlier time on this host was deleted", since)
    guest.witness_ok(lab.a)
    # The full backup is of Monday: what was written since is in the two together.
    lab.a.virsh("suspend", "guest")
    assert "monday" in backups.refused(lab.a, "monday")
    path = backups.incremental(lab.a, "tuesday")
    assert 0 < backups.copied_bytes(lab, path) < DISK
    lab.a.virsh("resume", "guest")
    create(lab.a, "thursday")
    assert parent(lab.a, "thursday") == "wednesday"
    # libvirt finds the current one anew.
    lab.a.daemon.restart()
    create(lab.a, "friday")
    assert parent(lab.a, "friday") == "thursday"


def test_one_of_that_name_is_there(lab):
    """The destination has the domain, with a checkpoint of another time. The bitmap of that name is
    now the one that comes: a backup since that time would miss something."""
    guest, _ = begin_chain(lab)
    lab.b.virsh("define", guest.xml_file())
    lab.b.write("/run/other.xml", "<domaincheckpoint><name>tuesday</name><creationTime>1"
                "</creationTime><disks><disk name='vda' checkpoint='bitmap' bitmap='tuesday'/>"
                "</disks></domaincheckpoint>")
    lab.b.virsh("checkpoint-create", "guest", lab.b.path("/run/other.xml"), "--redefine")
    before = tree(lab.a)
    since = lab.now()
    lab.migrate(lab.a, lab.b).succeed()
    assert tree(lab.b) == before
    assert "<creationTime>1<" not in definitions(lab.b)["tuesday"]
    assert said(lab.b, "checkpoint tuesday of an earlier time on this host was made anew", since)


def test_a_broken_one_is_told(lab):
    """Its bitmap is gone. The others come, and its child is its parent's."""
    guest, backups = begin_chain(lab)
    create(lab.a, "wednesday")
    lab.a.virsh("qemu-monitor-command", "guest", '{"execute": "block-dirty-bitmap-remove", '
                '"arguments": {"node": "libvirt-1-format", "name": "tuesday"}}')
    since = lab.now()
    lab.migrate(lab.a, lab.b).succeed()
    assert lab.b.virsh("checkpoint-list", "guest", "--name").stdout.split() == [
        "monday", "wednesday"]
    assert parent(lab.b, "wednesday") == "monday"
    for host in (lab.a, lab.b):
        assert said(host, "checkpoint tuesday: left-behind: checkpoint inconsistent: missing or "
                    "broken bitmap 'tuesday'", since)
        assert "checkpoints.decided.left-behind=1" in host.virsh("domstats", "guest").stdout
    guest.witness_ok(lab.b)
    assert_backup_is_right(lab, backups, lab.b, "monday")


def test_a_cancelled_migration_leaves_them(lab):
    guest, backups = begin_chain(lab)
    before = definitions(lab.a)
    since = lab.now()
    migration = lab.migrate(lab.a, lab.b, "--bandwidth", "1", *FORGET)
    migration.wait_status("active")
    lab.a.virsh("domjobabort", "guest")
    migration.fail()
    wait(lambda: lab.b.domains() == [], 30, "the destination gone")
    assert definitions(lab.a) == before
    assert not said(lab.b, "have come with its migration", since)
    assert not said(lab.a, "left-behind", since)
    guest.witness_ok(lab.a)
    assert_backup_is_right(lab, backups, lab.a, "monday")


def test_the_policy_leaves_them(lab):
    begin_chain(lab, metadata='<h:migration xmlns:h="urn:holdfast:migration:1"><h:bitmaps '
                'checkpoints="leave"/></h:migration>')
    lab.migrate(lab.a, lab.b).succeed()
    assert tree(lab.b).strip() == ""
    assert tree(lab.a).split() == ["monday", "|", "+-", "tuesday"]


def test_after_a_restart(lab):
    """The source's daemon dies in postcopy. libvirt then ends the migration without a client; the
    domain is forgotten when its checkpoints are at the destination."""
    guest, backups = begin_chain(lab)
    before = tree(lab.a)
    migration = lab.postcopy(lab.a, lab.b, *FORGET)
    lab.a.daemon.restart(hard=True)
    migration.wait()
    wait(lambda: lab.a.domains() == [], 60, "the source forgotten")
    wait(lambda: tree(lab.b) == before, 30, "the checkpoints on b")
    guest.witness_ok(lab.b)
    assert_backup_is_right(lab, backups, lab.b, "monday")


@pytest.mark.not_each_time
def test_nobody_takes_them(lab):
    """The destination's Holdfast cannot be asked. The migration ends well all the same."""
    guest, _ = begin_chain(lab)
    since = lab.now()
    lab.net.cut("all", port=int(DATA_PORTS.split("-")[1]))
    migration = lab.migrate(lab.a, lab.b)
    migration.succeed()
    assert 55 < migration.seconds < 100
    assert tree(lab.b).strip() == ""
    for name in ("monday", "tuesday"):
        assert said(lab.a, f"checkpoint {name}: left-behind: host '10.79.0.2' could not be asked",
                    since)
    assert said(lab.a, "the destination has not taken what it is to have", since)
    guest.witness_ok(lab.b)


def test_to_a_host_without_holdfast(kept_lab):
    """At once, and not after a minute."""
    lab = kept_lab("ours-to-stock", module_dir={"a": os.environ["HOLDFAST_MODULE_DIR"], "b": ""})
    begin_chain(lab)
    since = lab.now()
    migration = lab.migrate(lab.a, lab.b)
    migration.succeed()
    assert migration.seconds < 30
    assert tree(lab.b).strip() == ""
    for name in ("monday", "tuesday"):
        assert said(lab.a, f"checkpoint {name}: left-behind: the destination has no Holdfast", since)


@pytest.mark.not_each_time
def test_hundreds(lab):
    guest = lab.guest(disk_format="qcow2").start(lab.a)
    names = [f"checkpoint-{n}" for n in range(300)]
    for n in range(0, len(names), 50):
        lab.a.virsh("; ".join(f"checkpoint-create-as guest {name}" for name in names[n:n + 50]),
                    timeout=120)
    before = tree(lab.a)
    lab.migrate(lab.a, lab.b, *FORGET).succeed(timeout=300)
    assert tree(lab.b) == before
    guest.witness_ok(lab.b)
