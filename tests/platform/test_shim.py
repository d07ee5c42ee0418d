# SPDX-License-Identifier: LGPL-2.1-or-later
"""The shim in a real libvirtd: whatever is wrong with Holdfast, the QEMU driver works.

Run by in-namespaces; HOLDFAST_BUILD is the build tree.
"""
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

BUILD = pathlib.Path(os.environ["HOLDFAST_BUILD"])
MODULES = BUILD / "module-dir"
DRIVER = BUILD / "driver" / "module" / "holdfast-driver.so"
FIXTURES = BUILD / "tests" / "platform"
LOG = pathlib.Path("/var/log/libvirt/libvirtd.log")
SOCKET = pathlib.Path("/run/libvirt/libvirt-sock")
LIBVIRT = subprocess.run(["virsh", "--version"], capture_output=True, text=True,
                         check=True).stdout.strip()
# One that has a row and is not what runs.
OTHER_LIBVIRT = "9.0.0" if LIBVIRT != "9.0.0" else "11.3.0"
# Where a resume crashes the daemon without our hook.
NEEDS_INCOMING_HOOK = LIBVIRT == "11.3.0"
DEADLINE = 60
CONNECTIONS = 200
GUEST = """<domain type='qemu'><name>shim</name><memory>16384</memory>
<os><type machine='pc'>hvm</type></os><features><acpi/></features></domain>"""


class Daemon:
    """A libvirtd with our module directory and the environment of a case."""

    def __init__(self, **env):
        LOG.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            ["/usr/sbin/libvirtd"],
            env={**os.environ, "LIBVIRT_DRIVER_DIR": str(MODULES), **env},
        )

    def __enter__(self):
        end = time.monotonic() + DEADLINE
        while True:
            probe = self.try_virsh("version")
            if probe.returncode == 0:
                return self
            if time.monotonic() > end or self.process.poll() is not None:
                self.__exit__()
                raise AssertionError(f"libvirtd does not answer: {probe.stderr}\n{self.log()}")
            try:
                self.process.wait(0.1)
            except subprocess.TimeoutExpired:
                pass

    def __exit__(self, *_):
        self.process.terminate()
        try:
            assert self.process.wait(DEADLINE) == 0, self.log()
        finally:
            self.process.kill()
            SOCKET.unlink(missing_ok=True)

    @staticmethod
    def log():
        return LOG.read_text(encoding="utf-8") if LOG.exists() else "(no log)"

    def try_virsh(self, *command):
        return subprocess.run(["virsh", "-c", "qemu:///system", *command], capture_output=True,
                              text=True, timeout=DEADLINE, check=False)

    def virsh(self, *command):
        done = self.try_virsh(*command)
        assert done.returncode == 0, f"virsh {command}: {done.stderr}\n{self.log()}"
        return done.stdout

    def notes(self):
        """What Holdfast said of itself at the start."""
        return [line for line in self.log().splitlines() if "Holdfast" in line]


def check_driver_works(daemon, tmp_path):
    guest = tmp_path / "guest.xml"
    guest.write_text(GUEST, encoding="utf-8")
    assert "QEMU" in daemon.virsh("version")
    assert "<domainCapabilities>" in daemon.virsh("domcapabilities", "--virttype", "qemu")
    assert "shim" not in daemon.virsh("list", "--all")
    daemon.virsh("define", str(guest))
    assert "shim" in daemon.virsh("list", "--all")
    assert "<name>shim</name>" in daemon.virsh("dumpxml", "shim")
    daemon.virsh("undefine", "shim")
    assert "shim" not in daemon.virsh("list", "--all")


def not_elf(folder):
    path = folder / "holdfast-driver.so"
    path.write_text("not a library\n", encoding="utf-8")
    return path


def truncated(folder):
    path = folder / "holdfast-driver.so"
    path.write_bytes(DRIVER.read_bytes()[:20000])
    return path


def alone(folder):
    """Without the library of hooks that belongs beside it."""
    path = folder / "holdfast-driver.so"
    shutil.copy(DRIVER, path)
    return path


def hooks_truncated(folder):
    hooks = "holdfast-hooks-incoming.so"
    (folder / hooks).write_bytes(DRIVER.with_name(hooks).read_bytes()[:5000])
    return alone(folder)


CASES = {
    "off": ({"HOLDFAST": "off"}, None, "HOLDFAST=off"),
    "version-unknown": ({"HOLDFAST_LIBVIRT_VERSION": "99.1.2"}, None, r"libvirt 99\.1\.2 .*known"),
    "version-untrue": ({"HOLDFAST_LIBVIRT_VERSION": OTHER_LIBVIRT}, None,
                       f"runs, not {re.escape(OTHER_LIBVIRT)}"),
    "missing": ({"HOLDFAST_DRIVER": "/nonexistent/holdfast-driver.so"}, None, "nonexistent"),
    "not-elf": ({}, not_elf, "holdfast-driver.so: "),
    "truncated": ({}, truncated, "cut short"),
    "no-entry": ({}, lambda _: DRIVER.with_name("holdfast-hooks-incoming.so"),
                 "holdfast_driver_entry"),
    "other-release": ({}, lambda _: FIXTURES / "refuse-release.so", "0.0.0-other"),
    "refuses-prepare": ({}, lambda _: FIXTURES / "refuse-prepare.so", "refuses to prepare"),
    "refuses-attach": ({}, lambda _: FIXTURES / "refuse-attach.so", "refuses to attach"),
    "refuses-registered": ({}, lambda _: FIXTURES / "refuse-registered.so", "refuses at the end"),
}
if NEEDS_INCOMING_HOOK:
    CASES |= {
        "hooks-missing": ({}, alone, "holdfast-hooks-incoming.so"),
        "hooks-truncated": ({}, hooks_truncated, "hooks-incoming.so is cut short"),
    }


