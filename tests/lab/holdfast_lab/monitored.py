# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest whose QEMU has one more monitor, of which libvirt does not know."""
import contextlib
import json
import socket

from . import wait
from .guest import Guest

MONITOR = "/run/{name}.qmp"
COMMANDLINE = """\
  <qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
    <qemu:arg value='-qmp'/>
    <qemu:arg value='unix:{path},server=on,wait=off'/>
  </qemu:commandline>
</domain>
"""


class MonitoredGuest(Guest):
    """A guest with one more monitor."""

    @property
    def monitor(self):
        return MONITOR.format(name=self.name)

    def xml(self, **changes):
        xml = super().xml(**changes)
        return xml.replace("</domain>\n", COMMANDLINE.format(path=self.monitor))

    def _send(self, host, command, arguments):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(30)
        s.connect(host.path(self.monitor))
        for name, values in (("qmp_capabilities", {}), (command, arguments)):
            s.sendall(json.dumps({"execute": name, "arguments": values, "id": name}).encode())
        return s

    def qmp(self, host, command, **arguments):
        """What QEMU on `host` answers."""
        with contextlib.closing(self._send(host, command, arguments)) as s:
            for line in s.makefile():
                message = json.loads(line)
                if message.get("id") == command:
                    return message["return"]
        return None

    def occupy(self, host):
        """Has the main loop read all of the memory, and so wait for the first missing page."""
        with contextlib.closing(self._send(host, "pmemsave", {
                "val": 0, "size": self.memory << 20, "filename": "/dev/null"})):
            qemu = host.qemu(self.name)
            # Blocked, and not in a system call: in a page fault.
            wait(lambda: open(f"/proc/{qemu.pid}/syscall", encoding="ascii").read()
                 .startswith("-1 "), 30, "QEMU's main loop to wait for a page")
