# SPDX-License-Identifier: LGPL-2.1-or-later
"""Only one of the hosts has Holdfast: migrations are libvirt's own, an outage comes to what it
comes to without Holdfast, and a libvirt 11.3 that would crash of a resume is never sent one."""
import json
import os

import pytest

from holdfast_lab import account, wait

MODULE = os.environ.get("HOLDFAST_MODULE_DIR", "")
NEWER = os.path.join(os.path.dirname(MODULE), "module-dir-newer")
RESUME = ("--live", "--postcopy", "--postcopy-resume")

pytestmark = pytest.mark.skipif(not MODULE, reason="HOLDFAST_MODULE_DIR names no module")
by_driver = pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])


@pytest.fixture
def ours_to_stock(kept_lab):
    return kept_lab("ours-to-stock", module_dir={"a": MODULE, "b": ""})


@pytest.fixture
def stock_to_ours(kept_lab):
    return kept_lab("stock-to-ours", module_dir={"a": "", "b": MODULE})


@pytest.fixture(params=["ours_to_stock", "stock_to_ours"])
def mixed(request):
    """A lab in which the source, or the destination, has Holdfast."""
    return request.getfixturevalue(request.param)


needs_newer = pytest.mark.skipif(not os.path.isdir(NEWER), reason=f"there is no {NEWER}")


@pytest.fixture
def ours_to_newer(kept_lab):
    return kept_lab("ours-to-newer", module_dir={"a": MODULE, "b": NEWER})


@pytest.fixture
def newer_to_ours(kept_lab):
    return kept_lab("newer-to-ours", module_dir={"a": NEWER, "b": MODULE})


@pytest.fixture(params=["ours_to_newer", "newer_to_ours"])
def versions(request):
    """A lab in which the destination, or the source, has a Holdfast of a version to come, whose
    protocol is another one."""
    return request.getfixturevalue(request.param)


def run_through(lab, mode, p2p):
    guest = lab.guest().start(lab.a)
    since = lab.now()
    flags = ("--undefinesource", "--persistent")
    if mode == "postcopy":
        migration = lab.postcopy(lab.a, lab.b, *flags, p2p=p2p, postcopy_bandwidth=30,
                                 wait_active=False)
    else:
        migration = lab.migrate(lab.a, lab.b, *flags, p2p=p2p)
    migration.succeed()
    lab.a.wait_event("Stopped Migrated")
    lab.b.wait_event("Resumed Migrated")
    guest.witness_ok(lab.b)
    return account.account(migration, since)


@pytest.mark.parametrize("mode", ["precopy", "postcopy"])
@by_driver
def test_without_a_fault(mixed, stock_lab, mode, p2p):
    stock = run_through(stock_lab, mode, p2p)
    assert not account.differences(stock, run_through(mixed, mode, p2p))


def a_pause(lab, p2p):
    """A person's pause: both QEMUs are paused, as after an outage that both have noticed.

    Without a disk at work the destination's QEMU goes on answering; stock libvirt asks it in-band.
    """
    guest = lab.guest(disk_rate=0).start(lab.a)
    migration = lab.postcopy(lab.a, lab.b, "--undefinesource", "--persistent", p2p=p2p)
    guest.wait_heartbeat(lab.b)  # it has most of the pages that it needs all the time
    lab.a.virsh("domjobabort", "guest", "--postcopy")
    migration.wait_status("postcopy-paused")
    migration.fail()
    return guest, migration


@by_driver
def test_an_outage_is_libvirts_own(mixed, p2p):
    """The client's call fails, both sides say post-copy failed, and the guest is left as it is."""
    guest, migration = a_pause(mixed, p2p)
    assert "cause is unknown" not in migration.output
    mixed.a.wait_event("Suspended Post-copy Error")
    assert mixed.a.domain_state(reason=True) == "paused (post-copy failed)"
    assert mixed.b.domain_state(reason=True).startswith("running (post-copy")
    assert mixed.b.qemu().alive


@by_driver
def test_a_stock_destination_is_never_sent_a_resume(ours_to_stock, p2p):
    lab = ours_to_stock
    _, migration = a_pause(lab, p2p)
    daemon = lab.b.daemon.pid
    refused = lab.migrate(lab.a, lab.b, *RESUME[1:], p2p=p2p).fail(60)
    assert "Holdfast" in refused.output, refused
    assert "cause is unknown" not in refused.output
    refused = lab.a.virsh("migrate-recover", "guest", check=False, timeout=60)
    assert refused.returncode == 1 and "Holdfast" in refused.stderr, refused
    assert lab.b.daemon.alive and lab.b.daemon.pid == daemon
    assert migration.status(lab.a) == migration.status(lab.b) == "postcopy-paused"


def test_the_log_says_that_the_peer_has_no_holdfast(ours_to_stock):
    lab = ours_to_stock
    guest = lab.guest().start(lab.a)
    lab.postcopy(lab.a, lab.b).succeed()
    wait(lambda: any("Holdfast" in text and "destination" in text
                     for _, _, text in lab.a.log.entries(lab.epoch)), 20,
         "a line in the log that says why it would not recover")
    guest.witness_ok(lab.b)


@by_driver
def test_a_stock_source_resumes_to_our_destination(stock_to_ours, p2p):
    """Stock libvirt 11.3 crashes of this; the destination's Holdfast mends it."""
    lab = stock_to_ours
    guest, migration = a_pause(lab, p2p)
    lab.migrate(lab.a, lab.b, *RESUME[1:], "--undefinesource", "--persistent",
                p2p=p2p).succeed()
    assert migration.count("postcopy-recover", lab.b) == 1
    wait(lambda: lab.a.domain_state() is None, 30, "the guest gone from a")
    guest.witness_ok(lab.b)


