# SPDX-License-Identifier: LGPL-2.1-or-later
"""Numbers out of what a lab has seen. Times are seconds."""
import os
import re

from .wait import wait

MANAGER_PATH = "/org/holdfast/Migration1"
MANAGER = "org.holdfast.Migration1.Manager"


def holdfast_version(host):
    """Of the module in this host's daemon; fails when none is at work."""
    return host.dbus_property(MANAGER_PATH, MANAGER, "Version")


def environment(host):
    """What the figures were made on, without any name: {word: text}."""
    text = host.virsh("version").stdout
    libvirt = re.search(r"Using library: libvirt (\S+)", text)
    qemu = re.search(r"Running hypervisor: QEMU (\S+)", text)
    return {
        "libvirt": libvirt[1] if libvirt else "?",
        "QEMU": qemu[1] if qemu else "?",
        "Holdfast": holdfast_version(host),
        "kernel": re.match(r"[\d.]*", os.uname().release)[0],
        "CPUs": str(os.cpu_count()),
        "guest": "KVM" if os.environ.get("HOLDFAST_LAB_KVM") == "1" else "TCG",
    }


def wait_arrivals(migration, status, since, timeout=60):
    """Waits until QEMU on both hosts has come to a status after `since`
    -> (seconds it took the source, the destination)."""
    hosts = (migration.source, migration.destination)

    def arrivals():
        first = [next((when for when, state in migration.states(host)
                       if state == status and when >= since), None) for host in hosts]
        return None if None in first else tuple(when - since for when in first)
    return wait(arrivals, timeout, lambda: f"{status} on both hosts; QEMU went " + "; ".join(
        " ".join(state for _, state in migration.states(host)) + f" on {host.name}"
        for host in hosts))


def longest_silence(guest, since):
    """The longest time between two heartbeats."""
    beats = sorted(when for host in guest.lab.hosts for when, _ in guest.heartbeats(host)
                   if when >= since)
    return max((later - earlier for earlier, later in zip(beats, beats[1:])), default=0.0)
