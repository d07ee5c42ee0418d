# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host's long-running processes, the libvirt daemon and the system bus, and faults on them."""
import contextlib
import os
import re
import signal
import subprocess
import sys
import time

from . import init, process
from .process import Process
from .wait import wait


class Ending:
    """How a daemon's process has ended. `asked` is the signal that the lab sent it, or None, and
    `seconds` how long it took over that."""

    def __init__(self, when, status, asked, seconds):
        self.when = when
        self.asked = asked
        self.seconds = seconds
        self._status = status

    @property
    def was_asked_for(self):
        """SIGKILL ends it anyhow; after SIGTERM it tidies up and leaves with 0."""
        return self.asked == signal.SIGKILL or (self.asked == signal.SIGTERM and not self._status)

    def __str__(self):
        how = (f"was killed by signal {os.WTERMSIG(self._status)}"
               if os.WIFSIGNALED(self._status) else f"left with {os.WEXITSTATUS(self._status)}")
        return how + (f" after {signal.Signals(self.asked).name}" if self.asked else " by itself")


class Daemon:
    """A host's long-running process that can be broken and started again."""

    def __init__(self, host, label, command, env, check_ready, recorded=True):
        self.host = host
        self.label = label  # "libvirt" or "dbus", as the recorder calls them
        self._recorded = recorded  # the recorder connects to it
        self.proxy = None  # without which it does not serve other hosts
        self.command = list(command)
        self.env = dict(env)
        self._check_ready = check_ready
        self._init = None
        self._output = f"/var/log/libvirt/{label}.out"
        self._pid_file = f"/run/lab-{label}.pid"
        self._asked = {}  # pid -> (signal, seconds until it was gone)

    @property
    def process(self):
        return Process(int(self.host.read(self._pid_file)), f"{self.label} on {self.host.name}")

    @property
    def pid(self):
        return self.process.pid

    @property
    def alive(self):
        return os.path.exists(self.host.path(self._pid_file)) and self.process.alive

    def _ended_file(self):
        """[(when, pid, status)] of its processes, as init.py has written them down."""
        lines = self.host.read(f"{self._pid_file}.ended").splitlines()
        return [(float(when), int(pid), int(status)) for when, pid, status in map(str.split, lines)]

    def endings(self, since=0.0):
        """Every end of one of its processes, as [Ending]."""
        return [Ending(when, status, *self._asked.get(pid, (None, None)))
                for when, pid, status in self._ended_file() if when >= since]

    @property
    def last_end_is_known(self):
        return any(pid == self.pid for _, pid, _ in self._ended_file())

    @property
    def printed(self):
        """What its processes have written to stdout and stderr."""
        return self.host.read(self._output)

    @property
    def program(self):
        """Of a libvirt daemon. The command may be the dynamic linker's, with a sanitizer."""
        return next(word for word in self.command
                    if re.fullmatch(r"(lib)?virt\w*d", os.path.basename(word)))

    @property
    def server(self):
        """libvirtd or virtqemud: so are its files named, and virt-admin knows it by that."""
        return os.path.basename(self.program)

    def start(self, wait_ready=True, **env):
        """Starts it, with `env` on top of the host's own. Returns when it serves."""
        self.env.update(env)
        if self.proxy and not self.proxy.alive:
            self.proxy.start(wait_ready)
        connections = self.host.recorder_connections(self.label)
        self._launch()
        if wait_ready:
            self.wait_ready()
            # No event that follows is missed.
            wait(lambda: self.host.recorder is None or not self._recorded
                 or self.host.recorder_connections(self.label) > connections, 60,
                 f"the recorder on {self.label} of {self.host.name} again")

    def _launch(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.host.path(self._pid_file))
        with open(self.host.path(self._output), "ab") as output:
            self._init = subprocess.Popen(
                [*self.host.enter, sys.executable, "-I", "-S", init.__file__, self._pid_file,
                 *self.command], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, env={**os.environ, **self.env})

        def launched():
            if self._init.poll() is not None:
                raise self._ended()
            return os.path.exists(self.host.path(self._pid_file))
        wait(launched, 20, f"{self.label} on {self.host.name} launched")

    def _ended(self):
        return process.CommandFailed(f"{self.label} on {self.host.name} ended: "
                                     + self.printed[-2000:])

    def wait_ready(self, timeout=60):
        def ready():
            if not self.alive:
                raise self._ended()
            return self._check_ready()
        wait(ready, timeout, f"{self.label} on {self.host.name} ready")

    def stop(self):
        """Stops it with SIGSTOP: it is there, and silent."""
        self.process.stop()

    def cont(self):
        self.process.cont()

    def _end(self, number, timeout):
        daemon = self.process
        begun = time.monotonic()
        self._asked[daemon.pid] = (number, 0.0)  # also if it takes too long
        daemon.kill(number, timeout)
        self._asked[daemon.pid] = (number, time.monotonic() - begun)

    def terminate(self, timeout=60):
        """SIGTERM, and waits for the end."""
        self._end(signal.SIGTERM, timeout)

    def kill(self):
        """SIGKILL, and waits for the end."""
        self._end(signal.SIGKILL, 60)

    def restart(self, hard=False, **env):
        """Ends it, by SIGTERM or by SIGKILL, and starts it again."""
        if self.alive:
            self.process.cont()
            if hard:
                self.kill()
            else:
                self.terminate()
        self.start(**env)
