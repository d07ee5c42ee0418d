# SPDX-License-Identifier: LGPL-2.1-or-later
"""However a migration comes to postcopy, an outage in it is recovered."""
import pytest

from holdfast_lab import wait
from holdfast_lab.network import DATA_PORTS

by_driver = pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])
SLOW = ("--bandwidth", "20", "--postcopy-bandwidth", "4", "--undefinesource", "--persistent")


def survive_an_outage(lab, guest, migration):
    migration.wait_status("postcopy-active")
    lab.b.wait_event("Resumed Post-copy")
    lab.net.cut("all", port=DATA_PORTS)
    migration.wait_status("postcopy-paused", hosts=[lab.a])
    lab.net.restore()
    migration.succeed(180)
    assert lab.a.domain_state() is None
    assert lab.b.is_persistent("guest")
    guest.witness_ok(lab.b)


@by_driver
def test_by_timeout(lab, guest, p2p):
    migration = lab.migrate(lab.a, lab.b, "--postcopy", "--timeout", "2", "--timeout-postcopy",
                            *SLOW, p2p=p2p, terminal=True)
    survive_an_outage(lab, guest, migration)


@by_driver
def test_by_a_person(lab, guest, p2p):
    migration = lab.migrate(lab.a, lab.b, "--postcopy", *SLOW, p2p=p2p)
    migration.wait_status("active")
    lab.a.virsh("migrate-postcopy", "guest")
    survive_an_outage(lab, guest, migration)


def test_speeds_set_on_the_way_last(lab, guest):
    """migrate-setspeed and -setmaxdowntime in precopy, and the postcopy speed in the pause."""
    migration = lab.migrate(lab.a, lab.b, "--postcopy", "--bandwidth", "5")
    migration.wait_status("active")
    lab.a.virsh("migrate-setmaxdowntime", "guest", "1")
    lab.a.virsh("migrate-setspeed", "guest", "20")
    lab.a.virsh("migrate-setspeed", "guest", "3", "--postcopy")
    lab.a.virsh("migrate-postcopy", "guest")
    migration.wait_status("postcopy-active")
    lab.b.wait_event("Resumed Post-copy")
    lab.net.cut("all", port=DATA_PORTS)
    migration.wait_status("postcopy-paused", hosts=[lab.a])
    lab.a.virsh("migrate-setspeed", "guest", "200", "--postcopy")
    assert lab.a.virsh("migrate-getspeed", "guest", "--postcopy").stdout.strip() == "200"
    lab.net.restore()
    restored = lab.now()
    migration.succeed()
    assert lab.now() - restored < 25, "the new speed was not obeyed"
    guest.witness_ok(lab.b)


@by_driver
def test_the_job_tells_of_postcopy_in_a_pause(lab, guest, p2p):
    """Nova polls it, and goes on waiting as long as it is unbounded."""
    migration = lab.postcopy(lab.a, lab.b, p2p=p2p)
    lab.net.cut("all", port=DATA_PORTS)
    seen = set()
    since = lab.now()

    def poll():
        job = lab.a.jobinfo("guest")
        if "error" not in job:  # at the end there is no domain, or no running one
            seen.add(job["Job type"])
        return lab.now() - since > 6
    wait(poll, 20, "six seconds of polling")
    lab.net.restore()
    wait(lambda: poll() and migration.done, 120, "the end")
    assert migration.returncode == 0, str(migration)
    assert "Unbounded" in seen and seen <= {"Unbounded", "None", "Completed"}, seen
    guest.witness_ok(lab.b)
