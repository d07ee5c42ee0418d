# SPDX-License-Identifier: LGPL-2.1-or-later
"""What ordinary libvirt calls take on two hosts side by side, call by call in turns."""
import time

import libvirt

from .guest import Guest
from .host import SOCKET

POLICY = """<holdfast:migration xmlns:holdfast="urn:holdfast:migration:1">
  <holdfast:recovery mode="auto"/>
</holdfast:migration>"""


class Client:
    """A connection to a host, and what is called on it. The guest runs there (or is paused); a
    second domain is only defined."""

    def __init__(self, lab, host, guest):
        self.host = host
        libvirt.registerErrorHandler(lambda *_: None, None)  # said once, by exception
        self._uri = f"qemu+unix:///system?socket={host.path(SOCKET)}"
        self._connection = libvirt.open(self._uri)
        self._guest = self._connection.lookupByName(guest.name)
        other = Guest(lab, f"other-{host.name}")
        self._other = other.name
        plain = other.xml()
        other.metadata = POLICY
        with_policy = other.xml()
        self.calls = {
            "domain state": self._guest.state,
            "domain XML": self._guest.XMLDesc,
            "list of domains": self._connection.listAllDomains,
            "statistics of all domains": self._connection.getAllDomainStats,
            "define": lambda: self._connection.defineXML(plain),
            "define with a policy": lambda: self._connection.defineXML(with_policy),
            "connect and close": self._connect,
        }

    def _connect(self):
        libvirt.open(self._uri).close()

    def close(self):
        """Leaves the host as it was."""
        self._connection.lookupByName(self._other).undefine()
        self._connection.close()


def measure(clients, count):
    """-> {call: [seconds of each call] for each client}. Clients take turns, and turns in who
    comes first, so that a disturbance hits both."""
    taken = {name: [[] for _ in clients] for name in clients[0].calls}
    for number in range(count):
        order = list(range(len(clients)))
        if number % 2:
            order.reverse()
        for name in taken:
            for index in order:
                call = clients[index].calls[name]
                start = time.perf_counter()
                call()
                taken[name][index].append(time.perf_counter() - start)
    return taken
