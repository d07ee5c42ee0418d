# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client that does not ask for postcopy, as virt-manager and most others, gets it by policy."""
import os

import libvirt
import pytest

from holdfast_lab import wait
from holdfast_lab.network import DATA_PORTS

MODULE = os.environ.get("HOLDFAST_MODULE_DIR", "")
NAMESPACE = "urn:holdfast:migration:1"
SESSION = "org.holdfast.Migration1.Session"
FLAGS = ("--undefinesource", "--persistent")
# A first pass of some seconds, and a postcopy that lasts as long as an outage needs, or does not.
SLOW = ("--bandwidth", "40", "--postcopy-bandwidth", "6", *FLAGS)
QUICK = ("--bandwidth", "40", "--postcopy-bandwidth", "200", *FLAGS)

pytestmark = pytest.mark.skipif(not MODULE, reason="HOLDFAST_MODULE_DIR names no module")
by_driver = pytest.mark.parametrize("p2p", [True, False], ids=["p2p", "client"])


def policy(attributes):
    return f'<h:migration xmlns:h="{NAMESPACE}"><h:postcopy {attributes}/></h:migration>'


def start(lab, attributes):
    """A guest that writes too fast for precopy to end while the network is slow."""
    guest = lab.guest(metadata=policy(attributes)).start(lab.a)
    lab.a.virsh("migrate-setmaxdowntime", "guest", "1")
    return guest


def set_policy(lab, attributes):
    lab.a.virsh("metadata", "guest", "--uri", NAMESPACE, "--key", "h", "--live", "--config",
                "--set", f"<migration><postcopy {attributes}/></migration>")
    lab.a.virsh("migrate-setmaxdowntime", "guest", "3000")


def wait_pass(host, number):
    """Until QEMU has begun its so-manieth pass over the memory."""
    def begun():
        return any(message.get("event") == "MIGRATION_PASS" and message["data"]["pass"] >= number
                   for _, kind, message in host.qmp_log() if kind == "event")
    wait(begun, 60, f"pass {number} on {host.name}")


def log(host, text):
    return [line for _, _, line in host.log.entries(host.lab.epoch) if text in line]


def was_postcopy(lab, migration):
    return [migration.count("postcopy-active", host) > 0 for host in (lab.a, lab.b)]


def arrived(lab, guest, migration, postcopy):
    migration.succeed(120)
    wait(lambda: lab.a.domain_state() is None, 20, "the guest to be gone from a")
    assert lab.b.is_persistent("guest")
    assert was_postcopy(lab, migration) == [postcopy, postcopy]
    guest.witness_ok(lab.b)


def unharmed(lab, guest):
    """Nothing was begun, or all of it is undone."""
    assert lab.a.domain_state() == "running"
    wait(lambda: lab.b.domains() == [], 20, "nothing to be left on b")
    assert lab.a.jobinfo("guest")["Job type"].startswith("None")
    guest.witness_ok(lab.a)


@pytest.mark.parametrize("mode, p2p", [("prefer", False), ("require", True)],
                         ids=["prefer-client", "require-p2p"])
def test_an_outage_is_recovered(lab, mode, p2p):
    guest = start(lab, f'mode="{mode}" switch="after-precopy"')
    migration = lab.migrate(lab.a, lab.b, *SLOW, p2p=p2p)
    migration.wait_status("postcopy-active")
    lab.b.wait_event("Resumed Post-copy")
    path = lab.a.wait_dbus_signal("StateChanged")["path"]
    assert "the policy has turned postcopy on" in lab.a.dbus_property(path, SESSION, "Message")
    lab.net.cut("all", port=DATA_PORTS)
    migration.wait_status("postcopy-paused", hosts=[lab.a])
    lab.net.restore()
    arrived(lab, guest, migration, postcopy=True)
    assert len(log(lab.a, "the policy has turned postcopy on")) == 1
    assert len(log(lab.b, "the source's policy has turned postcopy on")) == 1


def test_after_some_seconds(lab):
    guest = start(lab, 'mode="prefer" after="3"')
    migration = lab.migrate(lab.a, lab.b, *QUICK, p2p=False)
    began = migration.wait_status("active", hosts=[lab.a])[lab.a]
    switched = migration.wait_status("postcopy-active", hosts=[lab.a])[lab.a]
    assert switched - began >= 3
    arrived(lab, guest, migration, postcopy=True)


def test_manual_is_a_persons(lab):
    """A second pass goes by and nobody switches; then a person does."""
    guest = start(lab, 'mode="prefer" switch="manual"')
    migration = lab.migrate(lab.a, lab.b, *QUICK, p2p=False)
    wait_pass(lab.a, 2)
    assert migration.status(lab.a) == "active"
    lab.a.virsh("migrate-postcopy", "guest")
    arrived(lab, guest, migration, postcopy=True)


