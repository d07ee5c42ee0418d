# SPDX-License-Identifier: LGPL-2.1-or-later
"""The networks between the hosts, and the ways in which they fail.

A namespace of its own is the switch: it has a bridge per network, each host one interface per
network. All of it is inside namespaces, so that subnets never meet the machine's own or another
lab's.

A cut is kept in a list, and each host's packet filter is made from that list as a whole; so cuts
can be added and taken back one by one.
"""
import dataclasses
import subprocess
import time

from . import process
from .wait import wait

RPC_PORT = 16509
DATA_PORTS = "49152-49215"

# name -> (interface in a host, subnet's first three bytes)
NETWORKS = {
    "migration": ("mig0", "10.79.0"),
    "management": ("mgmt0", "10.80.0"),
}

FILTER_TABLE = "lab"


@dataclasses.dataclass(frozen=True)
class Cut:
    """One fault of one network; `hosts` are those whose incoming packets it hits."""
    network: str
    how: str
    port: object
    hosts: tuple
    peers: tuple  # names of the senders it is for; empty: all

    def __str__(self):
        text = f"{self.how} {self.network}"
        if self.port:
            text += f" port {self.port}"
        return text + " at " + ",".join(self.hosts)


class Network:
    """`lab.net`."""

    def __init__(self, prefix):
        self.switch = f"{prefix}-switch"
        self.hosts = []
        self.cuts = []
        self.journal = []  # (time, text)

    @staticmethod
    def address(network, number):
        return f"{NETWORKS[network][1]}.{number}"

    def up(self):
        process.run(["ip", "netns", "add", self.switch])
        self._ip(self.switch, "link set lo up")
        for network in NETWORKS:
            self._ip(self.switch, f"link add {network} type bridge")
            self._ip(self.switch, f"link set {network} up")

    def plug_in(self, host):
        """Connects a host's network namespace, which is there, to every network."""
        self.hosts.append(host)
        self._ip(host.namespace, "link set lo up")
        for network, (interface, _) in NETWORKS.items():
            port = f"{interface}-{host.name}"
            self._ip(self.switch, f"link add {port} type veth peer name {interface} "
                                  f"netns {host.namespace}")
            self._ip(self.switch, f"link set {port} master {network} up")
            self._ip(host.namespace, f"addr add {host.address(network)}/24 dev {interface}")
            self._ip(host.namespace, f"link set {interface} up")

    @staticmethod
    def _ip(namespace, words):
        process.run(["ip", "-n", namespace] + words.split())

    def cut(self, network="migration", how="drop", port=None, at=None, between=None):
        """Breaks a network. Returns the cuts, which `restore` takes to undo only these.

        network  migration, management, or all
        how      drop    every packet is lost in silence
                 reset   TCP connections get a reset, the rest is lost
                 down    the host's interface is set down (of `at`, default the first host)
                 unplug  the switch's port is set down: the host's interface loses its carrier
        port     only TCP to or from this port, or a range "49152-49215" (drop and reset)
        at       only packets that arrive at these hosts (one host or several)
        between  only packets between these two hosts (drop and reset)
        """
        if how not in ("drop", "reset", "down", "unplug"):
            raise ValueError(f"no such cut: {how}")
        by_link = how in ("down", "unplug")
        if by_link and (port or between):
            raise ValueError(f"{how} is for a whole interface")
        if at is None:
            at = self.hosts[:1] if by_link else between or self.hosts
        at = at if isinstance(at, (list, tuple)) else [at]
        peers = tuple(host.name for host in between or ())
        added = [Cut(name, how, port, tuple(host.name for host in at), peers)
                 for name in (NETWORKS if network == "all" else [network])]
        self.cuts += added
        self._apply(added, "down")
        return added

    def restore(self, cuts=None):
        """Undoes these cuts, or all of them."""
        gone = list(self.cuts if cuts is None else cuts)
        self.cuts = [cut for cut in self.cuts if cut not in gone]
        self._apply(gone, "up")

    def prepare_restore(self):
        """For whom a millisecond counts -> a function that undoes all cuts of packets, and returns
        when it did. They should be `at` one host: several are done one after the other."""
        hosts = [host for host in self.hosts if any(host.name in cut.hosts for cut in self.cuts)]
        gone, self.cuts = self.cuts, []
        ready = [(self._start_nft(host), self._script(host)) for host in hosts]

        def restore():
            now = time.time()
            for nft, script in ready:
                nft.communicate(script)
            if any(nft.returncode for nft, _ in ready):
                raise process.CommandFailed("nft has failed")
            self.journal += [(now, f"restored: {cut}") for cut in gone]
            return now
        return restore

    @staticmethod
    def _start_nft(host):
        """A process that waits for its rules."""
        nft = subprocess.Popen(["ip", "netns", "exec", host.namespace, "nft", "-f", "-"],
                               stdin=subprocess.PIPE, text=True)
        wait(lambda: process.name(nft.pid) == "nft", 20, "nft")
        return nft

    def restore_everything(self):
        """Undoes also what another process has cut."""
        self.restore()
        for host in self.hosts:
            self._filter(host)
            for interface, _ in NETWORKS.values():
                self._ip(host.namespace, f"link set {interface} up")
                self._ip(self.switch, f"link set {interface}-{host.name} up")

    def _apply(self, changed, link_state):
        by_link = [cut for cut in changed if cut.how in ("down", "unplug")]
        if len(by_link) < len(changed):
            for host in self.hosts:
                self._filter(host)
        for cut in by_link:
            interface = NETWORKS[cut.network][0]
            for name in cut.hosts:
                if cut.how == "down":
                    self._ip(self._host(name).namespace, f"link set {interface} {link_state}")
                else:
                    self._ip(self.switch, f"link set {interface}-{name} {link_state}")
        now = time.time()
        verb = "cut" if link_state == "down" else "restored"
        self.journal += [(now, f"{verb}: {cut}") for cut in changed]

    def _host(self, name):
        return next(host for host in self.hosts if host.name == name)

    def _script(self, host):
        rules = []
        for cut in self.cuts:
            if host.name in cut.hosts and cut.how in ("drop", "reset"):
                rules += self._rules(cut, host)
        # One transaction: the filter is never seen half made.
        return (f"table inet {FILTER_TABLE}\n"
                f"delete table inet {FILTER_TABLE}\n"
                f"table inet {FILTER_TABLE} {{\n"
                "  chain arriving { type filter hook input priority 0; policy accept;\n"
                + "".join(f"    {rule}\n" for rule in rules) + "  }\n}\n")

    def _filter(self, host):
        subprocess.run(["ip", "netns", "exec", host.namespace, "nft", "-f", "-"],
                       input=self._script(host), text=True, check=True)

    def _rules(self, cut, host):
        match = f"iifname {NETWORKS[cut.network][0]}"
        if cut.peers:
            senders = [self._host(name).address(cut.network) for name in cut.peers
                       if name != host.name]
            match += f" ip saddr {{ {', '.join(senders)} }}"
        if cut.how == "drop":
            tcp, rest = "drop", [f"{match} drop"]
        else:
            # The reset that answers must itself get through the peer's filter.
            tcp = "tcp flags & rst != rst reject with tcp reset"
            rest = [f"{match} meta l4proto != tcp drop"]
        if cut.port is None:
            return [f"{match} meta l4proto tcp {tcp}"] + rest
        return [f"{match} tcp {end} {cut.port} {tcp}" for end in ("dport", "sport")]

    def rules(self, host):
        """What the host's filter and interfaces look like now, for a person."""
        filters = process.run(["ip", "netns", "exec", host.namespace, "nft", "list", "ruleset"],
                              check=False)
        links = process.run(["ip", "-n", host.namespace, "-br", "addr"], check=False)
        return filters.stdout + links.stdout
