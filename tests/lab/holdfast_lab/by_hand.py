# SPDX-License-Identifier: LGPL-2.1-or-later
"""A recovery by the best script over stock libvirt that we can think of.

It knows at once when the network is cut and when it is back. It pauses the source in the outage with
`virsh domjobabort --postcopy`, and from the moment that the network is back it has
`virsh migrate --postcopy-resume` tried until it takes: stock libvirt refuses it as long as the
first `virsh migrate` has not ended, and the destination has not noticed. Nothing can be done to
hasten that: stock libvirt has no command for a destination, whose QEMU learns of the pause when TCP
sends the source's FIN once more.

The destination's daemon of libvirt 11.2 and 11.3 would crash; tests/lab/incoming-fix.c is preloaded
into it (11.4 is mended).
"""
import os
import re

from .lab import Lab, default_prefix
from .wait import WaitTimeout, wait

FIX = "tests/lab/incoming-fix.so"
RECOVERY_SECONDS = 60


def make_lab():
    """Hosts with the stock driver alone, and the crash mended."""
    fix = os.path.join(os.environ.get("HOLDFAST_BUILD_DIR", "build"), FIX)
    lab = Lab(f"{default_prefix()}.stock", module_dir="")
    lab.up()
    version = lab.a.virsh("version", "--daemon").stdout
    if re.search(r"Running against daemon: 11\.[23]\.", version):
        for host in lab.hosts:
            host.daemon.restart(LD_PRELOAD=os.path.abspath(fix))
    return lab


def both_active(hosts, since):
    """When the later of them was postcopy-active, None as long as one is not."""
    first = [next((when for when, state in host.migration_states(since)
                   if state == "postcopy-active"), None) for host in hosts]
    return None if None in first else max(first)


def pause(source, guest):
    source.virsh("domjobabort", guest.name, "--postcopy", check=False, timeout=20)


def recover(lab, guest, source, destination, back):
    """The network is back since `back` -> (seconds until both were postcopy-active, None if that
    took too long; how often it was tried)."""
    tries = []

    def resumed():
        if not tries or tries[-1].done:
            tries.append(lab.migrate(source, destination, "--postcopy", "--postcopy-resume",
                                     guest=guest))
        return both_active((source, destination), back)
    try:
        return wait(resumed, RECOVERY_SECONDS, "postcopy-active") - back, len(tries)
    except WaitTimeout:
        return None, len(tries)
