#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What stock libvirt leaves of dirty bitmaps, whatever happens to a migration: `./run bitmaps`.

Runs the cells of holdfast_lab/bitmap_matrix.py with HOLDFAST=off, and writes what came of each into
bitmaps-stock.json, from which docs/bitmaps-stock.md is made (`REGENERATE=1`, tests/style).
"""
import argparse
import json
import os
import re
import sys

from holdfast_lab import Lab, late
from holdfast_lab.bitmap_matrix import CELLS
from holdfast_lab.bitmap_stock import Observation

RECORD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bitmaps-stock.json")


def read():
    try:
        with open(RECORD, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {"libvirt": "", "QEMU": "", "cells": {}}


def write(record):
    order = {cell.id: number for number, cell in enumerate(CELLS)}
    record["cells"] = dict(sorted((item for item in record["cells"].items() if item[0] in order),
                                  key=lambda item: order[item[0]]))
    with open(f"{RECORD}.new", "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
        file.write("\n")
    os.rename(f"{RECORD}.new", RECORD)


def versions(host):
    text = host.virsh("version", "--daemon").stdout
    return {"libvirt": re.search(r"Running against daemon: (\S+)", text)[1],
            "QEMU": re.search(r"Running hypervisor: QEMU (\S+)", text)[1]}


def observe(lab, cell):
    """-> what came of it, or None when the migration could not be brought to the point."""
    begun = lab.now()
    try:
        lab.reset()
        found = Observation(lab, cell).run()
    except Exception as error:  # one cell must not cost the others
        print(f"{cell.id}: not recorded: {error}", flush=True)
        return None
    print(f"{cell.id}: {', '.join([*found.values()][:3])} {found['notes']} "
          f"({lab.now() - begun:.0f} s)", flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(prog="run bitmaps", description=__doc__)
    parser.add_argument("cells", nargs="*", metavar="PATTERN", help="only cells whose name matches")
    options = parser.parse_args()
    chosen = [cell for cell in CELLS if not options.cells or
              any(re.search(pattern, cell.id) for pattern in options.cells)]
    failed = 0
    with Lab(env={"HOLDFAST": "off", **late.environment()}) as lab:
        for cell in chosen:
            found = observe(lab, cell)
            failed += found is None
            if found:
                record = read()
                record.update(versions(lab.a))
                record["cells"][cell.id] = found
                write(record)
    print(f"{len(chosen) - failed} recorded, {failed} not")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
