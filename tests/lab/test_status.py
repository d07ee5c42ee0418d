# SPDX-License-Identifier: LGPL-2.1-or-later
"""Statistics, migrate-status, D-Bus and the daemon's log tell the same of a migration, on both hosts."""
import json
import re

import libvirt
import pytest

from holdfast_lab import wait
from holdfast_lab.network import DATA_PORTS

SESSION = "org.holdfast.Migration1.Session"
HOLDFAST = 1 << 31
ENFORCE = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS
NOWAIT = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT


def statistics(host):
    """What `virsh domstats` says of the guest's migration: {name without "holdfast.": text}."""
    lines = host.virsh("domstats", "guest", "--nowait").stdout.splitlines()
    pairs = (line.strip().split("=", 1) for line in lines if line.strip().startswith("holdfast."))
    return {name.removeprefix("holdfast."): value for name, value in pairs}


def properties(host):
    """The same from D-Bus, in the words of the statistics."""
    path = host.wait_dbus_signal("StateChanged")["path"]

    def get(name):
        return host.dbus_property(path, SESSION, name)

    told = {
        "id": get("MigrationId"), "role": get("Role"), "state": get("State"),
        "reason": get("Reason"), "peer": get("Peer"), "message": get("Message"),
        "pauses": get("Pauses"), "recoveries": get("Recoveries"), "attempts": get("Attempts"),
        "started-at-ms": get("StartedAt") // 1000, "paused-ms": get("PausedUSec") // 1000,
        "last-outage-ms": get("LastOutageUSec") // 1000,
    }
    if get("PausedAt"):
        told["paused-at-ms"] = get("PausedAt") // 1000
        told["recovers-itself"] = "yes" if get("RecoversItself") else "no"
    history = get("History")
    told["history.count"] = len(history)
    for number, (at, _, state, reason) in enumerate(history):
        told[f"history.{number}.state"] = state
        told[f"history.{number}.at-ms"] = at // 1000
        told[f"history.{number}.reason"] = reason
    return {name: str(value) for name, value in told.items() if value != ""}


def status(host):
    """The same from `virsh migrate-status`."""
    told = json.loads(host.virsh("migrate-status", "guest", "--json").stdout)
    assert told.pop("domain") == "guest"
    for name in ("uuid", "total-bytes", "remaining-bytes"):
        told.pop(name, None)
    history = told.pop("history")
    told["history.count"] = len(history)
    for number, step in enumerate(history):
        told.update({f"history.{number}.{name}": value for name, value in step.items()})
    words = {True: "yes", False: "no"}
    return {name: words[value] if isinstance(value, bool) else str(value)
            for name, value in told.items()}


def assert_same(host):
    """All are read until what happens has not overtaken one of them."""
    def same():
        first = properties(host)
        others = [statistics(host), status(host)]
        if first != properties(host):
            return None
        for other in others:
            for name in ("now-ms", "next-attempt-at-ms"):
                other.pop(name, None)
            assert other == first
        return first

    return wait(same, 30, f"a quiet moment on {host.name}")


def logged(host, migration_id):
    """[(from, to)] of a migration as the daemon's log has it."""
    line = re.compile(rf"migration {migration_id} of domain guest \(\w+(?:, peer \S+)?\): "
                      r"(\S+) -> ([a-z-]+)(?:, [a-z-]+)? \([a-z-]+\)")
    found = (line.search(text) for _, _, text in host.log.entries())
    return [match.groups() for match in found if match]


def test_all_tell_the_same(lab, guest):
    assert statistics(lab.a) == {}, "a domain without a migration"
    assert lab.a.virsh("migrate-status", "guest", check=False).returncode == 2
    migration = lab.postcopy(lab.a, lab.b)
    watches = [host.virsh_background("-q", "migrate-status", "guest", "--watch")
               for host in lab.hosts]
    lab.net.cut("all", port=DATA_PORTS)
    migration.wait_status("postcopy-paused", timeout=30)
    for host in lab.hosts:
        host.wait_dbus_signal("Paused")
        told = assert_same(host)
        assert (told["state"], told["pauses"]) == ("postcopy-paused", "1")
        assert (told["reason"], told["recovers-itself"]) == ("network", "yes")
        assert int(told["paused-at-ms"]) <= int(statistics(host)["now-ms"])
    lab.net.restore()
    migration.succeed(timeout=180)
    ids = set()
    for host, watch in zip(lab.hosts, watches):
        host.wait_dbus_signal("Finished")
        told = assert_same(host)
        assert (told["state"], told["recoveries"]) == ("completed", "1")
        assert int(told["paused-ms"]) == int(told["last-outage-ms"]) > 0
        count = int(told["history.count"])
        states = [told[f"history.{number}.state"] for number in range(count)]
        assert logged(host, told["id"]) == list(zip(states, states[1:]))
        watch.succeed(timeout=30)
        assert [re.sub(r".* guest: ([a-z-]+)( \(network\))?$", r"\1", line)
                for line in watch.output.splitlines()] == states
        ids.add(told["id"])
    assert len(ids) == 1
    guest.witness_ok(lab.b)


