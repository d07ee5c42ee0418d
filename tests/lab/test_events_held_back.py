# SPDX-License-Identifier: LGPL-2.1-or-later
"""Lifecycle events of a failure reach listeners only when nobody but a person can mend it."""
import pytest

from holdfast_lab import wait
from holdfast_lab.network import DATA_PORTS

FAILURE = {"a": "Suspended Post-copy Error", "b": "Resumed Post-copy Error"}
CORRECTION = {"a": "Suspended Post-copy", "b": "Resumed Post-copy"}
BEGINNING = {"a": ["Suspended Migrated", "Suspended Post-copy"],
             "b": ["Started Migrated", "Resumed Post-copy"]}
END = {"a": "Stopped Migrated", "b": "Resumed Migrated"}
# The guest's start, and QEMU's own word about the end of its process, which may or may not be
# heard before libvirt's.
INCIDENTAL = ("Started Booted", "Resumed Unpaused", "Shutdown On host request", "Defined Added",
              "Defined Updated", "Undefined Removed")

by_driver = pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])


def events(host):
    return [text for text in host.events() if text not in INCIDENTAL]


def assert_events(lab, *middle):
    """The events of a whole migration with these after its beginning, on both hosts."""
    for host in lab.hosts:
        expected = BEGINNING[host.name] + [kind[host.name] for kind in (*middle, END)]
        wait(lambda: END[host.name] in events(host), 60, f"the end on {host.name}")
        assert events(host) == expected, host.name


def start(lab, **parameters):
    """A migration in postcopy whose guest runs on b, as everybody has been told."""
    migration = lab.postcopy(lab.a, lab.b, **parameters)
    for host in lab.hosts:
        host.wait_event(BEGINNING[host.name][-1])
    return migration


def assert_no_failure(lab):
    for host in lab.hosts:
        assert events(host) == BEGINNING[host.name], host.name


def assert_moved(lab, guest):
    wait(lambda: lab.b.domain_state(reason=True) == "running (migrated)", 60, "the end on b")
    guest.witness_ok(lab.b)


def last(lab, since, seconds):
    wait(lambda: lab.now() - since >= seconds, seconds + 10, f"{seconds} seconds")


def cut_until_paused(lab, migration):
    """An outage that both hosts have noticed and told on D-Bus; since when."""
    since = lab.now()
    lab.net.cut("all")
    migration.wait_status("postcopy-paused", timeout=30)
    for host in lab.hosts:
        host.wait_dbus_signal("Paused")
    return since


def time_of(host, text):
    """When a listener was told this for the first time."""
    return next(r["time"] for r in host.records("lifecycle")
                if f"{r['event']} {r['detail']}" == text)


def paused_at(host):
    return host.dbus_signals(member="Paused")[0]["time"]


@pytest.fixture
def guest_with_policy(lab):
    def start(recovery):
        metadata = f'<h:migration xmlns:h="urn:holdfast:migration:1">{recovery}</h:migration>'
        return lab.guest(metadata=metadata).start(lab.a)
    return start


@by_driver
def test_an_outage_that_is_mended_is_not_told(lab, guest, p2p):
    migration = start(lab, p2p=p2p)
    of_domain = {host.name: host.virsh_background("event", "guest", "--event", "lifecycle",
                                                  "--loop") for host in lab.hosts}
    since = cut_until_paused(lab, migration)
    assert_no_failure(lab)
    last(lab, since, 5)
    assert_no_failure(lab)
    lab.net.restore()
    migration.succeed(timeout=180)
    assert_events(lab)
    for host in lab.hosts:
        told = of_domain[host.name]
        wait(lambda: END[host.name] in told.output, 30, f"the end, told of the domain: {told.output}")
        assert "Post-copy" not in told.output
        assert host.wait_dbus_signal("Recovered")
    guest.witness_ok(lab.b)


def test_two_outages_in_a_row(lab, guest):
    migration = start(lab, postcopy_bandwidth=1)
    for _ in range(2):
        since = lab.now()
        lab.net.cut("all", how="reset", port=DATA_PORTS)
        migration.wait_status("postcopy-paused", timeout=30, since=since)
        lab.net.restore()
        migration.wait_status("postcopy-active", timeout=60, since=since)
    migration.succeed(timeout=180)
    assert_events(lab)
    guest.witness_ok(lab.b)


@by_driver
def test_manual_recovery_is_as_in_stock(lab, guest_with_policy, p2p):
    guest = guest_with_policy('<h:recovery mode="manual"/>')
    migration = start(lab, p2p=p2p)
    cut_until_paused(lab, migration)
    for host in lab.hosts:
        host.wait_event(FAILURE[host.name], timeout=5)
        assert time_of(host, FAILURE[host.name]) - paused_at(host) < 1
    lab.net.restore()
    migration.fail()
    lab.a.virsh("migrate-recover", "guest", timeout=60)
    assert_moved(lab, guest)
    assert_events(lab, FAILURE, CORRECTION)


def test_an_operators_pause_is_as_in_stock(lab, guest):
    migration = start(lab)
    lab.a.virsh("domjobabort", "guest", "--postcopy")
    migration.fail()
    for host in lab.hosts:
        host.wait_event(FAILURE[host.name], timeout=10)
    lab.a.virsh("migrate-recover", "guest", timeout=60)
    assert_moved(lab, guest)
    assert_events(lab, FAILURE, CORRECTION)


@by_driver
def test_giving_up_is_told_late(lab, guest_with_policy, p2p):
    guest = guest_with_policy('<h:recovery give-up="3"/>')
    migration = start(lab, p2p=p2p)
    cut_until_paused(lab, migration)
    for host in lab.hosts:
        host.wait_event(FAILURE[host.name], timeout=20)
        assert 2.5 < time_of(host, FAILURE[host.name]) - paused_at(host) < 6
    lab.net.restore()
    migration.fail()
    lab.a.virsh("migrate-recover", "guest", timeout=60)
    assert_moved(lab, guest)
    assert_events(lab, FAILURE, CORRECTION)


def test_an_operator_who_takes_an_outage_over(lab, guest):
    migration = start(lab)
    since = cut_until_paused(lab, migration)
    last(lab, since, 5)
    assert_no_failure(lab)
    lab.a.virsh("domjobabort", "guest", "--postcopy")
    lab.a.wait_event(FAILURE["a"], timeout=5)
    lab.net.restore()  # so that the destination hears whose pause it is
    lab.b.wait_event(FAILURE["b"], timeout=30)
    migration.fail()
    lab.a.virsh("migrate-recover", "guest", timeout=60)
    assert_moved(lab, guest)
    assert_events(lab, FAILURE, CORRECTION)


def test_the_end_of_a_guest_in_an_outage(lab, guest):
    """The failure is told first, as in stock libvirt."""
    migration = start(lab)
    cut_until_paused(lab, migration)
    assert_no_failure(lab)
    lab.b.virsh("destroy", "guest")
    lab.b.wait_event("Stopped Destroyed")
    assert events(lab.b) == BEGINNING["b"] + [FAILURE["b"], "Stopped Destroyed"]


@pytest.mark.daemon_may_say(
    "after SIGTERM", reason="libvirtd waits up to 30 s for its calls, and then leaves with 1")
def test_a_daemon_that_stops_tells_nothing(lab, guest):
    migration = start(lab)
    cut_until_paused(lab, migration)
    for host in lab.hosts:
        host.daemon.terminate()
    wait(lambda: not any(host.daemon.alive for host in lab.hosts), 60, "both daemons gone")
    assert_no_failure(lab)
