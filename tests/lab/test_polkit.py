# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may pause and recover over D-Bus, with the real polkitd and the files that are installed: root
may, a member of group libvirt may what no rule of the site forbids, and nobody else gets through
the bus."""
import json
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
    if (action.id == "org.libvirt.api.domain.read" && subject.user == "%s"
            && action.lookup("domain_name") == "guest")
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
        f.write(SITE_RULE % (MEMBER, MEMBER))
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
    return run_as(host, user, "gdbus", "call", "--system", "--dest", "org.holdfast.Migration1",
                  "--object-path", path, "--method", f"{SESSION}.{method}", *args)


def run_as(host, user, *command):
    group = "nogroup" if user == "nobody" else user
    return host.run("setpriv", f"--reuid={user}", f"--regid={group}", "--init-groups", *command,
                    check=False)


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


@pytest.fixture
def access_control(lab, polkit):
    """libvirt on host a asks polkit about each domain."""
    path = lab.a.conf_file(lab.a.daemon)
    conf = lab.a.read(path)
    lab.a.write(path, conf + 'access_drivers = ["polkit"]\n')
    lab.a.daemon.restart()
    yield
    lab.a.write(path, conf)
    lab.a.daemon.restart()


def ask(host, user, *words):
    """migrate-status WORDS, read-only -> Result"""
    return run_as(host, user, *host.virsh_command, "-q", "-r", "-c", "qemu:///system",
                  "migrate-status", *words)


def seen(host, user):
    """-> names of the domains whose migrations that user is shown"""
    if not run_as(host, user, "test", "-r", host.virsh_command[0]).ok:
        pytest.skip(f"{user} cannot read {host.virsh_command[0]}")
    told = ask(host, user, "--all", "--json")
    assert told.ok, told
    return [migration["domain"] for migration in json.loads(told.stdout)]


def test_what_has_left_is_shown_to_whom_it_was(lab, guest, access_control):
    """Who may not read a domain is told nothing of its migration when it is gone, either."""
    other = lab.guest("other", memory=96, arena=16, rate=500, disk_rate=2).start(lab.a)
    for name in ("guest", "other"):
        lab.migrate(lab.a, lab.b, "--undefinesource", "--persistent", guest=name).succeed()
        wait(lambda: lab.a.domain_state(name) is None, 30, f"{name} to be gone from a")
    for user, names in (("root", ["guest", "other"]), (STRANGER, ["guest", "other"]),
                        (MEMBER, ["other"])):
        assert sorted(seen(lab.a, user)) == names, user
        for name in ("guest", "other"):
            told = ask(lab.a, user, name)
            assert told.ok == (name in names), told
    guest.witness_ok(lab.b)
    other.witness_ok(lab.b)
