# SPDX-License-Identifier: LGPL-2.1-or-later
"""libvirt's Finish, or its answer, gets lost at the end of precopy: two hosts never run the guest.

Stock libvirt takes a missing answer for a failure and lets the guest run on at the source, also when
the destination has started it (virDomainMigrateVersion3Full(), src/libvirt-domain.c: "there is a
small chance that ddomain could in fact be running on the dest"; qemuMigrationSrcPerformPeer2Peer3()
in src/qemu/qemu_migration.c says the same of peer-to-peer migrations).
"""
import signal

import pytest

from holdfast_lab import wait
from holdfast_lab.migration import Migration
from holdfast_lab.network import RPC_PORT

STATUS_FILE = "/run/libvirt/qemu/guest.xml"

# Where the wire is cut: Finish does not arrive, or it does and its answer is lost.
by_loss = pytest.mark.parametrize("lost", ["finish", "answer"])
by_driver = pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])
by_signal = pytest.mark.parametrize("hard", [False, True], ids=["SIGTERM", "SIGKILL"])


@pytest.fixture
def migrate(lab, guest, impatient):
    """A function that starts a migration, held in precopy, whose driver (the client, or the source's
    daemon) gives a silent connection up after some ten seconds, a client of more patience after
    twice as many, and a daemon then after half a minute.

    One question of keepalive alone: with others on their way, unanswered, TCP would not send
    Finish through a network that loses the answers.
    """
    def start(p2p, patience=5):
        if p2p and patience < 30:
            # Unlike the client's it is at work while memory is copied, which a busy machine may
            # take seconds for.
            impatient(lab, 8, 1)
        words = ["-k", str(patience), "-K", "1", "migrate", "guest", lab.b.uri(), "--live",
                 *["--p2p"] * p2p, "--bandwidth", "10", "--undefinesource", "--persistent"]
        migration = lab.keep(Migration(lab.a.enter + lab.a.virsh_command + words, lab.a, lab.b))
        migration.wait_status("active")
        return migration
    return start


def lose(lab, migration, lost):
    """Precopy ends, and what comes after it meets a cut."""
    lab.net.cut("management", port=RPC_PORT, at=lab.a if lost == "answer" else None)
    lab.a.virsh("migrate-setspeed", "guest", "1000")
    migration.wait_status("completed")
    # Before that libvirt still takes it for one that may be cancelled.
    wait(lambda: "phase='perform3_done'" in lab.a.read(STATUS_FILE), 20, "the end of Perform")
    if lost == "answer":
        lab.b.wait_event("Resumed Migrated")


def end(migration, lost, p2p):
    """A client that drives it has lost its answer; peer-to-peer the source's daemon knows better."""
    migration.wait(60)
    assert (migration.returncode == 0) == (p2p and lost == "answer"), migration
    assert "cause is unknown" not in migration.output


def wait_log(migration, text):
    log = migration.source.log
    wait(lambda: any(text in line for _, _, line in log.entries(migration.started)), 60, text)


def assert_one_owner(lab, guest, lost, persistent=True):
    """The guest is where Finish has put it, and nowhere else."""
    here, there = (lab.b, lab.a) if lost == "answer" else (lab.a, lab.b)
    wait(lambda: here.domain_state() == "running", 60, f"the guest to run on {here.name}")
    wait(lambda: there.domain_state() is None, 60, f"the guest to be gone from {there.name}")
    assert here.is_persistent(guest) == persistent
    guest.witness_ok(here)
    wait(lambda: lab.a.journals() == lab.b.journals() == [], 60, "the journals to be closed")
    assert there.qemu() is None


@by_driver
@by_loss
def test_the_connection_is_silent(lab, guest, migrate, lost, p2p):
    migration = migrate(p2p)
    lose(lab, migration, lost)
    end(migration, lost, p2p)
    assert_one_owner(lab, guest, lost)
    wait_log(migration, "Confirm is held")
    # What was on its way arrives late, and starts nothing.
    lab.net.restore()
    assert_one_owner(lab, guest, lost)


@pytest.mark.parametrize("p2p,lost", [(True, "answer"), (False, "answer"), (False, "finish")],
                         ids=["p2p-answer", "client-answer", "client-finish"])
def test_the_destination_cannot_be_asked(lab, guest, migrate, p2p, lost):
    migration = migrate(p2p)
    lose(lab, migration, lost)
    lab.net.cut("all")
    wait_log(migration, "cannot be asked")
    assert lab.a.domain_state() == "paused"
    assert not migration.done
    lab.net.restore()
    end(migration, lost, p2p)
    assert_one_owner(lab, guest, lost)


