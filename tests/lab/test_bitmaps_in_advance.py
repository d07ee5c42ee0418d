# SPDX-License-Identifier: LGPL-2.1-or-later
"""A bitmap that cannot travel is told, dropped or refused before anything is moved, as the policy
has it; where QEMU would refuse the migration later, it is refused at once."""
import json

import pytest

from holdfast_lab import wait
from holdfast_lab.backup import Backups

POLICY = ('<holdfast:migration xmlns:holdfast="urn:holdfast:migration:1">'
          '<holdfast:bitmaps on-departure="{}"/></holdfast:migration>')


def make_guest(lab, policy, own_disks=True):
    metadata = POLICY.format(policy) if policy else ""
    return lab.guest(own_disks=own_disks, disk_format="qcow2", metadata=metadata).start(lab.a)


def lose_bitmap(lab, guest, also):
    """Monday's is inconsistent: it was stored, and then QEMU is killed with it in use. `also` are
    made afterwards."""
    Backups(lab, guest).full(lab.a, "monday")
    lab.a.virsh("destroy", "guest")  # by SIGTERM: QEMU stores its bitmaps
    lab.a.virsh("start", "guest", "--paused")
    lab.a.qemu().kill()
    wait(lambda: lab.a.domain_state() == "shut off", 30, "the guest's end")
    lab.a.virsh("start", "guest", "--paused")
    for name in also:
        lab.a.virsh("checkpoint-create-as", "guest", name)


def bitmaps(host):
    """{name: whether it is inconsistent} of the guest's disk."""
    reply = host.virsh("qemu-monitor-command", "guest",
                       '{"execute": "query-named-block-nodes", "arguments": {"flat": true}}')
    return {each["name"]: each.get("inconsistent", False)
            for node in json.loads(reply.stdout)["return"] for each in node.get("dirty-bitmaps", [])
            if "name" in each}


def decided(host):
    """{bitmap: decision}, all of vda."""
    told = json.loads(host.virsh("migrate-status", "guest", "--json").stdout).get("bitmaps", [])
    told = [each for each in told if each["kind"] == "bitmap"]
    assert {each["disk"] for each in told} <= {"vda"}
    return {each["name"]: each["decision"] for each in told}


def assert_refused(lab, migration, bitmap):
    """Our own error, nothing moved, nothing left at the destination."""
    result = migration.fail(60)
    assert f"dirty bitmap '{bitmap}' of disk vda of domain 'guest' cannot travel" in str(result)
    assert "active" not in [status for _, status in migration.states(lab.a)]
    wait(lambda: lab.b.domains() == [], 30, "the destination gone")


@pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])
@pytest.mark.parametrize("policy, outcome", [
    (None, "refuse"), ("drop", "drop"), ("refuse", "refuse")])
def test_inconsistent_beside_a_good_one(lab, policy, outcome, p2p):
    """QEMU would send none of the image's."""
    guest = make_guest(lab, policy)
    lose_bitmap(lab, guest, ["tuesday"])
    assert bitmaps(lab.a) == {"monday": True, "tuesday": False}
    migration = lab.migrate(lab.a, lab.b, "--copy-storage-all", p2p=p2p)
    if outcome == "refuse":
        assert_refused(lab, migration, "monday")
        assert bitmaps(lab.a) == {"monday": True, "tuesday": False}
        return
    migration.succeed(120)
    assert decided(lab.a) == {"monday": "drop"}
    lab.b.virsh("resume", "guest")  # it then has its images
    assert bitmaps(lab.b) == {"tuesday": False}


@pytest.mark.parametrize("policy, outcome", [
    (None, "leave"), ("drop", "drop"), ("refuse", "refuse")])
def test_inconsistent_on_shared_storage(lab, policy, outcome):
    guest = make_guest(lab, policy, own_disks=False)
    lose_bitmap(lab, guest, ["tuesday"])
    migration = lab.migrate(lab.a, lab.b)
    if outcome == "refuse":
        assert_refused(lab, migration, "monday")
        return
    migration.succeed(120)
    assert decided(lab.a) == {"monday": outcome}
    lab.b.virsh("resume", "guest")
    assert bitmaps(lab.b) == ({"monday": True, "tuesday": False} if outcome == "leave"
                              else {"tuesday": False})


@pytest.mark.parametrize("policy, outcome", [
    (None, "leave"), ("drop", "leave"), ("refuse", "refuse")])
def test_target_too_old(lab, policy, outcome):
    guest = make_guest(lab, policy)
    Backups(lab, guest).full(lab.a, "monday")
    lab.command("qemu-img", "create", "-q", "-f", "qcow2", "-o", "compat=0.10",
                lab.b.path(guest.disk), "64M")
    migration = lab.migrate(lab.a, lab.b, "--copy-storage-all")
    if outcome == "refuse":
        assert_refused(lab, migration, "monday")
        assert decided(lab.a) == {"monday": "refuse"}
        return
    migration.succeed(120)
    assert decided(lab.a) == {"monday": "leave"}
    assert bitmaps(lab.b) == {}
    guest.witness_ok(lab.b)


@pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])
@pytest.mark.parametrize("policy, outcome", [
    (None, "refuse"), ("drop", "drop"), ("refuse", "refuse")])
def test_name_taken(lab, policy, outcome, p2p):
    guest = make_guest(lab, policy)
    backups = Backups(lab, guest)
    backups.full(lab.a, "monday")
    lab.command("qemu-img", "bitmap", "--add", lab.b.path(guest.disk), "monday")
    migration = lab.migrate(lab.a, lab.b, "--copy-storage-all", p2p=p2p)
    if outcome == "refuse":
        assert_refused(lab, migration, "monday")
        assert decided(lab.a) == {"monday": "refuse"}
        guest.witness_ok(lab.a)
        return
    migration.succeed(120)
    assert decided(lab.b) == {"monday": "drop"}
    assert bitmaps(lab.b) == {"monday": False}
    guest.witness_ok(lab.b)
