# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon with much to do, listeners that do nothing, and one migration after the other: nobody
waits for a migration's engine, it waits for nobody, and nothing is left of it. How fast that is, is
the bench's to say."""
import os
import signal

from gi.repository import GLib

from holdfast_lab import crowd, wait
from holdfast_lab.network import DATA_PORTS

SESSION = "org.holdfast.Migration1.Session"

# A hundred times what it takes: a busy machine is slow, a lock is for good.
LONGEST_CALL_SECONDS = 45
# What allocators keep; a leak that matters is more, or is for the sanitizer to find.
MEMORY_GROWTH_KIB = 16384


def check_crowd(host, domains):
    """200 clients are served; they see the domains, and each its own events."""
    seen = crowd.run(host)
    assert not seen.errors, "\n".join(seen.errors[:5])
    assert seen.lists == [domains]
    assert seen.longest[0] < LONGEST_CALL_SECONDS, seen.longest
    print(f"{seen.count} calls in {seen.seconds:.1f} s, the longest {seen.longest}")


def deafen_a_listener(host):
    """It wants every signal and reads none."""
    listener = host.background("dbus-monitor", "--system", "type=signal")
    wait(lambda: "NameAcquired" in listener.output, 20, "the listener")
    listener.send(signal.SIGSTOP)


def check_session(host, guest):
    path = "/org/holdfast/Migration1/domain/_" + guest.uuid.replace("-", "_")

    def is_there():
        try:
            return path in host.dbus_objects()
        except GLib.Error:  # the name is not there yet
            return False
    wait(is_there, 60, f"the session on the bus of {host.name}")
    assert host.dbus_property(path, SESSION, "State") == "completed"
    assert host.dbus_property(path, SESSION, "Recoveries") == 1


def test_200_clients_while_a_migration_is_paused(lab, guest):
    for host in lab.hosts:
        deafen_a_listener(host)
    migration = lab.postcopy(lab.a, lab.b)
    guest.wait_heartbeat(lab.b)
    lab.net.cut("all")
    migration.wait_status("postcopy-paused", timeout=30)
    check_crowd(lab.a, ["guest"])
    check_crowd(lab.b, ["guest"])
    lab.net.restore()
    migration.succeed(timeout=180)
    guest.witness_ok(lab.b)
    for host in lab.hosts:
        check_session(host, guest)


def test_a_bus_that_is_no_use(lab, guest):
    """One host has none, that of the other stops. What they missed is there when there is one.

    (A bus that ends ends the stock daemon with it: g_bus_get() has the process exit on close.)"""
    lab.b.daemon.terminate()
    lab.b.bus.kill()
    lab.b.daemon.start()
    migration = lab.postcopy(lab.a, lab.b)
    guest.wait_heartbeat(lab.b)
    lab.a.bus.stop()
    lab.net.cut("all")
    migration.wait_status("postcopy-paused", timeout=30)
    check_crowd(lab.a, ["guest"])
    lab.net.restore()
    migration.succeed(timeout=180)
    guest.witness_ok(lab.b)
    lab.a.bus.cont()
    lab.b.bus.start()
    for host in lab.hosts:
        check_session(host, guest)


def resources(host):
    """What a daemon has of everything that it could lose count of."""
    directory = f"/proc/{host.daemon.pid}"
    with open(f"{directory}/status", encoding="ascii") as f:
        status = dict(line.split(":", 1) for line in f)
    return {"threads": int(status["Threads"]), "descriptors": len(os.listdir(f"{directory}/fd")),
            "sessions": len(host.dbus_objects()), "KiB": int(status["VmRSS"].split()[0])}


def migrate_and_back(lab, guest, failures):
    for source, destination in ((lab.a, lab.b), (lab.b, lab.a)):
        cuts = lab.net.cut("all", how="reset", port=DATA_PORTS)
        for _ in range(failures):
            lab.migrate(source, destination, guest=guest).fail()
        lab.net.restore(cuts)
        lab.migrate(source, destination, "--undefinesource", "--persistent", guest=guest).succeed()


def test_nothing_is_left_of_migrations(lab):
    """Of eighteen, two in three failed."""
    guest = lab.guest(memory=128, arena=8, rate=100).start(lab.a)
    migrate_and_back(lab, guest, 2)  # what is made once is there
    before = [resources(host) for host in lab.hosts]
    for _ in range(3):
        migrate_and_back(lab, guest, 2)
    for host, old in zip(lab.hosts, before):
        def has_grown():
            new = resources(host)
            print(f"host {host.name}: {old} -> {new}")
            return [name for name in old
                    if new[name] > old[name] + MEMORY_GROWTH_KIB * (name == "KiB")]
        # A thread or a socket of the last one may still be on its way out.
        wait(lambda: not has_grown(), 60, has_grown)
    guest.witness_ok(lab.a)