def survive_five_seconds(lab, p2p):
    guest = lab.guest().start(lab.a)
    migration = lab.postcopy(lab.a, lab.b, "--undefinesource", "--persistent", p2p=p2p)
    cut = lab.now()
    lab.net.cut("migration")
    wait(lambda: lab.now() - cut >= 5, 10, "five seconds")
    lab.net.restore()
    migration.succeed()
    guest.witness_ok(lab.b)


@by_driver
def test_what_tcp_survives_is_survived_to_stock(ours_to_stock, p2p):
    survive_five_seconds(ours_to_stock, p2p)


@by_driver
def test_what_tcp_survives_is_survived_from_stock(stock_to_ours, p2p):
    survive_five_seconds(stock_to_ours, p2p)


# Another version of the protocol

SESSION = "org.holdfast.Migration1.Session"


@needs_newer
@by_driver
def test_versions_without_a_fault(versions, stock_lab, p2p):
    stock = run_through(stock_lab, "postcopy", p2p)
    assert not account.differences(stock, run_through(versions, "postcopy", p2p))


@needs_newer
@by_driver
def test_an_outage_between_versions_is_libvirts_own(versions, p2p):
    """As with a stock peer, and the status says why, on D-Bus and in the log."""
    lab = versions
    guest, migration = a_pause(lab, p2p)
    lab.a.wait_event("Suspended Post-copy Error")
    assert lab.a.domain_state(reason=True) == "paused (post-copy failed)"
    assert lab.b.qemu().alive
    for host in lab.hosts:
        signal = host.wait_dbus_signal("Paused")
        message = host.dbus_property(signal["path"], SESSION, "Message")
        assert "cannot recover a migration together" in message and "version" in message, message
        assert signal["args"][1]["message"] == message
        assert message in host.virsh("migrate-status", "guest").stdout
    refused = lab.a.virsh("migrate-recover", "guest", check=False, timeout=60)
    assert refused.returncode == 1 and "update both hosts" in refused.stderr, refused
    for host in lab.hosts:
        assert any("version" in text and "protocol" in text
                   for _, _, text in host.log.entries(lab.epoch)), host.name
    assert migration.status(lab.a) == migration.status(lab.b) == "postcopy-paused"


@by_driver
def test_a_pause_towards_a_stock_destination_says_why(ours_to_stock, p2p):
    lab = ours_to_stock
    a_pause(lab, p2p)
    signal = lab.a.wait_dbus_signal("Paused")
    message = lab.a.dbus_property(signal["path"], SESSION, "Message")
    assert "has no Holdfast" in message, message
    assert signal["args"][1]["message"] == message


def commands(host):
    """What QEMU was told about migrations, whether by libvirt or by us."""
    names = [message.get("execute", message.get("exec-oob"))
             for _, kind, message in host.qmp_log() if kind == "send"]
    return [name for name in names if name.startswith("migrate")]


def status(host, guest="guest"):
    return json.loads(host.virsh("migrate-status", str(guest), "--json").stdout)


@by_driver
def test_a_pause_from_a_stock_source_says_why(stock_to_ours, stock_lab, p2p):
    """Our destination shows it, does nothing about it, and shows its end."""
    lab = stock_to_ours
    a_pause(stock_lab, p2p)
    guest, migration = a_pause(lab, p2p)
    signal = lab.b.wait_dbus_signal("Paused")
    assert signal["args"][0] == "io-error"
    message = lab.b.dbus_property(signal["path"], SESSION, "Message")
    assert "host 'a' has no Holdfast" in message, message
    assert signal["args"][1]["message"] == message
    assert lab.b.dbus_property(signal["path"], SESSION, "State") == "postcopy-paused"
    told = status(lab.b)
    assert (told["role"], told["state"], told["peer"], told["recovers-itself"]) \
        == ("destination", "postcopy-paused", "a", False)
    assert told["message"] == message
    assert commands(lab.b) == commands(stock_lab.b)
    refused = lab.b.virsh("migrate-recover", "guest", check=False)
    assert refused.returncode == 1 and "host 'a'" in refused.stderr, refused

    lab.migrate(lab.a, lab.b, *RESUME[1:], "--undefinesource", "--persistent", p2p=p2p).succeed()
    wait(lambda: status(lab.b)["state"] == "completed", 30, "the end in the status")
    assert status(lab.b)["recoveries"] == 1
    guest.witness_ok(lab.b)


@pytest.mark.parametrize("mode", ["precopy", "postcopy"])
@by_driver
def test_what_comes_from_a_stock_source_is_shown(stock_to_ours, mode, p2p):
    lab = stock_to_ours
    run_through(lab, mode, p2p)
    told = status(lab.b)
    assert (told["role"], told["state"], told["peer"]) == ("destination", "completed", "a")
    assert "message" not in told
    states = [step["state"] for step in told["history"]]
    assert ("postcopy-active" in states) == (mode == "postcopy"), states
    assert lab.b.journals() == []


@by_driver
def test_a_stock_sources_cancelled_migration_is_shown(stock_to_ours, p2p):
    lab = stock_to_ours
    guest = lab.guest().start(lab.a)
    migration = lab.migrate(lab.a, lab.b, "--bandwidth", "1", p2p=p2p)
    migration.wait_status("active")
    assert status(lab.b)["state"] == "precopy-active"
    lab.a.virsh("domjobabort", "guest")
    migration.fail()
    wait(lambda: status(lab.b)["state"] in ("cancelled", "failed"), 30, "the end in the status")
    assert lab.b.domain_state() is None
    guest.witness_ok(lab.a)
