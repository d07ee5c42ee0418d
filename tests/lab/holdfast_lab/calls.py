# SPDX-License-Identifier: LGPL-2.1-or-later
"""What ordinary libvirt calls take at two daemons, in short turns.

    calls.run(lab, hosts, guests, rounds)    -> {call: [Block of each round]}

They are made by a process beside the lab, whose own threads would disturb the clocks. A round has
for each call a block of four turns, the first daemon's, two of the second's, and again one of the
first's, so that what grows slower evenly meanwhile weighs on both alike.
"""
import gc
import json
import statistics
import sys
import threading
import time

import libvirt

from . import process
from .guest import Guest
from .host import PACKAGE_PARENT

POLICY = """<holdfast:migration xmlns:holdfast="urn:holdfast:migration:1">
  <holdfast:recovery mode="auto"/>
</holdfast:migration>"""
# In a turn: some milliseconds of each.
CALLS = {
    "domain state": 20,
    "domain XML": 20,
    "list of domains": 20,
    "statistics of all domains": 5,
    "define": 6,
    "define with a policy": 6,
    "listen to events, and stop": 10,
    "connect and close": 5,
}
TURNS = (0, 1, 1, 0)


def run(lab, hosts, guests, rounds, timeout=600):
    """The guests are on the hosts, in their order; they run there or are paused. A second domain is
    defined on each meanwhile. -> {call: [[[wall seconds, CPU seconds] of each host], ...]}, of one
    call, the first a median and the second the daemon's."""
    sides = []
    for host, guest in zip(hosts, guests):
        other = Guest(lab, f"other-{host.name}")
        plain = other.xml()
        other.metadata = POLICY
        sides.append({"socket": host.path(host.socket), "daemon": host.daemon.pid, "guest": guest.name,
                      "name": other.name, "plain": plain, "with policy": other.xml()})
    done = process.run([sys.executable, "-m", "holdfast_lab.calls", json.dumps(sides), str(rounds)],
                       timeout=timeout, cwd=PACKAGE_PARENT)
    return json.loads(done.stdout)


def cpu_seconds(pid):
    """What all threads of a process have used so far (clock_getcpuclockid(3))."""
    return time.clock_gettime(~pid << 3 | 2)


class Client:
    """A connection to a daemon, and what is called on it."""

    def __init__(self, side):
        self._side = side
        self.daemon = side["daemon"]
        self._uri = f"qemu+unix:///system?socket={side['socket']}"
        # Before there is an event loop, which would wake up at each answer.
        self._connection = libvirt.open(self._uri)
        self._guest = self._connection.lookupByName(side["guest"])
        self._listening = None

    def listen(self):
        """A second connection, of an event loop."""
        self._listening = libvirt.open(self._uri)

    def calls(self):
        connection = self._connection
        return {
            "domain state": self._guest.state,
            "domain XML": self._guest.XMLDesc,
            "list of domains": connection.listAllDomains,
            "statistics of all domains": connection.getAllDomainStats,
            "define": lambda: connection.defineXML(self._side["plain"]),
            "define with a policy": lambda: connection.defineXML(self._side["with policy"]),
            "listen to events, and stop": self._listen,
            "connect and close": self._connect,
        }

    def _listen(self):
        self._listening.domainEventDeregisterAny(self._listening.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lambda *_: None, None))

    def _connect(self):
        libvirt.open(self._uri).close()

    def close(self):
        """Leaves the host as it was."""
        self._connection.lookupByName(self._side["name"]).undefine()
        self._connection.close()
        self._listening.close()


def turn(call, count, daemon):
    """-> [seconds of each call], CPU seconds of the daemon in all"""
    taken = []
    before = cpu_seconds(daemon)
    for _ in range(count):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return taken, cpu_seconds(daemon) - before


def block(clients, calls, count, order):
    """-> [[wall, CPU] of each client], of one call"""
    wall, cpu = [[], []], [0.0, 0.0]
    for index in order:
        taken, used = turn(calls[index], count, clients[index].daemon)
        wall[index] += taken
        cpu[index] += used
    return [[statistics.median(taken), used / len(taken)] for taken, used in zip(wall, cpu)]


def measure(clients, rounds):
    found = {name: [] for name in CALLS}
    calls = [client.calls() for client in clients]
    for number in range(-1, rounds):  # the first one warms up
        order = [index ^ (number & 1) for index in TURNS]
        for name, count in CALLS.items():
            of_round = block(clients, [each[name] for each in calls], count, order)
            if number >= 0:
                found[name].append(of_round)
    return found


def event_loop():
    while True:
        libvirt.virEventRunDefaultImpl()


def main():
    libvirt.registerErrorHandler(lambda *_: None, None)  # said once, by exception
    clients = [Client(side) for side in json.loads(sys.argv[1])]
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=event_loop, daemon=True).start()
    for client in clients:
        client.listen()
    gc.disable()
    found = measure(clients, int(sys.argv[2]))
    for client in clients:
        client.close()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
