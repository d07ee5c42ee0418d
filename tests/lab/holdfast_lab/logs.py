# SPDX-License-Identifier: LGPL-2.1-or-later
"""Files that grow while the lab runs, and what the daemon's log says about QMP."""
import datetime
import json
import re
import threading
import time


class Tail:
    """A file read as it grows. `poll` gives every whole line so far as (time seen, text).

    Any thread may ask.
    """

    def __init__(self, path):
        self.path = path
        self.lines = []
        self._position = 0
        self._rest = b""
        self._lock = threading.RLock()

    def poll(self):
        with self._lock:
            try:
                with open(self.path, "rb") as f:
                    f.seek(self._position)
                    data = f.read()
            except FileNotFoundError:
                return self.lines
            self._position += len(data)
            *whole, self._rest = (self._rest + data).split(b"\n")
            now = time.time()
            self.lines += [(now, line.decode(errors="replace").rstrip("\r")) for line in whole]
            return self.lines

    def restart(self):
        """Forgets everything; for a file that begins anew."""
        with self._lock:
            self.lines, self._position, self._rest = [], 0, b""


class Records(Tail):
    """A file with a JSON object a line; each is read once, however often it is asked for."""

    def __init__(self, path):
        super().__init__(path)
        self._parsed = []

    def all(self):
        with self._lock:
            lines = self.poll()
            self._parsed += [json.loads(text) for _, text in lines[len(self._parsed):]]
            return self._parsed


# 2025-11-21 22:07:03.123+0000: 1234: info : qemuMonitorJSONIOProcessLine:209 : text
LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d{4}): (\d+): (\w+) : (.*)")
QMP = re.compile(r"QEMU_MONITOR_(RECV_EVENT|RECV_REPLY|SEND_MSG): mon=\S+ "
                 r"(?:event|reply|msg)=(\{.*\})")
KINDS = {"RECV_EVENT": "event", "RECV_REPLY": "reply", "SEND_MSG": "send"}


class DaemonLog(Tail):
    """A libvirt daemon's log, with the times that are in it."""

    def __init__(self, path):
        super().__init__(path)
        self._parsed = []
        self._qmp = []

    def _parse(self):
        with self._lock:
            for _, text in self.poll()[len(self._parsed):]:
                self._parse_line(text)

    def _parse_line(self, text):
        match = LINE.match(text)
        if not match:
            previous = self._parsed[-1][0] if self._parsed else 0.0
            self._parsed.append((previous, "", text))
            return
        stamp, _, level, message = match.groups()
        when = datetime.datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S.%f%z").timestamp()
        self._parsed.append((when, level, message))
        self._parse_qmp(when, message)

    def _parse_qmp(self, when, message):
        found = QMP.search(message)
        if not found:
            return
        text = found[2].split("\\r\\n")[0]
        try:
            self._qmp.append((when, KINDS[found[1]], json.loads(text)))
        except ValueError:
            self._qmp.append((when, KINDS[found[1]], {"unparsed": text}))

    def entries(self, since=0.0, levels=None):
        """[(time, level, message)]"""
        self._parse()
        return [e for e in self._parsed if e[0] >= since and (levels is None or e[1] in levels)]

    def qmp(self, since=0.0):
        """[(time, 'event'|'reply'|'send', dictionary)]"""
        self._parse()
        return [entry for entry in self._qmp if entry[0] >= since]
