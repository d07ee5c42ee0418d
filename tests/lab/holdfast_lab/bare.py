# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two QEMUs on the lab's hosts without libvirt, with the lab's guest: what QEMU itself can do.

Whoever drives them here knows at once when the network is cut and when it is back, so a recovery
costs no more than QMP and QEMU's own handshake: the limit that everything else is measured by.
"""
import json
import os
import shutil
import socket

from . import image
from .guest import Guest
from .wait import wait

QMP = "/run/bare.qmp"
CONSOLE = "/run/bare.console"
INCOMING_PORT = 4444
CAPABILITIES = ("events", "postcopy-ram", "postcopy-preempt")  # preempt: as libvirt asks for


class QmpError(Exception):
    """A command that QEMU refused."""


class Qmp:
    """One QEMU's monitor. `states` are the MIGRATION events: (QEMU's time in seconds, status)."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        wait(lambda: os.path.exists(path), 20, f"QEMU's monitor {path}")
        self._socket.connect(path)
        self._socket.settimeout(0.02)
        self._buffer = b""
        self._replies = []
        self.states = []
        wait(self._greeted, 20, "QEMU's greeting")
        self.command("qmp_capabilities", enable=["oob"])

    def _greeted(self):
        self.poll()
        return self._replies and self._replies.pop(0)

    def poll(self):
        """Takes in what has come."""
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            return
        if not data:
            raise QmpError("QEMU has closed its monitor")
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for message in map(json.loads, filter(None, lines)):
            if message.get("event") == "MIGRATION":
                at = message["timestamp"]
                self.states.append((at["seconds"] + at["microseconds"] / 1e6,
                                    message["data"]["status"]))
            elif "event" not in message:
                self._replies.append(message)

    def command(self, name, oob=False, **arguments):
        """-> what it returns"""
        text = json.dumps({"exec-oob" if oob else "execute": name, "arguments": arguments})
        self._socket.sendall(text.encode())

        def answered():
            self.poll()
            return self._replies and self._replies.pop(0)
        reply = wait(answered, 20, f"QEMU's answer to {name}")
        if "error" in reply:
            raise QmpError(f"{name}: {reply['error']['desc']}")
        return reply["return"]

    def wait_state(self, status, since=0.0, timeout=60):
        """-> when it came there first after `since`"""
        def reached():
            self.poll()
            return next((when for when, state in self.states
                         if state == status and when >= since), None)
        return wait(reached, timeout, lambda: f"{status}; QEMU went "
                    + " ".join(state for _, state in self.states))

    def close(self):
        self._socket.close()


class Pair:
    """A guest that migrates from host to host; `with Pair(...) as pair`.

    bandwidth, postcopy_bandwidth  MiB/s, as in Lab.postcopy
    """

    def __init__(self, lab, source, destination, bandwidth=50, postcopy_bandwidth=4):
        self.lab = lab
        self.hosts = (source, destination)
        self._like = Guest(lab, "bare")  # for its parameters: it is not libvirt's
        self._disk = self._like.disk
        self.address = destination.address("migration")
        self._parameters = {"max-bandwidth": bandwidth << 20,
                            "max-postcopy-bandwidth": postcopy_bandwidth << 20}
        self._port = INCOMING_PORT
        self._processes = []
        self.source = self.destination = None

    def __enter__(self):
        self.lab.command("qemu-img", "create", "-q", "-f", "raw", self._disk, "64M")
        try:
            self.source = self._start(self.hosts[0])
            self.destination = self._start(self.hosts[1], "-incoming", "defer")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for each in (self.source, self.destination):
            if each:
                each.close()
        for each in self._processes:
            each.close()

    def _start(self, host, *more):
        for inside in (QMP, CONSOLE):
            if os.path.exists(host.path(inside)):
                os.unlink(host.path(inside))
        kernel, initramfs = image.build()
        accelerator = "kvm" if os.environ.get("HOLDFAST_LAB_KVM") == "1" else "tcg"
        self._processes.append(host.background(
            shutil.which("qemu-system-x86_64"), "-machine", f"pc,accel={accelerator}",
            "-m", str(self._like.memory), "-nodefaults", "-display", "none",
            "-kernel", kernel, "-initrd", initramfs,
            "-append", f"console=ttyS0 quiet loglevel=4 panic=-1 {self._like.witness_words()}",
            "-drive", f"file={self._disk},format=raw,if=virtio,cache=none",
            "-serial", f"file:{CONSOLE}", "-serial", "null",
            "-qmp", f"unix:{QMP},server=on,wait=off", *more))
        qmp = Qmp(host.path(QMP))
        qmp.command("migrate-set-capabilities", capabilities=[
            {"capability": name, "state": True} for name in CAPABILITIES])
        return qmp

    def _next_uri(self):
        """A recovery must not meet what is left of the connection before it."""
        self._port += 1
        return f"tcp:{self.address}:{self._port}"

    def wait_beats(self, host, beats):
        """The guest's heart beats so many times more on this host's part of the console."""
        def count():
            return host.read(CONSOLE).count("\nHB ")
        wanted = count() + beats
        wait(lambda: count() >= wanted, 60, "the bare guest's heartbeat")

    def migrate(self):
        """To postcopy after one pass, until the guest is seen to run on the destination."""
        uri = self._next_uri()
        self.destination.command("migrate-incoming", uri=uri)
        self.source.command("migrate-set-parameters", **self._parameters)
        self.source.command("migrate", uri=uri)
        wait(lambda: self.source.command("query-migrate").get("ram", {})
             .get("dirty-sync-count", 0) > 1, 60, "one pass over the bare guest's memory")
        self.source.command("migrate-start-postcopy")
        for each in (self.source, self.destination):
            each.wait_state("postcopy-active")

    def pause(self):
        """Both sides; no QEMU notices a silent network by itself in reasonable time."""
        since = self.lab.now()
        for each in (self.source, self.destination):
            each.command("migrate-pause", oob=True)
        for each in (self.source, self.destination):
            each.wait_state("postcopy-paused", since)

    def recover(self):
        uri = self._next_uri()
        self.destination.command("migrate-recover", oob=True, uri=uri)
        self.source.command("migrate", uri=uri, resume=True)

    def wait_active(self, since):
        """-> when both sides were postcopy-active again"""
        return max(each.wait_state("postcopy-active", since)
                   for each in (self.source, self.destination))
