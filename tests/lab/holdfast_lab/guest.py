# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest, and what its witness says about memory and disk."""
import dataclasses
import os
import re
import socket
import time
import uuid

from . import image, template
from .logs import Tail
from .wait import wait

CONSOLE = "/var/log/libvirt/qemu/{name}.console"
COMMAND_SOCKET = "/run/{name}.command"
IMAGES = "/var/lib/libvirt/images"

DOMAIN = """\
<domain type='{type}'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  {metadata}
  <memory unit='MiB'>{memory}</memory>
  <vcpu>{vcpus}</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initramfs}</initrd>
    <cmdline>console=ttyS0 quiet loglevel=4 panic=-1 nosoftlockup {witness}</cmdline>
  </os>
  <features><acpi/></features>
  <clock offset='utc'/>
  <on_reboot>destroy</on_reboot>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='{disk_format}' cache='none'/>
      <source file='{disk}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <serial type='file'>
      <source path='{console}' append='on'/>
      <target port='0'/>
    </serial>
    <serial type='unix'>
      <source mode='bind' path='{command}'/>
      <target port='1'/>
    </serial>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
"""


@dataclasses.dataclass
class Verification:
    """A full check of every page and every record of the disk."""
    pages: int
    bad_pages: int
    sectors: int
    bad_sectors: int
    errors: int  # all that the witness ever found

    @property
    def clean(self):
        return self.pages > 0 and not (self.bad_pages or self.bad_sectors or self.errors)


