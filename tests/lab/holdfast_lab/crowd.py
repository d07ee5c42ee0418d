# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many clients of one daemon at once, each with a connection and a thread of its own.

    crowd.run(host)        -> Crowd, what they saw

They are a process beside the tests, whose own threads would wait for them. Every client lists the
domains, asks for statistics, defines a domain of its own, listens to its events and undefines it;
all begin together.
"""
import argparse
import collections
import dataclasses
import json
import sys
import threading
import time

import libvirt

from . import process
from .host import PACKAGE_PARENT

CLIENTS = 200
ROUNDS = 3
EVENT_SECONDS = 60

DOMAIN = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"""


@dataclasses.dataclass
class Crowd:
    """
    calls    {call: [seconds, ...]} of all clients
    seconds  from the first call to the last one's end
    errors   what any of them was told
    lists    the sets of domains that were seen, but for the clients' own
    """
    calls: dict
    seconds: float
    errors: list
    lists: list

    @property
    def longest(self):
        """(seconds, call)"""
        return max((max(taken), name) for name, taken in self.calls.items())

    @property
    def count(self):
        return sum(len(taken) for taken in self.calls.values())


def run(host, clients=CLIENTS, rounds=ROUNDS, timeout=300):
    """A crowd at this host's daemon, until all have done -> Crowd."""
    done = process.run([sys.executable, "-m", "holdfast_lab.crowd", host.path(host.socket),
                        str(clients), str(rounds)], timeout=timeout, cwd=PACKAGE_PARENT)
    return Crowd(**json.loads(done.stdout))


class Client:
    """One of them; `work` is its thread."""

    def __init__(self, uri, number):
        self.taken = collections.defaultdict(list)
        self.errors = []
        self.lists = set()
        self._name = f"crowd-{number}"
        self._connection = libvirt.open(uri)
        self._undefined = threading.Event()

    def work(self, begin, rounds):
        begin.wait()
        for _ in range(rounds):
            try:
                self._round()
            except (libvirt.libvirtError, TimeoutError) as error:
                self.errors.append(f"{self._name}: {error}")

    def _timed(self, name, call, *arguments):
        start = time.monotonic()
        try:
            return call(*arguments)
        finally:
            self.taken[name].append(time.monotonic() - start)

    def _round(self):
        connection = self._connection
        names = self._timed("list of domains", lambda: [
            each.name() for each in connection.listAllDomains()])
        self.lists.add(tuple(sorted(name for name in names if not name.startswith("crowd-"))))
        # The guests' jobs are not waited for, as monitoring does.
        self._timed("statistics of all domains", connection.getAllDomainStats, 0,
                    libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)
        domain = self._timed("define", connection.defineXML, DOMAIN.format(name=self._name))
        self._undefined.clear()
        callback = self._timed("listen", connection.domainEventRegisterAny, domain,
                               libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._event, None)
        self._timed("domain XML", domain.XMLDesc)
        self._timed("undefine", domain.undefine)
        if not self._timed("event", self._undefined.wait, EVENT_SECONDS):
            raise TimeoutError("no event of the domain that was undefined")
        self._timed("do not listen", connection.domainEventDeregisterAny, callback)

    def _event(self, _connection, domain, event, _detail, _opaque):
        if domain.name() == self._name and event == libvirt.VIR_DOMAIN_EVENT_UNDEFINED:
            self._undefined.set()

    def close(self):
        self._connection.close()


def event_loop():
    while True:
        libvirt.virEventRunDefaultImpl()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("socket")
    parser.add_argument("clients", type=int)
    parser.add_argument("rounds", type=int)
    options = parser.parse_args()
    libvirt.registerErrorHandler(lambda *_: None, None)  # said once, by exception
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=event_loop, daemon=True).start()
    clients = [Client(f"qemu+unix:///system?socket={options.socket}", number)
               for number in range(options.clients)]
    begin = threading.Barrier(len(clients) + 1)
    threads = [threading.Thread(target=client.work, args=(begin, options.rounds))
               for client in clients]
    for thread in threads:
        thread.start()
    begin.wait()
    start = time.monotonic()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - start
    calls = collections.defaultdict(list)
    for client in clients:
        client.close()
        for name, taken in client.taken.items():
            calls[name] += taken
    json.dump({"calls": calls, "seconds": seconds,
               "errors": sum((client.errors for client in clients), []),
               "lists": sorted(set().union(*(client.lists for client in clients)))}, sys.stdout)


if __name__ == "__main__":
    main()
