# SPDX-License-Identifier: LGPL-2.1-or-later
"""qemu:///session, the daemon of a user who is not root: Holdfast is loaded there too, checks
policies, is on the user's own bus, and is in nobody's way."""
import os
import signal

import pytest

from holdfast_lab import health, wait

MODULE = os.environ.get("HOLDFAST_MODULE_DIR", "")
USER, GROUP, UID = "nobody", "nogroup", 65534
DOMAIN = """<domain type='qemu'>
  <name>small</name>
  <metadata>
    <holdfast:migration xmlns:holdfast="urn:holdfast:migration:1">
      <holdfast:recovery mode="{mode}"/>
    </holdfast:migration>
  </metadata>
  <memory unit='MiB'>32</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><controller type='usb' model='none'/><memballoon model='none'/></devices>
</domain>
"""

pytestmark = pytest.mark.skipif(not MODULE, reason="HOLDFAST_MODULE_DIR names no module")


class Session:
    """The user's bus and daemon on a host."""

    def __init__(self, lab, host):
        self._host = host
        self.home = os.path.join(lab.shared, "home")
        os.mkdir(self.home)
        os.chown(self.home, UID, -1)
        self.log = os.path.join(self.home, "log")
        if not host.run(*self._as_user("test", "-r", f"{MODULE}/libvirt_driver_qemu.so"),
                        check=False).ok:
            pytest.skip(f"{USER} cannot read {MODULE}")
        cache = os.path.join(self.home, ".cache", "libvirt", "qemu")
        os.makedirs(cache)
        # What QEMU can do is known, where a session's daemon looks for it.
        host.run("cp", "-r", "/var/cache/libvirt/qemu", os.path.join(cache, "cache"))
        host.run("chown", "-R", USER, os.path.join(self.home, ".cache"))
        self._bus = self.start("dbus-daemon", "--session", f"--address=unix:path={self.home}/bus",
                               "--nofork", "--nopidfile")
        wait(lambda: os.path.exists(f"{self.home}/bus"), 20, lambda: f"its bus: {self._bus}")
        self.daemon = self.start("libvirtd")
        wait(lambda: self.virsh("version", check=False).ok, 60, lambda: f"it: {self.daemon}")

    def _as_user(self, *command):
        return ["setpriv", f"--reuid={USER}", f"--regid={GROUP}", "--clear-groups", "env", "-C",
                self.home, f"HOME={self.home}", f"XDG_RUNTIME_DIR={self.home}",
                f"DBUS_SESSION_BUS_ADDRESS=unix:path={self.home}/bus", "LIBVIRT_AUTOSTART=0",
                f"LIBVIRT_DRIVER_DIR={MODULE}", f"LIBVIRT_LOG_OUTPUTS=2:file:{self.log}",
                *command]

    def start(self, *command):
        return self._host.background(*self._as_user(*command))

    def virsh(self, *words, check=True):
        return self._host.run(*self._as_user("virsh", "-q", "-c", "qemu:///session", *words),
                              check=check)

    def call(self, path, method):
        return self._host.run(*self._as_user(
            "gdbus", "call", "--session", "--dest", "org.holdfast.Migration1", "--object-path",
            path, "--method", method), check=False)

    def said(self):
        with open(self.log, encoding="utf-8") as f:
            return f.read()

    def define(self, mode):
        path = os.path.join(self.home, "small.xml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(DOMAIN.format(mode=mode))
        return self.virsh("define", path, check=False)


def test_a_users_own_daemon(lab):
    session = Session(lab, lab.a)

    refused = session.define("sometimes")
    assert not refused.ok and "sometimes" in refused.stderr, \
        f"{refused}\n{session.said()}\n{session.daemon}"
    assert session.define("auto").ok
    session.virsh("start", "small")
    assert "running" in session.virsh("domstate", "small").stdout

    def objects():
        return session.call("/org/holdfast/Migration1",
                            "org.freedesktop.DBus.ObjectManager.GetManagedObjects")
    wait(lambda: objects().ok, 20, lambda: f"Holdfast on the session's bus: {objects()}")
    session.virsh("destroy", "small")
    session.virsh("undefine", "small")

    session.daemon.send(signal.SIGTERM)
    session.daemon.wait(health.STOP_SECONDS)
    assert session.daemon.returncode == 0, session.daemon
    assert not health.WORDS.search(session.said()), session.said()
