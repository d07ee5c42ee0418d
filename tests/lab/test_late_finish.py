# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Finish that an outage has held arrives while Prepare of the next migration is at work: it ends
the guest's migration no more than any other word of the past.

libvirt finds what a Finish is of by the domain's name alone (qemuDomainMigrateFinish3Params(),
src/qemu/qemu_driver.c), and destroys what it finds. test_lost_finish_precopy.py has the same when
the next migration is on its way.
"""
import pytest

from holdfast_lab import late, wait
from holdfast_lab.migration import Migration
from holdfast_lab.network import RPC_PORT


@pytest.fixture
def lab(kept_lab):
    return kept_lab("late", env=late.environment())


def lose_finish(lab):
    """A migration whose client waits for the answer to a Finish that does not arrive; what was
    prepared for it is gone."""
    words = ["-k", "300", "-K", "1", "migrate", "guest", lab.b.uri(), "--live", "--bandwidth", "10"]
    migration = lab.keep(Migration(lab.a.enter + lab.a.virsh_command + words, lab.a, lab.b))
    migration.wait_status("active")
    lab.net.cut("management", port=RPC_PORT)
    lab.a.virsh("migrate-setspeed", "guest", "1000")
    migration.wait_status("completed")
    lab.b.virsh("destroy", "guest")
    wait(lambda: lab.b.qemu() is None, 20, "no QEMU on b")
    lab.a.daemon.restart(hard=True)
    wait(lambda: lab.a.domain_state() == "running", 60, "the guest to run on a")
    return migration


def test_it_meets_a_prepare_at_work(lab, guest):
    first = lose_finish(lab)
    prepare = late.LatePrepare(lab.b)
    second = lab.migrate(lab.a, lab.b, p2p=False, network="migration")
    prepare.wait()
    lab.net.restore()
    assert "it came too late" in first.fail().output
    prepare.release()
    second.succeed()
    guest.witness_ok(lab.b)
