# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a test program's cases and says how they went, in TAP, for meson.

A case is a function whose name starts with test_, or whatever is given to main() as (name,
function) pairs. It fails by raising, and is skipped by raising Skip.
"""

import sys
import traceback


class Skip(Exception):
    """Raised by a case that cannot run here; the message says why."""


def cases_of(namespace):
    """The test_ functions of a module's globals(), in the order they were written."""
    return [(name.removeprefix('test_').replace('_', '-'), function)
            for name, function in namespace.items()
            if name.startswith('test_') and callable(function)]


def main(cases):
    """Runs every case, each by itself, and ends the process: 1 when one failed."""
    failed = 0
    print(f'1..{len(cases)}', flush=True)
    for number, (name, function) in enumerate(cases, 1):
        try:
            function()
            print(f'ok {number} {name}', flush=True)
        except Skip as reason:
            print(f'ok {number} {name} # SKIP {reason}', flush=True)
        except Exception:
            failed += 1
            print(f'not ok {number} {name}', flush=True)
            traceback.print_exc()
    sys.exit(1 if failed else 0)
