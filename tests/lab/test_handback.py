# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest comes back over shared storage to a source that had given its images up: what the images
hold is looked at before it runs, nothing is taken that somebody has, and an incremental backup is
right or refused.

Where QEMU has a bitmap in memory that it will never store, as libvirt leaves it when a migration
with copied storage is cancelled, the guard alone tells what was written at the destination."""
import json
import os
import signal

import pytest

from holdfast_lab import wait
from holdfast_lab.backup import Backups
from holdfast_lab.bitmap_cells import plug_in_behind_libvirts_back
from holdfast_lab.migration import Migration
from holdfast_lab.network import RPC_PORT

MODULE = os.environ.get("HOLDFAST_MODULE_DIR", "")
GUARD = "holdfast-guard"
PULL = """\
<domainbackup mode='pull'>
  <server transport='unix' socket='/run/lab-backup.sock'/>
  <disks><disk name='vda' backup='yes' type='file'/></disks>
</domainbackup>
"""

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
    wait_log(migration, "dirty bitmap monday on libvirt-1-format: drop: the source stored it in the "
             "image, and it is not there whole any more")
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
    wait(lambda: lab.a.journals() == [], 30, "the journal gone with the guest")


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


# A bitmap that is in memory alone

def cancel_a_copy(lab, guest):
    """A migration to an image of its own, which libvirt cancels."""
    elsewhere = os.path.join(lab.shared, "elsewhere.qcow2")
    lab.command("qemu-img", "create", "-q", "-f", "qcow2", elsewhere, guest.disk_size)
    migration = lab.migrate(lab.a, lab.b, "--copy-storage-all", "--xml",
                            guest.xml_file(disk=elsewhere), "--bandwidth", "20")
    migration.wait_status("active")
    wait(lambda: "MiB" in lab.a.jobinfo("guest").get("Data processed", ""), 60,
         "memory on its way")
    lab.a.virsh("domjobabort", "guest")
    migration.fail(60)


def start_unstored(lab, attributes):
    """Stock libvirt alone has cancelled it; and when Holdfast is installed a backup client is at
    work, and keeps it from repairing the bitmap for longer than it waits."""
    lab.a.daemon.restart(HOLDFAST="off")
    guest, backups = start(lab, attributes)
    cancel_a_copy(lab, guest)
    with open(os.path.join(lab.shared, "pull.xml"), "w", encoding="ascii") as f:
        f.write(PULL)
    lab.a.virsh("backup-begin", "guest", f.name)
    lab.a.daemon.restart(HOLDFAST="on")
    wait(lambda: any("cannot see whether its dirty bitmaps need repair" in line
                     for _, _, line in lab.a.log.entries(lab.epoch)), 60, "no repair")
    lab.a.virsh("domjobabort", "guest")
    return guest, backups


def arrived(lab, guest, backups):
    """Where the guest is for good its guard goes; and the destination's QEMU ends in order."""
    migration = leave_to_a_destination_that_runs(lab)
    backups.write(lab.b, "write -q -P 77 48M 1M")
    guest.wait_heartbeat(lab.b)
    lab.b.qemu().kill(signal.SIGTERM)
    lab.a.virsh("resume", "guest")
    return migration


def never_ran(lab, guest, backups):
    migration = complete_without_an_answer(lab, None)
    lab.b.qemu().kill()
    migration.wait(60)
    wait(lambda: lab.a.domain_state() == "running", 60, "the guest to run on a")
    return migration


def refused(lab, guest, backups):
    """QEMU at b does not take the guest's state; at a it takes its images again by itself."""
    plug_in_behind_libvirts_back(lab.a, guest)
    migration = lab.migrate(lab.a, lab.b)
    migration.wait_status("device", hosts=[lab.a])
    migration.fail(60)
    return migration


@pytest.mark.daemon_may_say("cannot acquire state change lock",
                            reason="a backup is begun that outlasts the daemon's patience")
@pytest.mark.parametrize("guard, how, decision", [
    ("auto", never_ran, "restore: the guard is empty: the destination has written nothing"),
    # QEMU at a does not find the bitmaps of the image where they were.
    ("auto", arrived, "drop: the image could not be looked at, so nothing is proven"),
    ("off", arrived, "drop: nothing proves that the destination has written nothing"),
    ("auto", refused, "drop: the destination may have written to the image"),
], ids=["restore", "guard-gone", "no-guard", "device"])
def test_one_that_qemu_would_never_store(lab, guard, how, decision):
    guest, backups = start_unstored(lab, f'guard="{guard}"')
    migration = how(lab, guest, backups)
    wait_log(migration, f"dirty bitmap monday on libvirt-1-format: {decision}")
    if decision.startswith("drop"):
        assert "monday" in backups.refused(lab.a, "monday")
        assert_guest_is_right(lab, backups)
        return
    assert bitmaps(lab.a) == {"monday"}
    lab.a.virsh("suspend", "guest")
    path = backups.incremental(lab.a, "monday")
    backups.assert_equals_disk(path, lab.a)
    assert backups.unwritten_bytes(path, lab.a) == 0
    # It is stored now, too.
    lab.a.virsh("destroy", "guest")
    lab.a.virsh("start", "guest", "--paused")
    backups.assert_equals_disk(backups.incremental(lab.a, "monday"), lab.a)
