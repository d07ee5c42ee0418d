# SPDX-License-Identifier: LGPL-2.1-or-later
"""Between the source's postcopy-active and the moment in which the destination's QEMU has loaded
the device state, QEMU cannot pause: a channel that is broken then is a guest that is lost. What TCP
would survive must not be broken by us."""
import pytest

from holdfast_lab import wait


def switch_to_a_slow_one(lab, guest, p2p, postcopy_bandwidth):
    """Postcopy has begun on a, and the destination's QEMU is stopped before it has heard of it
    -> the migration, the command that switched it, the destination's QEMU."""
    # so slow that what is sent fits into the sockets' buffers
    guest.set_rate(lab.a, pages=100)
    migration = lab.migrate(lab.a, lab.b, "--postcopy", "--bandwidth", "1",
                            "--postcopy-bandwidth", str(postcopy_bandwidth), p2p=p2p)
    migration.wait_status("active")
    qemu = lab.b.qemu()
    qemu.stop()
    switch = lab.a.virsh_background("migrate-postcopy", "guest")
    migration.wait_status("postcopy-active", hosts=[lab.a], timeout=20)
    return migration, switch, qemu


@pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])
def test_a_short_outage(lab, guest, p2p):
    """The destination's QEMU is slow, here: stopped; five seconds of silence are no loss."""
    migration, switch, qemu = switch_to_a_slow_one(lab, guest, p2p, postcopy_bandwidth=20)
    lab.net.cut("migration")
    cut = lab.now()
    wait(lambda: lab.now() - cut >= 5, 10, "five seconds")
    lab.net.restore()
    qemu.cont()
    switch.succeed(30)
    migration.succeed()
    assert lab.b.domain_state(reason=True) == "running (migrated)"
    guest.witness_ok(lab.b)


@pytest.mark.daemon_may_say(
    r"qemu_peek_byte: Assertion", reason="QEMU 10.0's destination, which has failed and is given up, "
    "reads on from a channel that it has let go of by then")
@pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])
def test_a_channel_that_is_reset(lab, guest, p2p):
    """Nothing can keep this guest's migration: it goes on at the source."""
    migration, switch, qemu = switch_to_a_slow_one(lab, guest, p2p, postcopy_bandwidth=1)
    lab.net.cut("migration", how="reset")
    migration.wait_status("postcopy-paused", hosts=[lab.a], timeout=60)
    lab.net.restore()
    qemu.cont()
    switch.wait(60)
    migration.fail(60)
    assert lab.a.wait_dbus_signal("Finished")["args"][0] == "cancelled"
    wait(lambda: lab.a.domain_state(reason=True) == "running (migration canceled)", 60,
         lambda: lab.a.domain_state(reason=True))
    assert lab.b.qemu() is None
    guest.witness_ok(lab.a)
