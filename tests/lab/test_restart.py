# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon is restarted in the middle of postcopy: the migration is taken up where it is."""
import json

import pytest

from holdfast_lab import wait
from holdfast_lab.network import DATA_PORTS

by_host = pytest.mark.parametrize("name", ["a", "b", "both"])
# A source whose call of Finish waits on the other host.
slow_to_stop = pytest.mark.daemon_may_say(
    "after SIGTERM", reason="libvirtd waits up to 30 s for its calls, and then leaves with 1")
by_signal = pytest.mark.parametrize("hard", [False, True], ids=["SIGTERM", "SIGKILL"])


def restart(lab, name, hard):
    for host in [lab.a, lab.b] if name == "both" else [getattr(lab, name)]:
        host.daemon.restart(hard=hard)


def is_listening(lab):
    """QEMU on b has been told to listen for a resumed migration."""
    return any(message.get("exec-oob", message.get("execute")) == "migrate-recover"
               for _, kind, message in lab.b.qmp_log() if kind == "send")


def assert_moved(lab, guest):
    wait(lambda: lab.b.domain_state(reason=True) == "running (migrated)", 120, "the end on b")
    wait(lambda: lab.a.domain_state() is None, 60, "the guest to be gone from a")
    assert lab.b.is_persistent(guest)
    guest.witness_ok(lab.b)


@slow_to_stop
@by_signal
@by_host
def test_in_an_outage(lab, guest, name, hard):
    migration = lab.postcopy(lab.a, lab.b, "--undefinesource", "--persistent")
    guest.wait_heartbeat(lab.b)  # or the source may not know yet, and would leave the outage to TCP
    lab.net.cut("all", port=DATA_PORTS)
    migration.wait_status("postcopy-paused", timeout=30)
    # Some milliseconds later. A daemon that is killed before, beside a QEMU that waits for a page and
    # answers nobody new, leaves nothing that could be taken up.
    wait(lambda: is_listening(lab), 20, "QEMU on b to listen")
    restart(lab, name, hard)
    lab.net.restore()
    assert_moved(lab, guest)


@by_host
def test_while_it_runs(lab, guest, name):
    lab.postcopy(lab.a, lab.b, "--undefinesource", "--persistent")
    restart(lab, name, False)
    assert_moved(lab, guest)


def test_a_persons_pause_is_remembered(lab, guest):
    migration = lab.postcopy(lab.a, lab.b, "--undefinesource", "--persistent")
    lab.a.virsh("domjobabort", "guest", "--postcopy")
    migration.fail(timeout=60)
    wait(lambda: is_listening(lab), 20, "QEMU on b to listen")
    restart(lab, "both", False)
    path = "/org/holdfast/Migration1/domain/_" + guest.uuid.replace("-", "_")
    for host in lab.hosts:
        wait(lambda: path in host.dbus_objects(), 20, f"the migration on {host.name}")
        assert host.dbus_property(path, "org.holdfast.Migration1.Session", "Reason") == "operator"
    assert migration.status(lab.a) == migration.status(lab.b) == "postcopy-paused"
    lab.a.virsh("migrate-recover", "guest", timeout=60)
    assert_moved(lab, guest)


@slow_to_stop
def test_a_held_call_does_not_hold_the_daemon(lab, guest):
    migration = lab.postcopy(lab.a, lab.b)
    lab.net.cut("all", port=DATA_PORTS)
    migration.wait_status("postcopy-paused", timeout=30)
    wait(lambda: is_listening(lab), 20, "QEMU on b to listen")
    for host in lab.hosts:
        begun = lab.now()
        host.daemon.terminate()
        wait(lambda: not host.daemon.alive, 20, f"the end of the daemon on {host.name}")
        print(f"{host.name} stopped within {lab.now() - begun:.1f} s")
    for host in lab.hosts:
        host.daemon.start()
    lab.net.restore()
    wait(lambda: lab.b.domain_state(reason=True) == "running (migrated)", 120, "the end on b")
    guest.witness_ok(lab.b)


def test_a_source_that_was_held(lab, guest):
    """As it would be by a daemon that is killed while it pauses it: QEMU's bandwidth is what keeps it
    from its end, and would keep it for ever."""
    lab.postcopy(lab.a, lab.b, "--undefinesource", "--persistent")
    guest.wait_heartbeat(lab.b)
    lab.a.virsh("qemu-monitor-command", "guest", json.dumps({
        "execute": "migrate-set-parameters", "arguments": {"max-postcopy-bandwidth": 11}}))
    restart(lab, "a", True)
    wait(lambda: any(message.get("arguments", {}).get("max-postcopy-bandwidth") == 0
                     for _, kind, message in lab.a.qmp_log() if kind == "send"), 30, "no limit")
    assert_moved(lab, guest)