@by_driver
@by_loss
def test_the_destinations_daemon_is_killed(lab, guest, migrate, lost, p2p):
    """It forgets a migration that is over, and libvirt kills one that was not finished."""
    migration = migrate(p2p)
    lose(lab, migration, lost)
    lab.b.daemon.restart(hard=True)
    end(migration, lost, p2p)
    assert_one_owner(lab, guest, lost)


@by_driver
@by_loss
@by_signal
def test_the_sources_daemon_restarts(lab, guest, migrate, lost, hard, p2p):
    migration = migrate(p2p, patience=30)
    lose(lab, migration, lost)
    begun = lab.now()
    lab.a.daemon.restart(hard=hard)
    assert lab.now() - begun < 20, "the daemon did not stop at once"
    assert_one_owner(lab, guest, lost)


@by_loss
def test_the_client_dies(lab, guest, migrate, lost):
    """Nobody calls Confirm at all: stock libvirt leaves the guest stopped at the source."""
    migration = migrate(p2p=False, patience=30)
    lose(lab, migration, lost)
    migration.send(signal.SIGKILL)
    assert_one_owner(lab, guest, lost)


@pytest.mark.parametrize("p2p,stopped", [(True, True), (True, False), (False, False)],
                         ids=["p2p-stopped-before", "p2p", "client"])
def test_a_person_knows_better(lab, guest, migrate, p2p, stopped):
    """The destination is lost for good, and with it its answer."""
    if stopped:
        lab.a.virsh("suspend", "guest")
    migration = migrate(p2p)
    lose(lab, migration, "finish")
    lab.b.daemon.kill()
    lab.b.qemu().kill()
    wait_log(migration, "cannot be asked")
    lab.a.virsh("resume", "guest")
    migration.wait(60)
    guest.witness_ok(lab.a)
    lab.b.daemon.start()
    assert_one_owner(lab, guest, "finish")


def test_the_guest_has_ended_there(lab, migrate):
    """It has run on the destination: the source's memory is older than its disks."""
    migration = migrate(p2p=True)
    lose(lab, migration, "answer")
    wait(lambda: lab.b.journals() == [], 20, "the destination's journal to be closed")
    lab.net.cut("all")
    lab.b.virsh("destroy", "guest")
    lab.b.daemon.restart(hard=True)
    wait_log(migration, "cannot be asked")
    lab.net.restore()
    end(migration, "answer", p2p=True)
    wait(lambda: lab.a.domain_state() is None, 60, "the guest to be gone from a")
    assert lab.b.domain_state() == "shut off"
    assert lab.a.qemu() is None
    assert lab.a.journals() == lab.b.journals() == []


def test_the_destination_was_rebooted(lab, guest, migrate, tmp_path):
    """It remembers nothing, and a person decides."""
    boot_id = "/proc/sys/kernel/random/boot_id"
    other = tmp_path / "boot_id"
    other.write_text("1c9d4b9e-6a3a-4c0e-9a55-2f0c7f1e0001\n", encoding="utf-8")
    migration = migrate(p2p=True)
    lose(lab, migration, "finish")
    lab.net.cut("all")
    lab.b.daemon.kill()
    lab.b.qemu().kill()
    lab.b.run("rm", "-r", "/run/libvirt/holdfast")
    lab.b.run("mount", "--bind", str(other), boot_id)
    lab.b.daemon.start()
    lab.net.restore()
    wait_log(migration, "was restarted since")
    lab.b.run("umount", boot_id)
    assert lab.a.domain_state() == "paused"
    assert not migration.done
    lab.a.virsh("resume", "guest")
    migration.wait(60)
    lab.b.daemon.restart()
    assert_one_owner(lab, guest, "finish")


def test_a_late_finish_ends_no_other_migration(lab, guest, migrate):
    """A client waits in Finish all through the outage, and the next attempt is on its way, over
    another network, when the outage lets go of it."""
    first = migrate(p2p=False, patience=300)
    lose(lab, first, "finish")
    lab.a.daemon.restart(hard=True)
    wait(lambda: lab.a.domain_state() == "running", 60, "the guest to run on a")
    second = lab.migrate(lab.a, lab.b, "--bandwidth", "10", p2p=False, network="migration")
    second.wait_status("active", since=second.started)
    lab.net.restore()
    assert "it came too late" in first.fail().output
    lab.a.virsh("migrate-setspeed", "guest", "1000")
    second.succeed()
    guest.witness_ok(lab.b)
