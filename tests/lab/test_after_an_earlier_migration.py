# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is known of a migration that is over says nothing about the next of the same guest."""
import pytest

from holdfast_lab import wait


def there_and_back(lab, guest):
    """To b with Holdfast, which remembers a success on both hosts, and back through libvirt's own
    tunnel, of which Holdfast knows nothing."""
    lab.postcopy(lab.a, lab.b, "--persistent", postcopy_bandwidth=50, wait_active=False).succeed()
    lab.migrate(lab.b, lab.a, "--tunnelled").succeed()
    assert lab.a.domain_state() == "running" and lab.b.domain_state() == "shut off"


def started_again(lab, guest):
    """The same, but the guest was destroyed on b and booted on a again."""
    lab.postcopy(lab.a, lab.b, postcopy_bandwidth=50, wait_active=False).succeed()
    lab.b.virsh("destroy", "guest")
    guest.start(lab.a)


@pytest.mark.parametrize("before", [there_and_back, started_again],
                         ids=["there-and-back", "started-again"])
def test_one_that_cannot_begin_fails(lab, guest, before):
    before(lab, guest)
    refused = lab.migrate(lab.a, lab.b, "--postcopy", "--xml", guest.xml_file(vcpus=3))
    refused.fail()
    assert "error: " in refused.output and "cause is unknown" not in refused.output
    guest.witness_ok(lab.a)


def test_one_whose_destination_cannot_be_reached_fails(lab, guest):
    there_and_back(lab, guest)
    lab.net.cut("management", "reset")
    refused = lab.migrate(lab.a, lab.b, "--postcopy")
    refused.fail(60)
    assert "error: " in refused.output and "cause is unknown" not in refused.output
    lab.net.restore()
    guest.witness_ok(lab.a)


@pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])
def test_one_whose_guest_does_not_start_comes_back(lab, guest, p2p):
    """QEMU on b ends after precopy and before Finish: the guest goes on on a."""
    there_and_back(lab, guest)
    migration = lab.migrate(lab.a, lab.b, "--bandwidth", "10", p2p=p2p)
    migration.wait_status("active")
    lab.b.daemon.stop()
    lab.a.virsh("migrate-setspeed", "guest", "1000")
    migration.wait_status("completed", hosts=[lab.a])
    lab.b.qemu().kill()
    lab.b.daemon.cont()
    migration.fail(60)
    wait(lambda: lab.a.domain_state() == "running", 20, "the guest running on a")
    assert lab.b.domain_state() == "shut off"
    guest.witness_ok(lab.a)
