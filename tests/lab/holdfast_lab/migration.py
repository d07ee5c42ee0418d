# SPDX-License-Identifier: LGPL-2.1-or-later
"""A `virsh migrate` on its way."""
import termios

from .process import Background
from .wait import wait


class Migration(Background):
    """`source` and `destination` are hosts; states are those since it was started."""

    def __init__(self, command, source, destination, terminal=False):
        super().__init__(command, f"virsh on {source.name}", terminal)
        self.source = source
        self.destination = destination
        self.since = int(self.started * 1000) / 1000  # logs have milliseconds

    def states(self, host):
        """[(time, status)] of QEMU on this host."""
        return host.migration_states(self.since)

    def status(self, host):
        """The latest, or None."""
        states = self.states(host)
        return states[-1][1] if states else None

    def wait_status(self, status, timeout=60, hosts=None, since=0.0):
        """Waits until QEMU on both hosts (or on `hosts`) has reached a status, later than
        `since`. It may have gone on from there. Returns {host: time of its last arrival}."""
        hosts = hosts or (self.source, self.destination)
        reached = {}

        def seen():
            over = self.done  # asked first: what it did is then in the logs
            for host in hosts:
                times = [when for when, state in self.states(host)
                         if state == status and when >= since]
                if times:
                    reached[host] = times[-1]
            if len(reached) < len(hosts) and over and self._was_last_chance(status):
                raise AssertionError(f"ended without {status}; {self._describe(hosts)}\n{self}")
            return len(reached) == len(hosts)
        wait(seen, timeout, lambda: f"{status}; {self._describe(hosts)}\n{self}")
        return reached

    def interrupt(self):
        """Ctrl-C. virsh hears it only on a terminal, and loses one typed before it has noticed
        that the job has started (virshWatchProgress in virsh-domain.c, half a second)."""
        if self.terminal is not None:
            wait(lambda: self.done or termios.tcgetattr(self.terminal)[6][termios.VINTR] == b"\0",
                 30, f"virsh to listen for Ctrl-C: {self}")
        super().interrupt()

    def _was_last_chance(self, status):
        """After virsh has ended nothing but completion or a recovery can come."""
        return status in ("setup", "active", "pre-switchover", "device", "postcopy-active")

    def count(self, status, host):
        """How often QEMU on this host came to this status."""
        return sum(state == status for _, state in self.states(host))

    def _describe(self, hosts):
        return "; ".join(f"{host.name} went " + " ".join(s for _, s in self.states(host))
                         for host in hosts)