class Guest:
    """A guest of the lab. `str(guest)` is its name, so it goes where a domain's name goes.

    memory, arena  MiB; the arena is the part the witness stamps and verifies
    rate           pages a second the witness rewrites (6000 = 24 MB/s)
    disk_rate      4 KiB records a second
    metadata       XML for the domain's <metadata>, without that element
    own_disks      each host has a disk of its own at the same path, for --copy-storage-*
    disk_size      as qemu-img takes it; the witness writes to the first 64 MiB
    """

    def __init__(self, lab, name="guest", memory=256, arena=128, rate=6000, disk_rate=10, vcpus=1,
                 disk_format="raw", metadata="", own_disks=False, disk_size="64M"):
        self.lab = lab
        self.name = name
        self.uuid = str(uuid.uuid4())
        self.disk = os.path.join(IMAGES if own_disks else lab.shared, f"{name}.{disk_format}")
        self.disk_format = disk_format
        self.disk_size = disk_size
        self.memory = memory
        self.vcpus = vcpus
        self.metadata = metadata
        self.arena = arena
        self.rate = rate
        self.disk_rate = disk_rate
        self._consoles = {host: Tail(host.path(CONSOLE.format(name=name))) for host in lab.hosts}

    def __str__(self):
        return self.name

    def witness_words(self):
        """For the guest kernel's command line."""
        # A number of its own, so that nothing left on the disk by another run is taken as good.
        run = uuid.UUID(self.uuid).int & 0x7FFFFFFF
        return (f"witness.arena={self.arena} witness.rate={self.rate} "
                f"witness.disk_rate={self.disk_rate} witness.run={run}")

    def xml(self, **changes):
        kernel, initramfs = image.build()
        values = {
            "type": "kvm" if os.environ.get("HOLDFAST_LAB_KVM") == "1" else "qemu",
            "name": self.name, "uuid": self.uuid, "memory": self.memory, "vcpus": self.vcpus,
            "kernel": kernel, "initramfs": initramfs, "disk": self.disk,
            "disk_format": self.disk_format,
            "console": CONSOLE.format(name=self.name),
            "command": COMMAND_SOCKET.format(name=self.name),
            "metadata": f"<metadata>{self.metadata}</metadata>" if self.metadata else "",
            "witness": self.witness_words(),
        }
        return DOMAIN.format(**{**values, **changes})

    def xml_file(self, **changes):
        """The definition as a file that every host can read -> its path."""
        path = os.path.join(self.lab.shared, f"{self.name}.xml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(self.xml(**changes))
        return path

    def _fresh_files(self):
        for path in {host.path(self.disk) for host in self.lab.hosts}:
            if os.path.exists(path):
                os.unlink(path)
            self.lab.command("qemu-img", "create", "-q", "-f", self.disk_format, path,
                             self.disk_size)
        for tail in self._consoles.values():
            if os.path.exists(tail.path):
                os.unlink(tail.path)
            tail.restart()

    def start(self, host, persistent=True, wait_ready=True, boot=False):
        """Brings it up on a host, with an empty disk. Returns when the witness is at work.

        It goes on from a template; with `boot`, or without waiting, it is really booted.
        """
        since = self.lab.now()
        self._fresh_files()
        path = self.xml_file()
        if persistent:
            host.virsh("define", path)
        self.lab.follow(self)
        if boot or not wait_ready:
            host.virsh(*(("start", self.name) if persistent else ("create", path)))
        else:
            template.restore(self, host)
            self.ask(host, f"begin {self.witness_words()}", r"^READY", 60)
        if wait_ready:
            self.wait_console(host, r"^HB ", 120)
            self._end_of_start(host, since)
        return self

    def _end_of_start(self, host, since):
        """The events of the start, which tell how it came up, are over."""
        wait(lambda: {"Started", "Resumed"} <= {e.split()[0] for e in host.events(self, since)},
             20, f"the events of {self}'s start on {host.name}")
        self.lab.started[self.name] = self.lab.now()

    # The console

    def console(self, host):
        """[(time seen, line)] of this host's part of the console."""
        return self._consoles[host].poll()

    def wait_console(self, host, pattern, timeout=30, since=0.0):
        """Waits for a line that matches (re.search) -> the match."""
        def seen():
            for when, line in self.console(host):
                found = re.search(pattern, line) if when >= since else None
                if found:
                    return found
            return None
        return wait(seen, timeout, lambda: f"console of {self} on {host.name} to say {pattern!r}; "
                    f"last: {[line for _, line in self.console(host)[-3:]]}")

    def heartbeats(self, host):
        """[(time seen, {seq, ms, pages, passes, sectors, errors})]"""
        return [(when, {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", line)})
                for when, line in self.console(host) if line.startswith("HB ")]

    def wait_heartbeat(self, host, beats=2, timeout=60):
        """Waits until it has beaten so many times more: it runs, here."""
        before = len(self.heartbeats(host))
        wait(lambda: len(self.heartbeats(host)) >= before + beats, timeout,
             f"{beats} heartbeats of {self} on {host.name}")

    def bad(self):
        """Every line on any host that says that something was lost."""
        return [f"{host.name}: {line}" for host in self.lab.hosts
                for _, line in self.console(host)
                if re.match(r"BAD |FAILED|INIT |.*(Kernel panic|Oops|BUG:)", line)]

    # The witness

    def ask(self, host, command, pattern, timeout=60):
        """Sends a line and waits for the console's answer -> the match."""
        since = time.time()
        path = host.path(COMMAND_SOCKET.format(name=self.name))
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(path)
            s.sendall(command.encode() + b"\n")
            # The socket stays open until the answer: QEMU forgets what it has not yet given to
            # the guest when it closes.
            return self.wait_console(host, pattern, timeout, since)

    def verify(self, host, timeout=60):
        """Has the witness check every page and record now -> Verification."""
        found = self.ask(host, "verify", r"^VERIFY pages=(\d+) bad=(\d+) sectors=(\d+) bad=(\d+) "
                                         r"errors=(\d+)", timeout)
        return Verification(*(int(number) for number in found.groups()))

    def set_rate(self, host, pages=None, sectors=None):
        """Changes how much the witness does in a second."""
        if pages is not None:
            self.ask(host, f"rate {pages}", r"^RATE")
        if sectors is not None:
            self.ask(host, f"disk-rate {sectors}", r"^RATE")

    def corrupt(self, host, what="page", how="corrupt"):
        """Spoils a page or a sector behind the witness's back -> its number."""
        return int(self.ask(host, f"{how} {what}", r"^CORRUPTED \w+=(\d+)")[1])

    def witness_ok(self, host):
        """The proof: it runs on `host`, nothing was ever lost, and time never went back."""
        self.wait_heartbeat(host)
        verified = self.verify(host)
        assert not self.bad(), "\n".join(self.bad())
        assert verified.clean, str(verified)
        beats = sorted((beat for h in self.lab.hosts for beat in self.heartbeats(h)),
                       key=lambda beat: (beat[0], beat[1]["seq"]))
        for (_, earlier), (when, later) in zip(beats, beats[1:]):
            assert later["seq"] > earlier["seq"], f"went back: {earlier} then {later} at {when}"
        return verified
