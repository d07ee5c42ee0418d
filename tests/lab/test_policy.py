# SPDX-License-Identifier: LGPL-2.1-or-later
"""A domain's policy is checked before the domain is defined with it, and obeyed in a migration."""
import json

import pytest

from holdfast_lab import wait

NAMESPACE = "urn:holdfast:migration:1"


def policy(inner="", namespace=NAMESPACE, more=""):
    return f'<h:migration xmlns:h="{namespace}"{more}>{inner}</h:migration>'


BAD = {
    "unknown-element": (policy("<h:colour/>"), "colour"),
    "unknown-attribute": (policy('<h:recovery colour="red"/>'), "colour"),
    "bad-number": (policy('<h:recovery detect="soon"/>'), "detect"),
    "namespace-version": (policy(namespace="urn:holdfast:migration:2"), NAMESPACE),
    "two-policies": (policy() + policy(), "second policy"),
    "a-mebibyte": (policy("<!--" + "x" * 1024 * 1024 + "-->"), "65536 bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_policy_is_refused(lab, name):
    metadata, text = BAD[name]
    path = lab.guest(metadata=metadata).xml_file()
    for command in ("define", "create"):
        result = lab.a.virsh(command, path, check=False)
        assert result.returncode == 1
        assert text in result.stderr and "line" in result.stderr, result.stderr
        assert lab.a.domains() == []


def test_metadata_is_checked_too(lab, guest):
    words = ("metadata", "guest", "--uri", NAMESPACE, "--key", "h")
    result = lab.a.virsh(*words, "--set", '<migration><recovery detect="20"/></migration>',
                         check=False)
    assert result.returncode == 1
    assert "500" in result.stderr
    lab.a.virsh(*words, "--set", '<migration><recovery detect="2000"/></migration>')
    assert 'detect="2000"' in lab.a.virsh("metadata", "guest", "--uri", NAMESPACE).stdout \
        .replace("'", '"')
    # somebody else's metadata is nobody's business
    lab.a.virsh("metadata", "guest", "--uri", "urn:other", "--key", "o", "--set", "<o><p/></o>")


def test_migrate_policy(lab, guest):
    """Set word by word, of the running domain and its next start; what libvirt keeps is what is shown."""
    def shown():
        return json.loads(lab.a.virsh("migrate-policy", "guest", "--json").stdout)

    assert shown() == {}
    lab.a.virsh("migrate-policy", "guest", "--recovery", "manual", "--detect", "3000",
                "--paths", "tcp://10.0.1.2;tcp://[::1]:49200")
    recovery = {"mode": "manual", "detect": 3000, "paths": ["tcp://10.0.1.2", "tcp://[::1]:49200"]}
    assert shown() == {"recovery": recovery}
    for inactive in ((), ("--inactive",)):
        xml = lab.a.virsh("dumpxml", "guest", *inactive).stdout
        assert f"xmlns:holdfast='{NAMESPACE}'" in xml.replace('"', "'"), xml
        path = lab.a.path("/run/domain.xml")
        lab.a.write("/run/domain.xml", xml)
        lab.a.virsh("migrate-policy", "--check", path)
    lab.a.write("/run/policy.xml", lab.a.virsh("migrate-policy", "guest").stdout)
    lab.a.virsh("migrate-policy", "guest", "--detect", "")
    assert "detect" not in shown()["recovery"]
    lab.a.virsh("migrate-policy", "guest", "--set", lab.a.path("/run/policy.xml"))
    assert shown() == {"recovery": recovery}
    result = lab.a.virsh("migrate-policy", "guest", "--detect", "20", check=False)
    assert result.returncode == 1 and "from 500 to 30000" in result.stderr
    lab.a.virsh("migrate-policy", "guest", "--remove")
    assert shown() == {}
    assert NAMESPACE not in lab.a.virsh("dumpxml", "guest", "--inactive").stdout


def test_a_bad_host_file_leaves_the_daemon_running(lab, guest):
    since = lab.now()
    lab.a.write("/etc/libvirt/holdfast.conf", "[recovery]\nmode = sometimes\n")
    try:
        lab.a.daemon.restart()
        warnings = [text for _, level, text in lab.a.log.entries(since)
                    if "holdfast.conf" in text and level == "warning"]
        assert len(warnings) == 1 and "line 2" in warnings[0], warnings
        assert lab.a.domain_state(guest) == "running"
    finally:
        lab.a.write("/etc/libvirt/holdfast.conf", "")
        lab.a.daemon.restart()


def test_manual_recovery_is_libvirts_own_behaviour(lab):
    """Found at once, told, and left to a person: the client's call fails."""
    guest = lab.guest(metadata=policy('<h:recovery mode="manual"/>')).start(lab.a)
    migration = lab.postcopy(lab.a, lab.b, "--undefinesource")
    lab.net.cut("migration")
    migration.wait_status("postcopy-paused", timeout=30)
    migration.fail(timeout=60)
    lab.net.restore()
    lab.a.wait_event("Suspended Post-copy Error")
    assert migration.status(lab.a) == migration.status(lab.b) == "postcopy-paused"
    lab.a.virsh("migrate-recover", "guest", timeout=60)
    wait(lambda: lab.a.domain_state() is None, 60, "the guest to be gone from a")
    guest.witness_ok(lab.b)


def test_another_network_is_taken_by_policy(lab):
    """The migration network stays down; the policy names a second one."""
    inner = f'<h:recovery><h:path uri="tcp://{lab.b.address("management")}"/></h:recovery>'
    guest = lab.guest(metadata=policy(inner)).start(lab.a)
    migration = lab.postcopy(lab.a, lab.b)
    lab.net.cut("migration")
    migration.succeed(timeout=180)
    assert migration.count("postcopy-recover", lab.a) >= 1
    guest.witness_ok(lab.b)
