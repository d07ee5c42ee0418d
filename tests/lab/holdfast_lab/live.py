# SPDX-License-Identifier: LGPL-2.1-or-later
"""What happens in a lab, told while it happens: virsh, the buses of the hosts, the guest.

A Live has sources. Each gives, whenever it is polled, what is new as Moments; a thread polls all of
them and prints what it got in the order in which it happened. The lab's own timeline (bundle.py)
tells everything, afterwards, to who looks for a fault; this one tells the story.
"""
import dataclasses
import shlex
import textwrap
import threading
import time

POLL_SECONDS = 0.1
# So old is what is printed: by then every source has told what came before it.
SETTLE_SECONDS = 0.25
SILENCE_SECONDS = 1.0  # the guest's heart beats five times a second
BEATS_SECONDS = 3.0    # a line for so much of an even beat

WHERE_COLUMNS = 8
WHAT_COLUMNS = 6
TEXT_COLUMN = 10 + WHERE_COLUMNS + 1 + WHAT_COLUMNS + 1


@dataclasses.dataclass(order=True)
class Moment:
    when: float
    where: str
    what: str
    text: str
    style: str = ""


class Command:
    """The lines of a background command and its end."""

    def __init__(self, background, host, words):
        self._background = background
        self._where = f"host {host.name}"
        self._told = 0
        self._pending = [self._moment(background.started, f"$ {shlex.join(words)}", "cyan")]
        self._is_over = False

    def _moment(self, when, text, style=""):
        return Moment(when, self._where, "virsh", text, style)

    def poll(self):
        done = self._background.done  # asked first: then its lines are all there
        lines = self._background.lines[self._told:]
        self._told += len(lines)
        new = self._pending + [self._moment(when, text, "red" if text.startswith("error:") else "")
                               for when, text in lines]
        self._pending = []
        if done and not self._is_over:
            self._is_over = True
            code, took = self._background.returncode, self._background.seconds
            new.append(self._moment(self._background.ended, f"exit code {code} after {took:.1f} s",
                                    "red" if code else "green"))
        return new


class Bus:
    """The sessions' signals on a host's bus."""

    def __init__(self, host, since):
        self._host = host
        self._since = since
        self._told = 0

    def poll(self):
        signals = self._host.dbus_signals("org.holdfast.Migration1.Session", since=self._since)
        new = [Moment(signal["time"], f"host {self._host.name}", "D-Bus", *self._tell(signal))
               for signal in signals[self._told:]]
        self._told = len(signals)
        return [moment for moment in new if moment.text]

    @staticmethod
    def _tell(signal):
        member, args = signal["member"], signal["args"]
        if member == "StateChanged":
            before, after, reason = args
            return f"{before} -> {after}" + f" ({reason})" * bool(reason), "dim"
        if member == "Paused":
            return f"Paused: reason {args[0]}", "yellow"
        if member == "Recovered":
            return f"Recovered: after {args[0] / 1e6:.2f} s", "green"
        if member == "Finished":
            message = f", {args[1]}" if args[1] else ""
            return f"Finished: {args[0]}{message}", "green" if args[0] == "completed" else "red"
        return "", ""


class Heart:
    """The guest's heartbeats: where it runs, and when it stands still."""

    def __init__(self, guest, hosts):
        self._guest = guest
        self._told = {host.name: 0 for host in hosts}
        self._hosts = hosts
        self._host = None       # where it beat last
        self._last = None       # (time, number) of the latest beat
        self._group_start = None  # the first beat that no line has been printed for
        self._is_silent = False

    def poll(self):
        new = []
        for when, host, number in self._beats():
            new += self._beat(when, host, number)
        return new + self._silence(time.time())

    def _beats(self):
        beats = []
        for host in self._hosts:
            seen = self._guest.heartbeats(host)
            beats += [(when, host.name, beat["seq"]) for when, beat in seen[self._told[host.name]:]]
            self._told[host.name] = len(seen)
        return sorted(beats, key=lambda beat: beat[2])

    def _moment(self, when, text, style="blue"):
        return Moment(when, f"host {self._host}", "guest", text, style)

    def _beat(self, when, host, number):
        new = []
        gap = when - self._last[0] if self._last else 0
        moves = host != self._host
        if (moves or gap > SILENCE_SECONDS) and self._last:
            new += self._group()
        self._host, self._last = host, (when, number)
        if moves or gap > SILENCE_SECONDS:
            text = f"heartbeat {number}"
            text += ": it runs here now" if moves else ": it runs on"
            text += f", after {gap:.1f} s of silence" if gap > SILENCE_SECONDS else ""
            new.append(self._moment(when, text))
        elif self._group_start is None:
            self._group_start = self._last
        elif when - self._group_start[0] >= BEATS_SECONDS:
            new += self._group()
        self._is_silent = False
        return new

    def _group(self):
        """The beats since the last line, as one."""
        beats = self._ungrouped()
        return [self._moment(self._last[0], beats)] if beats else []

    def _ungrouped(self):
        start, self._group_start = self._group_start, None
        if start is None:
            return ""
        if start == self._last:
            return f"heartbeat {start[1]}"
        return f"heartbeats {start[1]} to {self._last[1]}"

    def _silence(self, now):
        if not self._last or self._is_silent or now - self._last[0] < SILENCE_SECONDS:
            return []
        self._is_silent = True
        beats = self._ungrouped() or f"heartbeat {self._last[1]}"
        return [self._moment(self._last[0] + SILENCE_SECONDS,
                             f"{beats}, then silence: it waits for memory that is not here yet")]


class Live:
    """Prints moments on a screen from `start` to `stop`; times count from the last `begin`."""

    def __init__(self, screen):
        self._screen = screen
        self._sources = []
        self._moments = []
        self._zero = time.time()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def begin(self):
        """A new chapter: what there is is printed, and the time counts from now."""
        self.flush()
        self._zero = time.time()

    def add(self, source):
        with self._lock:
            self._sources.append(source)
        return source

    def remove(self, *sources):
        with self._lock:
            self._sources = [source for source in self._sources if source not in sources]

    def tell(self, where, what, text, style="", when=None):
        """A moment of the story's own."""
        with self._lock:
            self._moments.append(Moment(when or time.time(), where, what, text, style))

    def flush(self):
        """Prints all that has happened before now."""
        self._print(time.time())

    def _run(self):
        while not self._over.wait(POLL_SECONDS):
            self._print(time.time() - SETTLE_SECONDS)
        self.flush()

    def _print(self, until):
        with self._lock:
            for source in self._sources:
                self._moments += source.poll()
            self._moments.sort(key=lambda moment: moment.when)
            while self._moments and self._moments[0].when <= until:
                self._print_one(self._moments.pop(0))

    def _print_one(self, moment):
        text = textwrap.wrap(moment.text, max(self._screen.columns - TEXT_COLUMN - 1, 40),
                             break_long_words=False, break_on_hyphens=False)
        head = (f"{moment.when - self._zero:8.2f}  {moment.where:<{WHERE_COLUMNS}} "
                f"{moment.what:<{WHAT_COLUMNS}} ")
        for line in text:
            self._screen.line(head + self._screen.paint(moment.style, line))
            head = " " * (TEXT_COLUMN + 2)  # of a line that goes on
