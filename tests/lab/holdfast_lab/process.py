# SPDX-License-Identifier: LGPL-2.1-or-later
"""Processes: looking at them, faults on them, and running commands with every line's time."""
import dataclasses
import os
import pty
import signal
import subprocess
import threading
import time

from .wait import wait


def _stat(pid):
    """(state, start time) of a process, or None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], fields[19]


def start_time(pid):
    """Tells a process from a later one with the same pid."""
    found = _stat(pid)
    return found[1] if found else None


def name(pid):
    """The program's, shortened as the kernel does; '' if it is gone."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as f:
            return f.read().strip()
    except OSError:
        return ""


def alive(pid):
    """Also one whose first thread alone has ended, of a kill say: what it has open, locked and
    listens on is free when its last thread has."""
    found = _stat(pid)
    if found is None or found[0] == "X":
        return False
    try:
        return found[0] != "Z" or len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:
        return False


def pids_in_network_namespace(path):
    """Every process whose network namespace is the one bound to `path`."""
    try:
        wanted = os.stat(path)
    except OSError:
        return []
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            have = os.stat(f"/proc/{pid}/ns/net")
        except OSError:
            continue
        if (have.st_ino, have.st_dev) == (wanted.st_ino, wanted.st_dev):
            found.append(int(pid))
    return found


class Process:
    """A process a fault can be done to: a daemon, a QEMU. `what` names it in messages."""

    def __init__(self, pid, what):
        self.pid = pid
        self.what = what

    @property
    def alive(self):
        return alive(self.pid)

    @property
    def state(self):
        """Of its first thread, a letter of proc(5); X: gone."""
        return (_stat(self.pid) or "X")[0]

    @property
    def stopped(self):
        """By SIGSTOP, or gone."""
        return self.state in "TX"

    def send(self, number):
        os.kill(self.pid, number)

    def stop(self):
        """SIGSTOP; returns when every thread has stopped."""
        self.send(signal.SIGSTOP)
        wait(lambda: self.stopped, 10, f"{self.what} stopped")

    def cont(self):
        """SIGCONT."""
        self.send(signal.SIGCONT)

    def kill(self, number=signal.SIGKILL, timeout=60):
        """Sends the signal and waits until the process is gone."""
        try:
            self.send(number)
        except ProcessLookupError:
            return
        wait(lambda: not self.alive, timeout, f"{self.what} (pid {self.pid}) gone")


@dataclasses.dataclass
class Result:
    """What a command said. Prints as a person would want to read it in a failure."""
    command: list
    returncode: int
    stdout: str
    stderr: str

    @property
    def ok(self):
        return self.returncode == 0

    def __str__(self):
        return f"$ {' '.join(self.command)}\n{self.stdout}{self.stderr}(exit {self.returncode})"


class CommandFailed(AssertionError):
    pass


def run(command, timeout=30, check=True, **options):
    """Runs a command to its end. A command that outlasts `timeout` is killed and has failed.

    It has no terminal: virsh would start a polkit agent there, and Ctrl-C is for the lab alone.
    """
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=timeout, check=False,
                              start_new_session=True, **options)
        result = Result(command, done.returncode, done.stdout, done.stderr)
    except subprocess.TimeoutExpired as late:
        text = (late.stdout or b"").decode(errors="replace")
        result = Result(command, -1, text, f"killed: not done after {timeout} s\n")
    if check and not result.ok:
        raise CommandFailed(str(result))
    return result


class Background:
    """A command that runs while the scenario goes on. `lines` holds (time, text) as they come.

    With `with_terminal` it has a pseudo terminal of its own, which virsh needs to hear
    Ctrl-C; `terminal` is our end of it.
    """

    def __init__(self, command, label, with_terminal=False):
        self.command = command
        self.label = label
        self.lines = []
        self.started = time.time()
        self.ended = None
        self.terminal = None
        if with_terminal:
            self.terminal, slave = pty.openpty()
            self._popen = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave,
                                           preexec_fn=self._take_terminal)
            os.close(slave)
            output = self.terminal
        else:
            self._popen = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                           start_new_session=True)
            output = self._popen.stdout.fileno()
        self._reader = threading.Thread(target=self._read, args=(output,), daemon=True)
        self._reader.start()

    @staticmethod
    def _take_terminal():
        os.setsid()
        fd = os.open(os.ttyname(0), os.O_RDWR)  # the first terminal opened is the controlling one
        os.close(fd)

    def _read(self, fd):
        rest = b""
        while True:
            try:
                data = os.read(fd, 4096)
            except OSError:  # EIO: the terminal's other end is closed
                data = b""
            if not data:
                break
            *whole, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
            self._keep(whole)
        self._keep([rest])
        self._popen.wait()
        self.ended = time.time()

    def _keep(self, lines):
        now = time.time()
        self.lines += [(now, line.decode(errors="replace")) for line in lines if line.strip()]

    @property
    def output(self):
        return "".join(text + "\n" for _, text in self.lines)

    @property
    def done(self):
        return self.ended is not None

    @property
    def returncode(self):
        """None while it runs."""
        return self._popen.returncode if self.done else None

    @property
    def seconds(self):
        return (self.ended or time.time()) - self.started

    def wait(self, timeout=120):
        """Waits for the end, whatever it is. Returns itself."""
        wait(lambda: self.done, timeout, lambda: f"the end of: {self}")
        return self

    def succeed(self, timeout=120):
        """Waits for an end that must be 0."""
        self.wait(timeout)
        assert self.returncode == 0, str(self)
        return self

    def fail(self, timeout=120):
        """Waits for an end that must not be 0."""
        self.wait(timeout)
        assert self.returncode != 0, str(self)
        return self

    def type(self, data):
        """Types on its terminal."""
        os.write(self.terminal, data)

    def interrupt(self):
        """Ctrl-C on its terminal; SIGINT without one."""
        if self.terminal is None:
            self._popen.send_signal(signal.SIGINT)
        else:
            self.type(b"\x03")

    def send(self, number):
        if not self.done:
            self._popen.send_signal(number)

    def close(self):
        """Ends it if need be."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGKILL)
        self._reader.join(10)
        if self.terminal is not None:
            os.close(self.terminal)
            self.terminal = None

    def __str__(self):
        state = f"exit {self.returncode}" if self.done else "still running"
        return f"$ {' '.join(self.command)}\n{self.output}({state}, {self.seconds:.1f} s)"
