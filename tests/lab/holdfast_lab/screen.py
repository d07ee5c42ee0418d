# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a person sees of a program that takes its time: aligned lines, colour and a line of progress
where there is a terminal, plain text where there is none.

Any thread may print. A reader that goes away (`./run demo | head`) ends the program as Ctrl-C does.
"""
import contextlib
import os
import shutil
import signal
import sys
import textwrap
import threading
import time

MAX_COLUMNS = 110
TERMINAL_TICK_SECONDS = 0.2
FILE_TICK_SECONDS = 5  # without a terminal a sign of life is a whole line

STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34",
          "cyan": "36"}


class Screen:
    def __init__(self, stream=None):
        self._stream = stream or sys.stdout
        self._is_terminal = self._stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._has_colour = self._is_terminal and not os.environ.get("NO_COLOR")
        self._lock = threading.Lock()
        self._status = ""

    @property
    def columns(self):
        wide = shutil.get_terminal_size((MAX_COLUMNS, 24)).columns if self._is_terminal else 9999
        return min(wide, MAX_COLUMNS)

    def paint(self, style, text):
        return f"\033[{STYLES[style]}m{text}\033[0m" if style and self._has_colour else text

    def line(self, text=""):
        with self._lock:
            self._write(self._erase() + text + "\n" + self._status)

    def heading(self, text):
        self.line()
        self.line(self.paint("bold", text))

    def paragraph(self, text):
        for line in textwrap.wrap(" ".join(text.split()), self.columns - 1):
            self.line(line)

    @contextlib.contextmanager
    def progress(self, text):
        """Shows that something goes on, and for how long, while the block runs."""
        over = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(text, over), daemon=True)
        ticker.start()
        try:
            yield
        finally:
            over.set()
            ticker.join()

    def _tick(self, text, over):
        started = time.monotonic()
        while not over.wait(TERMINAL_TICK_SECONDS if self._is_terminal else FILE_TICK_SECONDS):
            passed = f"    ... {text}, {time.monotonic() - started:.0f} s"
            if self._is_terminal:
                self._set_status(self.paint("dim", passed[:self.columns - 1]))
            else:
                self.line(passed)
        self._set_status("")

    def _set_status(self, text):
        with self._lock:
            if text != self._status:
                self._write(self._erase() + text)
                self._status = text

    def _erase(self):
        return "\r\033[K" if self._status else ""

    def _write(self, text):
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            self._stream = open(os.devnull, "w", encoding="ascii")
            os.dup2(self._stream.fileno(), sys.stdout.fileno())
            os.kill(os.getpid(), signal.SIGTERM)
