# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest comes back over shared storage to a source that had given its images up: what the images
hold is looked at before it runs, nothing is taken that somebody has, and an incremental backup is
right or refused."""
import json
import os
import signal

import pytest

from holdfast_lab import wait
from holdfast_lab.backup import Backups
from holdfast_lab.migration import Migration
from holdfast_lab.network import RPC_PORT

MODULE = os.environ.get("HOLDFAST_MODULE_DIR", "")
GUARD = "holdfast-guard"

pytestmark = pytest.mark.skipif(not MODULE, reason="HOLDFAST_MODULE_DIR names no module")


def policy(attributes):
    return ('<h:migration xmlns:h="urn:holdfast:migration:1">'
            f'<h:bitmaps {attributes}/></h:migration>')


@pytest.fixture(autouse=True)
def no_late_finish(lab):
    """What is lost on its way here would come when the networks are whole again, in the middle of
    the next test's Prepare."""
    yield
    lab.b.daemon.restart()


def start(lab, attributes='guard="auto"'):
    guest = lab.guest(disk_format="qcow2", metadata=policy(attributes)).start(lab.a)
    backups = Backups(lab, guest)
    backups.full(lab.a, "monday")
    guest.wait_heartbeat(lab.a)
    return guest, backups


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


def nodes(host):
    reply = host.virsh("qemu-monitor-command", "guest",
                       '{"execute": "query-named-block-nodes", "arguments": {"flat": true}}')
    return json.loads(reply.stdout)["return"]


def bitmaps(host):
    return {each["name"] for node in nodes(host) for each in node.get("dirty-bitmaps", [])}


def leave_to_a_destination_that_runs(lab):
    """The source, which has not heard so, has stopped it, and cannot ask any more."""
    migration = complete_without_an_answer(lab, lab.a)
    lab.b.wait_event("Resumed Migrated")
    lab.net.cut("all")
    wait_log(migration, "cannot be asked")
    return migration


def assert_guest_is_right(lab, backups):
    """On a, whose memory is older than its disk if the guest ran on b: no look at the witness."""
    lab.a.virsh("suspend", "guest")
    backups.assert_equals_disk(backups.full(lab.a, None), lab.a)


@pytest.mark.parametrize("guard", ["auto", "on"])
def test_from_a_destination_that_never_ran(lab, guard):
    """The source stored the bitmaps in the image, and takes them from there; no guard stays."""
    guest, backups = start(lab, f'guard="{guard}"')
    migration = complete_without_an_answer(lab, None)
    lab.b.qemu().kill()
    migration.wait(60)
    wait(lambda: lab.a.domain_state() == "running", 60, "the guest to run on a")
    wait_log(migration, "dirty bitmap monday on libvirt-1-format: adopt")
    if guard == "on":
        wait_log(migration, "have a guard")
        wait_log(migration, "the guard on libvirt-1-format is removed")
    assert bitmaps(lab.a) == {"monday"}
    assert not [node for node in nodes(lab.a) if node["node-name"].startswith("holdfast")]
    guest.witness_ok(lab.a)
    backups.assert_incremental_is_right(lab.a, "monday")


def test_a_persons_word_that_comes_too_early(lab):
    """The destination has the image and writes to it. Then it is lost: the source reads what it has
    written, and its bitmaps are gone."""
    guest, backups = start(lab)
    migration = leave_to_a_destination_that_runs(lab)
    # The first ends the call that waits, which libvirt itself refuses.
    for _ in range(2):
        refused = lab.a.virsh("resume", "guest", check=False)
        assert not refused.ok and lab.a.domain_state() == "paused", refused
        assert [node["node-name"] for node in nodes(lab.a) if node["active"]] == []
    assert "guest.qcow2 is in use" in refused.stderr, refused
    # Beyond what the guest has ever written, so that the image grows.
    backups.write(lab.b, "write -q -P 77 48M 1M")
    guest.wait_heartbeat(lab.b)
    lab.b.qemu().kill()
    lab.a.virsh("resume", "guest")
    wait_log(migration, "dirty bitmap monday on libvirt-1-format: drop")
    assert "monday" in backups.refused(lab.a, "monday")
    assert_guest_is_right(lab, backups)


def test_from_a_destination_that_ended_in_order(lab):
    """It has stored the bitmap, with what it has written."""
    guest, backups = start(lab, 'guard="on"')
    migration = leave_to_a_destination_that_runs(lab)
    backups.write(lab.b, "write -q -P 77 48M 1M")
    guest.wait_heartbeat(lab.b)
    lab.b.qemu().kill(signal.SIGTERM)
    lab.a.virsh("resume", "guest")
    wait_log(migration, "dirty bitmap monday on libvirt-1-format: adopt")
    assert bitmaps(lab.a) == {"monday"}
    backups.assert_incremental_is_right(lab.a, "monday")


def test_after_a_restart_of_the_daemon(lab):
    """The migration is over, the guest still stopped: what the policy says of it is not forgotten."""
    guest, backups = start(lab, 'on-return="drop"')
    migration = leave_to_a_destination_that_runs(lab)
    assert not lab.a.virsh("resume", "guest", check=False).ok
    migration.wait(60)
    lab.a.daemon.restart(hard=True)
    guest.wait_heartbeat(lab.b)
    lab.b.qemu().kill(signal.SIGTERM)
    lab.a.virsh("resume", "guest")
    wait_log(migration, "drop: the policy has every bitmap dropped")
    assert "monday" in backups.refused(lab.a, "monday")
    lab.a.virsh("suspend", "guest")
    lab.a.virsh("destroy", "guest")
    wait(lambda: not any(name.endswith(".journal") for name in os.listdir(
        lab.a.path("/run/libvirt/holdfast"))), 30, "the journal gone with the guest")


def test_a_guard_is_gone_where_the_guest_arrives(lab):
    """... and no client ever sees it."""
    guest, backups = start(lab, 'guard="on" granularity="65536"')
    migration = lab.migrate(lab.a, lab.b, "--undefinesource", "--persistent")
    migration.succeed(120)
    wait_log(migration, "have a guard")
    log = lab.b.log
    wait(lambda: any("the guard on libvirt-1-format is removed" in line
                     for _, _, line in log.entries(migration.started)), 60, "no guard on b")
    assert bitmaps(lab.b) == {"monday"}
    assert GUARD not in lab.b.virsh("checkpoint-list", "guest").stdout
    guest.witness_ok(lab.b)
