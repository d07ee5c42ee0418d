# SPDX-License-Identifier: LGPL-2.1-or-later
"""Brings a migration to a phase in which something is then done to it, and lets it go on."""
from .network import DATA_PORTS
from .wait import wait

POSTCOPY = ("postcopy-active", "paused", "recovering")
ALL = ("precopy", *POSTCOPY)


def cut_memory(lab, network):
    """Cuts all that memory can go over but the port on which b is asked: a recovery is begun, and
    its first packet is lost."""
    first, last = map(int, DATA_PORTS.split("-"))
    port = int(lab.b.run("cat", "/run/libvirt/holdfast/port").stdout)
    for some in (range(first, port), range(port + 1, last + 1)):
        if some:
            lab.net.cut(network, port=f"{some[0]}-{some[-1]}")


def reach(lab, phase, *flags, started=None, asking=False, postcopy=True, **options):
    """Starts a migration from a to b that is held in the phase -> Migration.

    precopy          memory is copied, and would be for a minute
    postcopy-active  for ten seconds
    paused           after an outage that lasts
    recovering       the source connects to the destination, and gets no answer

    With a guest as `started` an outage begins when libvirt has started it on b. Before, libvirt may
    be held in QMP's `cont`, which waits for a page that is missing, and so hold the client.

    With `asking` only the network of the memory is held: the hosts can talk over the other one, and
    recover over it, which they do within half a second of the pause.

    Without `postcopy` it is one that stays in precopy to its end.
    """
    if phase == "precopy":
        migration = lab.migrate(lab.a, lab.b, *["--postcopy"] * postcopy, "--bandwidth", "5",
                                *flags, **options)
        migration.wait_status("active")
        # QEMU calls it a failure when it is cancelled before its first page
        wait(lambda: "MiB" in lab.a.jobinfo("guest").get("Data processed", ""), 30,
             "memory on its way")
        return migration
    migration = lab.postcopy(lab.a, lab.b, *flags, postcopy_bandwidth=1, **options)
    if started:
        started.wait_heartbeat(lab.b)
    if phase == "paused":
        lab.net.cut("migration")
        if not asking:
            lab.net.cut("management", port=DATA_PORTS)
        migration.wait_status("postcopy-paused")
    elif phase == "recovering":
        cut_memory(lab, "migration" if asking else "all")
        migration.wait_status("postcopy-recover-setup", hosts=[lab.a])
    return migration


def let_go(lab, guest="guest"):
    """The networks are whole again, and what is left takes a second or two."""
    lab.net.restore()
    lab.a.virsh("migrate-setspeed", guest, "200", "--postcopy")
