# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may pause and recover over D-Bus, with the real polkitd and the files that are installed: root
may, a member of group libvirt may what no rule of the site forbids, and nobody else gets through
the bus."""
import os
import shutil

import pytest

from holdfast_lab import image, wait

POLKITD = "/usr/lib/polkit-1/polkitd"
BUS_POLICY = "/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf"
PACKAGING = os.path.join(image.REPOSITORY, "packaging", "dbus")
SESSION = "org.holdfast.Migration1.Session"
MEMBER, STRANGER = "nobody", "daemon"

# Sorts before Holdfast's own rule.
SITE_RULE = """
polkit.addRule(function(action, subject) {
    if (action.id == "org.holdfast.Migration1.pause" && subject.user == "%s")
        return polkit.Result.NO;
});
"""

pytestmark = pytest.mark.skipif(not os.path.exists(POLKITD), reason="there is no polkitd")


@pytest.fixture
def polkit(lab):
    """polkitd on host a, where MEMBER is of the group libvirt."""
    host, mounts = lab.a, {}
    with open("/etc/group", encoding="utf-8") as f:
        lines = f.read().splitlines()
    mounts["/etc/group"] = os.path.join(lab.shared, "group")
    with open(mounts["/etc/group"], "w", encoding="utf-8") as f:
        for line in lines:
            name, _, _, members = line.split(":")
            f.write(line + ("," * bool(members) + MEMBER if name == "libvirt" else "") + "\n")
    mounts["/usr/share/polkit-1"] = os.path.join(lab.shared, "polkit-1")
    shutil.copytree("/usr/share/polkit-1", mounts["/usr/share/polkit-1"])
    os.chmod(os.path.join(mounts["/usr/share/polkit-1"], "rules.d"), 0o755)  # polkitd is not root
    for name, where in (("org.holdfast.Migration1.policy", "actions"),
                        ("60-holdfast.rules", "rules.d")):
        shutil.copy(os.path.join(PACKAGING, name),
                    os.path.join(mounts["/usr/share/polkit-1"], where))
    with open(os.path.join(mounts["/usr/share/polkit-1"], "rules.d", "10-site.rules"), "w",
              encoding="utf-8") as f:
        f.write(SITE_RULE % MEMBER)
    for inside, outside in mounts.items():
        host.run("mount", "--bind", outside, inside)
    shutil.copy(BUS_POLICY, host.path("/run/dbus/policies"))
    host.dbus_call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                   "ReloadConfig")
    daemon = host.background(POLKITD, "--no-debug")
    wait(lambda: "org.freedesktop.PolicyKit1" in names(host), 20, lambda: f"polkitd: {daemon}")
    yield
    daemon.close()
    for inside in mounts:
        host.run("umount", inside)
    os.unlink(host.path(f"/run/dbus/policies/{os.path.basename(BUS_POLICY)}"))


def names(host):
    return host.dbus_call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                          "ListNames")[0]


def call(host, user, path, method, *args):
    """As that user -> Result"""
    group = "nogroup" if user == "nobody" else user
    return host.run("setpriv", f"--reuid={user}", f"--regid={group}",
                    "--init-groups", "gdbus", "call", "--system", "--dest",
                    "org.holdfast.Migration1", "--object-path", path, "--method",
                    f"{SESSION}.{method}", *args, check=False)


def test_who_may(lab, guest, polkit):
    migration = lab.postcopy(lab.a, lab.b, postcopy_bandwidth=1)
    path = lab.a.wait_dbus_signal("StateChanged")["path"]

    refused = call(lab.a, MEMBER, path, "Pause")
    assert not refused.ok and "polkit said no" in refused.stderr, refused
    refused = call(lab.a, STRANGER, path, "Pause")
    assert not refused.ok and "AccessDenied" in refused.stderr, refused
    assert migration.status(lab.a) == "postcopy-active"

    paused = call(lab.a, "root", path, "Pause")
    assert paused.ok, paused
    migration.fail(timeout=60)
    refused = call(lab.a, STRANGER, path, "Recover", "{}")
    assert not refused.ok and "AccessDenied" in refused.stderr, refused
    assert migration.status(lab.a) == "postcopy-paused"

    recovered = call(lab.a, MEMBER, path, "Recover", "{}")
    assert recovered.ok, recovered
    assert lab.a.dbus_property(path, SESSION, "Recoveries") == 1
    lab.a.virsh("migrate-setspeed", "guest", "200", "--postcopy")
    wait(lambda: lab.b.domain_state(reason=True) == "running (migrated)", 60, "the end on b")
    guest.witness_ok(lab.b)
