# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host's long-running processes, the libvirt daemon and the system bus, and faults on them."""
import contextlib
import os
import subprocess
import sys

from . import init, process
from .process import Process
from .wait import wait


class Daemon:
    """A host's long-running process that can be broken and started again."""

    def __init__(self, host, label, command, env, check_ready):
        self.host = host
        self.label = label  # "libvirt" or "dbus", as the recorder calls them
        self.command = list(command)
        self.env = dict(env)
        self._check_ready = check_ready
        self._init = None
        self._output = f"/var/log/libvirt/{label}.out"
        self._pid_file = f"/run/lab-{label}.pid"

    @property
    def process(self):
        return Process(int(self.host.read(self._pid_file)), f"{self.label} on {self.host.name}")

    @property
    def pid(self):
        return self.process.pid

    @property
    def alive(self):
        return os.path.exists(self.host.path(self._pid_file)) and self.process.alive

    def start(self, wait_ready=True, **env):
        """Starts it, with `env` on top of the host's own. Returns when it serves."""
        self.env.update(env)
        connections = self.host.recorder_connections(self.label)
        self._launch()
        if wait_ready:
            self.wait_ready()
            # No event that follows is missed.
            wait(lambda: self.host.recorder is None
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
                                     + self.host.read(self._output)[-2000:])

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

    def terminate(self, timeout=60):
        """SIGTERM, and waits for the end."""
        self.process.kill(15, timeout)

    def kill(self):
        """SIGKILL, and waits for the end."""
        self.process.kill()

    def restart(self, hard=False, **env):
        """Ends it, by SIGTERM or by SIGKILL, and starts it again."""
        if self.alive:
            self.process.cont()
            if hard:
                self.kill()
            else:
                self.terminate()
        self.start(**env)
