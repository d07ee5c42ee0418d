# SPDX-License-Identifier: LGPL-2.1-or-later
"""A libvirt daemon that has neither client nor guest leaves, in a while, until a client connects to
it again (--timeout, two minutes in the services that come with libvirt). A question of another
host's Holdfast is no such client."""
import pytest

from holdfast_lab import wait
from holdfast_lab.migration import Migration
from holdfast_lab.network import RPC_PORT
from holdfast_lab.wait import WaitTimeout

IDLE_SECONDS = 2


@pytest.fixture
def leave_alone(lab):
    """A function after which host b's daemon has no client; the lab's recorder is one."""
    timeout = ["--timeout", str(IDLE_SECONDS)]
    daemon = lab.b.daemon
    daemon.command += timeout
    daemon.restart()

    def function():
        lab.b.recorder.terminate()
        lab.b.recorder.wait()
    yield function
    daemon.command = daemon.command[:-len(timeout)]
    if daemon.alive:
        daemon.terminate()
    lab.b.start_recorder()
    lab.write_state()  # the recorder goes with the lab


def wait_left(lab, timeout):
    wait(lambda: not lab.b.daemon.alive, timeout, "the daemon to leave")


@pytest.mark.daemon_may_say("left with 0 by itself", reason="it has nothing to do")
def test_a_daemon_with_nothing_to_do(lab, leave_alone):
    leave_alone()
    wait_left(lab, 60)


def test_a_source_that_comes_back_to_ask(lab, guest, leave_alone):
    """Finish is lost, and the destination, which has no other guest, drops the domain. It stays, so
    that its source hears of that."""
    words = ["-k", "5", "-K", "1", "migrate", "guest", lab.b.uri(), "--live", "--bandwidth", "10"]
    migration = lab.keep(Migration(lab.a.enter + lab.a.virsh_command + words, lab.a, lab.b))
    migration.wait_status("active")
    lab.net.cut("management", port=RPC_PORT)
    lab.a.virsh("migrate-setspeed", "guest", "1000")
    migration.wait_status("completed")
    lab.net.cut("all")
    wait(lambda: lab.b.qemu() is None, 90, "the destination to drop the domain")
    leave_alone()
    with pytest.raises(WaitTimeout):
        wait_left(lab, 3 * IDLE_SECONDS)
    assert lab.a.domain_state() == "paused"
    lab.net.restore()
    wait(lambda: lab.a.domain_state() == "running", 60, "the guest to run on a")
    migration.fail()
    guest.witness_ok(lab.a)
