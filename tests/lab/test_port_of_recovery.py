# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where QEMU listens for a recovery, and a destination's daemon that is killed while QEMU is told.

A daemon that comes back beside a QEMU whose main loop waits for a page can neither ask it nor tell
it anything: what it knows is what was noted before.
"""
import re

import pytest

from holdfast_lab import wait
from holdfast_lab.host import JOURNALS
from holdfast_lab.monitored import MonitoredGuest

PORT = 49180
LISTEN = """
import socket, sys
s = socket.create_server(("", int(sys.argv[1])))
print("listens", flush=True)
s.accept()
print("somebody came", flush=True)
"""


@pytest.fixture
def guest(lab):
    return MonitoredGuest(lab).start(lab.a)


def told_ports(lab):
    return [int(message["arguments"]["uri"].rsplit(":", 1)[1])
            for _, kind, message in lab.b.qmp_log()
            if kind == "send" and message.get("exec-oob") == "migrate-recover"]


def answered(lab):
    """The answers to commands that went out of band."""
    return [message for _, kind, message in lab.b.qmp_log()
            if kind == "reply" and str(message.get("id")).startswith("holdfast-")]


def pause(lab):
    """A person pauses it, so that nobody but a person ends that."""
    migration = lab.postcopy(lab.a, lab.b, "--undefinesource", "--persistent")
    lab.a.virsh("domjobabort", "guest", "--postcopy")
    migration.fail(60)
    wait(lambda: told_ports(lab) and answered(lab), 20, "QEMU on b to listen")
    wait(lambda: read_journal(lab, "armed-port") == told_ports(lab)[-1], 20, "the journal")


def journal_path(lab):
    return f"{JOURNALS}/{lab.b.journals()[0]}"


def read_journal(lab, key):
    return int(re.search(rf"^{key}=(.*)$", lab.b.read(journal_path(lab)), re.M)[1])


def is_listened_on(host, port):
    return host.run("ss", "-Hltn", f"sport = :{port}").stdout.strip() != ""


def assert_moved(lab, guest):
    wait(lambda: lab.b.domain_state(reason=True) == "running (migrated)", 120, "the end on b")
    wait(lambda: lab.a.domain_state() is None, 60, "the guest to be gone from a")
    guest.witness_ok(lab.b)


@pytest.mark.parametrize("blocked", [True, False], ids=["main-loop-waits", "main-loop-answers"])
def test_killed_before_the_answer(lab, guest, blocked):
    """QEMU is stopped, so that it is told, and answers when nobody is there any more."""
    pause(lab)
    if blocked:
        guest.occupy(lab.b)
    qemu = lab.b.qemu()
    qemu.stop()
    recover = lab.a.virsh_background("migrate-recover", "guest", "--uri",
                                     f"tcp://{lab.b.address('migration')}:{PORT}")
    wait(lambda: PORT in told_ports(lab), 20, "QEMU on b to be told of the port")
    lab.b.daemon.kill()
    qemu.cont()
    wait(lambda: is_listened_on(lab.b, PORT), 20, "QEMU on b to listen there")
    lab.b.daemon.start()
    recover.succeed(120)
    assert_moved(lab, guest)


def test_somebody_else_has_the_port(lab, guest):
    """QEMU was never told of the port that was noted, and somebody else listens there by now."""
    pause(lab)
    lab.b.daemon.kill()
    path = journal_path(lab)
    text = lab.b.read(path)
    lab.b.write(path, re.sub(r"^armed-port=.*$", f"armed-port={PORT}", text, flags=re.M))
    stranger = lab.b.background("/usr/bin/python3", "-c", LISTEN, str(PORT))
    wait(lambda: "listens" in stranger.output, 20, "the stranger to listen")
    lab.b.daemon.start()
    lab.a.virsh("migrate-recover", "guest", timeout=120)
    assert_moved(lab, guest)
    assert "somebody came" not in stranger.output
    stranger.interrupt()
    stranger.wait()


def test_the_port_that_is_asked_on_is_held(lab, guest):
    """What is left of a killed daemon has the port where sources ask, for a moment."""
    migration = lab.postcopy(lab.a, lab.b, "--undefinesource", "--persistent")
    lab.net.cut("all")
    migration.wait_status("postcopy-paused", timeout=30)
    port = lab.b.read(f"{JOURNALS}/port").strip()
    lab.b.daemon.kill()
    rest = lab.b.background("/usr/bin/python3", "-c", LISTEN, port)
    wait(lambda: "listens" in rest.output, 20, "what is left to listen")
    since = lab.now()
    lab.b.daemon.start(wait_ready=False)
    wait(lambda: any("and waited for" in text for _, _, text in lab.b.log.entries(since)), 60,
         "the daemon to wait for its port")
    rest.interrupt()
    rest.wait()
    lab.b.wait_ready()
    lab.net.restore()
    migration.succeed(120)
    assert_moved(lab, guest)
