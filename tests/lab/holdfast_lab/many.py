# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many migrations that are paused at once, told by the sessions that the daemons show on D-Bus."""
import concurrent.futures

from .wait import wait

SESSION = "org.holdfast.Migration1.Session"
PATH = "/org/holdfast/Migration1/domain/_"

# Little memory and little to do: they share a machine.
GUEST = {"memory": 96, "arena": 4, "rate": 20, "disk_rate": 1}
AT_ONCE = 6
TIMEOUT = 180


def path_of(guest):
    return PATH + guest.uuid.replace("-", "_")


def sessions(host, guests):
    """Those of the guests that there are: [{property: value}]"""
    objects = host.dbus_objects()
    return [objects[path][SESSION] for path in map(path_of, guests) if path in objects]


def wait_sessions(hosts, guests, what, condition, timeout=TIMEOUT):
    """Until there is one of each guest on every host, for which the condition holds."""
    def reached():
        found = [[condition(each) for each in sessions(host, guests)] for host in hosts]
        return all(len(each) == len(guests) and all(each) for each in found)
    wait(reached, timeout, lambda: f"{what}: " + "; ".join(
        f"{host.name}: " + " ".join(each["State"] for each in sessions(host, guests))
        for host in hosts))


def in_state(state):
    return lambda session: session["State"] == state


def for_each(guests, function):
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(function, guests))


def to_postcopy(lab, guests, source, destination):
    """-> their migrations, all postcopy-active, and nearly all memory still to be sent.

    QEMU sends no less than 128 KiB in a tenth of a second, whatever it is told (a QEMUFile is
    flushed when it has 64 pieces, and only then is the limit looked at), so that a small guest's
    postcopy is over in a minute. Destinations are held until the last one has got there.
    """
    def migrate(guest):
        migration = lab.migrate(source, destination, "--undefinesource", "--persistent",
                                "--postcopy", "--bandwidth", "1", "--postcopy-bandwidth", "1",
                                guest=guest)
        wait_sessions((source,), [guest], "precopy-active", in_state("precopy-active"))
        source.virsh("migrate-postcopy", guest.name, timeout=TIMEOUT)
        wait_sessions((source, destination), [guest], "postcopy-active",
                      in_state("postcopy-active"))
        destination.wait_event("Resumed Post-copy", TIMEOUT, guest=guest)
        destination.qemu(guest).stop()
        return migration
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        migrations = list(pool.map(migrate, guests))
    for guest in guests:
        destination.qemu(guest).cont()
    return migrations


def wait_paused(guests, hosts):
    wait_sessions(hosts, guests, "postcopy-paused", in_state("postcopy-paused"))


def wait_recovered(guests, hosts, since):
    """-> seconds after `since` until each was postcopy-active on both hosts, sorted"""
    wait_sessions(hosts, guests, "recovery", lambda session: session["Recoveries"] > 0)
    taken = {}
    for host in hosts:
        for session in sessions(host, guests):
            again = next(at for at, _, state, _ in reversed(session["History"])
                         if state == "postcopy-active") / 1e6
            name = session["DomainName"]
            taken[name] = max(taken.get(name, 0), again - since)
    return sorted(taken.values())


def finish(guests, migrations, source, destination, speed):
    for_each(guests, lambda guest: source.virsh("migrate-setspeed", "--postcopy", guest.name, speed,
                                                check=False, timeout=TIMEOUT))
    for migration in migrations:
        migration.succeed(TIMEOUT)
    for_each(guests, lambda guest: guest.witness_ok(destination))