@pytest.mark.parametrize("case", CASES)
def test_stock_alone(case, tmp_path):
    env, make_driver, reason = CASES[case]
    if make_driver:
        env = {**env, "HOLDFAST_DRIVER": str(make_driver(tmp_path))}
    with Daemon(**env) as daemon:
        check_driver_works(daemon, tmp_path)
        notes = daemon.notes()
        assert len(notes) == 1, daemon.log()
        assert ": warning : Holdfast is not active, the stock QEMU driver runs alone: " in notes[0]
        assert re.search(reason, notes[0]), notes[0]


def test_active(tmp_path):
    with Daemon() as daemon:
        check_driver_works(daemon, tmp_path)
        notes = daemon.notes()
        assert len(notes) == 1, daemon.log()
        assert re.search(rf": info : Holdfast \S+ is active for libvirt {re.escape(LIBVIRT)}$",
                         notes[0]), notes[0]


def test_active_guest(tmp_path):
    guest = tmp_path / "guest.xml"
    guest.write_text(GUEST, encoding="utf-8")
    with Daemon() as daemon:
        daemon.virsh("create", str(guest))
        assert "running" in daemon.virsh("domstate", "shim")
        daemon.virsh("suspend", "shim")
        assert "paused" in daemon.virsh("domstate", "shim")
    # A daemon that is started again finds the guest and its monitor.
    with Daemon() as daemon:
        assert "paused" in daemon.virsh("domstate", "shim")
        daemon.virsh("resume", "shim")
        assert "running" in daemon.virsh("domstate", "shim")
        daemon.virsh("destroy", "shim")


HOOKS = {
    "qemuMigrationDstFinish": "holdfast-driver.so",
    "qemuMigrationProcessUnattended": "holdfast-driver.so",
    "qemuMigrationSrcComplete": "holdfast-driver.so",
    "qemuMonitorEmitMigrationStatus": "holdfast-driver.so",
    "qemuMonitorEmitResume": "holdfast-driver.so",
    "qemuMonitorJSONSetCapabilities": "holdfast-driver.so",
    "qemuMonitorMigrateStartPostCopy": "holdfast-driver.so",
    "qemuProcessIncomingDefNew": "holdfast-hooks-incoming.so",
}


def bindings(folder):
    """symbol -> library, for the stock module's calls of what it defines itself.

    The first of each: those that follow are our own look-ups of the stock functions.
    """
    text = "".join(path.read_text(errors="replace") for path in folder.glob("bindings.*"))
    found = re.findall(r"binding file \S*/connection-driver/libvirt_driver_qemu\.so \[0\] to (\S+) "
                       r"\[0\]: normal symbol `(\w+)'", text)
    return {symbol: os.path.basename(library) for library, symbol in reversed(found)}


@pytest.mark.parametrize("active", [True, False])
def test_hooks_come_first(active, tmp_path):
    env = {"LD_DEBUG": "bindings", "LD_DEBUG_OUTPUT": str(tmp_path / "bindings")}
    if not active:
        env["HOLDFAST_DRIVER"] = str(FIXTURES / "refuse-prepare.so")
    with Daemon(**env) as daemon:
        assert len(daemon.notes()) == 1
    bound = bindings(tmp_path)
    for symbol, library in HOOKS.items():
        if symbol == "qemuProcessIncomingDefNew" and not NEEDS_INCOMING_HOOK:
            library = "libvirt_driver_qemu.so"
        assert bound[symbol] == (library if active else "libvirt_driver_qemu.so")


def test_monitor_has_oob(tmp_path):
    guest = tmp_path / "guest.xml"
    guest.write_text(GUEST, encoding="utf-8")
    with Daemon() as daemon:
        daemon.virsh("create", str(guest))
        daemon.virsh("destroy", "shim")
        assert re.search(r'qmp_capabilities.*"oob"', daemon.log())


def test_no_stock_driver():
    """As without libvirt's own module: the daemon lives, and says what is missing."""
    with subprocess.Popen(["/usr/sbin/libvirtd"], env={
            **os.environ, "LIBVIRT_DRIVER_DIR": str(MODULES),
            "HOLDFAST_STOCK_DRIVER_DIR": str(MODULES)}) as process:
        end = time.monotonic() + DEADLINE
        while "not the stock QEMU driver" not in Daemon.log() and time.monotonic() < end:
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                pass
        process.terminate()
        assert process.wait(DEADLINE) >= 0
    assert "is Holdfast's own module, not the stock QEMU driver" in Daemon.log()


def test_connections_leak_nothing():
    def usage(pid):
        status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        return descriptors, int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    with Daemon() as daemon:
        for _ in range(CONNECTIONS // 4):
            daemon.virsh("list")
        descriptors, resident = usage(daemon.process.pid)
        for _ in range(CONNECTIONS):
            daemon.virsh("list")
        end = time.monotonic() + DEADLINE
        while usage(daemon.process.pid)[0] > descriptors and time.monotonic() < end:
            daemon.virsh("list")
        after = usage(daemon.process.pid)
        print(f"{descriptors} descriptors, {resident} KiB; after {CONNECTIONS} more: {after}")
        assert after[0] <= descriptors
        assert after[1] < resident + 4 * CONNECTIONS