def test_a_host_wants_it_for_all(lab):
    """As in holdfast.conf; a domain's own policy counts more."""
    lab.a.write("/etc/libvirt/holdfast.conf",
                "[postcopy]\nmode = prefer\nswitch = after-precopy\n")
    try:
        lab.a.daemon.restart()
        guest = start(lab, 'mode="never"')
        migration = lab.migrate(lab.a, lab.b, *FLAGS, p2p=False)
        arrived(lab, guest, migration, postcopy=False)
        lab.b.virsh("metadata", "guest", "--uri", NAMESPACE, "--live", "--config", "--remove")
        lab.a.write("/etc/libvirt/holdfast.conf", "")
        lab.b.write("/etc/libvirt/holdfast.conf",
                    "[postcopy]\nmode = require\nswitch = after-precopy\n")
        lab.b.daemon.restart()
        lab.b.virsh("migrate-setmaxdowntime", "guest", "1")
        migration = lab.migrate(lab.b, lab.a, *QUICK, p2p=False).succeed()
        assert migration.count("postcopy-active", lab.b) == 1
        guest.witness_ok(lab.a)
    finally:
        for host in lab.hosts:
            host.write("/etc/libvirt/holdfast.conf", "")
            host.daemon.restart()


def test_never_is_not_for_a_client_that_asks(lab):
    guest = start(lab, 'mode="never" switch="after-precopy"')
    migration = lab.migrate(lab.a, lab.b, "--postcopy", *QUICK, p2p=False)
    wait_pass(lab.a, 2)
    assert migration.status(lab.a) == "active"
    lab.a.virsh("migrate-postcopy", "guest")
    arrived(lab, guest, migration, postcopy=True)


def test_daemons_are_restarted(lab):
    """What no client knows of is in the journal."""
    guest = start(lab, 'mode="require" switch="after-precopy"')
    migration = lab.migrate(lab.a, lab.b, *SLOW)
    migration.wait_status("postcopy-active")
    lab.b.wait_event("Resumed Post-copy")
    for host in lab.hosts:
        host.daemon.restart()
    wait(lambda: lab.b.domain_state(reason=True) == "running (migrated)", 120, "the end on b")
    wait(lambda: lab.a.domain_state() is None, 60, "the guest to be gone from a")
    assert lab.b.is_persistent("guest")
    guest.witness_ok(lab.b)


def migrate_as_before_1_1_0(lab):
    libvirt.registerErrorHandler(lambda *_: None, None)  # said once, by exception
    a, b = (libvirt.open(f"qemu+unix:///system?socket={host.path(host.socket)}") for host in lab.hosts)
    try:
        a.lookupByName("guest").migrate(b, libvirt.VIR_MIGRATE_LIVE, None, None, 0)
    finally:
        a.close()
        b.close()


IMPOSSIBLE = {
    "tunnelled": ("--live", "--p2p", "--tunnelled"),
    "not live": ("--p2p",),
    "not live ": (),
    "parallel": ("--live", "--parallel"),
    "paused": ("--live", "--suspend"),
}


def test_what_cannot_be_is_refused_at_once(lab):
    guest = start(lab, 'mode="require"')
    for word, flags in IMPOSSIBLE.items():
        refused = lab.migrate(lab.a, lab.b, *flags, live=False, p2p=False).fail(30)
        assert "requires postcopy" in refused.output and word.strip() in refused.output, refused
        assert lab.a.jobinfo("guest")["Job type"].startswith("None")
    with pytest.raises(libvirt.libvirtError, match="requires postcopy.* without Holdfast"):
        migrate_as_before_1_1_0(lab)
    assert not lab.b.qmp_log(), "the destination was asked"
    unharmed(lab, guest)


@by_driver
def test_without_holdfast_there(kept_lab, p2p):
    """What the policy turns on must be one that can be recovered."""
    lab = kept_lab("ours-to-stock", module_dir={"a": MODULE, "b": ""})
    guest = start(lab, 'mode="require" switch="after-precopy"')
    refused = lab.migrate(lab.a, lab.b, *FLAGS, p2p=p2p).fail(60)
    assert "requires postcopy" in refused.output and "has no Holdfast" in refused.output, refused
    unharmed(lab, guest)
    set_policy(lab, 'mode="prefer" switch="after-precopy"')
    migration = lab.migrate(lab.a, lab.b, *FLAGS, "--bandwidth", "40", p2p=p2p)
    migration.wait_status("active", hosts=[lab.a])
    result = lab.a.virsh("migrate-postcopy", "guest", check=False)
    assert "requires migration to be started with VIR_MIGRATE_POSTCOPY" in result.stderr, result
    lab.a.virsh("migrate-setspeed", "guest", "1000")
    arrived(lab, guest, migration, postcopy=False)
    assert len(log(lab.a, "the policy prefers postcopy, and the destination has no Holdfast")) == 1


@by_driver
def test_a_destination_that_cannot(lab, p2p):
    """userfaultfd is not for QEMU there."""
    lab.b.run("mount", "--bind", "/dev/null", "/dev/userfaultfd")
    try:
        guest = start(lab, 'mode="require" switch="after-precopy"')
        refused = lab.migrate(lab.a, lab.b, *FLAGS, p2p=p2p).fail(60)
        assert "ostcopy is not supported" in refused.output, refused
        unharmed(lab, guest)
        set_policy(lab, 'mode="prefer" switch="after-precopy"')
        migration = lab.migrate(lab.a, lab.b, *FLAGS, p2p=p2p)
        arrived(lab, guest, migration, postcopy=False)
        assert len(log(lab.a, "the policy prefers postcopy, and the destination cannot")) == 1
        assert len(log(lab.b, "prepared again without postcopy")) == 1
    finally:
        lab.b.run("umount", "/dev/userfaultfd")