def test_a_persons_pause_is_watched_to_the_end(lab, guest):
    """Also at the source, where the domain is forgotten in the end."""
    migration = lab.postcopy(lab.a, lab.b, "--undefinesource", "--persistent")
    watch = lab.a.virsh_background("-q", "migrate-status", "guest", "--watch", "--json")
    refused = lab.b.virsh("migrate-pause", "guest", check=False)
    assert refused.returncode == 1 and "on the source host" in refused.stderr, refused.stderr
    lab.a.virsh("migrate-pause", "guest")
    migration.fail(timeout=60)
    told = lab.a.virsh("migrate-status", "guest").stdout
    assert "postcopy-paused (operator)" in told
    assert "waits for a person: virsh migrate-recover guest" in told
    assert re.search(r"Memory: .*\[#*-+\] +\d+ %, [\d.]+ MiB of [\d.]+ MiB left", told), told
    lab.a.virsh("migrate-recover", "guest", timeout=60)
    watch.succeed(timeout=60)
    last = json.loads(watch.output.splitlines()[-1])
    assert last["state"] == "completed"
    # it may have come and gone between two looks; the history has it
    assert {"state": "postcopy-paused", "reason": "operator"} in \
        [{"state": step["state"], "reason": step.get("reason")} for step in last["history"]]
    wait(lambda: lab.a.domain_state() is None, 30, "the guest to be gone from a")
    assert lab.a.virsh("migrate-status", "--json").stdout.strip() == "[]"
    guest.witness_ok(lab.b)


def test_a_domain_that_has_left_is_remembered(lab, guest):
    """By its name, its UUID and the id that it had; by no other."""
    number = lab.a.virsh("domid", "guest").stdout.strip()
    uuid = lab.a.virsh("domuuid", "guest").stdout.strip()
    lab.migrate(lab.a, lab.b, "--undefinesource", "--persistent").succeed()
    wait(lambda: lab.a.domain_state() is None, 30, "the guest to be gone from a")
    for which in ("guest", number, uuid, uuid.upper()):
        told = json.loads(lab.a.virsh("migrate-status", which, "--json").stdout)
        assert (told["domain"], told["uuid"]) == ("guest", uuid)
        assert (told["role"], told["state"]) == ("source", "completed")
    watched = lab.a.virsh("migrate-status", "guest", "--watch")
    assert watched.stdout.splitlines()[-1].endswith("guest: completed")
    for which in ("guest2", str(int(number) + 1), uuid[::-1]):
        refused = lab.a.virsh("migrate-status", which, check=False)
        assert refused.returncode == 1 and "failed to get domain" in refused.stderr, refused
    of_all = json.loads(lab.a.virsh("migrate-status", "--all", "--json").stdout)
    assert uuid in [told["uuid"] for told in of_all]
    assert lab.a.virsh("migrate-status", "--json").stdout.strip() == "[]"
    # and stock libvirt's own list is as ever
    assert "guest" not in lab.a.virsh("domstats").stdout
    guest.witness_ok(lab.b)


def ask(host, stats, flags, named):
    """-> the names of all statistics of the guest, or the error's code."""
    connection = libvirt.open(f"qemu+unix:///system?socket={host.path(host.socket)}")
    try:
        if named:
            records = connection.domainListGetStats([connection.lookupByName("guest")], stats,
                                                    flags)
        else:
            here = connection.lookupByName("guest").UUID()
            # Our group tells of those too that have left, as guests of other tests have.
            records = [(domain, record) for domain, record
                       in connection.getAllDomainStats(stats, flags)
                       if not stats & HOLDFAST or domain.UUID() == here]
        assert [domain.name() for domain, _ in records] == ["guest"]
        return set(records[0][1])
    except libvirt.libvirtError as error:
        return error.get_error_code()
    finally:
        connection.close()


@pytest.fixture
def silent():
    libvirt.registerErrorHandler(lambda *_: None, None)


def test_a_choice_of_statistics_is_stock_libvirts(lab, stock_lab, guest, silent):
    """After a migration, with it among all statistics, every other question has stock's answer."""
    there = stock_lab.guest()
    there.start(stock_lab.a)
    for each in (lab, stock_lab):
        each.migrate(each.a, each.b, "--postcopy").succeed()
    groups = [libvirt.VIR_DOMAIN_STATS_STATE, libvirt.VIR_DOMAIN_STATS_VCPU,
              libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_BALLOON, 1 << 30]
    for named in (False, True):
        for stats in groups:
            for flags in (0, NOWAIT, ENFORCE):
                ours = ask(lab.b, stats, flags, named)
                assert ours == ask(stock_lab.b, stats, flags, named), (stats, flags, named)
        for flags in (0, NOWAIT, ENFORCE):
            ours = ask(lab.b, 0, flags, named)
            mine = {name for name in ours if name.startswith("holdfast.")}
            assert "holdfast.state" in mine
            assert ours - mine == ask(stock_lab.b, 0, flags, named), (flags, named)
        assert ask(lab.b, HOLDFAST, ENFORCE, named) == mine
        assert ask(lab.b, HOLDFAST | libvirt.VIR_DOMAIN_STATS_STATE, ENFORCE, named) \
            == mine | {"state.state", "state.reason"}
        assert ask(stock_lab.b, HOLDFAST, 0, named) == set()
        assert ask(stock_lab.b, HOLDFAST, ENFORCE, named) \
            == libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED
