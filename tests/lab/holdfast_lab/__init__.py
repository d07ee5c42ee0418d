# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two or three real libvirt hosts on one machine, a real guest, and every fault between them.

    with Lab() as lab:
        guest = lab.guest()
        guest.start(lab.a)
        migration = lab.postcopy(lab.a, lab.b)
        lab.net.cut("migration")
        ...

The vocabulary is listed in tests/lab/README.md.
"""
from .lab import Lab, LabError
from .wait import WaitTimeout, wait

__all__ = ["Lab", "LabError", "WaitTimeout", "wait"]
