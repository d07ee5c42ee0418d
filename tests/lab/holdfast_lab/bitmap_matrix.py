# SPDX-License-Identifier: LGPL-2.1-or-later
"""What may happen to a migration of a guest that has a checkpoint, and what an incremental backup
is then worth: a table, and nothing but that, so that it can be read by whoever makes documents of
it. bitmap_cells.py does what it says.

Points of a migration:

  precopy         memory is copied
  pre-switchover  the guest is stopped, nothing of it has been given up; libvirt has not yet heard
  device          precopy: the source has given its images up, the destination reads the last of it
  arrived         the destination has everything it needs, and was not told to run
  running         it runs there and has written nothing since; the answer to the source is lost
  written         ... and has written to its disk

There is no `device` in postcopy: QEMU sends the state of the devices as one package and goes on, so
that the next point is `arrived`. So it is, too, when the destination refuses that state; in precopy
that is in `device`. And there is no `arrived` with copied storage whose QEMU is killed that differs
from `running`: both have had the bitmaps on the stream; it is here all the same.

A cut of the network in postcopy comes before the bitmaps, which QEMU sends when the memory has
been: `network-cut`. `operators-pause` is in the midst of them.
"""
import dataclasses
import re

SHARED, COPIED = "shared", "copied"
PRECOPY, POSTCOPY = "precopy", "postcopy"

# The guest, when all is over: it has never stopped, or has to be started anew (on a).
LIVES_AT_A, LIVES_AT_B, LOST = "runs at the source", "runs at the destination", "lost"

# An incremental backup, laid over the full one: it is the disk, and has copied what was written and
# no more; and has copied more; or libvirt says that it cannot be made. Or it is not the disk, and
# nobody says so.
EXACT, SUPERSET, REFUSED, WRONG = "exact", "superset", "refused", "silently wrong"


@dataclasses.dataclass(frozen=True)
class Cell:
    storage: str
    mode: str
    event: str
    point: str   # of the migration at which it happens, or ""
    guest: str
    backup: str  # with Holdfast
    each_time: bool = True
    missing: str = ""  # why it is not so yet

    @property
    def what(self):
        return f"{self.event}-{self.point}" if self.point else self.event

    @property
    def id(self):
        return f"{self.storage}-{self.mode}-{self.what}"

    @property
    def host(self):
        """Where the backup is made."""
        return "b" if self.guest == LIVES_AT_B else "a"


# (event, point, modes, guest, backup with shared storage, with copied storage).
# A guest that has run at the destination is lost with it; one that was not told to run lives.
BOTH = (PRECOPY, POSTCOPY)
ROWS = [
    ("success", "", BOTH, LIVES_AT_B, EXACT, EXACT),
    ("cancel", "precopy", BOTH, LIVES_AT_A, EXACT, EXACT),
    ("cancel", "pre-switchover", BOTH, LIVES_AT_A, EXACT, EXACT),
    ("qemu-killed", "pre-switchover", BOTH, LIVES_AT_A, EXACT, EXACT),
    ("qemu-killed", "device", (PRECOPY,), LIVES_AT_A, EXACT, EXACT),
    ("qemu-killed", "arrived", BOTH, LIVES_AT_A, EXACT, EXACT),
    ("qemu-killed", "running", BOTH, LOST, REFUSED, REFUSED),
    ("qemu-killed", "written", BOTH, LOST, REFUSED, REFUSED),
    ("daemon-killed", "pre-switchover", BOTH, LIVES_AT_A, EXACT, EXACT),
    ("daemon-killed", "device", (PRECOPY,), LIVES_AT_A, EXACT, EXACT),
    ("daemon-killed", "arrived", (PRECOPY,), LIVES_AT_A, EXACT, EXACT),
    ("daemon-killed", "arrived", (POSTCOPY,), LIVES_AT_B, EXACT, EXACT),
    ("daemon-killed", "running", BOTH, LIVES_AT_B, EXACT, EXACT),
    ("daemon-killed", "written", BOTH, LIVES_AT_B, EXACT, EXACT),
    ("state-refused", "", BOTH, LIVES_AT_A, EXACT, EXACT),
    ("network-cut", "precopy", BOTH, LIVES_AT_A, EXACT, EXACT),
    ("network-cut", "device", (PRECOPY,), LIVES_AT_A, EXACT, EXACT),
    ("network-cut", "", (POSTCOPY,), LIVES_AT_B, EXACT, EXACT),
    ("operators-pause", "", (POSTCOPY,), LIVES_AT_B, EXACT, EXACT),
    ("source-daemon-restarted", "", (PRECOPY,), LIVES_AT_A, EXACT, EXACT),
    ("source-daemon-restarted", "", (POSTCOPY,), LIVES_AT_B, EXACT, EXACT),
]

# Cells that are run when all are asked for: the code that each goes through another one goes through
# each time, with the other storage, in the other mode or at the next point.
NOT_EACH_TIME = re.compile(
    ".*-postcopy-(cancel-.*|network-cut-precopy|.*-killed-pre-switchover|qemu-killed-running)|"
    ".*-network-cut-device|.*-postcopy-state-refused|shared-precopy-state-refused|"
    ".*-daemon-killed-running|.*-postcopy-daemon-killed-arrived|"
    "shared-precopy-(.*-killed-device|.*-killed-pre-switchover|source-daemon-restarted)|"
    # test_bitmaps.py has them, too
    "copied-precopy-(cancel-precopy|source-daemon-restarted)|"
    "copied-precopy-(qemu-killed-running|daemon-killed-arrived|daemon-killed-device)|"
    "copied-postcopy-source-daemon-restarted")

# What is not so yet: {a cell's id: why}.
MISSING = {}


def _cells():
    for storage in (SHARED, COPIED):
        for event, point, modes, guest, shared, copied in ROWS:
            for mode in modes:
                cell = Cell(storage, mode, event, point, guest,
                            shared if storage == SHARED else copied)
                yield dataclasses.replace(
                    cell, each_time=not NOT_EACH_TIME.fullmatch(cell.id),
                    missing=MISSING.get(cell.id, ""))


CELLS = list(_cells())
