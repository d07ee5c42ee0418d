# SPDX-License-Identifier: LGPL-2.1-or-later
"""A person pauses a migration and takes it up again; nothing resumes by itself in between."""

import pytest

from holdfast_lab import wait

SESSION = "org.holdfast.Migration1.Session"


@pytest.fixture
def paused(lab, guest):
    """A migration that a person has paused; the client's call has failed as in stock libvirt."""
    migration = lab.postcopy(lab.a, lab.b, "--undefinesource", "--persistent")
    lab.a.virsh("domjobabort", "guest", "--postcopy")
    migration.wait_status("postcopy-paused", timeout=30)
    migration.fail(timeout=60)
    for host in lab.hosts:
        signal = host.wait_dbus_signal("Paused")
        wait(lambda: host.dbus_property(signal["path"], SESSION, "Reason") == "operator", 20,
             f"the operator's pause on {host.name}")
    return migration


def assert_moved(lab, guest):
    wait(lambda: lab.b.domain_state(reason=True) == "running (migrated)", 60, "the end on b")
    wait(lambda: lab.a.domain_state() is None, 60, "the guest to be gone from a")
    assert lab.b.is_persistent("guest")
    guest.witness_ok(lab.b)


def test_migrate_recover(lab, guest, paused):
    lab.a.virsh("migrate-recover", "guest", timeout=60)
    assert paused.count("postcopy-recover", lab.a) == paused.count("postcopy-recover", lab.b) == 1
    assert_moved(lab, guest)


def test_migrate_recover_over_another_network(lab, guest, paused):
    lab.net.cut("migration")
    lab.a.virsh("migrate-recover", "guest", "--uri", f"tcp://{lab.b.address('management')}",
                timeout=60)
    assert_moved(lab, guest)


def test_migrate_recover_waits_no_longer_than_told(lab, guest, paused):
    lab.net.cut("all")
    result = lab.a.virsh("migrate-recover", "guest", "--timeout", "3", timeout=60, check=False)
    assert result.returncode == 1
    assert "has not recovered yet" in result.stderr
    # what was asked for goes on
    lab.net.restore()
    assert_moved(lab, guest)


@pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])
def test_resume_of_stock_virsh(lab, guest, paused, p2p):
    resume = lab.migrate(lab.a, lab.b, "--postcopy", "--postcopy-resume", "--undefinesource",
                         p2p=p2p)
    resume.succeed(timeout=120)
    assert lab.a.domain_state() is None
    assert_moved(lab, guest)


def test_nothing_resumes_by_itself(lab, guest, paused):
    before = lab.now()
    wait(lambda: lab.now() - before >= 4, 10, "four seconds")
    assert paused.status(lab.a) == "postcopy-paused"
    assert paused.status(lab.b) == "postcopy-paused"
    lab.a.virsh("migrate-recover", "guest", timeout=60)
    assert_moved(lab, guest)


@pytest.mark.parametrize(
    "uri, text",
    [
        ("tcp://", "is not"),
        ("unix:///tmp/x", "is not"),
        ("tcp://b:70000", "is not"),
    ],
)
def test_a_bad_uri_changes_nothing(lab, guest, paused, uri, text):
    result = lab.a.virsh("migrate-recover", "guest", "--uri", uri, check=False)
    assert result.returncode == 1
    assert text in result.stderr
    assert paused.status(lab.a) == "postcopy-paused"
    lab.a.virsh("migrate-recover", "guest", timeout=60)
    assert_moved(lab, guest)
