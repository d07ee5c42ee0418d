# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon is restarted in the states of a migration that last for moments, each held in place.

The switchover of precopy is in test_lost_finish_precopy.py, postcopy itself in test_restart.py.
"""
import pytest

from holdfast_lab import wait

FLAGS = ("--undefinesource", "--persistent")


def cells(*names):
    return pytest.mark.parametrize("cell", names)


def restart(lab, cell):
    """cell: hosts and signal, as "ab-SIGKILL"."""
    hosts, signal = cell.split("-")
    for name in hosts:
        begun = lab.now()
        getattr(lab, name).daemon.restart(hard=signal == "SIGKILL")
        assert lab.now() - begun < 20, f"the daemon on {name} did not stop at once"


def assert_stayed(lab, guest):
    """Stock libvirt cancels what it finds before postcopy (qemuProcessRecoverMigrationOut())."""
    wait(lambda: lab.a.domain_state() == "running", 60, "the guest to run on a")
    wait(lambda: lab.b.domain_state() is None, 60, "the guest to be gone from b")
    wait(lambda: lab.b.qemu() is None, 20, "its QEMU to be gone from b")
    assert lab.a.is_persistent(guest)
    guest.witness_ok(lab.a)
    wait(lambda: lab.a.journals() == lab.b.journals() == [], 20, "the journals to be closed")
    # Nothing stands in the way of the next one.
    lab.a.virsh("migrate-setspeed", "guest", "1000")
    lab.migrate(lab.a, lab.b, *FLAGS).succeed()
    guest.witness_ok(lab.b)


def assert_moved(lab, guest):
    wait(lambda: lab.b.domain_state(reason=True) == "running (migrated)", 120, "the end on b")
    wait(lambda: lab.a.domain_state() is None, 60, "the guest to be gone from a")
    assert lab.b.is_persistent(guest)
    guest.witness_ok(lab.b)
    wait(lambda: lab.a.journals() == lab.b.journals() == [], 20, "the journals to be closed")


@cells("ab-SIGKILL", "a-SIGTERM")
def test_setup(lab, guest, cell):
    lab.net.cut("migration")
    migration = lab.migrate(lab.a, lab.b, "--postcopy", *FLAGS)
    migration.wait_status("setup", hosts=[lab.a])
    restart(lab, cell)
    lab.net.restore()
    migration.fail(60)
    assert_stayed(lab, guest)


@cells("a-SIGTERM", "a-SIGKILL", "b-SIGTERM", "b-SIGKILL", "ab-SIGKILL")
def test_precopy_active(lab, guest, cell):
    migration = lab.migrate(lab.a, lab.b, "--postcopy", "--bandwidth", "5", *FLAGS)
    migration.wait_status("active")
    restart(lab, cell)
    migration.fail(60)
    assert_stayed(lab, guest)


def pause(lab):
    """-> the migration, the cut of its network, and the port that QEMU on b listens on.

    The other network stays cut, or the recovery would go over that.
    """
    migration = lab.postcopy(lab.a, lab.b, *FLAGS)
    lab.net.cut("management")
    cut = lab.net.cut("migration")
    migration.wait_status("postcopy-paused", timeout=30)

    def armed():
        uris = [message["arguments"]["uri"] for _, kind, message in lab.b.qmp_log()
                if kind == "send" and message.get("exec-oob") == "migrate-recover"]
        return uris and int(uris[-1].rsplit(":", 1)[1])
    return migration, cut, wait(armed, 20, "QEMU on b to listen")


@cells("a-SIGKILL", "b-SIGTERM", "ab-SIGKILL")
def test_postcopy_recover_setup(lab, guest, cell):
    """The source finds nobody at the port that it was told."""
    migration, cut, port = pause(lab)
    lab.net.cut("migration", port=port)
    lab.net.restore(cut)
    migration.wait_status("postcopy-recover-setup", hosts=[lab.a])
    restart(lab, cell)
    lab.net.restore()
    assert_moved(lab, guest)


def test_a_port_is_for_one_attempt(lab, guest):
    """While QEMU on b stands still its kernel answers for it, and it can be told nothing: it would
    take the connections of two attempts for those of one (migration_ioc_process_incoming(),
    migration/migration.c, QEMU 10.0), and may end in a later recovery."""
    migration, cut, port = pause(lab)
    lab.b.qemu().stop()
    lab.net.restore(cut)
    tried = migration.wait_status("postcopy-recover", hosts=[lab.a])[lab.a]
    migration.wait_status("postcopy-paused", hosts=[lab.a], since=tried)
    wait(lambda: any("has yet to take up an earlier attempt" in text
                     for _, _, text in lab.a.log.entries(tried)), 60, "the refusal of another")
    asked = [message["arguments"]["uri"] for _, kind, message in lab.a.qmp_log()
             if kind == "send" and message.get("execute") == "migrate"
             and message["arguments"].get("resume")]
    assert [uri.endswith(f":{port}") for uri in asked] == [True]
    lab.b.qemu().cont()
    lab.net.restore()
    assert_moved(lab, guest)


@cells("a-SIGTERM", "ab-SIGKILL")
def test_postcopy_recover(lab, guest, cell):
    """The handshake meets a QEMU that does not answer."""
    migration, cut, _ = pause(lab)
    lab.b.qemu().stop()
    lab.net.restore(cut)
    migration.wait_status("postcopy-recover", hosts=[lab.a])
    hosts, signal = cell.split("-")
    for name in hosts:
        daemon = getattr(lab, name).daemon
        daemon.kill() if signal == "SIGKILL" else daemon.terminate()
    lab.net.restore()
    lab.b.qemu().cont()
    for host in lab.hosts:
        if not host.daemon.alive:
            host.daemon.start()
    assert_moved(lab, guest)
